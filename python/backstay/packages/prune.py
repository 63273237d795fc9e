"""Takes away what nobody has started for a long time, so that the cache does not grow for ever.

An entry's marker is touched whenever it is asked for. One that is older than two months, and that no process
runs from, goes; a lock file that still pins it installs it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backstay.packages.store import MARKER, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

UNUSED_S = 60 * 24 * 3600.0
#: How often the cache is looked through: an install now and then pays for it.
_EVERY_S = 24 * 3600.0


def prune_now_and_then(root: Path, now: float | None = None) -> list[str]:
    """`prune`, unless it was done less than a day ago."""
    now = time.time() if now is None else now
    stamp = root / "pruned"
    with contextlib.suppress(OSError):
        if now - stamp.stat().st_mtime < _EVERY_S:
            return []
    with contextlib.suppress(OSError):
        stamp.touch()
        return prune(root, now)
    return []


def prune(root: Path, now: float) -> list[str]:
    """Remove the entries and build directories that nothing has used for two months.

    Args:
        root: the cache directory.
        now: the time, in seconds since the epoch.

    Returns:
        The names of what was removed.
    """
    old = [path for name in ("packages", "builds") for path in (root / name).glob("*") if _unused(path, now)]
    if not old:
        return []
    running = "\0".join(_command_lines())
    removed = []
    for path in old:
        if f"{path}/" in running:
            continue
        with _held(root / "locks" / path.name) as held:
            if held and _unused(path, now):
                aside = root / "tmp" / f"{path.name}.old.{os.getpid()}"
                aside.parent.mkdir(exist_ok=True)
                path.rename(aside)  # so that half a removal is never taken for an entry
                remove(aside)
                removed.append(path.name)
    return removed


def _unused(path: Path, now: float) -> bool:
    marker = path / MARKER
    try:
        return now - (marker if marker.exists() else path).stat().st_mtime > UNUSED_S
    except OSError:
        return False


def _command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_bytes().decode(errors="replace")
            yield f"{(process / 'exe').readlink()}/"


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether nobody is installing it just now; nobody can begin to for the length of the block."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
