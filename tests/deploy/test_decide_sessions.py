"""Decisions on instances that sessions have to themselves: as many as are wanted, up to a cap."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from backstay.deploy import actions as act
from backstay.deploy.inputs import Change
from backstay.deploy.observe import service_state
from backstay.deploy.sessions import CRAMPED_FOR
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Goal, Pool
from backstay.deploy.status import State
from backstay.engines.simulated import Behaviour
from backstay.engines.spec import Restart
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.deploy.scenario import SERVER, fleet, remembered, service, started, states, stopped

if TYPE_CHECKING:
    from backstay.deploy.wanted import Wanted
    from backstay.engines.spec import InstanceSpec


def memory(config: str = "a", spare: int = 1, most: int = 4, **facts: Any) -> dict[str, Wanted]:
    return fleet(service("m", config=config, replicas=spare, pool=Pool(spare, most), **SERVER, **facts))


def say(simulation: Simulation, kind: str, **fields: Any) -> None:
    """Let the gateway say something of its sessions; what is left over is stopped by its word."""
    simulation._deliver([{"kind": f"session.{kind}", "service": "m", **fields}])
    if kind == "spare":
        simulation.engine.stop(fields["instance"])
    simulation.rest(1)


def names(simulation: Simulation) -> list[str]:
    return sorted(i.name for i in simulation.fleet.services["m"].instances.values() if i.phase.alive)


def up(**script: Any) -> Simulation:
    simulation = Simulation(**script)
    assert simulation.up(memory()).ok
    return simulation


def test_only_the_spare_ones_run_while_there_is_no_session():
    assert names(up()) == ["m.1"]


def test_instances_are_started_as_sessions_want_them_and_never_beyond_the_cap():
    simulation = up()
    say(simulation, "wanted", instances=3)
    assert names(simulation) == ["m.1", "m.2", "m.3"]
    say(simulation, "wanted", instances=9)
    assert names(simulation) == ["m.1", "m.2", "m.3", "m.4"]
    assert simulation.fleet.deploy is None, "it is no deploy, and waits for none"


def test_one_that_is_left_over_ends_and_is_not_started_again():
    simulation = up()
    say(simulation, "wanted", instances=3)
    say(simulation, "spare", instance="m.2")
    simulation.rest()
    assert names(simulation) == ["m.1", "m.3"]
    assert simulation.fleet.services["m"].target.names == ("m.1", "m.3")
    say(simulation, "wanted", instances=3)
    assert names(simulation) == ["m.1", "m.2", "m.3"], "its name is free again"


def test_a_second_up_takes_no_session_s_instance_away():
    simulation = up()
    say(simulation, "wanted", instances=3)
    simulation.done.clear()
    assert simulation.up(memory()).ok
    assert started(simulation) == stopped(simulation) == []
    assert names(simulation) == ["m.1", "m.2", "m.3"]


def test_a_new_revision_replaces_them_all():
    simulation = up()
    say(simulation, "wanted", instances=3)
    assert simulation.up(memory("b")).ok
    assert {i.revision.number for i in simulation.fleet.services["m"].instances.values()} == {2}
    assert len(names(simulation)) == 3


def test_what_is_wanted_during_a_deploy_is_started_after_it():
    def slow(spec: InstanceSpec, attempt: int) -> Behaviour:
        return Behaviour(speaks_after=5.0) if spec.revision == 2 else Behaviour()

    simulation = up(script=slow)
    deploy = simulation.begin(memory("b"))
    say(simulation, "wanted", instances=2)
    assert len(started(simulation)) == 2, "the first one, and its next revision"
    assert simulation.finish(deploy).ok
    simulation.rest(10)
    assert len(names(simulation)) == 2


def test_what_is_left_over_as_a_deploy_begins_does_not_hold_it_up():
    simulation = up()
    say(simulation, "wanted", instances=2)
    deploy = simulation.begin(memory("b"))
    simulation._deliver([{"kind": "session.spare", "service": "m", "instance": "m.2"}])
    simulation.engine.stop("m.2")
    assert simulation.finish(deploy).ok
    assert {i.revision.number for i in simulation.fleet.services["m"].instances.values()} == {2}


def test_what_cannot_be_started_is_given_up_and_told_and_tried_again_later():
    broken = True

    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        return Behaviour(spawns=not (broken and spec.name == "m.2"))

    simulation = up(script=script, restart=lambda name: Restart("no"))
    say(simulation, "wanted", instances=2)
    found = simulation.fleet.services["m"]
    assert found.cramped == "no such program"
    assert names(simulation) == ["m.1"]
    assert service_state(found) is State.READY
    broken = False
    simulation.rest(CRAMPED_FOR + 1)
    assert simulation.fleet.services["m"].cramped is None
    assert names(simulation) == ["m.1", "m.2"]


def test_a_server_stays_ready_while_instances_come_and_go():
    simulation = up(script=lambda spec, attempt: Behaviour(speaks_after=2.0 if spec.name == "m.2" else 0.1))
    told = len([a for _, a in simulation.done if isinstance(a, act.Tell)])
    say(simulation, "wanted", instances=2)
    assert states(simulation) == {"m": State.READY}
    simulation.rest()
    assert len([a for _, a in simulation.done if isinstance(a, act.Tell)]) == told


def test_the_next_daemon_takes_over_every_instance_that_a_session_may_have():
    simulation = up()
    knows = remembered(simulation)
    say(simulation, "wanted", instances=3)  # and the daemon dies before it has written that down
    pids = {name: run.pid for name, run in simulation.engine.running.items()}
    simulation.done.clear()
    simulation.replace_daemon(knows)
    simulation.rest()
    assert {name: run.pid for name, run in simulation.engine.running.items()} == pids
    assert stopped(simulation) == started(simulation) == []
    assert set(simulation.fleet.services["m"].target.names) == {"m.1", "m.2", "m.3"}


def test_a_server_that_is_stopped_starts_with_the_spare_ones():
    simulation = up()
    say(simulation, "wanted", instances=3)
    assert simulation.finish(simulation.change("stop", {"m": Change(goal=Goal.STOP)})).ok
    assert names(simulation) == []
    say(simulation, "wanted", instances=3)
    assert names(simulation) == [], "nobody starts what was stopped"
    assert simulation.up(memory()).ok
    assert names(simulation) == ["m.1"]


def test_dependents_need_only_one_that_is_ready():
    simulation = up(script=lambda spec, attempt: Behaviour(speaks_after=30.0 if spec.name == "m.2" else 0.1))
    say(simulation, "wanted", instances=2)
    web = service("web", {"m": "service_healthy"})
    before = simulation.engine.now
    assert simulation.up(memory() | fleet(web)).ok
    assert simulation.engine.now - before < 5


HAPPENINGS = st.sampled_from(["wanted", "spare", "ended", "up", "daemon", "die", "time"])


@settings(max_examples=int(os.environ.get("BACKSTAY_EXAMPLES", "60")), deadline=None)
@given(st.lists(st.tuples(HAPPENINGS, st.integers(0, 5)), max_size=25))
@example([("wanted", 2), ("ended", 0), ("spare", 0)])
def test_whatever_sessions_and_deploys_do_it_comes_to_rest_within_the_cap(happenings: list[tuple[str, int]]):
    simulation = up()
    revision, most = 0, 4
    for what, number in happenings:
        alive = names(simulation)
        chosen = alive[number % len(alive)] if alive else "m.1"
        match what:
            case "wanted":
                say(simulation, "wanted", instances=number)
            case "spare" if len(alive) > 1 and simulation.fleet.services["m"].instances[chosen].up:
                say(simulation, "spare", instance=chosen)
            case "ended":
                say(simulation, "ended", instance=chosen)
                simulation.engine.restart(chosen)
            case "up":
                revision += number % 2
                simulation.begin(memory(f"r{revision}"))
            case "daemon":
                simulation.replace_daemon(remembered(simulation))
            case "die" if chosen in simulation.engine.running:
                simulation.engine.kill(chosen)
            case _:
                simulation.rest(number)
        assert len(names(simulation)) <= most
    simulation.rest(600)
    found = simulation.fleet.services["m"]
    assert simulation.fleet.deploy is None
    assert service_state(found) is State.READY
    assert set(names(simulation)) == set(found.target.names) == set(simulation.engine.running)
