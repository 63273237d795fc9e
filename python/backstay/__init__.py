"""Runs a fleet of MCP servers and the services they need, behind one endpoint.

Importing this package costs next to nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay import errors
    from backstay.blocking import BlockingFleet
    from backstay.errors import (
        AlreadyHeld,
        BackstayError,
        CycleError,
        DoesNotFit,
        NotHeld,
        PortHeld,
        PortsExhausted,
    )
    from backstay.fleet import Fleet
    from backstay.graph import Graph
    from backstay.ledger import Lease, Ledger, PortLease, Ports, Resources

    __version__: str

__all__ = [
    "AlreadyHeld",
    "BackstayError",
    "BlockingFleet",
    "CycleError",
    "DoesNotFit",
    "Fleet",
    "Graph",
    "Lease",
    "Ledger",
    "NotHeld",
    "PortHeld",
    "PortLease",
    "Ports",
    "PortsExhausted",
    "Resources",
    "__version__",
    "errors",
]

# Where each public name lives; a name that is its own module maps to "".
_HOMES = {
    "AlreadyHeld": "errors",
    "BackstayError": "errors",
    "BlockingFleet": "blocking",
    "CycleError": "errors",
    "DoesNotFit": "errors",
    "Fleet": "fleet",
    "Graph": "graph",
    "Lease": "ledger",
    "Ledger": "ledger",
    "NotHeld": "errors",
    "PortHeld": "errors",
    "PortLease": "ledger",
    "Ports": "ledger",
    "PortsExhausted": "errors",
    "Resources": "ledger",
    "errors": "",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562) and keep it."""
    if name == "__version__":
        value: Any = import_module("backstay._core").version()
    elif (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    elif home:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    else:
        value = import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be loaded, for completion."""
    return sorted({*globals(), *__all__})
