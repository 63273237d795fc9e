"""The fleet's controller: the verbs that the control API and the embedding API offer.

It prepares (`prepare`), makes durable (`state`) and begins (`actor`); decisions are `decide`'s. Deploys are
one at a time: a second one waits, and says so; `down` ends the one under way.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backstay.api.selection import unknown
from backstay.deploy.addresses import check_addresses
from backstay.deploy.census import Census
from backstay.deploy.handed import HandedOver
from backstay.deploy.inputs import Begin, Change
from backstay.deploy.logs import read_logs
from backstay.deploy.memory import dump_deploy, dump_service
from backstay.deploy.plan import instance_names
from backstay.deploy.prepare import prepare, wishes_of
from backstay.deploy.report import fleet_status
from backstay.deploy.seals import sealed
from backstay.deploy.state import Goal, Placement
from backstay.errors import ConfigError, DeployFailed, UnknownService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from backstay.config import Service, Stack
    from backstay.deploy.actor import Actor
    from backstay.deploy.installer import PackageInstaller
    from backstay.deploy.prepare import Prepared
    from backstay.deploy.state import Fleet
    from backstay.deploy.status import DeployResult, FleetPlan, FleetStatus, LogLine

__all__ = ["FleetController"]


class _Undo(Exception):
    """Ends an attempt that was only made to see how it goes."""


class FleetController:
    """Fulfils [`FleetControl`][backstay.deploy.control.FleetControl] for one fleet."""

    def __init__(
        self,
        actor: Actor,
        *,
        installer: PackageInstaller,
        state_dir: Path,
        generation: int,
        last_numbers: Mapping[str, int],
        previous_stack: Stack | None = None,
    ) -> None:
        self._actor = actor
        self._state_dir = state_dir
        self._handed = HandedOver(state_dir)
        self._generation = generation
        self._started_at = time.time()
        self._keeper = os.getppid()  # read now: once it is gone we are somebody else's child
        self._last_numbers = dict(last_numbers)
        self._previous_stack = previous_stack
        self._installer = installer
        self._kept: asyncio.Future[Any] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._ids = itertools.count(1)
        self._census = Census()
        self._going_down = False
        self.ended = asyncio.Event()
        """Set when the fleet is down and the daemon is to end."""
        self.renew = asyncio.Event()
        """Set when the gateway is to be served in another way: a daemon serves in one way all its life."""
        self.gateway: Mapping[str, Any] = {}
        self.listens_at: tuple[str, int] | None = None
        actor.on_finish = self._on_finish

    # Verbs

    async def up(
        self,
        stack: Stack,
        *,
        services: Collection[str] = (),
        atomic: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Bring the fleet to `stack`, or some services of it; waits while another deploy is under way."""
        actor, deploy = self._actor, self._new_id("up")
        async with self._turn_of(deploy):
            self._same_address(stack)
            await asyncio.to_thread(check_addresses, stack, actor.blueprints.stack)
            handed = await asyncio.to_thread(self._handed.kept, stack, environ or {})
            environment = {**actor.blueprints.environ, **handed}
            seals = await asyncio.to_thread(sealed, stack, environment, self._state_dir)
            self._installer.environ = environment
            self._installer.begin(stack.dir)
            if actor.blueprints.stack is None or actor.blueprints.stack.ports != stack.ports:
                actor.book.use_range(stack.ports.first, stack.ports.last)
            with actor.book.attempt():
                prepared = prepare(
                    stack, actor.fleet, actor.book, self._last_numbers, atomic=atomic, seals=seals
                )
                changes = {
                    name: plan.change
                    for name, plan in prepared.planned.items()
                    if not services or name in services
                }
                await asyncio.to_thread(self._handed.keep, handed)
                actor.blueprints.environ = environment
                await self._begin(Begin(deploy, "up", changes, atomic), stack)
                for name in prepared.planned.keys() - changes.keys():
                    actor.settle_leases(name)
        return deploy

    async def plan(self, stack: Stack, *, environ: Mapping[str, str] | None = None) -> FleetPlan:
        """Say what `up` would do; changes nothing."""
        await self._actor.adopted.wait()
        environment = {**self._actor.blueprints.environ, **(environ or {})}
        await asyncio.to_thread(check_addresses, stack, self._actor.blueprints.stack)
        seals = await asyncio.to_thread(sealed, stack, environment, self._state_dir)
        prepared: Prepared | None = None
        try:
            with self._actor.book.attempt():
                prepared = prepare(
                    stack, self._actor.fleet, self._actor.book, self._last_numbers, seals=seals
                )
                raise _Undo
        except _Undo:
            assert prepared is not None
            return prepared.plan

    async def wait(self, deploy: str) -> DeployResult:
        """Wait for the end of a deploy."""
        result = await self._actor.finished(deploy)
        if result is None:
            raise DeployFailed(f"there is no deploy `{deploy}`", hint="It may have ended long ago.")
        return result

    async def down(self) -> None:
        """Stop everything, dependents first; once no instance runs it returns, and the daemon ends."""
        actor = self._actor
        await actor.adopted.wait()
        self._going_down = True
        actor.installations.cancel()
        deploy = self._new_id("down")
        changes = {name: Change(goal=Goal.STOP) for name in actor.fleet.services}
        await self._begin(Begin(deploy, "down", changes), None)
        await actor.finished(deploy)
        for instance in actor.book.holders():
            actor.book.release(instance)
        await actor.store.accept(facts={"stack": None, "gateway": None, "deploy": None}, leases={})
        await asyncio.to_thread(self._handed.forget)
        actor.journal.record("fleet.down")
        actor.journal.close()
        self.ended.set()

    async def start(self, service: str) -> str:
        """Start a stopped or failed service, and what it depends on."""
        deploy = self._new_id("start")
        async with self._turn_of(deploy):
            self._known(service)
            chosen = [name for name in self._closure(service) if not self._runs(name)] or [service]
            await self._run(deploy, "start", {name: self._change(name) for name in chosen})
        return deploy

    async def stop(self, service: str) -> str:
        """Stop a service until it is started again."""
        deploy = self._new_id("stop")
        async with self._turn_of(deploy):
            self._known(service)
            await self._begin(Begin(deploy, "stop", {service: Change(goal=Goal.STOP)}))
        return deploy

    async def restart(self, service: str) -> str:
        """Restart the instances of a service."""
        deploy = self._new_id("restart")
        async with self._turn_of(deploy):
            self._known(service)
            await self._run(deploy, "restart", {service: replace(self._change(service), restart=True)})
        return deploy

    async def scale(self, service: str, replicas: int) -> str:
        """Run `replicas` instances of a service."""
        deploy = self._new_id("scale")
        async with self._turn_of(deploy):
            self._known(service)
            target = self._actor.fleet.services[service].target
            assert target is not None
            revision, count = target.revision, replicas
            if revision.pool is not None:  # what is scaled is how many are kept ready beside those in use
                revision = replace(revision, pool=replace(revision.pool, spare=replicas))
                count = max(replicas, len(target.names))
            names = instance_names(service, count, keep=target.names)
            change = Change(Placement(revision, names), install=not revision.launch)
            await self._run(deploy, "scale", {service: change})
        return deploy

    # What there is to see

    async def examine(self, service: str, patience: float) -> bytes | None:
        """Check whether a server keeps to the protocol: a report as JSON, none while it is not ready."""
        self._known(service)
        return await asyncio.to_thread(self._actor.engine.examine, service, patience)

    async def status(self) -> FleetStatus:
        """Say how the fleet is."""
        fleet = self._actor.fleet
        pids = [i.pid for s in fleet.services.values() for i in s.instances.values() if i.pid]
        used = await asyncio.to_thread(self._census.take, pids)
        return fleet_status(
            fleet,
            self._actor.blueprints.stack,
            used,
            ports=self._actor.book.ports,
            troubles=self._actor.engine.troubles(),
            generation=self._generation,
            started_at=self._started_at,
            keeper=self._keeper,
            gateway_url=self._actor.blueprints.gateway_url or None,
        )

    def stack(self) -> Stack | None:
        """Give the stack that is wanted now."""
        return self._actor.blueprints.stack

    def last_seq(self) -> int:
        """Give the number of the newest event."""
        return self._actor.journal.last_seq

    def events(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Give the events after `after`, oldest first, and go on with new ones if `follow`."""
        return self._actor.journal.read(after, follow=follow)

    def logs(
        self, services: Sequence[str] = (), *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        """Give the lines that instances wrote; of all services if none is named."""
        folder = self._state_dir / "logs"
        return read_logs(folder, services, follow=follow, tail=tail, ended=self.ended)

    # One deploy after the other

    def _turn_of(self, deploy: str) -> _Turn:
        return _Turn(self, deploy)

    async def _take_turn(self, deploy: str) -> None:
        await self._actor.adopted.wait()
        under_way = self._actor.fleet.deploy
        if under_way is not None or self._one_at_a_time.locked():
            behind = under_way.id if under_way else None
            self._actor.journal.record("deploy.waiting", deploy=deploy, behind=behind)
        await self._one_at_a_time.acquire()
        try:
            await self._actor.idle()
            if self._going_down:
                raise DeployFailed(
                    "the fleet is going down", hint="Wait for its end, then bring it up again."
                )
        except BaseException:
            self._one_at_a_time.release()
            raise

    async def _run(self, deploy: str, verb: str, changes: Mapping[str, Change]) -> None:
        """Begin a deploy of services as they are in the stack, when what they need is there."""
        actor = self._actor
        with actor.book.attempt():
            for name, change in changes.items():
                placement = change.target or actor.fleet.services[name].target
                assert placement is not None
                config = actor.blueprints.configs[name, placement.revision.number]
                actor.book.admit(wishes_of(config, placement), probe=False)
            await self._begin(Begin(deploy, verb, changes))

    async def _begin(self, begin: Begin, stack: Stack | None = None) -> None:
        actor = self._actor
        before = actor.blueprints.stack

        async def accept(fleet: Fleet) -> None:
            wanted = stack or before
            facts: dict[str, Any] = {"deploy": dump_deploy(fleet.deploy)}
            if stack is not None:
                facts["stack"] = stack.model_dump_json()
                facts["gateway"] = stack.gateway.model_dump(mode="json")
                facts["previous_stack"] = before.model_dump_json() if before and begin.atomic else None
            await actor.store.accept(
                facts=facts,
                revisions=self._new_revisions(begin, wanted),
                services={name: dump_service(service) for name, service in fleet.services.items()},
                leases=actor.book.dump(),
            )
            if stack is not None:
                self._previous_stack = before if begin.atomic else None
                actor.blueprints.stack = stack
            services = list(begin.changes)
            actor.journal.record("deploy.started", deploy=begin.deploy, verb=begin.verb, services=services)

        await actor.begin(begin, accept)

    def _new_revisions(self, begin: Begin, stack: Stack | None) -> list[tuple[str, int, str, float]]:
        """Give the configuration of every revision that this deploy brings; the actor starts by it."""
        new = []
        for name, change in begin.changes.items():
            if change.target is None or stack is None or name not in stack.services:
                continue
            number = change.target.revision.number
            self._last_numbers[name] = max(number, self._last_numbers.get(name, 0))
            config = stack.services[name]
            # The same number may come again with what processes need not know of: a new prefix, say.
            if self._actor.blueprints.configs.get((name, number)) != config:
                self._actor.blueprints.configs[name, number] = config
                new.append((name, number, config.model_dump_json(), time.time()))
        return new

    def _on_finish(self, result: DeployResult) -> None:
        if not result.ok and self._previous_stack is not None:
            self._actor.blueprints.stack = self._previous_stack
            stack = self._previous_stack.model_dump_json()
            self._keep(self._actor.store.set_facts({"stack": stack}))
        self._previous_stack = None
        stack_now = self._actor.blueprints.stack
        if result.deploy.startswith("up") and stack_now and self._serves_otherwise(stack_now):
            self._actor.journal.record("daemon.renewed", reason="`gateway` has changed in the stack file")
            self.renew.set()

    def _same_address(self, stack: Stack) -> None:
        """Refuse another address: the keeper holds the socket, and all clients know it."""
        if self.listens_at is None or stack.gateway.port in (0, self.listens_at[1]):
            return
        host, port = self.listens_at
        raise ConfigError(
            f"the gateway listens at {host}:{port}, and the stack file asks for {stack.gateway.listen}",
            hint="Bring the fleet down and up again to move it.",
        )

    def _serves_otherwise(self, stack: Stack) -> bool:
        wanted = stack.gateway.model_dump(mode="json")
        keys = ("allowed_hosts", "allowed_origins", "token_file", "tls", "metrics")
        return any((wanted.get(key) or None) != (self.gateway.get(key) or None) for key in keys)

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._kept = task  # a task that nobody holds may be collected

    # Names

    def _new_id(self, verb: str) -> str:
        return f"{verb}-{self._generation}-{next(self._ids)}-{uuid.uuid4().hex[:6]}"

    def _known(self, service: str) -> None:
        services = self._actor.fleet.services
        if service not in services:
            error: UnknownService = unknown(service, services)
            raise error

    def _runs(self, name: str) -> bool:
        service = self._actor.fleet.services[name]
        return service.goal is Goal.RUN and service.failure is None and service.as_wanted

    def _change(self, name: str) -> Change:
        target = self._actor.fleet.services[name].target
        return Change(install=target is not None and not target.revision.launch)

    def _closure(self, service: str) -> Iterable[str]:
        found: dict[str, None] = {}
        waiting = [service]
        while waiting:
            name = waiting.pop()
            current = self._actor.fleet.services.get(name)
            if name in found or current is None or current.target is None:
                continue
            found[name] = None
            waiting += [other for other, _ in current.target.revision.depends_on]
        return found


class _Turn:
    """The time in which one deploy is prepared and begun: no other one is."""

    def __init__(self, fleet: FleetController, deploy: str) -> None:
        self._fleet = fleet
        self._deploy = deploy

    async def __aenter__(self) -> None:
        await self._fleet._take_turn(self._deploy)

    async def __aexit__(self, *exception: object) -> None:
        self._fleet._one_at_a_time.release()


def restore_configs(rows: Mapping[tuple[str, int], tuple[str, Any]]) -> dict[tuple[str, int], Service]:
    """Read the configurations of revisions back."""
    from backstay.config import Service

    return {key: Service.model_validate_json(config) for key, (config, _) in rows.items()}
