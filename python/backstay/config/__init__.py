"""The stack file: read, checked and resolved into a `Stack`.

Only verbs that need a stack import this package: pydantic costs more than most verbs do. Reading YAML costs
as much again, so it is imported by the first `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backstay.config.models import Mcp, PackageSource, Service, ServiceFile, Stack, StackFile

if TYPE_CHECKING:
    from backstay.config.loading import load
    from backstay.config.sources import find

__all__ = ["Mcp", "PackageSource", "Service", "ServiceFile", "Stack", "StackFile", "find", "load"]


def __getattr__(name: str) -> Any:
    """Import what reads files when it is first asked for."""
    if name == "load":
        from backstay.config.loading import load

        return load
    if name == "find":
        from backstay.config.sources import find

        return find
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
