"""What processes use of the machine, read from `/proc`.

Every instance leads a session of its own, so one pass over `/proc` gives the use of each instance with all
that it started.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessUse", "by_session", "of_process"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a process, or several together, use."""

    cpu_seconds: float
    """Processor time since the start, user and system."""
    memory: int
    """Resident memory in bytes."""
    threads: int
    processes: int
    fds: int | None = None
    """Open file descriptors; None where they were not counted or may not be looked at."""

    def __add__(self, other: ProcessUse) -> ProcessUse:
        """The use of both."""
        known = self.fds is not None and other.fds is not None
        return ProcessUse(
            self.cpu_seconds + other.cpu_seconds,
            self.memory + other.memory,
            self.threads + other.threads,
            self.processes + other.processes,
            (self.fds or 0) + (other.fds or 0) if known else None,
        )


def of_process(pid: int, *, proc: Path = _PROC) -> ProcessUse | None:
    """What one process uses; None when it is gone."""
    found = _read(proc / str(pid), count_fds=True)
    return found[1] if found else None


def by_session(*, count_fds: bool = False, proc: Path = _PROC) -> dict[int, ProcessUse]:
    """What each session uses, by the pid of its leader. Counting file descriptors costs as much again."""
    sessions: dict[int, ProcessUse] = {}
    for entry in os.scandir(proc):
        if entry.name.isdigit() and (found := _read(Path(entry.path), count_fds=count_fds)):
            session, use = found
            sessions[session] = sessions[session] + use if session in sessions else use
    return sessions


def _read(directory: Path, *, count_fds: bool) -> tuple[int, ProcessUse] | None:
    """A process's session and use; None when it is gone or a zombie."""
    try:
        stat = (directory / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the name, may hold blanks and brackets; what follows its last bracket is plain.
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    fds = None
    if count_fds:
        try:
            fds = sum(1 for _ in (directory / "fd").iterdir())
        except OSError:
            fds = None
    use = ProcessUse(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        memory=int(fields[21]) * _PAGE,
        threads=int(fields[17]),
        processes=1,
        fds=fds,
    )
    return int(fields[3]), use
