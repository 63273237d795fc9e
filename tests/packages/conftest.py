"""A user of our own: a home without settings, a cache, a lock file, and local registries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packages.npm_registry import NpmRegistry
from tests.packages.package_user import User

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_HOME = Path.home()


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
