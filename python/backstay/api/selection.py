"""`up SERVICE...`: some services of a stack as it is now written, the others as they run."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from backstay.errors import UnknownService

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backstay.config import Service, Stack


def select(current: Stack | None, wanted: Stack, names: Sequence[str]) -> tuple[Stack, frozenset[str]]:
    """Return the stack to bring up when only `names` are asked for, and the services to touch.

    These are the ones named and what they depend on; none are returned where all are meant. The others of the
    `current` stack stay in it as they are.

    Raises:
        UnknownService: the wanted stack has no such service.
    """
    if not names:
        return wanted, frozenset()
    chosen = closure(wanted.services, names)
    kept = {} if current is None else {k: v for k, v in current.services.items() if k not in chosen}
    return wanted.model_copy(update={"services": {**kept, **chosen}}), frozenset(chosen)


def closure(services: Mapping[str, Service], names: Sequence[str]) -> dict[str, Service]:
    """Return the services named and all that they depend on, in the order of the stack."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in services:
            raise unknown(name, services)
        found.add(name)
        waiting += [other for other in services[name].depends_on if other in services]
    return {name: service for name, service in services.items() if name in found}


def unknown(name: str, names: Iterable[str]) -> UnknownService:
    """Make the error that says that there is no such service, and which there are."""
    near = difflib.get_close_matches(name, list(names), n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(names) or 'none'}"
    return UnknownService(f"there is no service `{name}`", hint=hint)
