"""A fleet in memory, for tests of what stands on `FleetControl`: it does as it is told and remembers it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Literal

from backstay.deploy.status import (
    DaemonStatus,
    DeployResult,
    FleetPlan,
    FleetStatus,
    GatewayStatus,
    InstanceStatus,
    KeeperStatus,
    LogLine,
    PlanStep,
    ServiceFailure,
    ServiceStatus,
    State,
    TroubleStatus,
)
from backstay.errors import UnknownService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from backstay.config import Stack


class FakeFleet:
    """Every service becomes ready at once, but those in `broken`, which fail for the reason given there."""

    def __init__(self, broken: Mapping[str, ServiceFailure] | None = None) -> None:
        self.broken = dict(broken or {})
        self.calls: list[tuple[Any, ...]] = []
        self.happened: list[dict[str, Any]] = []
        self.news = asyncio.Condition()
        self.states: dict[str, State] = {}
        self.replicas: dict[str, int] = {}
        self.wanted: Stack | None = None
        self.results: dict[str, DeployResult] = {}
        self.kinds: dict[str, Literal["server", "service"]] = {}
        self.troubles: dict[str, list[TroubleStatus]] = {}
        self.following = 0

    async def emit(self, kind: str, **fields: Any) -> None:
        """Add an event."""
        self.happened.append(
            {"seq": len(self.happened) + 1, "at": time.time() * 1000, "kind": kind, **fields}
        )
        async with self.news:
            self.news.notify_all()

    async def _deploy(self, verb: str, services: Sequence[str], state: State) -> str:
        deploy = f"d{len(self.results) + 1}"
        await self.emit("deploy.started", deploy=deploy, verb=verb, services=list(services))
        failed = {}
        for name in services:
            was = self.states.get(name, State.PENDING)
            failure = self.broken.get(name) if state is State.READY else None
            if failure is not None:
                failed[name] = failure
            self.states[name] = State.FAILED if failure else state
            reason = failure.reason if failure else None
            await self.emit("service.state", service=name, state=self.states[name], was=was, reason=reason)
        self.results[deploy] = result = DeployResult(deploy=deploy, ok=not failed, failed=failed)
        await self.emit("deploy.finished", **result.model_dump(mode="json"))
        return deploy

    def _known(self, service: str) -> None:
        if service not in self.states:
            raise UnknownService(f"there is no service `{service}`")

    async def up(
        self,
        stack: Stack,
        *,
        services: Collection[str] = (),
        atomic: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        touched = [name for name in stack.services if not services or name in services]
        self.calls.append(("up", touched, atomic, dict(environ or {})))
        self.wanted = stack
        return await self._deploy("up", touched, State.READY)

    async def plan(self, stack: Stack, *, environ: Mapping[str, str] | None = None) -> FleetPlan:
        steps = [PlanStep(action="start", service=name, reason="new") for name in stack.services]
        return FleetPlan(steps=steps, cpus=0.0, memory=0)

    async def wait(self, deploy: str) -> DeployResult:
        if deploy not in self.results:
            raise UnknownService(f"there is no deploy `{deploy}`")
        return self.results[deploy]

    async def down(self) -> None:
        self.calls.append(("down",))
        for name in self.states:
            self.states[name] = State.STOPPED
        await self.emit("fleet.down")

    async def start(self, service: str) -> str:
        self._known(service)
        return await self._deploy("start", [service], State.READY)

    async def stop(self, service: str) -> str:
        self._known(service)
        return await self._deploy("stop", [service], State.STOPPED)

    async def restart(self, service: str) -> str:
        self._known(service)
        return await self._deploy("restart", [service], State.READY)

    async def scale(self, service: str, replicas: int) -> str:
        self._known(service)
        self.replicas[service] = replicas
        return await self._deploy("scale", [service], State.READY)

    async def status(self) -> FleetStatus:
        return FleetStatus(
            name="fake",
            daemon=DaemonStatus(pid=10, generation=1, started_at=0.0),
            keeper=KeeperStatus(pid=9),
            gateway=GatewayStatus(url="http://127.0.0.1:7077"),
            services=[self._service(number, name) for number, name in enumerate(self.states)],
        )

    def _service(self, number: int, name: str) -> ServiceStatus:
        state = self.states[name]
        up = state is State.READY
        failure = self.broken.get(name)
        instances = [
            InstanceStatus(
                name=f"{name}.{copy + 1}",
                pid=1000 + 10 * number + copy if up else None,
                state=state,
                ready=up,
                restarts=0,
                started_at=time.time() - 90 if up else None,
                cpu=0.02 if up else None,
                memory=64 << 20 if up else None,
                reason=failure.reason if failure else None,
                revision=1,
                troubles=self.troubles.get(f"{name}.{copy + 1}", []),
            )
            for copy in range(self.replicas.get(name, 1))
        ]
        return ServiceStatus(
            name=name,
            kind=self.kinds.get(name, "server"),
            state=state,
            revision=1,
            ports={"http": 30000 + number},
            instances=instances,
            reason=failure.reason if failure else None,
            hint=failure.hint if failure else None,
        )

    async def examine(self, service: str, patience: float) -> bytes | None:
        if self.states.get(service) is not State.READY:
            return None
        rule = {"rule": "tools have schemas", "section": "server/tools", "cure": "declare an object"}
        checks = [
            {"id": "lifecycle.version", **rule, "outcome": "passed"},
            {"id": "tools.schema", **rule, "outcome": "failed", "found": "`x` has none"},
            {"id": "prompts.list", **rule, "outcome": "skipped", "found": "no prompts"},
        ]
        checks = checks if service == "sloppy" else checks[::2]
        report = {"server": "clock", "server_version": "1.2.3", "protocol": "2025-11-25", "checks": checks}
        return json.dumps(report).encode()

    def stack(self) -> Stack | None:
        return self.wanted

    def last_seq(self) -> int:
        return len(self.happened)

    async def events(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        self.following += 1
        try:
            while True:
                while after < len(self.happened):
                    after += 1
                    yield self.happened[after - 1]
                    if self.happened[after - 1]["kind"] == "fleet.down":
                        return
                if not follow:
                    return
                async with self.news:
                    await self.news.wait()
        finally:
            self.following -= 1

    async def logs(
        self, services: Sequence[str] = (), *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        for name in services or self.states:
            lines = ["listening", "ready \x1b[31mred\x1b[0m \x1b[2Jcleared"]
            for line in lines[-tail:] if tail else lines if tail is None else []:
                yield LogLine(instance=f"{name}.1", service=name, at=time.time(), stream="stderr", line=line)
        while follow:
            async with self.news:
                await self.news.wait()
                if self.happened[-1]["kind"] == "fleet.down":
                    return
