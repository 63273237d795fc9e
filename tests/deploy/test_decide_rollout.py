"""Decisions on rollouts: how many at a time, how far apart, how long watched, and what a failure leads to."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from backstay.deploy import actions as act
from backstay.deploy.inputs import Change
from backstay.deploy.memory import dump_deploy, dump_service, load_fleet
from backstay.deploy.observe import reason_of
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Goal, Order, Pace, Stage
from backstay.engines.simulated import Behaviour
from backstay.engines.spec import InstanceSpec, Restart
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deploy.scenario import failing, fleet, service, started

if TYPE_CHECKING:
    from backstay.deploy.wanted import Wanted

READY_AFTER = 0.1


def api(config: str = "a", replicas: int = 4, rollback: Pace | None = None, **pace: Any) -> dict[str, Wanted]:
    return fleet(
        service(
            "api",
            config=config,
            replicas=replicas,
            probe=True,
            update=Pace(**pace),
            rollback=rollback or Pace(failure_action="pause"),
        )
    )


def revisions(simulation: Simulation) -> dict[str, int]:
    return {
        i.name: i.revision.number
        for i in simulation.fleet.services["api"].instances.values()
        if i.phase.alive
    }


def steps(simulation: Simulation) -> list[tuple[str, str]]:
    """What was asked of the engine, in order."""
    words = {act.Start: "start", act.Stop: "stop"}
    return [(words[type(a)], a.instance) for _, a in simulation.done if isinstance(a, act.Start | act.Stop)]


def times(simulation: Simulation) -> list[float]:
    """When each instance was started."""
    return [round(at, 1) for at, action in simulation.done if isinstance(action, act.Start)]


def breaking(*names: str, **behaviour: Any):
    """Let some instances of the second revision misbehave."""

    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        if spec.revision == 2 and spec.name in names:
            return Behaviour(**behaviour)
        return Behaviour()

    return script


def updated(simulation: Simulation, wanted: dict[str, Wanted] | None = None, **pace: Any):
    """Bring revision 1 up, then go to revision 2 at a pace."""
    simulation.up(api(**pace))
    simulation.done.clear()
    return simulation.up(wanted or api("b", **pace))


def test_stop_first_replaces_so_many_at_a_time():
    simulation = Simulation()
    assert updated(simulation, parallelism=2).ok
    first = {("stop", "api.1"), ("stop", "api.2"), ("start", "api.1"), ("start", "api.2")}
    assert set(steps(simulation)[:4]) == first, "the second two are touched when the first two are ready"
    assert len(steps(simulation)) == 8
    assert set(revisions(simulation).values()) == {2}


def test_start_first_adds_so_many_and_then_takes_as_many_away():
    simulation = Simulation()
    pace = {"parallelism": 1, "order": Order.START_FIRST}
    assert updated(simulation, replicas=2, **pace, wanted=api("b", 2, **pace)).ok
    assert steps(simulation) == [("start", "api.3"), ("stop", "api.1"), ("start", "api.4"), ("stop", "api.2")]
    assert revisions(simulation) == {"api.3": 2, "api.4": 2}


def test_a_parallelism_of_nothing_replaces_all_at_once():
    simulation = Simulation()
    assert updated(simulation).ok
    assert steps(simulation)[:4] == [("stop", f"api.{n}") for n in (1, 2, 3, 4)]


def test_batches_are_so_far_apart_and_watched_for_so_long():
    simulation = Simulation()
    assert updated(simulation, parallelism=1, delay=10.0, monitor=5.0).ok
    apart = [b - a for a, b in zip(times(simulation), times(simulation)[1:], strict=False)]
    stopping = 0.05
    assert apart == pytest.approx([READY_AFTER + 5.0 + 10.0 + stopping] * 3, abs=0.11)


def test_what_starts_for_the_first_time_starts_at_once():
    simulation = Simulation()
    assert simulation.up(api(parallelism=1, delay=60.0, monitor=60.0)).ok
    assert simulation.engine.now < 1


def test_a_change_of_scale_is_no_rollout():
    simulation = Simulation()
    simulation.up(api(replicas=2, parallelism=1, delay=60.0))
    before = simulation.engine.now
    assert simulation.up(api(replicas=6, parallelism=1, delay=60.0)).ok
    assert simulation.up(api(replicas=1, parallelism=1, delay=60.0)).ok
    assert simulation.engine.now - before < 2
    assert revisions(simulation) == {"api.1": 1}


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4), (1, 3), (3, 1)])
@pytest.mark.parametrize("order", list(Order))
def test_a_rollout_may_change_how_many_there_are(before: int, after: int, order: Order):
    simulation = Simulation()
    simulation.up(api(replicas=before, parallelism=1, order=order))
    assert simulation.up(api("b", replicas=after, parallelism=1, order=order)).ok
    assert len(revisions(simulation)) == after
    assert set(revisions(simulation).values()) == {2}


def test_an_instance_that_ends_while_it_is_watched_takes_the_update_back():
    simulation = Simulation(script=breaking("api.2", exits_after=3.0))
    result = updated(simulation, parallelism=1, monitor=5.0)
    assert result.rolled_back == ["api"]
    assert result.failed["api"].reason == "exited with code 1"
    assert revisions(simulation) == {f"api.{n}": 1 for n in (1, 2, 3, 4)}
    assert started(simulation)[:2] == ["api.1", "api.2"], "the third was never touched"
    assert "api.3" not in started(simulation)


def test_an_instance_that_ends_after_it_was_watched_is_its_restart_policy_s():
    simulation = Simulation(script=breaking("api.2", exits_after=9.0))
    assert updated(simulation, parallelism=1, monitor=5.0).ok
    simulation.rest()
    assert set(revisions(simulation).values()) == {2}


def test_a_failed_update_pauses_where_it_stands():
    simulation = Simulation(script=breaking("api.2", spawns=False))
    result = updated(simulation, parallelism=1, failure_action="pause")
    assert result.failed["api"].reason == "its update is paused after 1 of 4: no such program"
    assert "goes on from there" in (result.failed["api"].hint or "")
    simulation.rest(10_000)
    assert revisions(simulation) == {"api.1": 2, "api.3": 1, "api.4": 1}
    assert "paused" in (reason_of(simulation.fleet.services["api"]) or "")


def test_a_paused_update_goes_on_with_the_next_up():
    broken = {"api.2"}

    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        return Behaviour(spawns=not (spec.revision == 2 and spec.name in broken))

    simulation = Simulation(script=script)
    pace = {"parallelism": 1, "failure_action": "pause"}
    updated(simulation, **pace)
    broken.clear()
    simulation.done.clear()
    planned = simulation.plan(api("b", **pace))["api"]
    assert (planned.action, planned.reason) == ("replace", "its paused update goes on")
    assert simulation.up(api("b", **pace)).ok
    assert started(simulation) == ["api.2", "api.3", "api.4"], "what was done is not done again"
    assert set(revisions(simulation).values()) == {2}


def test_a_failed_update_goes_on_where_it_is_to_continue():
    simulation = Simulation(script=breaking("api.2", spawns=False))
    result = updated(simulation, parallelism=1, failure_action="continue")
    assert result.failed["api"].reason == "1 of 4 instances failed: no such program"
    assert result.rolled_back == []
    assert revisions(simulation) == {"api.1": 2, "api.3": 2, "api.4": 2}


@pytest.mark.parametrize(("ratio", "goes_back"), [(0.24, True), (0.25, False), (0.5, False)])
def test_so_large_a_part_may_fail(ratio: float, goes_back: bool):
    simulation = Simulation(script=breaking("api.3", spawns=False))
    result = updated(simulation, parallelism=1, max_failure_ratio=ratio)
    assert (result.rolled_back == ["api"]) is goes_back
    assert not result.ok, "what failed is named all the same"


def test_the_way_back_has_a_pace_of_its_own():
    simulation = Simulation(script=breaking("api.4", spawns=False))
    back = Pace(parallelism=1, delay=10.0, monitor=2.0, failure_action="pause")
    simulation.up(api(rollback=back))
    simulation.done.clear()
    result = simulation.up(api("b", parallelism=1, rollback=back))
    assert result.rolled_back == ["api"]
    again = [
        round(at, 1)
        for at, action in simulation.done
        if isinstance(action, act.Start) and action.revision.number == 1
    ]
    assert len(again) == 4
    assert all(b - a > 12 for a, b in itertools.pairwise(again))


def test_going_back_that_fails_as_well_is_said_and_left_alone():
    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        second_time = spec.revision == 1 and simulation.engine.now > 1
        return Behaviour(spawns=not (second_time or (spec.name == "api.2" and spec.revision == 2)))

    simulation = Simulation(script=script)
    simulation.up(api())
    simulation.engine.advance(5)
    result = simulation.up(api("b", parallelism=1))
    assert result.failed["api"].reason == "no such program; going back failed as well: no such program"
    simulation.rest(10_000)
    assert simulation.fleet.services["api"].stage is Stage.SETTLED


def test_a_plan_that_is_atomic_takes_no_failure():
    simulation = Simulation(script=breaking("api.2", spawns=False))
    pace = {"parallelism": 1, "failure_action": "continue", "max_failure_ratio": 1.0}
    simulation.up(api(**pace))
    result = simulation.up(api("b", **pace), atomic=True)
    assert result.rolled_back == ["api"]
    assert set(revisions(simulation).values()) == {1}


def test_dependents_need_not_wait_until_a_batch_was_watched():
    simulation = Simulation()
    simulation.up(api(replicas=1))
    web = service("web", {"api": "service_healthy"})
    before = simulation.engine.now
    assert simulation.up(api("b", replicas=1, monitor=60.0) | fleet(web)).ok
    start = next(at for at, a in simulation.done if isinstance(a, act.Start) and a.instance == "web.1")
    assert start - before < 2


def test_a_restart_of_everything_is_no_rollout():
    simulation = Simulation()
    simulation.up(api(parallelism=1, delay=60.0))
    before = simulation.engine.now
    assert simulation.finish(simulation.change("restart", {"api": Change(restart=True)})).ok
    assert simulation.engine.now - before < 2


def handed_over(simulation: Simulation):
    """What the next daemon reads of the store."""
    services = {name: dump_service(found) for name, found in simulation.fleet.services.items()}
    written = json.loads(json.dumps([services, dump_deploy(simulation.fleet.deploy)]))
    return replace(load_fleet(*written), limits=simulation.fleet.limits)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 90),
    st.sampled_from(list(Order)),
    st.integers(0, 3),
    st.sampled_from(["", "api.2", "api.6"]),
)
def test_the_next_daemon_goes_on_with_a_rollout(moment: int, order: Order, parallelism: int, broken: str):
    simulation = Simulation(script=breaking(broken, spawns=False))
    pace = {"parallelism": parallelism, "delay": 2.0, "monitor": 3.0, "order": order}
    simulation.up(api(**pace))
    deploy = simulation.begin(api("b", **pace))
    for _ in range(moment):
        simulation.engine.step()
    simulation.replace_daemon(handed_over(simulation))
    simulation.rest(1000)
    assert simulation.fleet.deploy is None
    numbers = set(revisions(simulation).values())
    failed = broken and (order is Order.START_FIRST) == (broken == "api.6")
    assert numbers == ({1} if failed else {2}), simulation.results.get(deploy)
    assert len(revisions(simulation)) == 4


def test_a_paused_update_stays_paused_under_the_next_daemon():
    simulation = Simulation(script=breaking("api.2", spawns=False))
    updated(simulation, parallelism=1, failure_action="pause")
    before = revisions(simulation)
    simulation.replace_daemon(handed_over(simulation))
    simulation.rest(1000)
    assert revisions(simulation) == before


@settings(max_examples=150, deadline=None)
@given(
    replicas=st.integers(1, 6),
    parallelism=st.integers(1, 6),
    order=st.sampled_from(list(Order)),
    delay=st.sampled_from([0.0, 1.0]),
    monitor=st.sampled_from([0.0, 1.0]),
    slow=st.floats(0, 3),
)
def test_never_more_are_missing_or_too_many_than_the_parallelism_says(
    replicas: int, parallelism: int, order: Order, delay: float, monitor: float, slow: float
):
    pace = {"parallelism": parallelism, "order": order, "delay": delay, "monitor": monitor}
    simulation = Simulation(script=lambda spec, attempt: Behaviour(ready_after=slow, stops_within=slow / 2))
    simulation.up(api(replicas=replicas, **pace))

    def watch(simulation: Simulation, action: act.Action) -> None:
        instances = simulation.fleet.services["api"].instances.values()
        up = sum(i.up for i in instances)
        assert len([i for i in instances if i.phase.alive]) <= replicas + 2 * parallelism
        if order is Order.START_FIRST:
            assert up >= replicas, "nobody ends before another serves in its place"
        else:
            assert up >= replicas - parallelism

    simulation.watch = watch
    assert simulation.up(api("b", replicas=replicas, **pace)).ok
    simulation.watch = None
    down = {"api": Change(goal=Goal.STOP)}
    assert simulation.finish(simulation.change("down", down)).ok


def test_a_job_is_not_watched():
    simulation = Simulation(
        script=failing("job", exits_after=1.0, exit_code=0), restart=lambda name: Restart("no")
    )
    pace = Pace(monitor=60.0)
    simulation.up(fleet(service("job", job=True, update=pace)))
    assert simulation.up(fleet(service("job", job=True, update=pace, config="b"))).ok
    assert simulation.engine.now < 10
