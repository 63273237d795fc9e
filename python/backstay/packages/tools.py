"""The programs that install: where the user's own npm, node, cargo and go are, and our uv."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from backstay.packages.failure import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

_MISSING = {
    "node": "install Node.js 20 or newer (Debian, Ubuntu: `apt-get install nodejs npm`) and have it on PATH",
    "npm": "install npm (it comes with Node.js; Debian, Ubuntu: `apt-get install npm`) and have it on PATH",
    "cargo": "install Rust (Debian, Ubuntu: `apt-get install cargo`, or rustup) and have cargo on PATH",
    "go": "install Go (Debian, Ubuntu: `apt-get install golang`) and have it on PATH",
}


def find(program: str, env: Mapping[str, str], step: str) -> Path:
    """The user's own `program`.

    Raises:
        PackageError: it is not on PATH.
    """
    found = shutil.which(program, path=env.get("PATH"))
    if found is None:
        raise failure(step, tail=f"{program} is not on PATH", hint=_MISSING[program])
    return Path(found)


def uv() -> str:
    """The uv that was installed with us."""
    from uv import find_uv_bin

    return str(find_uv_bin())


def npm(env: Mapping[str, str], step: str) -> tuple[str, ...]:
    """The npm command, run by the user's own Node even where PATH begins with another one."""
    path = find("npm", env, step)
    script = path.resolve()
    if script.suffix in (".js", ".cjs"):
        return str(find("node", env, step)), str(script)
    return (str(path),)
