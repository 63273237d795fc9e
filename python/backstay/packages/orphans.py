"""Ends the installers that a killed process left running: they still write to what nobody will ever use.

They are known by where they work: only an install works in its temporary directory, and who asks holds that
install's lock, so nobody else's is at work there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def end_in(directory: Path) -> list[int]:
    """Kill every process whose working directory is `directory` or lies in it.

    Returns:
        Their ids.
    """
    ended = []
    for process in Path("/proc").glob("[0-9]*"):
        number = int(process.name)
        if number == os.getpid() or not _works_in(process, directory):
            continue
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(number)
            try:
                if _works_in(process, directory):  # the number was not given to another one meanwhile
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    ended.append(number)
            finally:
                os.close(handle)
    return ended


def _works_in(process: Path, directory: Path) -> bool:
    try:
        return (process / "cwd").readlink().is_relative_to(directory)
    except OSError:
        return False  # it is gone, or another user's
