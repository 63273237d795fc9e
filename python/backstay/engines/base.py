"""The interface of all engines.

Orders never wait: what comes of them arrives as events, in one order, through the function given to
`subscribe`. An event is a plain object as the Rust half writes it; `events.parse` makes a value of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from backstay.engines.spec import InstanceSpec, Routes, Trouble

__all__ = ["Deliver", "Engine"]

Deliver = Callable[[list[dict[str, Any]]], None]
"""Takes the events that have arrived, oldest first."""


class Engine(Protocol):
    """Where instances run."""

    def subscribe(self, deliver: Deliver) -> None:
        """Have events delivered: first what runs already (`instance.adopted`), then what happens."""
        ...

    def start(self, spec: InstanceSpec) -> None:
        """Start an instance: `instance.spawned`, or `instance.failed`."""
        ...

    def stop(self, instance: str) -> None:
        """End an instance: `instance.stopped`."""
        ...

    def restart(self, instance: str) -> None:
        """End an instance and start it again as it is."""
        ...

    def remove(self, instance: str) -> None:
        """Forget an instance that has ended."""
        ...

    def set_routes(self, routes: Routes) -> None:
        """Tell which instances serve; stdio servers are then connected when they are spawned."""
        ...

    def connect(self, instance: str) -> None:
        """Shake hands with a server that has an address: `server.ready` or `server.failed`."""
        ...

    def examine(self, service: str, patience: float) -> bytes | None:
        """Check whether a server keeps to the protocol: a report as JSON, none while it is not ready.

        The one order that waits, for the server's answers: not to be called on the event loop.
        """
        ...

    def troubles(self) -> list[Trouble]:
        """Say what keeps calls from instances now."""
        ...

    def gauge(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Set a series of a gauge, shown beside the engine's own; an empty label is none."""
        ...

    def count(self, name: str, help: str, label: str, of: str, amount: float) -> None:
        """Add to a series of a counter, shown likewise."""
        ...

    def observe(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Add an observation in seconds to a series of a histogram, shown likewise."""
        ...

    def metrics(self) -> bytes:
        """Give the series that the engine keeps, as text."""
        ...

    def close(self) -> None:
        """Let go of the instances; they run on."""
        ...

    def shut_down(self) -> None:
        """End every instance that is left, and what holds them."""
        ...
