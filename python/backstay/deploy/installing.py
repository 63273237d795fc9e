"""Installations under way: each is a task, and its outcome an input of the decisions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.inputs import Installed, InstallFailed
from backstay.deploy.state import Failure, Placement
from backstay.errors import BackstayError, PackageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backstay.config import Service
    from backstay.deploy.blueprints import Blueprints
    from backstay.deploy.build import Launched
    from backstay.deploy.journal import Journal
    from backstay.deploy.state import Fleet, Revision
    from backstay.state import Store

    Outcome = Installed | InstallFailed
    Installer = Callable[[Service, Callable[[str], None]], Awaitable[Launched]]

__all__ = ["Installations", "Installer"]


class Installations:
    """Puts the packages of revisions in place, and says what became of it."""

    def __init__(self, installer: Installer, blueprints: Blueprints, store: Store, journal: Journal) -> None:
        self._installer = installer
        self._blueprints = blueprints
        self._store = store
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, name: str, revision: Revision, fleet: Callable[[], Fleet], feed: Callable[[Outcome], None]
    ) -> None:
        """Install what a revision needs; `feed` is told what came of it."""
        task = asyncio.get_running_loop().create_task(self._install(name, revision, fleet, feed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """End all of them: nothing of them is wanted any more."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _install(
        self, name: str, revision: Revision, fleet: Callable[[], Fleet], feed: Callable[[Outcome], None]
    ) -> None:
        service = self._blueprints.configs[name, revision.number]

        def progress(line: str) -> None:
            self._journal.record("service.installing", service=name, line=line)

        try:
            launched = await self._installer(service, progress)
        except PackageError as error:
            feed(InstallFailed(name, revision.number, Failure(str(error), error.hint, error.tail or None)))
        except (BackstayError, OSError) as error:
            failure = Failure(str(error), getattr(error, "hint", None))
            feed(InstallFailed(name, revision.number, failure))
        else:
            installed = await self._installed(name, revision, launched, fleet())
            if installed:
                feed(installed)

    async def _installed(
        self, name: str, revision: Revision, launched: Launched, fleet: Fleet
    ) -> Installed | None:
        """Make durable what is started from now on, before it is."""
        fingerprint = _fingerprint(launched)
        service = fleet.services.get(name)
        if service is None or service.target is None:
            return None
        number, placement = revision.number, None
        configs = self._blueprints.configs
        if revision.launch and revision.launch != fingerprint:
            # The same configuration, but another program: its source or its lock has changed.
            number = service.last_number + 1
            fresh = replace(revision, number=number, launch=fingerprint)
            placement = Placement(fresh, service.target.names)
            configs[name, number] = configs[name, revision.number]
            config = configs[name, number].model_dump_json()
            await self._store.accept(facts={}, revisions=[(name, number, config, time.time())])
        self._blueprints.launched[name, number] = launched
        await self._store.set_launch(name, number, launched.dump())
        return Installed(name, revision.number, fingerprint, placement)


def _fingerprint(launched: Launched) -> str:
    text = json.dumps(launched.dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
