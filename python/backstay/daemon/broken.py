"""What answers when a daemon cannot be: every request gets the reason, and `down` still ends the fleet.

Without it a command line would wait at a socket behind which daemons come and go, and never hear why.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from backstay.errors import BackstayError, StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from backstay.config import Stack
    from backstay.deploy.status import DeployResult, FleetPlan, FleetStatus, LogLine

__all__ = ["BrokenFleet"]


class BrokenFleet:
    """Fulfils `FleetControl` with one error."""

    def __init__(self, error: BackstayError) -> None:
        self._error = error
        self.ended = asyncio.Event()

    def _refuse(self) -> NoReturn:
        raise StateError(str(self._error), hint=self._error.hint)

    async def up(
        self,
        stack: Stack,
        *,
        services: Collection[str] = (),
        atomic: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Say why it cannot be."""
        self._refuse()

    async def plan(self, stack: Stack, *, environ: Mapping[str, str] | None = None) -> FleetPlan:
        """Say why it cannot be."""
        self._refuse()

    async def wait(self, deploy: str) -> DeployResult:
        """Say why it cannot be."""
        self._refuse()

    async def down(self) -> None:
        """End the keeper, and with it all that runs; it needs no state for that."""
        self.ended.set()
        os.kill(os.getppid(), signal.SIGTERM)

    async def start(self, service: str) -> str:
        """Say why it cannot be."""
        self._refuse()

    async def stop(self, service: str) -> str:
        """Say why it cannot be."""
        self._refuse()

    async def restart(self, service: str) -> str:
        """Say why it cannot be."""
        self._refuse()

    async def scale(self, service: str, replicas: int) -> str:
        """Say why it cannot be."""
        self._refuse()

    async def examine(self, service: str, patience: float) -> bytes | None:
        """Say why it cannot be."""
        self._refuse()

    async def status(self) -> FleetStatus:
        """Say why it cannot be."""
        self._refuse()

    def stack(self) -> Stack | None:
        """Nothing is known to be wanted."""
        return None

    def last_seq(self) -> int:
        """There are no events."""
        return 0

    def events(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Say why it cannot be."""
        self._refuse()

    def logs(
        self, services: Sequence[str] = (), *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        """Say why it cannot be."""
        self._refuse()
