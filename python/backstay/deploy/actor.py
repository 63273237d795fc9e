"""The acting side: it feeds decisions with what happens, and carries out what they answer, in order.

One `Actor` to a fleet, on the event loop; nothing here waits. What takes long (installations, the disk) is
a task whose outcome comes back as an input.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from backstay.config.templates import TemplateError
from backstay.deploy import actions as act
from backstay.deploy import gauges, parallelism
from backstay.deploy.admission import wish_of
from backstay.deploy.blueprints import Blueprints
from backstay.deploy.decide import decide
from backstay.deploy.inputs import Begin, Input, Load, Tick
from backstay.deploy.installing import Installations
from backstay.deploy.outcomes import Outcomes
from backstay.deploy.records import Records
from backstay.engines.events import AdoptedAll, Failed, KeeperLost, ServerReady, Stopped, parse
from backstay.errors import ResourceError
from backstay.packages import diagnose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backstay.deploy.admission import LeaseBook
    from backstay.deploy.inputs import Installed, InstallFailed
    from backstay.deploy.installing import Installer
    from backstay.deploy.journal import Journal
    from backstay.deploy.state import Fleet, Revision
    from backstay.deploy.status import DeployResult
    from backstay.engines.base import Engine
    from backstay.state import Store

__all__ = ["Actor"]


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
        self.fleet = fleet
        self.blueprints = Blueprints(book, environ, gateway_url)
        self.installations = Installations(installer, self.blueprints, store, journal)
        self.outcomes = Outcomes()
        self.records = Records(store, journal, book, lambda: self.fleet)
        self.adopted = asyncio.Event()
        self.keeper_lost = asyncio.Event()
        self.on_finish: Callable[[DeployResult], None] = lambda result: None
        self._inputs: deque[Input] = deque()
        self._remembering: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected
        self._busy = False
        self._remote: set[str] = set()  # instances that no process runs: nothing of them is the engine's
        self._load_at = 0.0
        self._showing: asyncio.TimerHandle | None = None

    # Inputs

    def deliver(self, events: list[dict[str, Any]]) -> None:
        """Take the engine's events: record them, and decide on them."""
        for raw in events:
            raw = _with_cure(raw)
            fields = {key: value for key, value in raw.items() if key not in ("seq", "kind", "at")}
            self.journal.record(raw["kind"], at=raw.get("at"), **fields)
            event = parse(raw)
            self.feed(event)
            if isinstance(event, ServerReady) and event.era:
                self._remember_era(event.instance, event.era)
            if isinstance(event, AdoptedAll):
                self.adopted.set()
            elif isinstance(event, KeeperLost):
                self.keeper_lost.set()

    def _remember_era(self, instance: str, era: str) -> None:
        task = asyncio.ensure_future(self.blueprints.era_found(self.fleet, instance, era))
        self._remembering.add(task)
        task.add_done_callback(self._remembering.discard)

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
        async with self.records.writing:
            self._busy = True  # what happens meanwhile waits
            try:
                fleet, actions = decide(self.fleet, begin, time.monotonic())
                await accept(fleet)
                self.outcomes.expect(begin.deploy)
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
            self.records.service_changed()
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
                self.installations.begin(service, revision, lambda: self.fleet, self._installed)
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
                self.engine.set_routes(self.blueprints.routes(self.fleet))
            case act.Wake(service=service, delay=delay):
                asyncio.get_running_loop().call_later(delay, self.feed, Tick(service))
            case act.Settle(service=service):
                self.settle_leases(service)
            case act.Forget(service=service):
                self._forget(service)
            case act.Tell():
                self._tell(action)
            case act.TellRollback(service=service, refused=refused, to=to, failure=failure):
                self.records.service_changed(service)
                fields: dict[str, Any] = {"from": refused, "to": to, "reason": failure.reason}
                self.journal.record("service.rolled_back", service=service, **fields)
            case act.TellRollout(service=service, batch=batch):
                self.records.service_changed(service)
                self.journal.record(
                    "service.rollout",
                    service=service,
                    revision=action.revision,
                    batch=list(batch),
                    done=action.done,
                    total=action.total,
                )
            case act.Finish(result=result):
                self._finish(result)

    def _tell(self, told: act.Tell) -> None:
        self.records.service_changed(told.service)
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
        service = self.blueprints.configs[revision.service, revision.number]
        try:
            # It was admitted with its deploy; one that ended since has given its leases back.
            self.book.admit({instance: wish_of(service, revision)}, probe=False)
            self.records.leases_changed([instance])
            spec = self.blueprints.spec(instance, revision, self.fleet)
        except KeyError as error:
            self.feed(Failed(instance, f"the variable {error} that holds a secret is not set"))
        except (TemplateError, OSError, ResourceError) as error:
            self.feed(Failed(instance, str(error), hint=getattr(error, "hint", None)))
        else:
            self.engine.start(spec)

    def _installed(self, outcome: Installed | InstallFailed) -> None:
        self.feed(outcome)
        self.records.service_changed(outcome.service)

    def settle_leases(self, name: str) -> None:
        """Let a service that has come to rest hold what it needs now, and no more."""
        self.records.service_changed(name)
        service = self.fleet.services.get(name)
        if service is not None:
            self.records.leases_changed(self.book.settle(service))

    def _forget(self, service: str) -> None:
        held = self.book.held_by(service)
        for instance in held:
            self.book.release(instance)
        self.records.leases_changed(held)
        self.blueprints.forget(service)
        self.records.service_changed(service)

    def reroute_as_remembered(self) -> None:
        """Give the gateway the routes of the former daemon, before its instances are told of one by one."""
        self.engine.set_routes(self.blueprints.routes_as_remembered(self.fleet))

    # Ends

    def _finish(self, result: DeployResult) -> None:
        self.journal.record("deploy.finished", **result.model_dump(mode="json"))
        self.records.service_changed()
        self.on_finish(result)
        self.outcomes.ended(result)

    async def finished(self, deploy: str) -> DeployResult | None:
        """Wait for the end of a deploy; none if nobody knows it."""
        if self.fleet.deploy and self.fleet.deploy.id == deploy:  # a former daemon may have begun it
            self.outcomes.expect(deploy)
        return await self.outcomes.of(deploy)

    async def idle(self) -> None:
        """Wait until no deploy is under way."""
        while self.fleet.deploy is not None:
            await self.finished(self.fleet.deploy.id)


def _with_cure(raw: dict[str, Any]) -> dict[str, Any]:
    """Add what is known to help against the last words of an instance."""
    if not raw.get("tail") or raw.get("hint"):
        return raw
    diagnosis = diagnose(raw["tail"])
    return {**raw, "hint": f"{diagnosis.cause}: {diagnosis.hint}"} if diagnosis else raw
