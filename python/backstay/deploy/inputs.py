"""What decisions are fed, beside the engine's events: requests, outcomes of installations, time, and load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backstay.deploy.state import Failure, Goal, Limits, Placement
from backstay.engines.events import EngineEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Begin", "Change", "Input", "InstallFailed", "Installed", "Load", "Tick"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted of one service from now on; without a `target`, the placement stays as it is."""

    target: Placement | None = None
    goal: Goal = Goal.RUN
    install: bool = False  # look at its package first: it may have changed where the stack file has not
    restart: bool = False
    leaving: bool = False
    after: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Begin:
    """A deploy begins; it was admitted and is durable. It ends any that is under way."""

    deploy: str
    verb: str
    changes: Mapping[str, Change]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Installed:
    """A service's package is in place.

    `placement` is given where what was installed is not what runs: a new revision for the same configuration.
    """

    service: str
    number: int
    launch: str
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class InstallFailed:
    """A service's package could not be installed."""

    service: str
    number: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that a `Wake` asked for has come."""

    service: str


@dataclass(frozen=True, slots=True)
class Load:
    """How much the machine bears at once now."""

    limits: Limits


Input = Begin | Installed | InstallFailed | Tick | Load | EngineEvent
