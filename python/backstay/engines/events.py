"""What an engine tells: frozen values, in the order in which things happened.

The names and fields are those of the Rust half's event stream; `parse` makes values of its JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = [
    "Adopted",
    "AdoptedAll",
    "EngineEvent",
    "Exited",
    "Failed",
    "KeeperLost",
    "Other",
    "Ready",
    "ServerClosed",
    "ServerFailed",
    "ServerReady",
    "SessionEnded",
    "SessionSpare",
    "SessionWanted",
    "Spawned",
    "Stopped",
    "Unhealthy",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Adopted:
    """An instance that ran before this daemon did."""

    instance: str
    service: str
    state: str
    revision: int = 0
    pid: int | None = None
    restarts: int = 0
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class AdoptedAll:
    """Every instance that still runs has been told of."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process was started: the first of an instance, or by its restart policy."""

    instance: str
    service: str
    pid: int | None
    revision: int
    restarts: int = 0
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The probe of an instance passed."""

    instance: str


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The probe of an instance failed as often as its healthcheck allows."""

    instance: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Exited:
    """A process ended; `will_restart_in_ms` says whether it is started again."""

    instance: str
    pid: int | None = None
    code: int | None = None
    signal: str | None = None
    will_restart_in_ms: int | None = None
    tail: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop that was asked for is done: nothing of the instance runs."""

    instance: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance could not be started, or its restart policy gave up."""

    instance: str
    reason: str = ""
    tail: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class ServerReady:
    """A server answered the handshake."""

    instance: str
    tools: int | None = None
    resumed: bool = False
    era: str | None = None


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """A server did not answer the handshake as it must."""

    instance: str
    reason: str = ""
    hint: str | None = None
    tail: str = ""


@dataclass(frozen=True, slots=True)
class ServerClosed:
    """The connection to a server ended."""

    instance: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SessionWanted:
    """Sessions want instances of their own: so many there should be."""

    service: str
    instances: int


@dataclass(frozen=True, slots=True)
class SessionSpare:
    """An instance is left over by its session, or never had one: it is being stopped."""

    service: str
    instance: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session ended: its instance is being started anew."""

    service: str
    instance: str


@dataclass(frozen=True, slots=True)
class KeeperLost:
    """The keeper is gone."""


@dataclass(frozen=True, slots=True)
class Other:
    """An event that no decision depends on; it is recorded and shown."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict, hash=False)


EngineEvent = (
    Adopted
    | AdoptedAll
    | Spawned
    | Ready
    | Unhealthy
    | Exited
    | Stopped
    | Failed
    | ServerReady
    | ServerFailed
    | ServerClosed
    | SessionWanted
    | SessionSpare
    | SessionEnded
    | KeeperLost
    | Other
)

_KINDS: dict[str, type[Any]] = {
    "instance.adopted": Adopted,
    "instance.spawned": Spawned,
    "instance.ready": Ready,
    "instance.unhealthy": Unhealthy,
    "instance.exited": Exited,
    "instance.stopped": Stopped,
    "instance.failed": Failed,
    "keeper.adopted_all": AdoptedAll,
    "keeper.lost": KeeperLost,
    "server.ready": ServerReady,
    "server.failed": ServerFailed,
    "server.closed": ServerClosed,
    "session.wanted": SessionWanted,
    "session.spare": SessionSpare,
    "session.ended": SessionEnded,
}
_FIELDS = {kind: tuple(f.name for f in fields(cls)) for kind, cls in _KINDS.items()}


def parse(raw: dict[str, Any]) -> EngineEvent:
    """Make a value of one event of the Rust half; fields that no decision needs are left out."""
    kind = raw["kind"]
    if raw.get("replayed"):  # it happened while no daemon was there: what is now is told apart
        return Other(kind, raw)
    if kind == "keeper.refused":
        return _refused(raw)
    cls = _KINDS.get(kind)
    if cls is None:
        return Other(kind, raw)
    event: EngineEvent = cls(**{name: raw[name] for name in _FIELDS[kind] if raw.get(name) is not None})
    return event


def _refused(raw: dict[str, Any]) -> EngineEvent:
    """An order that the keeper does not carry out has an outcome all the same."""
    match raw.get("order"):
        case "start" | "restart":
            return Failed(raw["instance"], f"the keeper refuses: {raw['reason']}")
        case "stop":
            return Stopped(raw["instance"])  # it holds no such instance
        case _:
            return Other(raw["kind"], raw)


def decode(line: bytes) -> dict[str, Any]:
    """Read one event as the Rust half writes it."""
    raw: dict[str, Any] = json.loads(line)
    return raw
