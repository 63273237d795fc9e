"""What decisions ask for. Carrying these out, in their order, is all that the acting side does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstay.deploy.state import Failure, Revision
    from backstay.deploy.status import DeployResult, State

__all__ = [
    "Action",
    "Connect",
    "Finish",
    "Forget",
    "Install",
    "Remove",
    "Restart",
    "Route",
    "Settle",
    "Start",
    "Stop",
    "Tell",
    "TellRollback",
    "TellRollout",
    "Wake",
]


@dataclass(frozen=True, slots=True)
class Install:
    """Put the package of a revision in place; answered by `Installed` or `InstallFailed`."""

    service: str
    revision: Revision


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance."""

    instance: str
    revision: Revision


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an instance; answered by `Stopped`."""

    instance: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop and start an instance as it is."""

    instance: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget an instance that has ended."""

    instance: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Shake hands with a server that is reached by HTTP."""

    instance: str


@dataclass(frozen=True, slots=True)
class Route:
    """Give the gateway the routes as they are now."""


@dataclass(frozen=True, slots=True)
class Settle:
    """A service has come to rest: its leases shrink to what it holds now."""

    service: str


@dataclass(frozen=True, slots=True)
class Forget:
    """A service that left the stack file has ended: give all that it held back."""

    service: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Feed a `Tick` for the service after `delay` seconds."""

    service: str
    delay: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the world that a service's state changed."""

    service: str
    was: State | None
    state: State
    revision: int | None
    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class TellRollback:
    """Tell the world that a service goes back to an earlier revision."""

    service: str
    refused: int
    to: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class TellRollout:
    """Tell the world how far a rollout is: a batch begins, or (with none) one has passed."""

    service: str
    revision: int
    batch: tuple[str, ...]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The deploy has ended."""

    result: DeployResult


Action = (
    Install
    | Start
    | Stop
    | Restart
    | Remove
    | Connect
    | Route
    | Settle
    | Forget
    | Wake
    | Tell
    | TellRollback
    | TellRollout
    | Finish
)
