"""`environment`: variables for a process, as a map or as a list of `NAME=value`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import WithJsonSchema

from backstay.config.models.base import gathered, kind_of, quoted, refuse, spelling

VARIABLE: Final = re.compile(r"[^=\0]+")


def read_environment(value: Any) -> dict[str, str | None]:
    """Read a map, or a list of `NAME=value`; a name alone takes Backstay's own value of it."""
    if not isinstance(value, Mapping | list | tuple):
        raise refuse(f"expected a map, got {kind_of(value)}", "write `environment: {NAME: value}`")
    found: dict[str, str | None] = {}
    with gathered() as item:
        parts: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            with item(key):
                name, text = _variable(key, part) if isinstance(value, Mapping) else _assignment(part)
                if VARIABLE.fullmatch(name) is None:
                    raise refuse(f"{quoted(name)} cannot name an environment variable")
                if "\0" in (text or ""):
                    raise refuse(f"the variable {name} contains a NUL character")
                found[name] = text
    return found


def _variable(name: str, value: Any) -> tuple[str, str | None]:
    if value is None or isinstance(value, str | int | float):
        return name, None if value is None else spelling(value)
    hint = "write a text; quote it where it looks like something else"
    raise refuse(f"the variable {name} is {kind_of(value)}", hint)


def _assignment(value: Any) -> tuple[str, str | None]:
    if not isinstance(value, str):
        raise refuse(f"expected `NAME=value`, got {kind_of(value)}", "write a map, or a list of `NAME=value`")
    name, equals, text = value.partition("=")
    return name, text if equals else None


ENVIRONMENT_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
            {"type": "array", "items": {"type": "string"}},
        ]
    }
)
