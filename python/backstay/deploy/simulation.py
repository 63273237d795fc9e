"""Decisions driven by the simulated engine, in virtual time: a whole deploy in a millisecond.

It carries out what `decide` asks for as `fleet` does, without processes, files or a clock. Tests run it by
the thousand; it also answers what a deploy would do before one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.deploy import actions as act
from backstay.deploy.admission import LeaseBook, Wish, needs_of
from backstay.deploy.decide import decide
from backstay.deploy.inputs import Begin, Change, Input, Installed, InstallFailed, Load, Tick
from backstay.deploy.plan import Planned, changes
from backstay.deploy.state import Failure, Fleet, Limits, Revision
from backstay.engines.events import parse
from backstay.engines.simulated import Script, SimulatedEngine
from backstay.engines.spec import InstanceSpec, Probe, Restart

if TYPE_CHECKING:
    from backstay.deploy.status import DeployResult
    from backstay.deploy.wanted import Wanted

__all__ = ["Installer", "Simulation"]

Installer = Callable[[str, Revision], "Failure | float"]
"""Says how an installation goes: how long it takes, or why it fails."""
MAX_STEPS = 1_000_000


@dataclass
class Simulation:
    """One fleet, decided on and run in virtual time."""

    script: Script | None = None
    installer: Installer = lambda service, revision: 0.5
    limits: Limits = field(default_factory=lambda: Limits(starts=4, installs=4))
    restart: Callable[[str], Restart] = lambda service: Restart()
    fleet: Fleet = field(default_factory=Fleet)
    results: dict[str, DeployResult] = field(default_factory=dict)
    done: list[tuple[float, act.Action]] = field(default_factory=list)
    book: LeaseBook | None = None
    """What it may hold; without one it may hold anything."""
    watch: Callable[[Simulation, act.Action], None] | None = None
    """Called before each action is carried out: where tests look at invariants."""

    def __post_init__(self) -> None:
        """Begin with an empty fleet."""
        self.engine = SimulatedEngine(self.script)
        self.engine.subscribe(self._deliver)
        self.feed(Load(self.limits))
        self._deploys = 0

    def feed(self, event: Input) -> None:
        """Decide on one input and carry out what follows."""
        self.fleet, actions = decide(self.fleet, event, self.engine.now)
        for action in actions:
            if self.watch:
                self.watch(self, action)
            self.done.append((self.engine.now, action))
            self._carry_out(action)

    def plan(self, wanted: Mapping[str, Wanted]) -> dict[str, Planned]:
        """Say what an `up` would change."""
        return changes(self.fleet, wanted, {})

    def begin(self, wanted: Mapping[str, Wanted], *, atomic: bool = False) -> str:
        """Begin an `up`; time does not pass yet."""
        planned = self.plan(wanted)
        if self.book:
            wishes: dict[str, Wish] = {}
            for name, plan in planned.items():
                if atomic or not plan.change.leaving:
                    needs = needs_of(plan.change.target, self.fleet.services.get(name))
                    wishes |= {instance: Wish(need) for instance, need in needs.items()}
            self.book.admit(wishes)
        return self.change("up", {name: plan.change for name, plan in planned.items()}, atomic=atomic)

    def change(self, verb: str, wanted: Mapping[str, Change], *, atomic: bool = False) -> str:
        """Begin a deploy of any verb."""
        self._deploys += 1
        deploy = f"{verb}-{self._deploys}"
        self.feed(Begin(deploy, verb, wanted, atomic))
        return deploy

    def up(self, wanted: Mapping[str, Wanted], *, atomic: bool = False) -> DeployResult:
        """Bring the fleet to what is wanted, and let time pass until that has ended."""
        return self.finish(self.begin(wanted, atomic=atomic))

    def finish(self, deploy: str) -> DeployResult:
        """Let time pass until a deploy has ended."""
        for _ in range(MAX_STEPS):
            if deploy in self.results:
                return self.results[deploy]
            if not self.engine.step():
                raise RuntimeError(f"{deploy} never ends: nothing is due, and {self._stuck()}")
        raise RuntimeError(f"{deploy} never ends: {self._stuck()}")

    def rest(self, seconds: float = 120.0) -> None:
        """Let time pass."""
        self.engine.advance(seconds)

    def replace_daemon(self, fleet: Fleet) -> None:
        """A new daemon takes over, knowing `fleet` of the former one."""
        self.engine.close()
        self.fleet = fleet
        self.engine.subscribe(self._deliver)

    def _stuck(self) -> str:
        stages = {name: service.stage.value for name, service in self.fleet.services.items()}
        return f"services are at {stages}"

    def _deliver(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self.feed(parse(event))

    def _carry_out(self, action: act.Action) -> None:
        match action:
            case act.Install(service=service, revision=revision):
                self._install(service, revision)
            case act.Start(instance=instance, revision=revision):
                if revision.process:
                    self.engine.start(self._spec(instance, revision))
            case act.Stop(instance=instance):
                self.engine.stop(instance)
            case act.Restart(instance=instance):
                self.engine.restart(instance)
            case act.Remove(instance=instance):
                self.engine.remove(instance)
            case act.Connect(instance=instance):
                self.engine.connect(instance)
            case act.Wake(service=service, delay=delay):
                self.engine.at(delay, lambda: self.feed(Tick(service)))
            case act.Settle(service=service) if self.book and service in self.fleet.services:
                self.book.settle(self.fleet.services[service])
            case act.Forget(service=service) if self.book:
                for instance in self.book.held_by(service):
                    self.book.release(instance)
            case act.Finish(result=result):
                self.results[result.deploy] = result
            case _:
                pass

    def _install(self, service: str, revision: Revision) -> None:
        outcome = self.installer(service, revision)
        if isinstance(outcome, Failure):
            failed = InstallFailed(service, revision.number, outcome)
            self.engine.at(0.1, lambda: self.feed(failed))
            return
        launch = revision.launch or f"{revision.fingerprint}!"
        self.engine.at(outcome, lambda: self.feed(Installed(service, revision.number, launch)))

    def _spec(self, instance: str, revision: Revision) -> InstanceSpec:
        return InstanceSpec(
            name=instance,
            service=revision.service,
            revision=revision.number,
            argv=(revision.fingerprint,),
            env={},
            working_dir=Path("/"),
            stdio="mcp" if revision.server and not revision.http else "logs",
            restart=self.restart(revision.service),
            probe=Probe({"tcp": {"port": 1}}) if revision.probe else None,
        )
