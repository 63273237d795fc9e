"""`ports`: those a service listens on, by name, and the range that leased ones come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, gathered, kind_of, quoted, refuse, spelling

PORT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}


def port_variable(name: str) -> str:
    """Return the environment variable in which a process sees the port of this name.

    >>> port_variable("web-ui")
    'PORT_WEB_UI'
    """
    return "PORT_" + name.upper().replace("-", "_")


def read_ports(value: Any) -> dict[str, int | Literal["auto"]]:
    """Read the ports of a service: a map of names to a number or `auto`."""
    hint = "write a map of names, such as `ports: {http: auto}` or `ports: {http: 8080}`"
    if isinstance(value, list | tuple):
        first = spelling(value[0]).rpartition(":")[2].partition("/")[0] if value else ""
        if first.isascii() and first.isdigit():
            hint = f"give the port a name: `ports: {{main: {first}}}`; processes listen on it themselves"
        raise refuse("expected a map of names, got a list", hint)
    if not isinstance(value, Mapping):
        raise refuse(f"expected a map of names, got {kind_of(value)}", hint)
    ports: dict[str, int | Literal["auto"]] = {}
    variables: dict[str, str] = {}
    with gathered() as item:
        for name, port in value.items():
            with item(name):
                ports[name] = read_port(port)
                _check_name(name, variables)
    return ports


def _check_name(name: str, variables: dict[str, str]) -> None:
    if PORT_NAME.fullmatch(name) is None:
        raise refuse(f"{quoted(name)} cannot name a port", "use letters, digits, `-` and `_`, a letter first")
    other = variables.setdefault(port_variable(name), name)
    if other != name:
        what = f"the ports `{other}` and `{name}` would share {port_variable(name)}"
        raise refuse(what, "rename one of them")


def read_port(value: Any) -> int | Literal["auto"]:
    """Read one port: a number, or `auto` for one that is leased."""
    if value == "auto":
        return "auto"
    number = _number(value)
    if number is None:
        raise refuse(f"expected a port, got {kind_of(value)}", "write a number from 1 to 65535, or `auto`")
    return number


def read_range_end(value: Any) -> int:
    """Read one end of a range of ports."""
    number = _number(value)
    if number is None:
        raise refuse(f"expected a port, got {kind_of(value)}", "write a number from 1 to 65535")
    return number


def _number(value: Any) -> int | None:
    """Return a port's number, none for what is no whole number; refuse what is out of range."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if not 1 <= value <= 65535:
        raise refuse(f"{spelling(value)} is not a port", "ports go from 1 to 65535")
    return int(value)


PORTS_SCHEMA: Final = WithJsonSchema(
    {"type": "object", "additionalProperties": {"anyOf": [{"const": "auto"}, PORT]}}
)
RangeEnd = Annotated[int, BeforeValidator(read_range_end), WithJsonSchema(PORT)]
"""A port's number."""


class PortRange(Model):
    """The ports that `auto` leases from."""

    first: RangeEnd = 30000
    """The first."""
    last: RangeEnd = 32000
    """The last, included."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`30000-32000` is `{first: 30000, last: 32000}`."""
        match = (
            re.fullmatch(r"\s*([0-9]{1,6})\s*-\s*([0-9]{1,6})\s*", value) if isinstance(value, str) else None
        )
        return {"first": int(match[1]), "last": int(match[2])} if match else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schema of the short form."""
        return [{"type": "string", "pattern": r"^\s*\d+\s*-\s*\d+\s*$"}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `ports: 30000-32000`"

    @model_validator(mode="after")
    def _in_order(self) -> PortRange:
        if self.first > self.last:
            raise refuse(f"the range {self.first}-{self.last} is empty", f"write `{self.last}-{self.first}`")
        return self
