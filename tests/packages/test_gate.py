"""How many installs run at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from backstay.packages.gate import Gate, pressure, processors

if TYPE_CHECKING:
    import pytest


class Work:
    """Tasks that hold a slot until they are let go."""

    def __init__(self, gate: Gate, count: int) -> None:
        self.go_on = asyncio.Event()
        self.begun: list[int] = []
        self.changed = asyncio.Event()
        self.tasks = [asyncio.create_task(self._one(gate, i)) for i in range(count)]

    async def _one(self, gate: Gate, number: int) -> None:
        async with gate.slot():
            self.begun.append(number)
            self.changed.set()
            await self.go_on.wait()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.begun) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_a_busy_machine_runs_one_per_processor() -> None:
    gate = Gate(cpus=2, measure=lambda _: 90.0)
    work = Work(gate, 6)
    await work.until(2)
    for _ in range(5):
        gate._admit_one_more()
    assert gate.running == 2
    work.go_on.set()
    await asyncio.gather(*work.tasks)
    assert work.begun == [0, 1, 2, 3, 4, 5]
    assert gate.running == 0


async def test_an_idle_machine_runs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backstay.packages.gate._SETTLE_S", 0.001)
    gate = Gate(cpus=1, measure=lambda _: 0.0)
    work = Work(gate, 9)
    await work.until(4)
    work.go_on.set()
    await asyncio.gather(*work.tasks)


async def test_who_gives_up_waiting_takes_no_slot() -> None:
    gate = Gate(cpus=1, measure=lambda _: 90.0)
    work = Work(gate, 1)
    await work.until(1)
    waiting = Work(gate, 2)
    await asyncio.sleep(0)
    waiting.tasks[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting.tasks[0]
    work.go_on.set()
    await waiting.until(1)
    assert waiting.begun == [1]
    waiting.go_on.set()
    await waiting.tasks[1]
    assert gate.running == 0


def test_the_machine_is_measured() -> None:
    assert processors() >= 1
    assert pressure("cpu") >= 0
    assert pressure("no such resource") == 0
