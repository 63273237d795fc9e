"""The acting side: it feeds decisions with what happens, and carries out what they answer, in order.

One `Actor` to a fleet, on the event loop; nothing here waits. What takes long (installations, the disk) is
a task whose outcome comes back as an input.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backstay.config.templates import TemplateError
from backstay.deploy import actions as act
from backstay.deploy import build, gauges, parallelism
from backstay.deploy.admission import wish_of
from backstay.deploy.decide import decide
from backstay.deploy.inputs import Begin, Input, Installed, InstallFailed, Load, Tick
from backstay.deploy.memory import dump_deploy, dump_service
from backstay.deploy.routing import routes
from backstay.deploy.state import Failure, Fleet, Instance, Placement, Revision
from backstay.engines.events import AdoptedAll, Failed, KeeperLost, Stopped, parse
from backstay.errors import BackstayError, PackageError, ResourceError
from backstay.packages import diagnose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backstay.config import Service, Stack
    from backstay.config.render import Values
    from backstay.deploy.admission import LeaseBook
    from backstay.deploy.journal import Journal
    from backstay.deploy.status import DeployResult
    from backstay.engines.base import Engine
    from backstay.state import Store

    Installer = Callable[[Service, Callable[[str], None]], Awaitable[build.Launched]]

__all__ = ["Actor"]

SAVE_AFTER = 0.02
"""Seconds in which changes of recorded state are gathered into one write."""


class Actor:
    """One fleet in the hands of its daemon."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: Store,
        journal: Journal,
        book: LeaseBook,
        installer: Installer,
        environ: Mapping[str, str],
        fleet: Fleet,
        gateway_url: str = "",
    ) -> None:
        self.engine = engine
        self.store = store
        self.journal = journal
        self.book = book
        self.environ = dict(environ)
        self.fleet = fleet
        self.stack: Stack | None = None
        self.results: dict[str, DeployResult] = {}
        self.configs: dict[tuple[str, int], Service] = {}
        self.launched: dict[tuple[str, int], build.Launched] = {}
        self.adopted = asyncio.Event()
        self.keeper_lost = asyncio.Event()
        self.gateway_url = gateway_url
        self.on_finish: Callable[[DeployResult], None] = lambda result: None
        self._installer = installer
        self._inputs: deque[Input] = deque()
        self._busy = False
        # Held while a deploy is made durable and taken over: a record of the state before it that was written
        # after it would undo it for the next daemon.
        self._writing = asyncio.Lock()
        self._remote: set[str] = set()  # instances that no process runs: nothing of them is the engine's
        self._changed: set[str] = set()
        self._changed_leases: set[str] = set()
        self._saving: asyncio.Task[None] | None = None
        self._installs: set[asyncio.Task[None]] = set()
        self._load_at = 0.0
        self._showing: asyncio.TimerHandle | None = None
        self._finished: dict[str, asyncio.Event] = {}

    # Inputs

    def deliver(self, events: list[dict[str, Any]]) -> None:
        """Take the engine's events: record them, and decide on them."""
        for raw in events:
            raw = _with_cure(raw)
            fields = {key: value for key, value in raw.items() if key not in ("seq", "kind", "at")}
            self.journal.record(raw["kind"], at=raw.get("at"), **fields)
            event = parse(raw)
            self.feed(event)
            if isinstance(event, AdoptedAll):
                self.adopted.set()
            elif isinstance(event, KeeperLost):
                self.keeper_lost.set()

    def feed(self, event: Input) -> None:
        """Decide on an input and carry out what follows; inputs that come of that wait for their turn."""
        self._inputs.append(event)
        if not self._busy:
            self._take_turns()

    def _take_turns(self) -> None:
        """Decide on all that waits, and on what comes of it."""
        self._busy = True
        try:
            while self._inputs:
                self._turn(self._inputs.popleft())
        finally:
            self._busy = False

    async def begin(self, begin: Begin, accept: Callable[[Fleet], Awaitable[None]]) -> None:
        """Begin a deploy: what it makes of the fleet is durable (`accept`) before any of it takes effect.

        Raises:
            StateError: it could not be made durable; nothing has changed.
        """
        async with self._writing:
            self._busy = True  # what happens meanwhile waits
            try:
                fleet, actions = decide(self.fleet, begin, time.monotonic())
                await accept(fleet)
                self._finished[begin.deploy] = asyncio.Event()
                self._take(fleet, actions)
            finally:
                self._busy = False
                # What arrived while the disk was written is decided on now.
                waiting, self._inputs = self._inputs, deque()
                for event in waiting:
                    self.feed(event)
        self._mind_the_load()
        # Nobody else may ever come to decide on what waited meanwhile.
        self._take_turns()

    def _turn(self, event: Input) -> None:
        fleet, actions = decide(self.fleet, event, time.monotonic())
        self._take(fleet, actions)
        self._mind_the_load()

    def _take(self, fleet: Fleet, actions: tuple[act.Action, ...]) -> None:
        if fleet.deploy is not self.fleet.deploy:
            self._save_soon()
        self.fleet = fleet
        for action in actions:
            self._carry_out(action)
        self._show_soon()

    def _show_soon(self) -> None:
        """Bring the series of `/metrics` up to date, once for all that changes until then."""
        if self._showing is None:
            self._showing = asyncio.get_running_loop().call_later(gauges.DELAY, self._show)

    def _show(self) -> None:
        self._showing = None
        for row in gauges.series(self.fleet, self.book):
            self.engine.gauge(*row)

    def _mind_the_load(self) -> None:
        """Ask the machine again how much it bears, while something waits for that."""
        waiting = self.fleet.queue or self.fleet.install_queue
        now = time.monotonic()
        if not waiting or now - self._load_at < 0.1:
            return
        self._load_at = now
        limits = parallelism.limits(parallelism.read(own=len(self.fleet.starting)))
        if limits != self.fleet.limits:
            self.feed(Load(limits))

    # Actions

    def _carry_out(self, action: act.Action) -> None:
        match action:
            case act.Install(service=service, revision=revision):
                task = asyncio.get_running_loop().create_task(self._install(service, revision))
                self._installs.add(task)
                task.add_done_callback(self._installs.discard)
            case act.Start(instance=instance, revision=revision):
                self._start(instance, revision)
            case act.Stop(instance=instance):
                if instance in self._remote:
                    self.feed(Stopped(instance))
                else:
                    self.engine.stop(instance)
            case act.Restart(instance=instance):
                self.engine.restart(instance)
            case act.Remove(instance=instance):
                if instance in self._remote:
                    self._remote.discard(instance)
                else:
                    self.engine.remove(instance)
            case act.Connect(instance=instance):
                self.engine.connect(instance)
            case act.Route():
                self.reroute()
            case act.Wake(service=service, delay=delay):
                asyncio.get_running_loop().call_later(delay, self.feed, Tick(service))
            case act.Settle(service=service):
                self.settle_leases(service)
            case act.Forget(service=service):
                self._forget(service)
            case act.Tell():
                self._tell(action)
            case act.TellRollback(service=service, refused=refused, to=to, failure=failure):
                self._save_soon(service)
                fields: dict[str, Any] = {"from": refused, "to": to, "reason": failure.reason}
                self.journal.record("service.rolled_back", service=service, **fields)
            case act.Finish(result=result):
                self._finish(result)

    def _tell(self, told: act.Tell) -> None:
        self._save_soon(told.service)
        self.journal.record(
            "service.state",
            service=told.service,
            state=told.state.value,
            was=told.was.value if told.was else None,
            revision=told.revision,
            reason=told.reason,
            hint=told.hint,
        )

    def _start(self, instance: str, revision: Revision) -> None:
        if not revision.process:
            self._remote.add(instance)
            return
        key = (revision.service, revision.number)
        service = self.configs[key]
        try:
            # It was admitted with its deploy; one that ended since has given its leases back.
            self.book.admit({instance: wish_of(service, revision)}, probe=False)
            self._changed_leases.add(instance)
            values = self.values(service, instance)
            launched = self.launched.get(key, build.Launched())
            spec = build.instance_spec(service, revision, values, launched, self.environ)
        except KeyError as error:
            self.feed(Failed(instance, f"the variable {error} that holds a secret is not set"))
        except (TemplateError, OSError, ResourceError) as error:
            self.feed(Failed(instance, str(error), hint=getattr(error, "hint", None)))
        else:
            self.engine.start(spec)

    def values(self, service: Service, instance: str) -> Values:
        """Gather what the templates of an instance may name."""
        assert self.stack is not None
        return build.values_for(
            service,
            self.stack,
            instance,
            ports=self.book.ports(instance),
            services=self.port_table(),
            environ=self.environ,
            gateway_url=self.gateway_url,
        )

    def port_table(self) -> dict[str, dict[str, int]]:
        """Give the ports of every service's first instance."""
        return {
            name: self.book.ports(service.target.names[0])
            for name, service in self.fleet.services.items()
            if service.target and service.target.names
        }

    def reroute(self) -> None:
        """Give the gateway the routes as they are now."""
        table = routes(self.fleet, self.stack, self.config_of, self.book.ports, self._headers)
        self.engine.set_routes(table)

    def reroute_as_remembered(self) -> None:
        """Give the gateway the routes of the former daemon, before its instances are told of one by one."""
        remembered = {}
        for name, service in self.fleet.services.items():
            instances = {
                instance: Instance(instance, placement.revision)
                for placement in (service.good, service.target)
                if placement
                for instance in placement.names
            }
            remembered[name] = replace(service, instances=instances)
        fleet = replace(self.fleet, services=remembered)
        table = routes(fleet, self.stack, self.config_of, self.book.ports, self._headers)
        self.engine.set_routes(table)

    def config_of(self, service: str, number: int) -> Service | None:
        """Give the configuration of a revision."""
        return self.configs.get((service, number))

    def _headers(self, service: Service, instance: str) -> dict[str, str]:
        try:
            return build.remote_headers(service, self.values(service, instance))
        except (TemplateError, OSError, KeyError):
            return {}  # the start of the instance says what is missing

    # Leases

    def settle_leases(self, name: str) -> None:
        """Let a service that has come to rest hold what it needs now, and no more."""
        self._save_soon(name)
        service = self.fleet.services.get(name)
        if service is not None:
            self._changed_leases.update(self.book.settle(service))

    def _forget(self, service: str) -> None:
        for instance in self.book.held_by(service):
            self._changed_leases.add(instance)
            self.book.release(instance)
        self.configs = {key: value for key, value in self.configs.items() if key[0] != service}
        self._save_soon(service)

    # Installations

    async def _install(self, name: str, revision: Revision) -> None:
        service = self.configs[name, revision.number]

        def progress(line: str) -> None:
            self.journal.record("service.installing", service=name, line=line)

        try:
            launched = await self._installer(service, progress)
        except asyncio.CancelledError:
            raise
        except PackageError as error:
            failure = Failure(str(error), error.hint, error.tail or None)
            self.feed(InstallFailed(name, revision.number, failure))
        except (BackstayError, OSError) as error:
            failure = Failure(str(error), getattr(error, "hint", None))
            self.feed(InstallFailed(name, revision.number, failure))
        else:
            await self._installed(name, revision, launched)

    async def _installed(self, name: str, revision: Revision, launched: build.Launched) -> None:
        fingerprint = _fingerprint(launched)
        service = self.fleet.services.get(name)
        if service is None or service.target is None:
            return
        number, placement = revision.number, None
        if revision.launch and revision.launch != fingerprint:
            # The same configuration, but another program: its source or its lock has changed.
            number = service.last_number + 1
            fresh = replace(revision, number=number, launch=fingerprint)
            placement = Placement(fresh, service.target.names)
            self.configs[name, number] = self.configs[name, revision.number]
            config = self.configs[name, number].model_dump_json()
            await self.store.accept(facts={}, revisions=[(name, number, config, time.time())])
        self.launched[name, number] = launched
        await self.store.set_launch(name, number, launched.dump())
        self.feed(Installed(name, revision.number, fingerprint, placement))
        self._save_soon(name)

    def cancel_installs(self) -> None:
        """End installations: nothing of them is wanted any more."""
        for task in tuple(self._installs):
            task.cancel()

    # Ends

    def _finish(self, result: DeployResult) -> None:
        self.results[result.deploy] = result
        while len(self.results) > 1000:
            del self.results[next(iter(self.results))]
        self.journal.record("deploy.finished", **result.model_dump(mode="json"))
        self._save_soon()
        self.on_finish(result)
        finished = self._finished.pop(result.deploy, None)
        if finished:
            finished.set()

    async def finished(self, deploy: str) -> DeployResult | None:
        """Wait for the end of a deploy; none if nobody knows it."""
        waiting = self._finished.get(deploy)
        if waiting is None and self.fleet.deploy and self.fleet.deploy.id == deploy:
            waiting = self._finished.setdefault(deploy, asyncio.Event())
        if waiting is not None:
            await waiting.wait()
        return self.results.get(deploy)

    async def idle(self) -> None:
        """Wait until no deploy is under way."""
        while self.fleet.deploy is not None:
            await self.finished(self.fleet.deploy.id)

    # What is recorded

    def _save_soon(self, service: str | None = None) -> None:
        if service is not None:
            self._changed.add(service)
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def _save(self) -> None:
        await asyncio.sleep(SAVE_AFTER)
        await self.save()

    async def save(self) -> None:
        """Record what has changed."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        changed, self._changed = self._changed, set()
        leases, self._changed_leases = self._changed_leases, set()
        services = self.fleet.services
        held = self.book.holders()
        try:
            await self.store.save(
                services={
                    name: dump_service(services[name]) if name in services else None for name in changed
                },
                leases={name: self.book.dump_one(name) if name in held else None for name in leases},
                facts={"deploy": dump_deploy(self.fleet.deploy)},
            )
        except BackstayError as error:
            # It is only a record: decisions go on, and the next change tries again.
            self._changed |= changed
            self._changed_leases |= leases
            self.journal.record("state.not_written", reason=str(error), hint=error.hint)


def _fingerprint(launched: build.Launched) -> str:
    text = json.dumps(launched.dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_cure(raw: dict[str, Any]) -> dict[str, Any]:
    """Add what is known to help against the last words of an instance."""
    if not raw.get("tail") or raw.get("hint"):
        return raw
    diagnosis = diagnose(raw["tail"])
    return {**raw, "hint": f"{diagnosis.cause}: {diagnosis.hint}"} if diagnosis else raw
