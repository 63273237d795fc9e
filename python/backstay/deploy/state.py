"""What decisions are made on: services, revisions, instances and the deploy under way, as frozen values.

Nothing here reads a clock, a file or a process. `status` holds what users see of it, `observe` translates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_NEED",
    "Condition",
    "Deploy",
    "Failure",
    "Fleet",
    "Goal",
    "Instance",
    "Limits",
    "Need",
    "Order",
    "Pace",
    "Phase",
    "Placement",
    "Pool",
    "Revision",
    "Rollout",
    "Service",
    "Snapshot",
    "Stage",
    "owner_of",
]

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class Order(StrEnum):
    """Which goes first when a service moves to its next revision."""

    START_FIRST = "start-first"
    STOP_FIRST = "stop-first"


@dataclass(frozen=True, slots=True)
class Pool:
    """The instances of a server of which each session has one to itself."""

    spare: int  # free ones kept ready
    most: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a service moves from one revision to another, and what its failing leads to."""

    parallelism: int = 0  # instances replaced at a time; 0 for all
    delay: float = 0.0  # seconds between one batch and the next
    monitor: float = 0.0  # seconds for which what has become ready is watched
    failure_action: Literal["rollback", "pause", "continue"] = "rollback"
    max_failure_ratio: float = 0.0  # the part of the instances that may fail before that follows
    order: Order = Order.STOP_FIRST


class Goal(StrEnum):
    """Whether a service is meant to run."""

    RUN = "run"
    STOP = "stop"


class Phase(StrEnum):
    """Where an instance is in its life. One that was stopped and forgotten has no phase: it is not there."""

    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def alive(self) -> bool:
        """Whether a process of it may run."""
        return self not in (Phase.COMPLETED, Phase.FAILED)


class Stage(StrEnum):
    """Where a service is on its way to what is wanted of it."""

    SETTLED = "settled"
    INSTALL_QUEUED = "install-queued"
    INSTALLING = "installing"
    WAITING = "waiting"  # for what it depends on
    QUEUED = "queued"  # for the machine to have room for one more start
    REPLACING = "replacing"  # stop-first: the old instances end
    STARTING = "starting"
    WATCHING = "watching"  # a batch of a rollout is ready, and has yet to stay so
    PAUSING = "pausing"  # between two batches of a rollout
    RETIRING = "retiring"  # start-first: the new ones are ready, the old ones end
    REVERTING = "reverting"  # the new revision failed, its instances end
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Need:
    """What one instance reserves of the machine, in the ledger's exact units."""

    milli_cpus: int = 0
    memory: int = 0
    storage: int = 0
    milli_gpus: int = 0

    def covering(self, other: Need) -> Need:
        """Give the least need that covers both."""
        return Need(
            max(self.milli_cpus, other.milli_cpus),
            max(self.memory, other.memory),
            max(self.storage, other.storage),
            max(self.milli_gpus, other.milli_gpus),
        )

    def __bool__(self) -> bool:
        """Whether anything is needed at all."""
        return bool(self.milli_cpus or self.memory or self.storage or self.milli_gpus)


NO_NEED: Final = Need()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something is not as it was asked to be."""

    reason: str
    hint: str | None = None
    tail: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """One accepted configuration of a service: the facts that decisions need.

    The whole configuration is kept by the store, under the service's name and `number`.
    """

    service: str
    number: int
    fingerprint: str
    parts: tuple[tuple[str, str], ...] = ()  # what the fingerprint is made of, to say what changed
    launch: str = ""  # fingerprint of what was installed; empty until it is known
    server: bool = False  # speaks MCP: ready means that it shook hands
    process: bool = True  # a remote server has none
    installs: bool = False
    probe: bool = False
    job: bool = False  # others wait for its completion: it has come up when it has ended well
    http: bool = False  # the gateway connects when told to, not by pipes
    depends_on: tuple[tuple[str, Condition], ...] = ()
    update: Pace = Pace()
    rollback: Pace = Pace()
    pool: Pool | None = None
    start_timeout: float = 60.0
    need: Need = NO_NEED

    @property
    def order(self) -> Order:
        """Which goes first when instances of this revision take over."""
        return self.update.order

    @property
    def immediate(self) -> bool:
        """Whether nothing but having been started tells that an instance is ready."""
        return not (self.server or self.probe or self.job)


@dataclass(frozen=True, slots=True)
class Placement:
    """A revision and the names of the instances that run it."""

    revision: Revision
    names: tuple[str, ...]

    @property
    def key(self) -> tuple[int, tuple[str, ...]]:
        """What makes two placements the same."""
        return (self.revision.number, self.names)


@dataclass(frozen=True, slots=True)
class Instance:
    """One copy of a service, as far as events have told."""

    name: str
    revision: Revision
    phase: Phase = Phase.STARTING
    pid: int | None = None
    spawned: bool = False
    probed: bool = False  # the probe has passed since the last spawn
    spoke: bool = False  # the handshake was made since the last spawn
    restarts: int = 0
    exits: int = 0  # since its service last began to start
    since: float = 0.0  # when the present attempt began, by the decisions' own clock
    started_at: float | None = None
    tools: int | None = None
    retries: int = 0  # handshakes tried again since it was last ready
    mute_since: float | None = None  # it does not speak, and no exit explains that yet
    trouble: Failure | None = None

    @property
    def up(self) -> bool:
        """Whether it is as it should be once started."""
        return self.phase is Phase.COMPLETED or (self.phase is Phase.READY and not self.revision.job)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A service on its way to another revision, a batch of instances at a time."""

    total: int  # instances to be brought up
    back: bool = False  # to the last good revision, by its `rollback`
    batch: tuple[str, ...] = ()  # those that are being brought up now
    done: frozenset[str] = frozenset()  # came up and stayed up, or failed and were passed over
    failed: Mapping[str, Failure] = field(default_factory=lambda: MappingProxyType({}))

    def pace(self, revision: Revision) -> Pace:
        """Give the pace at which it moves to a revision."""
        return revision.rollback if self.back else revision.update


