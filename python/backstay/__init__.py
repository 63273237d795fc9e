"""Runs a fleet of MCP servers and the services they need, behind one endpoint.

Importing this package costs next to nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay import errors, metrics
    from backstay.blocking import BlockingFleet
    from backstay.cache import Cache
    from backstay.errors import (
        AlreadyHeld,
        BackstayError,
        CallFailed,
        ConfigError,
        ConfigErrors,
        CycleError,
        DaemonNotRunning,
        DeployFailed,
        DoesNotFit,
        NotHeld,
        PackageError,
        PortHeld,
        PortsExhausted,
    )
    from backstay.fleet import Fleet
    from backstay.graph import Graph
    from backstay.ledger import Lease, Ledger, PortLease, Ports, Resources
    from backstay.registry import Registry

    __version__: str

__all__ = [
    "AlreadyHeld",
    "BackstayError",
    "BlockingFleet",
    "Cache",
    "CallFailed",
    "ConfigError",
    "ConfigErrors",
    "CycleError",
    "DaemonNotRunning",
    "DeployFailed",
    "DoesNotFit",
    "Fleet",
    "Graph",
    "Lease",
    "Ledger",
    "NotHeld",
    "PackageError",
    "PortHeld",
    "PortLease",
    "Ports",
    "PortsExhausted",
    "Registry",
    "Resources",
    "__version__",
    "errors",
    "metrics",
]

# Where each public name lives; a name that is its own module maps to "".
_HOMES = {
    "AlreadyHeld": "errors",
    "BackstayError": "errors",
    "BlockingFleet": "blocking",
    "Cache": "cache",
    "CallFailed": "errors",
    "ConfigError": "errors",
    "ConfigErrors": "errors",
    "CycleError": "errors",
    "DaemonNotRunning": "errors",
    "DeployFailed": "errors",
    "DoesNotFit": "errors",
    "Fleet": "fleet",
    "Graph": "graph",
    "Lease": "ledger",
    "Ledger": "ledger",
    "NotHeld": "errors",
    "PackageError": "errors",
    "PortHeld": "errors",
    "PortLease": "ledger",
    "Ports": "ledger",
    "PortsExhausted": "errors",
    "Registry": "registry",
    "Resources": "ledger",
    "errors": "",
    "metrics": "",
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
