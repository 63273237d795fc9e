"""What the daemon knows and the gateway does not, as series of `/metrics`.

The books of the ledger and the ports, and how many services are in which state. They are set a moment after
something changed, however much changed in it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from backstay.deploy.observe import service_state
from backstay.deploy.status import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstay.deploy.admission import LeaseBook
    from backstay.deploy.state import Fleet

__all__ = ["DELAY", "Series", "series"]

DELAY = 0.2
"""Seconds between a change and the series that show it: many changes are set at once."""


class Series(NamedTuple):
    """One series of a gauge that has one label."""

    name: str
    help: str
    label: str
    of: str
    value: float


def series(fleet: Fleet, book: LeaseBook) -> Iterator[Series]:
    """Give every series as it stands."""
    usage = book.ledger.usage()
    books = {
        "backstay_ledger_capacity": ("What the machine has for the fleet", usage.capacity),
        "backstay_ledger_reserved": ("What the fleet's instances hold of the machine", usage.used),
    }
    for name, (text, amount) in books.items():
        yield Series(name, text, "resource", "cpus", amount.cpus)
        yield Series(name, text, "resource", "memory_bytes", amount.memory)
        yield Series(name, text, "resource", "storage_bytes", amount.storage)
        yield Series(name, text, "resource", "gpus", amount.gpus)

    ports = "Ports of the fleet's range"
    leased = len(book.pool.holders())
    yield Series("backstay_ports", ports, "state", "leased", leased)
    yield Series("backstay_ports", ports, "state", "free", book.pool.free)

    states = Counter(service_state(service) for service in fleet.services.values())
    for state in State:
        yield Series("backstay_services", "Services of the fleet", "state", state.value, states[state])
