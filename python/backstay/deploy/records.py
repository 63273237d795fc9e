"""What of the decisions' state is written down, a moment after it changed: for the next daemon.

It is only a record. What is wanted was durable before it took effect (`Actor.begin`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay.deploy.memory import dump_deploy, dump_service
from backstay.errors import BackstayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backstay.deploy.admission import LeaseBook
    from backstay.deploy.journal import Journal
    from backstay.deploy.state import Fleet
    from backstay.state import Store

__all__ = ["Records"]

SAVE_AFTER = 0.02
"""Seconds in which changes are gathered into one write."""


class Records:
    """Services, leases and the deploy under way, as the store has them."""

    def __init__(self, store: Store, journal: Journal, book: LeaseBook, fleet: Callable[[], Fleet]) -> None:
        self._store = store
        self._journal = journal
        self._book = book
        self._fleet = fleet
        # Held while a deploy is made durable and taken over: a record of the state before it that was written
        # after it would undo it for the next daemon.
        self.writing = asyncio.Lock()
        self._services: set[str] = set()
        self._leases: set[str] = set()
        self._saving: asyncio.Task[None] | None = None

    def service_changed(self, *services: str) -> None:
        """Write services down soon; with none named, the deploy under way."""
        self._services.update(services)
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._save_soon())

    def leases_changed(self, instances: Iterable[str]) -> None:
        """Write down with the next record what these instances hold."""
        self._leases.update(instances)

    async def _save_soon(self) -> None:
        await asyncio.sleep(SAVE_AFTER)
        await self.save()

    async def save(self) -> None:
        """Record what has changed."""
        async with self.writing:
            await self._write()

    async def _write(self) -> None:
        changed, self._services = self._services, set()
        leases, self._leases = self._leases, set()
        fleet = self._fleet()
        services, held = fleet.services, self._book.holders()
        try:
            await self._store.save(
                services={
                    name: dump_service(services[name]) if name in services else None for name in changed
                },
                leases={name: self._book.dump_one(name) if name in held else None for name in leases},
                facts={"deploy": dump_deploy(fleet.deploy)},
            )
        except BackstayError as error:
            # Decisions go on, and the next change tries again.
            self._services |= changed
            self._leases |= leases
            self._journal.record("state.not_written", reason=str(error), hint=error.hint)
