"""Somebody who installs packages, with a home, a cache and a lock file of their own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from backstay.config.models.mcp import Mcp
from backstay.packages import Launch, Lockfile, PackageError, resolve_and_install

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class User:
    """Somebody who installs packages."""

    root: Path
    environ: dict[str, str]
    progress: list[str] = field(default_factory=list)
    kept_cache: Path | None = None

    @property
    def cache(self) -> Path:
        return self.kept_cache or self.root / "cache" / "backstay"

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


def said(error: PackageError) -> str:
    """All that a user reads of an error, but its hint."""
    return f"{error}\n{error.tail}"
