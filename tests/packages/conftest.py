"""A user of our own: a home without settings, a cache, a lock file, and local registries."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from backstay.config.models.mcp import Mcp
from backstay.packages import Launch, Lockfile, resolve_and_install
from registry import NpmRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_HOME = Path.home()


@dataclass
class User:
    """Somebody who installs packages."""

    root: Path
    environ: dict[str, str]
    progress: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.root / "cache" / "backstay"

    @property
    def stack(self) -> Path:
        return self.root / "stack"

    @property
    def lock_path(self) -> Path:
        return self.stack / "backstay.lock"

    async def install(self, package: str, *, offline: bool = False, save: bool = True, **mcp: Any) -> Launch:
        """Resolve and install, as `up` does: read the lock file, install, save it."""
        lock = Lockfile.load(self.lock_path)
        try:
            return await resolve_and_install(
                service(package, **mcp),
                lock=lock,
                cache=self.cache,
                environ=self.environ,
                progress=self.progress.append,
                offline=offline,
            )
        finally:
            if save:
                lock.save()

    def entries(self) -> list[str]:
        """What is installed, and what is not but left."""
        found = [*self.cache.glob("packages/*"), *self.cache.glob("tmp/*")]
        return sorted(path.name for path in found)


def service(package: str, **mcp: Any) -> Any:
    return SimpleNamespace(name="server", mcp=Mcp.model_validate({"package": package, **mcp}))


def output(launch: Launch, *args: str) -> str:
    """What a launch prints when it is started."""
    env = {"PATH": os.environ["PATH"], **launch.env}
    return subprocess.run(
        [*launch.argv, *args], env=env, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.fixture
def user(tmp_path: Path) -> User:
    home = tmp_path / "home"
    (tmp_path / "stack").mkdir()
    home.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LANG": "C.UTF-8",
        # The toolchains stay where they are; what they fetch does not.
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(REAL_HOME / ".rustup")),
        "CARGO_HOME": str(home / ".cargo"),
        "GOCACHE": os.environ.get("GOCACHE", str(REAL_HOME / ".cache" / "go-build")),
        "GOPATH": str(home / "go"),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOSUMDB": "off",
        "GOPROXY": "off",
        "CARGO_NET_OFFLINE": "true",
        "UV_PYTHON_DOWNLOADS": "never",
        "npm_config_update_notifier": "false",
        "npm_config_fetch_retries": "0",
        "npm_config_registry": "http://127.0.0.1:9/",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
    }
    (tmp_path / "wheels").mkdir()
    return User(tmp_path, environ)


@pytest.fixture
def npm(user: User) -> Iterator[NpmRegistry]:
    with NpmRegistry() as registry:
        user.environ["npm_config_registry"] = registry.url
        yield registry
