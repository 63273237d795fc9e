"""`healthcheck`: how to know that a service is well. Servers need none: their MCP handshake says it."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, gathered, kind_of, quoted, refuse, spelling
from backstay.config.models.scalars import Count, Duration, Flag, Text, parse_text
from backstay.config.templates import EXPRESSION

Probe = Literal["tcp", "http", "command", "log", "notify"]
PROBES: Final[tuple[Probe, ...]] = ("tcp", "http", "command", "log", "notify")
LONGEST_PATTERN: Final = 1000
BACKTRACKING: Final = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]")
UNSPLITTABLE: Final = {
    "No closing quotation": ("a quote in the command does not end", "close it, or write a list of words"),
    "No escaped character": ("the command ends with a `\\`", "write two, or a list of words"),
}
EXAMPLE: Final = "write one probe, such as `healthcheck: {tcp: main}`"


def read_port_reference(value: Any) -> int | str:
    """Read a port: a number, the name of one of the service's ports, or a template that gives a number."""
    if isinstance(value, str) and value:
        return int(value) if re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= 65535 else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(
            f"expected a port, got {kind_of(value)}", "write the name of a port of this service, or a number"
        )
    if not 1 <= value <= 65535:
        raise refuse(f"{spelling(value)} is not a port", "ports go from 1 to 65535")
    return int(value)


def split(text: str) -> list[str]:
    """Split a command as a shell does, with each `{{ … }}` as one piece.

    >>> split("redis-server --port {{ ports.main }} --save ''")
    ['redis-server', '--port', '{{ ports.main }}', '--save', '']
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\ue000{len(kept) - 1}\ue001"

    words = shlex.split(EXPRESSION.sub(keep, text))
    return [re.sub("\ue000(\\d+)\ue001", lambda match: kept[int(match[1])], word) for word in words]


def _word(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple) or value is None:
        hint = "quote words that contain `: ` or begin with `[`"
        raise refuse(f"a word of a command is {kind_of(value)}", hint)
    return parse_text(value)


def read_command(value: Any) -> list[str]:
    """Read a command: a list of words, or one text that is split as a shell splits it."""
    if isinstance(value, str):
        try:
            words = split(value)
        except ValueError as error:
            raise refuse(*UNSPLITTABLE.get(str(error), (f"it is no command: {error}", ""))) from None
    elif isinstance(value, list | tuple):
        words = []
        with gathered() as item:
            for index, word in enumerate(value):
                with item(index):
                    words.append(_word(word))
    else:
        raise refuse(f"expected a command, got {kind_of(value)}", "write a text, or a list of words")
    if any("\0" in word for word in words):
        raise refuse("a word of a command contains a NUL character")
    return words


COMMAND_SCHEMA: Final = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number", "boolean"]}}]}
)
Command = Annotated[tuple[str, ...], BeforeValidator(read_command), COMMAND_SCHEMA]
"""The words of a command."""
PORT_REFERENCE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "minLength": 1}]
}
PortReference = Annotated[
    int | str, BeforeValidator(read_port_reference), WithJsonSchema(PORT_REFERENCE_SCHEMA)
]
"""A port's number, or its name within the service."""


class HttpProbe(Model):
    """A GET request that must answer with a status of 200 to 399."""

    port: PortReference
    """The port: a name from `ports`, or a number."""
    path: Text = "/"
    """The path asked for."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`http: main` is `http: {port: main}`."""
        return {"port": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [PORT_REFERENCE_SCHEMA]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `http: {port: main, path: /healthz}`"

    @model_validator(mode="after")
    def _path_is_absolute(self) -> HttpProbe:
        if not self.path.startswith("/"):
            raise refuse(f"the path {quoted(self.path)} does not begin with `/`", f"write `/{self.path}`")
        return self


def read_log_pattern(value: Any) -> str:
    """Read the regular expression that a log line must match.

    Rust's engine matches it, in linear time; what only Python's engine knows is refused here.
    """
    pattern = parse_text(value)
    if not pattern:
        raise refuse(
            "the pattern is empty and would match any line", "write a part of the line that says `ready`"
        )
    if len(pattern) > LONGEST_PATTERN:
        raise refuse("the pattern is too long", f"write at most {LONGEST_PATTERN} characters")
    if BACKTRACKING.search(pattern):
        raise refuse(
            f"{quoted(pattern)} looks around or back", "write a pattern without `(?=`, `(?<` and `\\1`"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise refuse(f"{quoted(pattern)} is not a regular expression: {error}") from None
    return pattern


class Healthcheck(Model):
    """One probe and how often it is made. Until the first success it is made at ever longer intervals."""

    tcp: PortReference | None = None
    """Well when this port accepts connections."""
    http: HttpProbe | None = None
    """Well when this page answers."""
    command: Command | None = None
    """Well when this command exits with 0. It sees the service's environment and folder."""
    log: Annotated[str, BeforeValidator(read_log_pattern)] | None = None
    """Ready when a line of the log matches this regular expression."""
    notify: Flag = False
    """Ready when the process says `READY=1` to the socket in `NOTIFY_SOCKET` (sd_notify)."""
    disable: Flag = False
    """No probe at all, not even one that an earlier file asks for."""
    interval: Duration = 30.0
    """Time between probes once the service is well."""
    timeout: Duration = 30.0
    """Time after which a probe has failed."""
    retries: Count = 3
    """Failures in a row before the service counts as unhealthy."""
    start_period: Duration = 0.0
    """Time after the start in which failures do not count."""
    start_interval: Duration = 5.0
    """The longest time between probes before the first success."""

    @property
    def probe(self) -> Probe | None:
        """Which probe this is; none where the check is disabled."""
        if self.disable:
            return None
        return next(probe for probe in PROBES if getattr(self, probe))

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`healthcheck: notify` is `healthcheck: {notify: true}`, and Compose's `test` is a `command`."""
        if value == "notify":
            return {"notify": True}
        if not isinstance(value, Mapping) or "test" not in value:
            return value
        rest = {key: item for key, item in value.items() if key != "test"}
        match value["test"]:
            case str(script):
                return {**rest, "command": ["/bin/sh", "-c", script]}
            case ["NONE"]:
                return {**rest, "disable": True}
            case ["CMD", *words] if words:
                return {**rest, "command": words}
            case ["CMD-SHELL", script]:
                return {**rest, "command": ["/bin/sh", "-c", script]}
        raise refuse(
            "`test` begins with none of CMD, CMD-SHELL and NONE", "write `test: [CMD, program, argument]`"
        )

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"const": "notify"}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return EXAMPLE

    @model_validator(mode="after")
    def _one_probe(self) -> Healthcheck:
        probes = [probe for probe in PROBES if getattr(self, probe)]
        if not probes and not self.disable:
            raise refuse("the healthcheck has no probe", EXAMPLE)
        if len(probes) > 1 and not self.disable:
            raise refuse(f"the healthcheck has {len(probes)} probes: {', '.join(probes)}", "keep one of them")
        return self
