"""Runs a fleet of MCP servers and the services they need, behind one endpoint.

Importing this package costs next to nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay import errors
    from backstay.errors import BackstayError, CycleError, DoesNotFit, PortHeld, PortsExhausted


__all__ = [
    "BackstayError",
    "CycleError",
    "DoesNotFit",
    "PortHeld",
    "PortsExhausted",
    "errors",
]

# Where each public name lives; a name that is its own module maps to "".
_HOMES = {
    "BackstayError": "errors",
    "CycleError": "errors",
    "DoesNotFit": "errors",
    "PortHeld": "errors",
    "PortsExhausted": "errors",
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
