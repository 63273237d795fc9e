"""What an engine is given: one instance, whole and final, and the table of routes.

The fields are those of `rust/supervisor/src/spec.rs` and of the gateway's routes; Rust refuses a key it
does not know.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Cache",
    "InstanceSpec",
    "LogPolicy",
    "Pool",
    "Probe",
    "Published",
    "Restart",
    "Routes",
    "ServerRoute",
    "StopPolicy",
    "Traffic",
    "Upstream",
]


@dataclass(frozen=True, slots=True)
class Restart:
    """When an instance that ended is started again."""

    condition: Literal["no", "on-failure", "always", "unless-stopped"] = "always"
    max_attempts: int | None = None
    delay_ms: int = 100
    max_delay_ms: int = 30_000
    window_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """How an instance is ended."""

    eof: bool = False
    signal: str = "SIGTERM"
    grace_ms: int = 10_000
    eof_grace_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class Probe:
    """How an instance's health is asked for; `kind` is one of Rust's, `{"tcp": {"port": 6379}}`."""

    kind: dict[str, dict[str, Any]]
    interval_ms: int = 10_000
    timeout_ms: int = 5_000
    retries: int = 3
    start_period_ms: int = 0
    start_interval_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """How much of an instance's output is kept."""

    max_bytes: int = 10 << 20
    max_files: int = 3


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What to run, where, and what to do when it ends. Nothing here is a template."""

    name: str
    service: str
    revision: int
    argv: tuple[str, ...]
    env: dict[str, str]
    working_dir: Path
    stdio: Literal["logs", "mcp"]
    ports: dict[str, int] = field(default_factory=dict)
    restart: Restart = Restart()
    stop: StopPolicy = StopPolicy()
    probe: Probe | None = None
    log: LogPolicy = LogPolicy()

    def dump(self) -> bytes:
        """Write it as Rust reads it."""
        value = asdict(self)
        value["working_dir"] = str(self.working_dir)
        return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Upstream:
    """One instance of a server, as the gateway reaches it: by pipes where it has no address."""

    name: str
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    era: str | None = None
    """Which era of the protocol it was of when it was last greeted: `legacy` or `modern`."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How many instances sessions may have to themselves; none is given up while it is not `steady`."""

    spare: int
    most: int
    steady: bool
    cramped: str | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """How calls to a server are let go; the parts are those of `rust/gateway/src/traffic/route.rs`."""

    balance: Literal["least-outstanding", "round-robin", "hash"] = "least-outstanding"
    affinity: Literal["none", "session"] = "none"
    limits: tuple[dict[str, int | str], ...] = ()
    concurrency: dict[str, int] | None = None
    breaker: dict[str, float] | None = None
    ejection: dict[str, int] | None = None
    retries: dict[str, float] = field(default_factory=dict)
    attempt_ms: int | None = None
    overall_ms: int | None = None
    slow_start_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cache:
    """Which answers of a server are kept; the parts are those of `rust/gateway/src/answers/route.rs`."""

    revision: str
    ttl_ms: int
    negative_ms: int
    tools: tuple[str, ...] | None
    resources: tuple[str, ...]
    shared: bool
    invalidates: dict[str, tuple[str, ...]]
    warm: str | None = None


@dataclass(frozen=True, slots=True)
class ServerRoute:
    """One server behind the gateway."""

    service: str
    prefix: str
    transport: Literal["stdio", "streamable-http", "sse"]
    session: Literal["shared", "isolated", "global"]
    instances: tuple[Upstream, ...]
    pool: Pool | None = None
    tools: dict[str, list[str]] = field(default_factory=dict)
    start_timeout_ms: int = 60_000
    call_timeout_ms: int = 60_000
    traffic: Traffic | None = None
    cache: Cache | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """One plain service behind the gateway; `instances` are names and addresses."""

    service: str
    instances: tuple[dict[str, str], ...]
    path: str | None = None
    hosts: tuple[str, ...] = ()
    strip: bool = True
    listen: str | None = None
    tls: dict[str, str] | None = None
    public: bool = False
    protocol: Literal["http", "h2c"] = "http"
    timeout_ms: int = 60_000
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps calls from an instance: a breaker (of a tool, or of the rest), or its ejection."""

    instance: str
    tool: str | None
    kind: Literal["open", "half-open", "ejected"]
    retry_in_ms: int


@dataclass(frozen=True, slots=True)
class Routes:
    """The whole table; the gateway finds the difference itself."""

    servers: tuple[ServerRoute, ...] = ()
    published: tuple[Published, ...] = ()
    cache: dict[str, Any] | None = None
    fleet: str = ""
    """The fleet's name, as clients are shown it."""

    def dump(self, since: Routes | None = None) -> bytes:
        """Write it as Rust reads it: whole, or what has changed `since` another was given."""
        table: dict[str, Any] = {"cache": self.cache, "fleet": self.fleet}
        if since is None:
            table |= {"servers": self.servers, "published": self.published}
        else:
            # By identity: what was looked at again is given again, as the gateway may wait for it.
            old = {id(route) for route in since.servers}
            table["servers"] = [route for route in self.servers if id(route) not in old]
            kept = {route.service for route in self.servers}
            table["gone"] = [route.service for route in since.servers if route.service not in kept]
            if since.published != self.published:
                table["published"] = self.published
        return json.dumps(table, separators=(",", ":"), default=asdict).encode()
