"""The keeper's process: found by the pid in its lock file, waited for by pidfd."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

LOCK = "run/keeper.lock"


def keeper_of(state_dir: Path) -> int | None:
    """Return the pid of the keeper that holds a state directory; None if none does.

    The lock itself is left alone: trying it would make a keeper that starts at this moment give up.
    """
    try:
        pid = int((state_dir / LOCK).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(state_dir) in command and b"keeper" in command[0] else None


async def ended(pid: int | None) -> None:
    """Wait for the end of a process that is not a child."""
    if pid is None:
        return
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
