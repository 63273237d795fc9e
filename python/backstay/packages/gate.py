"""How many installs run at once: as many as the processors, and more while they have nothing to do.

An install waits for the network half of its time and compiles the other half; no fixed number suits both.
The kernel's pressure figures say which it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: Share of the last ten seconds in which work waited for a processor (memory) above which nothing more is
#: begun.
_CPU_BUSY_PERCENT = 25.0
_MEMORY_BUSY_PERCENT = 10.0
#: Pressure is an average: what was begun is given time to show in it before more is begun.
_SETTLE_S = 0.25
_PER_CPU = 4


def processors() -> int:
    """The processors this process may use: its affinity, and its cgroup's quota if it has one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    return count


def pressure(resource: str) -> float:
    """The kernel's ten-second average of `cpu` or `memory` pressure, in percent; 0 where it keeps none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        first = Path(f"/proc/pressure/{resource}").read_text().split("\n", 1)[0]
        return float(first.split("avg10=")[1].split()[0])
    return 0.0


class Gate:
    """Lets installs begin, in the order they came."""

    def __init__(self, cpus: int | None = None, measure: Callable[[str], float] = pressure) -> None:
        self._cpus = cpus or processors()
        self._measure = measure
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """How many have begun and not ended."""
        return self._running

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until the machine bears one more, and hold the place for the length of the block."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._running < self._cpus:
            self._begin()
        if not self._waiting or self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(_SETTLE_S, self._admit_one_more)

    def _admit_one_more(self) -> None:
        """Past one per processor: one at a time, while the machine is not busy."""
        self._timer = None
        idle = self._measure("cpu") < _CPU_BUSY_PERCENT and self._measure("memory") < _MEMORY_BUSY_PERCENT
        if idle and self._waiting and self._running < self._cpus * _PER_CPU:
            self._begin()
        self._admit()

    def _begin(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():
            self._running += 1
            turn.set_result(None)


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def shared() -> Gate:
    """The gate of this event loop: all installs of one process go through it."""
    return _gates.setdefault(asyncio.get_running_loop(), Gate())
