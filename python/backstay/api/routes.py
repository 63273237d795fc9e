"""What can be asked of a fleet: one function an operation, its types are its contract.

A parameter named `body` or `query` is a model read from the request's body or query; any other one is a
part of the path. An async iterator is answered as a stream of JSON lines.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from backstay.api.models import (
    Accepted,
    Ended,
    Event,
    EventsQuery,
    Examination,
    ExamineRequest,
    LogsQuery,
    PlanRequest,
    ScaleRequest,
    UpRequest,
    Version,
)
from backstay.api.selection import select, unknown
from backstay.deploy.control import FleetControl
from backstay.deploy.status import DeployResult, FleetPlan, FleetStatus, LogLine
from backstay.errors import ApiError

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    """One row of the table."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answer: type[BaseModel]
    stream: bool

    @property
    def name(self) -> str:
        """The operation's id in the description."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]

    @property
    def parameters(self) -> list[str]:
        """The names of the path's variable parts."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


OPERATIONS: list[Operation] = []


def operation(method: Literal["GET", "POST"], path: str) -> Callable[[Handler], Handler]:
    """Put a function into the table; its annotations say what it takes and gives."""

    def decorate(handler: Handler) -> Handler:
        types = get_type_hints(handler)
        answer = types["return"]
        stream = get_origin(answer) is AsyncIterator
        OPERATIONS.append(
            Operation(
                method=method,
                path=path,
                handler=handler,
                body=types.get("body"),
                query=types.get("query"),
                answer=get_args(answer)[0] if stream else answer,
                stream=stream,
            )
        )
        return handler

    return decorate


@operation("GET", "/api/version")
async def version(fleet: FleetControl) -> Version:
    """Say which version answers, and how far the events have come."""
    from backstay import __version__

    return Version(backstay=__version__, seq=fleet.last_seq())


@operation("GET", "/api/status")
async def status(fleet: FleetControl) -> FleetStatus:
    """Say how the fleet is: what `backstay ps --json` prints."""
    return await fleet.status()


@operation("POST", "/api/plan")
async def plan(fleet: FleetControl, body: PlanRequest) -> FleetPlan:
    """Say what bringing up a stack would change, and change nothing."""
    stack, chosen = select(fleet.stack(), body.stack, body.services)
    plan = await fleet.plan(stack, environ=body.environ)
    if not chosen:
        return plan
    return plan.model_copy(update={"steps": [step for step in plan.steps if step.service in chosen]})


@operation("POST", "/api/up")
async def up(fleet: FleetControl, body: UpRequest) -> Accepted:
    """Bring the fleet to a stack."""
    after = fleet.last_seq()
    stack, chosen = select(fleet.stack(), body.stack, body.services)
    deploy = await fleet.up(stack, services=chosen, atomic=body.atomic, environ=body.environ)
    return Accepted(deploy=deploy, after=after)


@operation("GET", "/api/deploys/{deploy}")
async def wait(fleet: FleetControl, deploy: str) -> DeployResult:
    """Wait for the end of a deploy and say how it ended."""
    return await fleet.wait(deploy)


@operation("POST", "/api/down")
async def down(fleet: FleetControl) -> Ended:
    """End the fleet: every instance, then the daemon and the keeper."""
    await fleet.down()
    return Ended()


@operation("POST", "/api/services/{service}/start")
async def start(fleet: FleetControl, service: str) -> Accepted:
    """Start a stopped or failed service, and what it depends on."""
    after = fleet.last_seq()
    return Accepted(deploy=await fleet.start(service), after=after)


@operation("POST", "/api/services/{service}/stop")
async def stop(fleet: FleetControl, service: str) -> Accepted:
    """Stop a service until it is started again."""
    after = fleet.last_seq()
    return Accepted(deploy=await fleet.stop(service), after=after)


@operation("POST", "/api/services/{service}/restart")
async def restart(fleet: FleetControl, service: str) -> Accepted:
    """Restart the instances of a service."""
    after = fleet.last_seq()
    return Accepted(deploy=await fleet.restart(service), after=after)


@operation("POST", "/api/services/{service}/scale")
async def scale(fleet: FleetControl, service: str, body: ScaleRequest) -> Accepted:
    """Set how many instances a service has."""
    after = fleet.last_seq()
    return Accepted(deploy=await fleet.scale(service, body.replicas), after=after)


@operation("POST", "/api/services/{service}/examine")
async def examine(fleet: FleetControl, service: str, body: ExamineRequest) -> Examination:
    """Check whether a server keeps to the protocol; changes nothing in it."""
    report = await fleet.examine(service, body.patience)
    if report is None:
        raise ApiError(f"`{service}` is not a server that is ready", status=409)
    return Examination.model_validate_json(report)


@operation("GET", "/api/events")
async def events(fleet: FleetControl, query: EventsQuery) -> AsyncIterator[Event]:
    """Stream what happened, oldest first, and what happens."""
    happened = fleet.events(query.after, follow=query.follow)
    return (Event.model_construct(**event) async for event in happened)


@operation("GET", "/api/logs")
async def logs(fleet: FleetControl, query: LogsQuery) -> AsyncIterator[LogLine]:
    """Stream what instances wrote."""
    stack = fleet.stack()
    for name in query.service:
        if stack is not None and name not in stack.services:
            raise unknown(name, stack.services)
    return fleet.logs(query.service, follow=query.follow, tail=query.tail)
