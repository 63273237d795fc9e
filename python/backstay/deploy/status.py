"""What a fleet looks like from outside: the models behind `ps --json`, `plan --json` and the control API.

These are the published shapes (DESIGN.md, section 5); `state` holds the richer ones that decisions are made
on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DaemonStatus",
    "DeployResult",
    "FleetPlan",
    "FleetStatus",
    "GatewayStatus",
    "InstanceStatus",
    "KeeperStatus",
    "LogLine",
    "PlanStep",
    "PlannedRollout",
    "ServiceFailure",
    "ServiceStatus",
    "State",
    "TroubleStatus",
]


class State(StrEnum):
    """Every state that a user sees, of a service or of an instance."""

    PENDING = "pending"
    INSTALLING = "installing"
    STARTING = "starting"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TroubleStatus(_Model):
    """What keeps calls from an instance."""

    kind: Literal["open", "half-open", "ejected"] = Field(
        description="A breaker that lets nothing through, one that tries a call, or an instance that rests."
    )
    tool: str | None = Field(
        description="The tool whose breaker it is; none for all that is no tool, and for one that rests."
    )
    retry_in: float = Field(description="Seconds until the next call may try it.")


class InstanceStatus(_Model):
    """One running copy of a service."""

    name: str
    pid: int | None = Field(description="Process id; none for a remote server or where nothing runs.")
    state: State
    ready: bool
    restarts: int = Field(description="How often the keeper restarted it since it was first started.")
    started_at: float | None = Field(description="Start of the present process, seconds since the epoch.")
    cpu: float | None = Field(
        description="Processor time of its processes, in cores, since the previous reading."
    )
    memory: int | None = Field(description="Resident memory of its processes, in bytes.")
    reason: str | None = Field(description="Why it is not ready, where it is not.")
    revision: int | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    troubles: list[TroubleStatus] = Field(
        default_factory=list, description="Breakers that are not closed, at most twenty, and its ejection."
    )


class ServiceStatus(_Model):
    """One entry under `services:` and the instances that run it."""

    name: str
    kind: Literal["server", "service"]
    state: State
    revision: int | None = Field(description="The revision that runs, or is being started.")
    ports: dict[str, int] = Field(description="The ports of its first instance.")
    instances: list[InstanceStatus]
    reason: str | None = Field(
        default=None, description="Why it is not ready, or which revision was refused."
    )
    hint: str | None = None
    tools: int | None = Field(default=None, description="How many tools a server offers.")


class DaemonStatus(_Model):
    """The process that decides."""

    pid: int
    generation: int
    started_at: float


class KeeperStatus(_Model):
    """The process that holds the instances."""

    pid: int | None


class GatewayStatus(_Model):
    """The address that clients use."""

    url: str | None


class FleetStatus(_Model):
    """All of a fleet: what `backstay ps --json` prints."""

    name: str
    daemon: DaemonStatus
    keeper: KeeperStatus
    gateway: GatewayStatus
    services: list[ServiceStatus]
    deploy: str | None = Field(default=None, description="The deploy that is under way, if one is.")

    @property
    def ready(self) -> bool:
        """Whether every service is ready, or completed where it is meant to end."""
        return all(service.state in (State.READY, State.COMPLETED) for service in self.services)


class PlannedRollout(_Model):
    """How instances of one revision take over from those of another."""

    order: Literal["start-first", "stop-first"]
    at_a_time: int = Field(description="Instances replaced at a time.")
    apart: float = Field(description="Seconds between one group and the next.")
    watched: float = Field(description="Seconds for which each group is watched once it is ready.")
    on_failure: Literal["rollback", "pause", "continue"]
    may_fail: float = Field(description="The part of the instances that may fail before that follows.")


class PlanStep(_Model):
    """One thing that a deploy would do."""

    action: Literal["start", "replace", "scale", "stop", "keep"]
    service: str
    reason: str = Field(
        description="Why: `new`, `args changed`, `failed before`, `no longer in the stack file` …"
    )
    after: list[str] = Field(default_factory=list, description="Services of this plan that must come first.")
    level: int = Field(default=0, description="Steps of one level may run at the same time.")
    revision: int | None = None
    rollout: PlannedRollout | None = Field(
        default=None, description="How running instances are replaced, where some are."
    )
    instances: list[str] = Field(default_factory=list)
    cpus: float = 0.0
    memory: int = 0
    storage: int = 0
    gpus: float = 0.0
    ports: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="By instance, the ports it holds or would get."
    )


class FleetPlan(_Model):
    """The ordered steps from what runs to what is wanted."""

    steps: list[PlanStep]
    cpus: float = Field(description="Reserved by the whole fleet when the plan is carried out, in cores.")
    memory: int
    storage: int = 0
    gpus: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether carrying it out would do anything."""
        return any(step.action != "keep" for step in self.steps)


class ServiceFailure(_Model):
    """Why a service is not as it was asked to be."""

    reason: str
    hint: str | None = None
    tail: str | None = Field(default=None, description="The last lines it wrote.")


class DeployResult(_Model):
    """How a deploy ended: the content of the event `deploy.finished`."""

    deploy: str
    ok: bool
    failed: dict[str, ServiceFailure] = Field(default_factory=dict)
    waiting: dict[str, str] = Field(
        default_factory=dict, description="Services that wait, and what for: what they depend on failed."
    )
    rolled_back: list[str] = Field(
        default_factory=list, description="Services that went back to their last good revision."
    )


class LogLine(_Model):
    """One line that an instance wrote."""

    instance: str
    service: str
    at: float | None = Field(description="When, in seconds since the epoch.")
    stream: Literal["stdout", "stderr"] | None = None
    line: str
