"""The journal: everything that happened, numbered, for whoever follows and for those who come later.

Followers read at their own pace from what is recent, and from disk where they are far behind; none of them
can make the fleet wait or its memory grow.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from backstay.state import Store

__all__ = ["Journal"]

RECENT = 5_000
"""Events kept in memory."""
_BATCH = 1_000


class Journal:
    """One fleet's events."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self._news = asyncio.Event()
        self._closed = False

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._store.last_seq

    def record(self, kind: str, *, at: float | None = None, **fields: Any) -> dict[str, Any]:
        """Record an event; `at` is in milliseconds, now where it is not given."""
        when = int(self._now() * 1000) if at is None else at
        event = self._store.record({"at": when, "kind": kind, **fields})
        self._recent.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()
        return event

    def close(self) -> None:
        """Let followers come to their end."""
        self._closed = True
        self._news.set()

    async def read(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Give events after a number, oldest first; and go on with new ones until the journal is closed."""
        while True:
            news = self._news
            batch = await self._after(after)
            for event in batch:
                after = event["seq"]
                yield event
            if batch:
                continue
            if self._closed or not follow:
                return
            await news.wait()

    async def _after(self, after: int) -> list[dict[str, Any]]:
        first = self._recent[0]["seq"] if self._recent else self.last_seq + 1
        if after + 1 < first:
            await self._store.flush()
            older = await self._store.events(after, _BATCH)
            if older:
                return older
        # The recent ones are numbered without a gap.
        start = max(0, after + 1 - first)
        return [self._recent[place] for place in range(start, min(len(self._recent), start + _BATCH))]
