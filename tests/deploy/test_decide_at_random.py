"""Decisions on random fleets with failures at random places: what must hold whatever happens."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from backstay.config.loading import load
from backstay.deploy import actions as act
from backstay.deploy.admission import LeaseBook
from backstay.deploy.inputs import Change
from backstay.deploy.observe import service_state
from backstay.deploy.routing import RouteTable
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import (
    Condition,
    Failure,
    Goal,
    Limits,
    Need,
    Order,
    Pace,
    Phase,
    Revision,
    Stage,
)
from backstay.deploy.status import State
from backstay.deploy.wanted import Wanted
from backstay.engines.simulated import Behaviour
from backstay.engines.spec import InstanceSpec, Restart
from backstay.errors import DoesNotFit
from backstay.ledger import Ledger, Ports
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st

if TYPE_CHECKING:
    from backstay.config import Service
    from backstay.deploy.state import Fleet
    from backstay.engines.spec import Routes

MANY = settings(
    max_examples=int(os.environ.get("BACKSTAY_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Shrinking a fleet takes minutes; a plot that fails is small enough to read.
    phases=(HypothesisPhase.explicit, HypothesisPhase.reuse, HypothesisPhase.generate),
)

CONDITIONS: tuple[Condition, ...] = (
    "service_started",
    "service_healthy",
    "service_completed_successfully",
)


@dataclass(frozen=True)
class Plot:
    """Two stack files, one after the other, and which revisions misbehave how."""

    first: dict[str, Wanted]
    second: dict[str, Wanted]
    behaviours: dict[tuple[str, int], Behaviour]
    refused_installs: frozenset[tuple[str, int]]
    limits: Limits
    atomic: bool

    def simulation(self) -> Simulation:
        def script(spec: InstanceSpec, attempt: int) -> Behaviour:
            job = self.facts(spec.service, spec.revision).job
            usual = Behaviour(exits_after=1.0, exit_code=0) if job else Behaviour()
            chosen = self.behaviours.get((spec.service, spec.revision), usual)
            if job and chosen.exits_after is None:
                return replace(chosen, exits_after=5.0)  # a job that never ends is waited for
            return chosen

        def installer(service: str, revision: Revision) -> Failure | float:
            refused = (service, revision.number) in self.refused_installs
            return Failure("no such package") if refused else 0.3

        return Simulation(
            script=script,
            installer=installer,
            limits=self.limits,
            restart=lambda name: Restart("no" if (self.first | self.second)[name].revision.job else "always"),
        )

    def facts(self, service: str, number: int) -> Revision:
        return (self.first | self.second)[service].revision


BEHAVIOURS = st.one_of(
    st.builds(Behaviour, spawns=st.just(False)),
    st.builds(Behaviour, ready_after=st.none(), exits_after=st.floats(0.01, 2), exit_code=st.just(1)),
    st.builds(Behaviour, speaks_after=st.sampled_from([None, 0.5, 1e6]), ready_after=st.just(0.2)),
    st.builds(Behaviour, ready_after=st.none()),
    st.builds(Behaviour, exits_after=st.floats(0.3, 8), exit_code=st.integers(0, 1)),
    st.builds(Behaviour, ready_after=st.floats(0, 20), stops_within=st.floats(0, 20)),
)


PACES = st.builds(
    Pace,
    parallelism=st.integers(0, 3),
    delay=st.sampled_from([0.0, 3.0]),
    monitor=st.sampled_from([0.0, 0.2, 5.0]),
    failure_action=st.sampled_from(["rollback", "pause", "continue"]),
    max_failure_ratio=st.sampled_from([0.0, 0.4, 1.0]),
    order=st.sampled_from(list(Order)),
)


@st.composite
def stacks(draw: st.DrawFn, names: list[str]) -> dict[str, Wanted]:
    """A stack: services that depend on some of those before them."""
    wanted: dict[str, Wanted] = {}
    for place, name in enumerate(names):
        if draw(st.integers(0, 5)) == 0:
            continue
        before = [other for other in names[:place] if other in wanted]
        depends_on = {}
        for other in draw(st.lists(st.sampled_from(before), max_size=3, unique=True)) if before else []:
            job = wanted[other].revision.job
            depends_on[other] = CONDITIONS[2] if job else draw(st.sampled_from(CONDITIONS[:2]))
        kind = draw(st.sampled_from(["server", "http", "probed", "plain", "job"]))
        if name.startswith("job"):
            kind = "job"
        elif kind == "job":
            kind = "plain"
        revision = Revision(
            name,
            0,
            fingerprint=draw(st.sampled_from(["a", "b", "c"])) + kind,
            server=kind in ("server", "http"),
            http=kind == "http",
            installs=kind == "server",
            probe=kind in ("probed", "http"),
            job=kind == "job",
            depends_on=tuple(depends_on.items()),
            update=draw(PACES),
            rollback=draw(PACES),
            start_timeout=draw(st.sampled_from([5.0, 30.0])),
            need=Need(milli_cpus=draw(st.sampled_from([0, 100, 250, 333]))),
        )
        replicas = 1 if kind == "job" else draw(st.integers(1, 3))
        follows = frozenset(other for other in depends_on if draw(st.booleans()))
        wanted[name] = Wanted(revision, replicas, follows)
    return wanted


@st.composite
def plots(draw: st.DrawFn) -> Plot:
    names = [f"{'job' if n % 5 == 4 else 's'}{n}" for n in range(draw(st.integers(1, 9)))]
    keys = st.tuples(st.sampled_from(names), st.integers(1, 2))
    return Plot(
        first=draw(stacks(names)),
        second=draw(stacks(names)),
        behaviours=draw(st.dictionaries(keys, BEHAVIOURS, max_size=4)),
        refused_installs=draw(st.frozensets(keys, max_size=2)),
        limits=Limits(draw(st.integers(1, 5)), draw(st.integers(1, 3))),
        atomic=draw(st.booleans()),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A server over stdio, whatever its name."""
    file = tmp_path_factory.mktemp("stack") / "backstay.yaml"
    file.write_text("services: {a: {command: x, mcp: {transport: stdio}}}")
    return load([file], environ={}).services["a"]


