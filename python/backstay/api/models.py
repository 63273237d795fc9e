"""The shapes that the control API takes and gives, beside those of `deploy.status`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backstay.config import Stack


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UpRequest(_Request):
    """What the fleet is to become."""

    stack: Stack = Field(description="The resolved stack: `Stack.model_dump_json()`.")
    services: list[str] = Field(
        default_factory=list,
        description="Only these and what they depend on; the others stay as they are. All if empty.",
    )
    atomic: bool = Field(default=False, description="Go back to what ran before if any service fails.")
    environ: dict[str, str] = Field(
        default_factory=dict,
        description="Proxy, certificate and registry variables for installations, and the secrets'.",
    )


class PlanRequest(_Request):
    """What is asked about, but not done."""

    stack: Stack
    services: list[str] = Field(default_factory=list)
    environ: dict[str, str] = Field(
        default_factory=dict, description="Variables that hold secrets: a changed one is another revision."
    )


class ScaleRequest(_Request):
    """How many instances a service is to have."""

    replicas: Annotated[int, Field(ge=0, le=10_000)]


class ExamineRequest(_Request):
    """How an examination is made."""

    patience: Annotated[float, Field(gt=0, le=600, description="Seconds to wait for each answer.")] = 10.0


class Check(BaseModel):
    """One check of a server, and how it went."""

    id: str = Field(description="A stable name, such as `tools.schema`.")
    rule: str = Field(description="What is asked of a server.")
    section: str = Field(description="Where the specification says so.")
    outcome: Literal["passed", "failed", "warned", "skipped"]
    found: str | None = None
    cure: str = ""


class Examination(BaseModel):
    """What an examination of a server found."""

    server: str
    server_version: str
    protocol: str
    checks: list[Check]


class EventsQuery(_Request):
    """Which events."""

    after: Annotated[
        int, Field(ge=0, description="Only events with a greater `seq`; to resume a stream.")
    ] = 0
    follow: Annotated[bool, Field(description="Keep the stream open for what happens next.")] = False


class LogsQuery(_Request):
    """Which lines."""

    service: Annotated[list[str], Field(description="Services to read; all if none is named.")] = []
    follow: Annotated[bool, Field(description="Keep the stream open for what is written next.")] = False
    tail: Annotated[int | None, Field(ge=0, description="Only the last lines of each instance.")] = None


class Accepted(_Request):
    """A deploy that was accepted: it goes on; its end is the event `deploy.finished`."""

    deploy: str
    after: int = Field(description="All events of this deploy have a greater `seq`.")


class Ended(_Request):
    """The fleet is down."""

    down: bool = True


class Version(_Request):
    """Who answers."""

    backstay: str
    api: int = 1
    seq: int = Field(description="The newest event's number.")


class Event(BaseModel):
    """Something that happened; further fields depend on `kind`."""

    model_config = ConfigDict(extra="allow")

    seq: int
    at: float = Field(description="Milliseconds since the epoch.")
    kind: str
    service: str | None = None
    instance: str | None = None


class Fault(BaseModel):
    """What is wrong."""

    what: str
    where: str | None = Field(default=None, description="Which part of the request or of the fleet.")
    hint: str | None = Field(default=None, description="What to do about it.")


class ErrorAnswer(BaseModel):
    """Every answer of status 400 and above."""

    error: Fault
