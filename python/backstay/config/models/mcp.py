"""`mcp`: what makes a service a server, and how clients see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from backstay.config.models.base import Model, kind_of, quoted, refuse
from backstay.config.models.scalars import Duration, Name, Text, parse_count, parse_name, parse_text
from backstay.config.models.source import EXAMPLES, SOURCE_SCHEMA, Source

Transport = Literal["stdio", "streamable-http", "sse"]
Session = Literal["shared", "isolated", "global"]

PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]*")
MAX_SESSIONS: Final = 16
"""Sessions that have an instance at a time, where nothing is said."""
RUNTIME: Final = re.compile(r"(python|node)\s*(.*)")


def read_url(value: Any) -> str:
    """Read the address of a remote server."""
    url = parse_name(value)
    try:
        parts = urlsplit(url)
        good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in url):
        hint = "`{{ … }}` is not read here, `${VAR}` is" if "{{" in url else "write `https://example.com/mcp`"
        raise refuse(f"{quoted(url)} is not an http or https address", hint)
    return url


def read_prefix(value: Any) -> str:
    """Read the first part of a server's tool names; empty for none."""
    prefix = parse_text(value)
    if PREFIX.fullmatch(prefix) is None or "__" in prefix or len(prefix) > 48:
        raise refuse(
            f"{quoted(prefix)} cannot begin tool names",
            'use up to 48 letters, digits, `-`, `_` and `.`, with no `__`; `""` for no prefix',
        )
    return prefix


def read_runtime(value: Any) -> str:
    """Read `python>=3.11` or `node>=22`."""
    runtime = parse_name(value).strip()
    match = RUNTIME.fullmatch(runtime)
    hint = "write `python>=3.11` or `node>=22`"
    if match is None:
        raise refuse(f"{quoted(runtime)} is not a runtime that Backstay can choose", hint)
    try:
        SpecifierSet(match[2] if re.match(r"[<>=!~]|$", match[2]) else f"=={match[2]}.*")
    except InvalidSpecifier:
        raise refuse(f"{quoted(match[2])} is not a version of {match[1]}", hint) from None
    return runtime


def read_max_sessions(value: Any) -> int:
    """Read how many sessions may have an instance of their own."""
    count = parse_count(value)
    if not 1 <= count <= 10_000:
        raise refuse(f"{count} sessions cannot be served", "write a number from 1 to 10000")
    return count


def read_list(value: Any) -> Any:
    """Read a list, or one text in its place."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return value
    raise refuse(f"expected a list, got {kind_of(value)}")


Texts = Annotated[
    tuple[Name, ...],
    BeforeValidator(read_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A list of texts; one text stands for a list of one."""


class Tools(Model):
    """Which of the server's tools clients see, by name or glob."""

    allow: Texts = ()
    """Only these; empty means all."""
    deny: Texts = ()
    """All but these, also where `allow` names them."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `tools: {allow: [read_*], deny: [delete_*]}`"


class Mcp(Model):
    """A server: where it comes from and how it is spoken to."""

    package: Source | None = None
    """Where the server comes from. None for a remote server or one run by `command`."""
    url: Annotated[str, BeforeValidator(read_url)] | None = None
    """The address of a remote server, which Backstay reaches but does not run."""
    headers: Mapping[str, Text] = {}
    """Headers sent to a server over HTTP."""
    transport: Transport | None = None
    """How the server is spoken to: `stdio`; for a remote server `streamable-http`."""
    port: Name | None = None
    """For a local server over HTTP: the name of the port it listens on; needed where it has several."""
    path: Text | None = None
    """For a local server over HTTP: the path of its endpoint; `/mcp`, or `/sse` for `sse`."""
    session: Session = "shared"
    """`shared`: one process for all sessions of one identity; `isolated`: one for each client session;
    `global`: one for all."""
    max_sessions: (
        Annotated[int, BeforeValidator(read_max_sessions), WithJsonSchema({"type": "integer", "minimum": 1})]
        | None
    ) = None
    """For `isolated` over stdio: the most sessions that have an instance at a time, 16 where not given; one
    more is refused. `deploy.replicas` free ones are kept ready."""
    tools: Tools = Tools()
    """Which tools clients see."""
    prefix: Annotated[str, BeforeValidator(read_prefix)] | None = None
    """The first part of the tools' names on `/mcp`; the service's name where not given."""
    start_timeout: Duration = 60.0
    """Time from the spawn to the end of the handshake; installs are not counted."""
    call_timeout: Duration = 60.0
    """Time a call may take; progress extends it."""
    with_: Annotated[Texts, Field(alias="with")] = ()
    """Extra constraints for the server's dependencies, such as `mcp<2`."""
    runtime: Annotated[str, BeforeValidator(read_runtime)] | None = None
    """The Python or Node that it needs: `python>=3.11`, `node>=22`."""
    entry: Name | None = None
    """The executable to run where the package has several."""

    @property
    def pooled(self) -> bool:
        """Whether each session has an instance to itself."""
        return self.session == "isolated" and self.transport == "stdio"

    @property
    def remote(self) -> bool:
        """Whether the server runs elsewhere."""
        return self.url is not None

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`mcp: npm:name` is `mcp: {package: npm:name}`; an address given as package is `url`."""
        if isinstance(value, str):
            value = {"package": value}
        package = value.get("package") if isinstance(value, Mapping) else None
        if isinstance(package, str) and package.strip().lower().startswith(("http://", "https://")):
            value = {**value, "url": value.get("url", package.strip())}
            del value["package"]
        return value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [SOURCE_SCHEMA]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return EXAMPLES

    @model_validator(mode="after")
    def _constraints(self) -> Mcp:
        if self.package and self.package.kind == "pypi":
            for constraint in self.with_:
                try:
                    Requirement(constraint)
                except InvalidRequirement:
                    raise refuse(
                        f"{quoted(constraint)} is not a Python requirement", 'write `with: ["mcp<2"]`'
                    ) from None
        return self