def running(simulation: Simulation) -> dict[str, int]:
    return {
        name: run.spec.revision
        for name, run in simulation.engine.running.items()
        if run.state in ("starting", "ready", "backoff")
    }


def check_starts(simulation: Simulation, action: act.Action) -> None:
    """No instance starts before what it depends on is far enough, nor beside another of its name."""
    if not isinstance(action, act.Start):
        return
    run = simulation.engine.running.get(action.instance)
    assert run is None or run.state in ("stopped", "failed", "completed"), "started twice"
    for name, condition in action.revision.depends_on:
        if simulation.fleet.services[action.revision.service].refused is not None:
            continue  # it goes back to what it was, and what that stood on may have left
        dependency = simulation.fleet.services[name]
        instances = dependency.instances.values()
        assert instances, f"{action.instance} started without {name}"
        assert not (dependency.failure and not dependency.alive and dependency.refused is None)
        if condition == "service_completed_successfully":
            assert all(i.phase is Phase.COMPLETED for i in instances)


@MANY
@given(plots())
def test_nothing_starts_before_what_it_depends_on(plot: Plot):
    simulation = plot.simulation()
    simulation.watch = check_starts
    simulation.up(plot.first, atomic=plot.atomic)
    simulation.up(plot.second, atomic=plot.atomic)


@MANY
@given(plots())
def test_every_deploy_ends_and_names_what_is_not_as_asked(plot: Plot):
    simulation = plot.simulation()
    for wanted in (plot.first, plot.second):
        result = simulation.up(wanted, atomic=False)
        for name, want in wanted.items():
            found = simulation.fleet.services[name]
            assert found.target is not None
            as_asked = found.as_wanted and found.target.revision.fingerprint == want.revision.fingerprint
            assert as_asked or name in result.failed or name in result.waiting
            assert found.stage in (Stage.SETTLED, Stage.WAITING)
        assert result.ok == (not result.failed and not result.waiting)
        assert set(simulation.fleet.services) == set(wanted)


@MANY
@given(plots(), st.booleans())
def test_the_gateway_is_given_all_that_changed(server: Service, plot: Plot, atomic: bool):
    """A table that makes only what has changed is the one made of the whole fleet anew."""
    kept, last, served = RouteTable(), None, {}

    def table(of: RouteTable, fleet: Fleet) -> Routes:
        return of.of(fleet, None, lambda *_: server, lambda _: {}, lambda *_: {}, lambda *_: None)

    def watch(simulation: Simulation, action: act.Action) -> None:
        nonlocal last
        if not isinstance(action, act.Route):
            return
        found, whole = table(kept, simulation.fleet), table(RouteTable(), simulation.fleet)
        assert found == whole
        told = json.loads(found.dump(since=last))
        if last is None:
            served.clear()
        for name in told.get("gone", ()):
            del served[name]
        served.update({route["service"]: route for route in told["servers"]})
        assert served == {route["service"]: route for route in json.loads(whole.dump())["servers"]}
        last = found

    simulation = plot.simulation()
    simulation.watch = watch
    simulation.up(plot.first, atomic=atomic)
    simulation.up(plot.second, atomic=atomic)
    simulation.rest(600)


@MANY
@given(plots())
def test_a_second_up_is_a_no_op(plot: Plot):
    simulation = plot.simulation()
    if simulation.up(plot.first).ok:
        simulation.done.clear()
        simulation.up(plot.first)
        touching = (act.Start, act.Stop, act.Restart, act.Remove)
        assert not [a for _, a in simulation.done if isinstance(a, touching)]


