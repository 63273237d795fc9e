"""Which of a package's executables is the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from backstay.packages.failure import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def choose(executables: Mapping[str, T], *, package: str, entry: str | None) -> tuple[str, T]:
    """The executable that `entry` names, the only one, or the one named like the package.

    Args:
        executables: what the package declares, by name.
        package: the package's name, with its scope or path.
        entry: what the stack file says.

    Raises:
        PackageError: none is declared, `entry` names none, or nothing tells which of several is meant.
    """
    step = f"find the executable of {package}"
    names = ", ".join(sorted(executables))
    if entry is not None:
        if entry in executables:
            return entry, executables[entry]
        raise failure(
            step,
            tail=f"it declares no executable `{entry}`",
            hint=f"`entry:` can be {names}" if names else None,
        )
    if not executables:
        raise failure(
            step,
            tail="it declares no executable",
            hint="check that it is a server: a library has nothing to start",
        )
    if len(executables) == 1:
        return next(iter(executables.items()))
    short = package.rstrip("/").rsplit("/", 1)[-1]
    if short in executables:
        return short, executables[short]
    raise failure(
        step, tail=f"it declares several: {names}", hint=f"add `entry:` to the mcp block, one of {names}"
    )
