"""What is asked for: one package source with its constraints, free of everything else a service has.

A request's `key` names it in the lock file; two services that ask for the same thing share one entry there
and one environment in the cache.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Package(Protocol):
    """A package source as the stack file's models spell it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def extras(self) -> tuple[str, ...]: ...


class _Mcp(Protocol):
    @property
    def package(self) -> _Package | None: ...
    @property
    def url(self) -> str | None: ...
    @property
    def with_(self) -> Sequence[str]: ...
    @property
    def runtime(self) -> str | None: ...
    @property
    def entry(self) -> str | None: ...


class ServiceLike(Protocol):
    """The part of a service that packages need to know."""

    @property
    def name(self) -> str:
        """The service's name."""

    @property
    def mcp(self) -> _Mcp | None:
        """Its `mcp` block; none if it is no server."""


@dataclass(frozen=True, slots=True)
class Request:
    """One package source with its constraints.

    Attributes:
        kind: `npm`, `pypi`, `cargo`, `go` or `path`.
        name: the package's name; for `path` the absolute directory.
        version: what is asked for, in the registry's words and without the name; empty for the newest.
        extras: the extras of a Python package.
        with_: further requirements that the resolution must satisfy.
        runtime: the Python or Node wanted (`python>=3.12`), or none.
        entry: which of several executables to run, or none.
    """

    kind: str
    name: str
    version: str = ""
    extras: tuple[str, ...] = ()
    with_: tuple[str, ...] = ()
    runtime: str | None = None
    entry: str | None = None

    @classmethod
    def of(cls, service: ServiceLike, base: Path) -> Request | None:
        """The request of a service, or none where there is nothing to install (a URL, a command).

        Args:
            service: the service.
            base: what a relative `path:` is relative to.
        """
        mcp = service.mcp
        if mcp is None or mcp.package is None:
            return None
        package = mcp.package
        name = package.name
        if package.kind == "path":
            name = os.path.normpath(base / Path(name).expanduser())
        return cls(
            kind=package.kind,
            name=name,
            version=package.version,
            extras=tuple(package.extras),
            with_=tuple(sorted(mcp.with_)),
            runtime=mcp.runtime,
            entry=mcp.entry,
        )

    def key(self, base: Path) -> str:
        """The request's name in a lock file that lies in `base`: paths in it are relative to there."""
        name = self.name
        if self.kind == "path":
            name = Path(os.path.relpath(self.name, base)).as_posix()
            name = name if name.startswith("..") or name == "." else f"./{name}"
        key = f"{self.kind}:{name}{self.requirement[len(self.name) :]}"
        if self.with_:
            key += f" with {', '.join(self.with_)}"
        if self.runtime:
            key += f" on {self.runtime}"
        if self.entry:
            key += f" entry {self.entry}"
        return key

    @property
    def requirement(self) -> str:
        """Name, extras and version in the registry's own words: `name@^1`, `name[extra]==1`."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        joint = "@" if self.version and self.kind != "pypi" else ""
        return f"{self.name}{extras}{joint}{self.version}"

    def __str__(self) -> str:
        """The source as a message shows it: `npm:name@^1`."""
        return f"{self.kind}:{self.requirement}"