@MANY
@given(plots())
def test_the_last_good_revision_runs_on_when_the_next_one_fails(plot: Plot):
    simulation = plot.simulation()
    simulation.up(plot.first)
    good = {name: found.good for name, found in simulation.fleet.services.items() if found.good}
    result = simulation.up(plot.second)
    for name in result.rolled_back:
        found = simulation.fleet.services[name]
        assert found.good is not None
        assert found.target is not None
        assert found.target.key == found.good.key == good[name].key


@MANY
@given(plots())
def test_atomic_is_all_or_nothing(plot: Plot):
    simulation = plot.simulation()
    simulation.up(plot.first)
    simulation.rest(600)
    before = {name: found.target for name, found in simulation.fleet.services.items()}
    result = simulation.up(plot.second, atomic=True)
    after = {name: found.target for name, found in simulation.fleet.services.items()}
    if result.ok:
        assert set(after) == set(plot.second)
        for name, want in plot.second.items():
            assert after[name].revision.fingerprint == want.revision.fingerprint
    else:
        assert {n: p.key for n, p in after.items()} == {n: p.key for n, p in before.items()}
        wanted_names = {name for p in before.values() for name in p.names}
        assert set(running(simulation)) <= wanted_names


@MANY
@given(plots(), st.integers(0, 60))
def test_down_at_any_moment_leaves_nothing(plot: Plot, moment: int):
    simulation = plot.simulation()
    simulation.up(plot.first)
    simulation.begin(plot.second)
    for _ in range(moment):
        simulation.engine.step()
    order: list[str] = []
    simulation.watch = lambda _, a: order.append(a.instance) if isinstance(a, act.Stop) else None
    down = {name: Change(goal=Goal.STOP) for name in simulation.fleet.services}
    assert simulation.finish(simulation.change("down", down)).ok
    simulation.rest(600)
    assert running(simulation) == {}
    assert all(not found.alive for found in simulation.fleet.services.values())
    assert simulation.engine.running == {}


@MANY
@given(plots(), st.integers(0, 80))
def test_a_daemon_that_dies_at_any_moment_is_replaced_by_one_that_goes_on(plot: Plot, moment: int):
    simulation = plot.simulation()
    simulation.up(plot.first)
    simulation.begin(plot.second)
    for _ in range(moment):
        simulation.engine.step()
    alive = running(simulation)
    services = {
        n: replace(s, instances={}, stage=Stage.SETTLED) for n, s in simulation.fleet.services.items()
    }
    knows = replace(
        simulation.fleet,
        services=services,
        adopting=True,
        queue=(),
        install_queue=(),
        installing=frozenset(),
        starting={},
        busy=0,
    )
    pids = {name: simulation.engine.running[name].pid for name in alive}
    simulation.replace_daemon(knows)
    kept = {n for n, run in simulation.engine.running.items() if pids.get(n) == run.pid}
    assert kept == set(alive), "nothing is started twice or ended by the takeover itself"
    simulation.rest(2000)
    assert simulation.fleet.deploy is None
    for name in simulation.engine.running:
        owner = simulation.fleet.services.get(name.rpartition(".")[0])
        assert owner is not None
        assert name in owner.instances


@MANY
@given(plots(), st.integers(0, 60))
def test_what_runs_holds_its_leases_and_what_ended_gave_them_back(plot: Plot, moment: int):
    simulation = plot.simulation()
    simulation.book = book = LeaseBook(Ledger(cpus=4), Ports(22000, 22009))

    def watch(simulation: Simulation, action: act.Action) -> None:
        usage = book.ledger.usage()
        assert usage.used.cpus <= 4
        if isinstance(action, act.Start):
            assert book.need(action.instance).milli_cpus >= action.revision.need.milli_cpus

    simulation.watch = watch
    for wanted in (plot.first, plot.second):
        before = book.dump()
        try:
            deploy = simulation.begin(wanted, atomic=plot.atomic)
        except DoesNotFit:
            assert book.dump() == before, "what is refused has started nothing"
            continue
        simulation.finish(deploy)
    for _ in range(moment):
        simulation.engine.step()
    for _name, found in simulation.fleet.services.items():
        for instance in found.instances.values():
            if not instance.phase.alive:
                continue
            held, needed = book.need(instance.name).milli_cpus, instance.revision.need.milli_cpus
            assert held >= needed, f"{instance.name} runs on less than it needs"
            # What waits to be replaced holds the greater of both.
            assert held == needed or found.stage is Stage.WAITING, f"{instance.name} holds too much"
    down = {name: Change(goal=Goal.STOP) for name in simulation.fleet.services}
    simulation.finish(simulation.change("down", down))
    assert book.ledger.holders() == {}


@MANY
@given(plots())
def test_states_settle(plot: Plot):
    """After a deploy nothing is left `installing` or `stopping`, and what is ready says so."""
    simulation = plot.simulation()
    simulation.up(plot.first)
    simulation.rest(600)
    for found in simulation.fleet.services.values():
        assert service_state(found) not in (State.INSTALLING, State.STOPPING)
        if found.as_wanted and found.failure is None:
            assert service_state(found) in (State.READY, State.COMPLETED)
