"""Installations and the package cache, as series of `/metrics`.

How often something was installed, was there already, or failed; how long it took; and how full the cache is,
which all fleets of a user share.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from backstay.packages.usage import cache_use

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from backstay.engines.base import Engine

__all__ = ["InstallSeries", "Outcome"]

Result = Literal["installed", "present", "failed"]
RESULTS: tuple[Result, ...] = ("installed", "present", "failed")
_INSTALLS = ("backstay_package_installs", "Packages that services asked for, by what came of it.")
_SECONDS = ("backstay_package_install_seconds", "Time until a package was in place, or was not.")
_ENVIRONMENTS = ("backstay_package_environments", "Environments in the package cache of this user.")
_BYTES = ("backstay_package_cache_bytes", "What they take of the disk.")


class Outcome:
    """What came of one installation; `failed` until it is said otherwise."""

    def __init__(self) -> None:
        self.result: Result = "failed"

    def done(self, *, installed: bool) -> None:
        """The package is in place; it was put there now, or was there already."""
        self.result = "installed" if installed else "present"


class InstallSeries:
    """Counts installations for one engine's `/metrics`."""

    def __init__(self, engine: Engine, cache: Path) -> None:
        self._engine = engine
        self._cache = cache
        for result in RESULTS:
            engine.count(*_INSTALLS, "result", result, 0.0)

    async def show_cache(self) -> None:
        """Bring the cache's series up to date."""
        use = await asyncio.to_thread(cache_use, self._cache)
        self._engine.gauge(*_ENVIRONMENTS, "", "", use.environments)
        self._engine.gauge(*_BYTES, "", "", use.bytes)

    @asynccontextmanager
    async def measure(self) -> AsyncIterator[Outcome]:
        """Measure an installation for the length of the block; one that is called off counts for nothing."""
        began, outcome = time.monotonic(), Outcome()
        try:
            yield outcome
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._note(outcome, time.monotonic() - began)
            raise
        self._note(outcome, time.monotonic() - began)
        if outcome.result == "installed":
            await self.show_cache()

    def _note(self, outcome: Outcome, seconds: float) -> None:
        self._engine.count(*_INSTALLS, "result", outcome.result, 1.0)
        self._engine.observe(*_SECONDS, "result", outcome.result, seconds)
