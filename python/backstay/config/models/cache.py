"""`cache`: which answers of a server are kept, and for how long. `rust/gateway/src/answers` keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, model_validator

from backstay.config.models.base import Model, kind_of, quoted, refuse
from backstay.config.models.mcp import Texts, read_list
from backstay.config.models.scalars import Duration, Flag, Name, Size, parse_name
from backstay.config.models.traffic import read_positive

HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^/@\s:\[\]]+)(?::\d{1,5})?"
SECOND_URL: Final = re.compile(rf"rediss?://(?:[^/@\s]*@)?{HOST}(?:/\d*)?|memcached://{HOST}")
TEMPLATE: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
PASSWORD: Final = re.compile(r"rediss?://[^/@:]*:(?!\{\{[^{}]*\}\}@)[^/@]+@")


def read_invalidates(value: Any) -> Any:
    """Read a map of tools to the names of what they make stale."""
    if not isinstance(value, Mapping):
        raise refuse(
            f"expected a map, got {kind_of(value)}", "write `invalidates: {write_file: [read_file]}`"
        )
    return {name: tuple(read_list(names)) for name, names in value.items()}


def read_second_url(value: Any) -> str:
    """Read the address of a Redis or a Memcached."""
    url = parse_name(value).strip()
    # What is filled in later is a number, or stands where anything may.
    if SECOND_URL.fullmatch(TEMPLATE.sub("0", url)) is None:
        raise refuse(
            f"{quoted(url.rpartition('@')[2])} is not the address of a second level",
            "write `redis://127.0.0.1:6379/0`, `rediss://…` over TLS, or `memcached://127.0.0.1:11211`",
        )
    if PASSWORD.match(url):
        raise refuse(
            "a password would be in the stored state",
            "write `redis://:{{ secrets.redis }}@…`, and `secrets: {redis: {environment: VARIABLE}}`"
            " at the top",
        )
    return url


class Cache(Model):
    """Which answers are kept: of tools that only read, and of resources."""

    disable: Flag = False
    """None is kept: the same as to leave `cache` out."""
    ttl: Duration = 60.0
    """How long an answer is fresh that does not say so itself (`ttlMs`)."""
    negative: Duration = 5.0
    """How long a refusal is: an error, or a result with `isError`. `0s` keeps none."""
    tools: Texts | None = None
    """Tools that only read, by name or glob; where not given, those that say so (`readOnlyHint`)."""
    resources: Texts = ("*",)
    """Resources that are kept, by URI or glob."""
    shared: Flag = False
    """Whether all clients may have the same answers; else those of one identity, or with `session: isolated`
    of one session, unless an answer says `cacheScope: public`."""
    invalidates: Annotated[Mapping[str, tuple[Name, ...]], BeforeValidator(read_invalidates)] = {}
    """What a call of a tool makes stale: tools and URIs of resources, by name or glob. A tool that writes and
    is not named makes all of the server's answers stale."""
    warm: Name | None = None
    """A file of calls made when the server becomes ready: lines such as `{"tool": "a", "arguments": {}}` and
    `{"resource": "file:///a"}`."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`true` and `false` keep answers or none, and a time is `{ttl: …}`."""
        if isinstance(value, bool):
            return {"disable": not value}
        return {"ttl": value} if isinstance(value, str | int | float) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "boolean"}, {"type": ["string", "number"]}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `cache: {ttl: 60s}`"


class SecondLevel(Model):
    """A second level: Redis or Memcached, which outlives the daemon and which several may have in common."""

    url: Annotated[str, BeforeValidator(read_second_url)]
    """`redis://[user:password@]host[:port][/database]`, `rediss://` over TLS, or `memcached://host[:port]`.
    A password is `{{ secrets.NAME }}`; `{{ services.NAME.ports.NAME }}` is a port of the fleet."""
    ca: Name | None = None
    """With `rediss://`, a file of the authorities to trust, in PEM; this machine's where not given."""
    write: Literal["aside", "through"] = "aside"
    """Whether an answer is put there after its client got it (`aside`) or before (`through`)."""
    timeout: Annotated[Duration, BeforeValidator(read_positive)] = 0.25
    """How long one word with it may take; when it is gone, calls go on without it."""

    @property
    def secrets(self) -> list[str]:
        """The secrets that its address names."""
        names = [name.split(".") for name in TEMPLATE.findall(self.url)]
        return [name[1] for name in names if name[0] == "secrets" and len(name) == 2]

    @model_validator(mode="after")
    def _ca_of_tls(self) -> SecondLevel:
        if self.ca is not None and not self.url.startswith("rediss://"):
            raise refuse("`ca` without TLS does nothing", "write `rediss://`, or leave it out", ("ca",))
        return self

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """An address alone is `{url: …}`."""
        return {"url": value} if isinstance(value, str) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "string"}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `second: redis://127.0.0.1:6379/0`"


class GatewayCache(Model):
    """What the answers that are kept have in common."""

    memory: Size = 64 << 20
    """What they may take in memory; beyond it those go that are least likely asked for."""
    second: SecondLevel | None = None
    """Where they are kept besides."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """A size alone is `{memory: …}`."""
        return {"memory": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": ["string", "integer"]}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `cache: {memory: 64M}`"