@dataclass(frozen=True, slots=True)
class Service:
    """One service: what is wanted of it, what was last good, and what there is."""

    name: str
    target: Placement | None = None
    good: Placement | None = None
    goal: Goal = Goal.RUN
    stage: Stage = Stage.SETTLED
    since: float = 0.0  # when the stage began
    instances: Mapping[str, Instance] = field(default_factory=lambda: MappingProxyType({}))
    after: frozenset[str] = frozenset()  # services of the same deploy that must have ended first
    restart: bool = False  # its instances are to be restarted although nothing changed
    leaving: bool = False  # not in the stack any more: forgotten when it has ended
    failure: Failure | None = None
    refused: int | None = None  # the revision that failed, while the last good one runs
    rollout: Rollout | None = None
    sessions: int = 0  # instances that the gateway wants for its sessions; 0: there are enough
    cramped: str | None = None  # why no more can be started for them now
    since_cramped: float = 0.0
    paused: bool = False  # its rollout stopped half-way, by its `failure_action`, until the next deploy
    waits_for: str | None = None
    last_number: int = 0

    @property
    def wanted_names(self) -> tuple[str, ...]:
        """Names of the instances that should run."""
        return self.target.names if self.target and self.goal is Goal.RUN else ()

    @property
    def moving(self) -> bool:
        """Whether it is on its way by itself: neither at rest nor waiting for another."""
        return self.stage not in (Stage.SETTLED, Stage.WAITING)

    @property
    def alive(self) -> bool:
        """Whether any process of it may run."""
        return any(instance.phase.alive for instance in self.instances.values())

    def of_target(self, name: str) -> Instance | None:
        """Give an instance if it is one of the wanted revision."""
        found = self.instances.get(name)
        if found and self.target and found.revision.number == self.target.revision.number:
            return found
        return None

    @property
    def coming(self) -> tuple[str, ...]:
        """Names of the instances that are being brought up now: all of them, or a rollout's batch."""
        if self.rollout:
            return self.rollout.batch
        return self.target.names if self.target else ()

    def still_to_come(self, rollout: Rollout) -> tuple[str, ...]:
        """Give the wanted names that a rollout has not come to yet."""
        names = self.target.names if self.target else ()
        return tuple(
            name
            for name in names
            if name not in rollout.done and not ((found := self.of_target(name)) and found.up)
        )

    @property
    def as_wanted(self) -> bool:
        """Whether nothing is left to do for it."""
        if self.goal is Goal.STOP or self.target is None:
            return not self.alive
        names = self.target.names
        if any(name not in names for name, i in self.instances.items() if i.phase.alive):
            return False
        good = self.good.revision.number if self.good else None
        if self.target.revision.pool and good == self.target.revision.number:
            # Once they have come up they come and go with the sessions.
            return all((found := self.of_target(name)) is not None and found.phase.alive for name in names)
        return all((found := self.of_target(name)) is not None and found.up for name in names)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A service as it was before a deploy, for the way back."""

    target: Placement | None
    good: Placement | None
    goal: Goal
    failure: Failure | None = None


def owner_of(instance: str) -> str:
    """Give the service that an instance's name names: `files` of `files.1`."""
    return instance.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Deploy:
    """The deploy under way."""

    id: str
    verb: str
    atomic: bool = False
    services: tuple[str, ...] = ()
    before: Mapping[str, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    failed: Mapping[str, Failure] = field(default_factory=lambda: MappingProxyType({}))
    rolled_back: tuple[str, ...] = ()
    rolling_back: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the machine bears at once now."""

    starts: int = 2
    installs: int = 2


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that decisions know of a fleet."""

    services: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    deploy: Deploy | None = None
    queue: tuple[str, ...] = ()  # services that are free to start, oldest first
    install_queue: tuple[str, ...] = ()
    starting: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # slots, since when
    limits: Limits = Limits()
    adopting: bool = False  # instances of a former daemon are still being told of
    dependents: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    installing: frozenset[str] = frozenset()
    slot_wake: float = 0.0  # when a slot gives way by age; a `Wake` for it has been asked for
    busy: int = 0  # services that are neither settled nor waiting
