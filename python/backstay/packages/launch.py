"""What installing a package yields: the program to start, and what was pinned to get there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """Everything that the lock file keeps of one package: enough to install the same bytes again.

    Attributes:
        kind: `npm`, `pypi`, `cargo`, `go` or `path`.
        name: the package's name, or the path relative to the lock file.
        version: the exact version.
        integrity: the hash of the package itself, as its registry gives it; for `path` of what declares the
            dependencies. A Python package's are in its tree.
        tree: the pinned dependencies, in the form the kind's installer reads.
        runtime: the exact runtime that was fetched for it (`{"node": "22.22.1", …}`), if one was.
    """

    kind: str
    name: str
    version: str
    integrity: str | None = None
    tree: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Launch:
    """A program that is ready to be started.

    Attributes:
        argv: the program itself and what it needs to start; the service's own `args` follow it.
        env: variables to set beside the service's own.
        description: `npm:name 1.2.3`, for people.
        locked: what was pinned; none for a URL or a command.
        installed: whether it was put in place just now, and not found there.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    description: str
    locked: LockedPackage | None = None
    installed: bool = field(default=False, compare=False)
