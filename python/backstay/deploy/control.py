"""What the control API and the embedding API ask of a fleet.

[`FleetController`][backstay.deploy.fleet.FleetController] is the real one.

Events are plain JSON objects, `{"seq", "at" (milliseconds), "kind", "service"?, "instance"?, …}`. Beside
those of the Rust half (`instance.*`, `server.*`, `keeper.*`) there are:

| kind | fields |
| --- | --- |
| `daemon.started` | `pid`, `generation` |
| `deploy.started` | `deploy`, `verb` (`up`, `start`, `stop` …), `services` (those it touches) |
| `deploy.waiting` | `deploy`, `behind`: another deploy is under way |
| `deploy.finished` | [`DeployResult`][backstay.deploy.status.DeployResult] |
| `service.state` | `state`, `was`, `revision`, `reason`, `hint` |
| `service.installing` | `line`: progress of an installation |
| `service.rolled_back` | `from`, `to` (revisions), `reason` |
| `service.rollout` | `revision`, `batch` (instances it comes to now; none: it passed), `done`, `total` |
| `session.wanted` | `instances`: sessions want an instance each, and there should be so many |
| `session.spare`, `session.ended` | `instance`: no session needs it, and it ends; it begins anew |
| `fleet.down` | the last event there is |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from backstay.config import Stack
    from backstay.deploy.status import DeployResult, FleetPlan, FleetStatus, LogLine

    Event = dict[str, Any]


class FleetControl(Protocol):
    """One fleet, as its daemon offers it.

    Verbs that change the fleet return the id of a deploy at once, after it is accepted and durable; `wait`
    gives its outcome, and so does the event `deploy.finished`. They raise a `BackstayError` where the
    request itself cannot be accepted (`DoesNotFit`, `PortHeld`, `CycleError`, an unknown service), and then
    nothing was started.
    """

    async def up(
        self,
        stack: Stack,
        *,
        services: Collection[str] = (),
        atomic: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Bring the fleet to `stack`; waits while another deploy is under way.

        With `services` only these are touched; the others stay as they are, stopped ones too.
        """
        ...

    async def plan(self, stack: Stack, *, environ: Mapping[str, str] | None = None) -> FleetPlan:
        """Say what `up` would do; changes nothing."""
        ...

    async def wait(self, deploy: str) -> DeployResult:
        """Wait for the end of a deploy."""
        ...

    async def down(self) -> None:
        """Stop everything, dependents first; once no instance runs it returns, and the daemon ends."""
        ...

    async def start(self, service: str) -> str:
        """Start a stopped or failed service, and what it depends on."""
        ...

    async def stop(self, service: str) -> str:
        """Stop a service until it is started again."""
        ...

    async def restart(self, service: str) -> str:
        """Restart the instances of a service."""
        ...

    async def scale(self, service: str, replicas: int) -> str:
        """Run `replicas` instances of a service."""
        ...

    async def examine(self, service: str, patience: float) -> bytes | None:
        """Check whether a server keeps to the protocol: a report as JSON, none while it is not ready."""
        ...

    async def status(self) -> FleetStatus:
        """Say how the fleet is."""
        ...

    def stack(self) -> Stack | None:
        """Give the stack that is wanted now."""
        ...

    def last_seq(self) -> int:
        """Give the number of the newest event: where a client that looks only forward begins."""
        ...

    def events(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[Event]:
        """Give the events after `after`, oldest first, and go on with new ones if `follow`."""
        ...

    def logs(
        self, services: Sequence[str] = (), *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        """Give the lines that instances wrote; of all services if none is named."""
        ...
