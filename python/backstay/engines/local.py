"""The engine of one machine: processes that the keeper holds, servers behind the gateway.

All of it is Rust's (`backstay._core.Daemon`); this gives orders and hears of events on the event loop.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from backstay.engines.events import decode
from backstay.engines.spec import Trouble

if TYPE_CHECKING:
    from pathlib import Path

    from backstay._core import Daemon
    from backstay.engines.base import Deliver
    from backstay.engines.spec import InstanceSpec, Routes

__all__ = ["LocalEngine"]

BATCH = 1000
"""Events taken at once; the loop may do other things between batches."""


class LocalEngine:
    """Fulfils `Engine` with a keeper and a gateway."""

    def __init__(self, core: Daemon, keeper: Path) -> None:
        self._core = core
        self._keeper = keeper
        self._routes: Routes | None = None
        self._deliver: Deliver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def subscribe(self, deliver: Deliver) -> None:
        """Connect to the keeper and hear of what runs, then of what happens."""
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._core.fileno(), self._drain)
        self._core.connect_keeper(str(self._keeper))

    def start(self, spec: InstanceSpec) -> None:
        """Have the keeper start an instance."""
        self._core.start(spec.dump())

    def stop(self, instance: str) -> None:
        """Have the keeper end an instance."""
        self._core.stop(instance)

    def restart(self, instance: str) -> None:
        """Have the keeper end an instance and start it again."""
        self._core.restart(instance)

    def remove(self, instance: str) -> None:
        """Have the keeper forget an instance that has ended."""
        self._core.remove(instance)

    def set_routes(self, routes: Routes) -> None:
        """Tell the gateway which instances serve."""
        self._core.set_routes(routes.dump(since=self._routes))
        self._routes = routes

    def connect(self, instance: str) -> None:
        """Have the gateway shake hands with a server over HTTP."""
        self._core.connect(instance)

    def examine(self, service: str, patience: float) -> bytes | None:
        """Have the gateway check a server on its live connection; waits for its answers."""
        return self._core.examine(service, patience)

    def troubles(self) -> list[Trouble]:
        """Ask the gateway what keeps calls from instances."""
        return [Trouble(**trouble) for trouble in json.loads(self._core.troubles())]

    def gauge(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Set a series of a gauge, shown at the gateway's `/metrics`."""
        self._core.set_gauge(name, help, label, of, value)

    def count(self, name: str, help: str, label: str, of: str, amount: float) -> None:
        """Add to a series of a counter, shown likewise."""
        self._core.add_count(name, help, label, of, amount)

    def observe(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Add an observation to a series of a histogram, shown likewise."""
        self._core.observe(name, help, label, of, value)

    def metrics(self) -> bytes:
        """Give the gateway's and the keeper's series as text."""
        return self._core.render_metrics()

    def close(self) -> None:
        """Let go: instances run on under the keeper."""
        self._unsubscribe()
        self._core.close()

    def shut_down(self) -> None:
        """Have the keeper end what is left, remove its sockets and end itself."""
        self._unsubscribe()
        self._core.shutdown_keeper()

    def _unsubscribe(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._core.fileno())
            self._loop = None
        self._deliver = None

    def _drain(self) -> None:
        lines = self._core.drain(BATCH)
        if lines and self._deliver is not None:
            self._deliver([decode(line) for line in lines])
