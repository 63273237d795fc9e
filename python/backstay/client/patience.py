"""Waiting for a daemon that died: the keeper starts the next one at once, and holds its sockets meanwhile."""

from __future__ import annotations

import asyncio
import time

from backstay.errors import DaemonNotRunning

RESTART_S = 20.0
"""How long a dead daemon is waited for."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0


class Patience:
    """How long, and how often, a daemon that died is asked again; the keeper's socket outlives it."""

    def __init__(self, seconds: float = RESTART_S) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._delay = FIRST_WAIT_S

    def renew(self) -> None:
        """Begin anew: the daemon answers."""
        self._deadline = time.monotonic() + self._seconds
        self._delay = FIRST_WAIT_S

    async def wait(self) -> None:
        """Wait a little, twice as long each time.

        Raises:
            DaemonNotRunning: It was waited for long enough.
        """
        if time.monotonic() > self._deadline:
            raise DaemonNotRunning(
                f"the daemon did not come back in {self._seconds:g} s",
                hint="`.backstay/logs/daemon.log` says why it ended",
            )
        await asyncio.sleep(self._delay)
        self._delay = min(2 * self._delay, LONGEST_WAIT_S)
