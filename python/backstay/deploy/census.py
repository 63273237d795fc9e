"""What instances use: processor time and resident memory of all their processes, read from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Census", "Use"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Use:
    """What the processes of one instance use."""

    cpu: float
    memory: int


class Census:
    """Counts the processes of instances: each leads a session of its own, which its children share."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        # Per leader, the ticks used and when that was read: what is told is the share since then.
        self._before: dict[int, tuple[int, float]] = {}

    def take(self, leaders: list[int]) -> dict[int, Use]:
        """Read what each leader's session uses; blocking, some microseconds a process."""
        wanted = set(leaders)
        ticks = dict.fromkeys(leaders, 0)
        pages = dict.fromkeys(leaders, 0)
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        started: dict[int, float] = {}
        for entry in os.scandir(self._proc):
            if not entry.name.isdigit():
                continue
            try:
                # The name in parentheses may hold anything, spaces and parentheses too.
                fields = (self._proc / entry.name / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            session = int(fields[3])
            if session not in wanted:
                continue
            ticks[session] += int(fields[11]) + int(fields[12])
            pages[session] += int(fields[21])
            if int(entry.name) == session:
                started[session] = int(fields[19]) / _TICKS
        used = {}
        for leader in leaders:
            before, at = self._before.get(leader, (0, started.get(leader, boot)))
            passed = boot - at
            share = (ticks[leader] - before) / _TICKS / passed if passed > 0.05 else 0.0
            used[leader] = Use(round(max(0.0, share), 3), pages[leader] * _PAGE)
            if passed > 0.05:
                self._before[leader] = (ticks[leader], boot)
        self._before = {leader: seen for leader, seen in self._before.items() if leader in wanted}
        return used
