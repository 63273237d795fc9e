"""How deploys ended, for whoever waits for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstay.deploy.status import DeployResult

__all__ = ["Outcomes"]

KEPT = 1_000
"""Results kept; the oldest go first."""


class Outcomes:
    """The results of the last deploys, and who waits for the next ones."""

    def __init__(self) -> None:
        self._results: dict[str, DeployResult] = {}
        self._awaited: dict[str, asyncio.Event] = {}

    def expect(self, deploy: str) -> asyncio.Event:
        """A deploy is under way; the event is set when it has ended."""
        return self._awaited.setdefault(deploy, asyncio.Event())

    def ended(self, result: DeployResult) -> None:
        """Keep a result and wake whoever waits for it."""
        self._results[result.deploy] = result
        while len(self._results) > KEPT:
            del self._results[next(iter(self._results))]
        awaited = self._awaited.pop(result.deploy, None)
        if awaited:
            awaited.set()

    async def of(self, deploy: str) -> DeployResult | None:
        """Wait for the end of a deploy that is expected; none if nobody knows it."""
        awaited = self._awaited.get(deploy)
        if awaited is not None:
            await awaited.wait()
        return self._results.get(deploy)
