"""Installations of a fleet: through its lock file, which is written as soon as something is pinned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay.deploy.build import Launched
from backstay.packages import Lockfile, cache_dir, resolve_and_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from backstay.config import Service
    from backstay.deploy.measured import InstallSeries

__all__ = ["PackageInstaller"]

LOCK = "backstay.lock"
REST, LONGEST_REST = 10, 5.0
"""So many times as long as a writing of amendments took the next one waits, and at most so many seconds."""


class PackageInstaller:
    """Installs what the services of one stack ask for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.series: InstallSeries | None = None
        self._lock: Lockfile | None = None
        # Two installations that end together write one after the other.
        self._saving = asyncio.Lock()
        self._changes: list[Callable[[Lockfile], None]] = []
        self._amending = asyncio.Lock()
        self._amend_at = 0.0

    def begin(self, folder: Path) -> None:
        """Read the lock file anew: it may have been changed by hand, or by `backstay lock`.

        Raises:
            PackageError: it cannot be read.
        """
        self._lock = Lockfile.load(folder / LOCK)

    @property
    def lock(self) -> Lockfile | None:
        """The lock file, if there is a stack."""
        return self._lock

    async def amend(self, change: Callable[[Lockfile], None]) -> None:
        """Change the lock file when others may have written it: as it is on disk, and as it is known here.

        Changes that come while it is being written, or shortly after, are written together: the whole file is
        written each time, and a fleet of a thousand servers has a thousand changes within seconds.

        Raises:
            PackageError: it cannot be read or written; what could not be is written with the next change.
        """
        if self._lock is None:
            return
        change(self._lock)
        self._changes.append(change)
        async with self._amending:
            if not self._changes:
                return  # somebody else's writing had it
            clock = asyncio.get_running_loop().time
            await asyncio.sleep(self._amend_at - clock())
            changes, self._changes = self._changes, []
            began = clock()
            try:
                async with self._saving:
                    await asyncio.to_thread(_rewrite, self._lock.path, changes)
            except BaseException:
                self._changes = changes + self._changes
                raise
            finally:
                self._amend_at = clock() + min(REST * (clock() - began), LONGEST_REST)

    async def __call__(self, service: Service, progress: Callable[[str], None]) -> Launched:
        """Put the package of a service in place and say how it starts.

        Raises:
            PackageError: it cannot be installed.
        """
        if self.series is None:
            return (await self._install(service, progress))[0]
        async with self.series.measure() as outcome:
            launched, installed = await self._install(service, progress)
            outcome.done(installed=installed)
        return launched

    async def _install(self, service: Service, progress: Callable[[str], None]) -> tuple[Launched, bool]:
        assert self._lock is not None
        launch = await resolve_and_install(
            service, lock=self._lock, cache=cache_dir(self.environ), environ=self.environ, progress=progress
        )
        async with self._saving:
            await asyncio.to_thread(self._lock.save)
        return Launched(launch.argv, dict(launch.env), launch.description), launch.installed


def _rewrite(path: Path, changes: Iterable[Callable[[Lockfile], None]]) -> None:
    lock = Lockfile.load(path)
    for change in changes:
        change(lock)
    lock.dirty = True
    lock.save()
