"""Decisions on single scenarios: one rule each."""

from __future__ import annotations

import pytest
from backstay.deploy import actions as act
from backstay.deploy.inputs import Change
from backstay.deploy.observe import service_state
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Failure, Goal, Limits, Placement
from backstay.deploy.status import State
from backstay.engines.simulated import Behaviour
from backstay.engines.spec import InstanceSpec, Restart

from tests.deploy.scenario import (
    SERVER,
    START_FIRST,
    failing,
    fleet,
    remembered,
    service,
    started,
    states,
    stopped,
)


def test_a_service_starts_when_what_it_depends_on_is_healthy():
    simulation = Simulation()
    result = simulation.up(
        fleet(service("api", {"db": "service_healthy"}, **SERVER), service("db", probe=True))
    )
    assert result.ok
    assert started(simulation) == ["db.1", "api.1"]
    assert states(simulation) == {"api": State.READY, "db": State.READY}


def test_a_second_up_with_nothing_changed_touches_nothing():
    simulation = Simulation()
    wanted = fleet(service("api", {"db": "service_healthy"}, **SERVER), service("db", probe=True))
    simulation.up(wanted)
    simulation.done.clear()
    assert simulation.up(wanted).ok
    kinds = {type(action) for _, action in simulation.done}
    # The routes are given again: what the gateway alone takes from the stack file may have changed.
    assert kinds <= {act.Install, act.Settle, act.Finish, act.Route}


def test_one_changed_service_is_the_only_one_touched():
    simulation = Simulation()
    before = fleet(service("api", {"db": "service_healthy"}, **SERVER), service("db", probe=True))
    simulation.up(before)
    simulation.done.clear()
    after = before | fleet(service("api", {"db": "service_healthy"}, config="b", **SERVER))
    assert simulation.up(after).ok
    assert stopped(simulation) == ["api.1"]
    assert started(simulation) == ["api.1"]


def test_what_follows_a_replaced_service_is_restarted_after_it():
    simulation = Simulation()
    api = service("api", {"db": "service_healthy"}, follows=("db",), **SERVER)
    simulation.up(fleet(api, service("db", probe=True)))
    simulation.done.clear()
    assert simulation.up(fleet(api, service("db", probe=True, config="b"))).ok
    assert started(simulation) == ["db.1", "api.1"]


def test_a_failed_service_holds_back_its_dependents_and_nobody_else():
    simulation = Simulation(script=failing("db", spawns=False))
    result = simulation.up(
        fleet(
            service("api", {"db": "service_healthy"}, **SERVER),
            service("db", probe=True),
            service("time", **SERVER),
        )
    )
    assert not result.ok
    assert result.failed["db"].reason == "no such program"
    assert result.waiting == {"api": "`db`, which failed"}
    assert states(simulation) == {"api": State.PENDING, "db": State.FAILED, "time": State.READY}
    assert "api.1" not in started(simulation)


def test_a_failed_revision_goes_back_to_the_last_good_one():
    simulation = Simulation(script=failing("db", revision=2, exits_after=0.01, ready_after=None))
    simulation.up(fleet(service("db", probe=True)))
    result = simulation.up(fleet(service("db", probe=True, config="broken")))
    assert result.rolled_back == ["db"]
    assert result.failed["db"].reason == "exited with code 1"
    found = simulation.fleet.services["db"]
    assert service_state(found) is State.READY
    assert [i.revision.number for i in found.instances.values()] == [1]
    assert found.refused == 2


def test_last_news_of_a_failed_revision_is_not_blamed_on_the_one_gone_back_to():
    simulation = Simulation(
        script=failing("db", revision=2, exits_after=0.05, ready_after=None),
        restart=lambda name: Restart("no"),
    )
    simulation.up(fleet(service("db", probe=True)))
    simulation.done.clear()
    result = simulation.up(fleet(service("db", probe=True, config="broken")))
    assert result.rolled_back == ["db"]
    assert states(simulation) == {"db": State.READY}, "the deploy ends when what it goes back to is ready"
    told = [action.state for _, action in simulation.done if isinstance(action, act.Tell)]
    assert State.FAILED not in told
    simulation.rest()
    assert states(simulation) == {"db": State.READY}
    assert simulation.fleet.services["db"].instances["db.1"].trouble is None
    starts = [a for _, a in simulation.done if isinstance(a, act.Start)]
    assert [start.revision.number for start in starts] == [2, 1]


def test_start_first_keeps_the_old_instance_until_the_new_one_is_ready():
    simulation = Simulation()
    first = service("api", update=START_FIRST, **SERVER)
    simulation.up(fleet(first))
    simulation.done.clear()
    simulation.up(fleet(service("api", config="b", update=START_FIRST, **SERVER)))
    steps = [action for _, action in simulation.done if isinstance(action, act.Start | act.Stop)]
    assert [type(step) for step in steps] == [act.Start, act.Stop]
    assert list(simulation.fleet.services["api"].instances) == ["api.2"]


def test_start_first_never_stops_the_old_instance_when_the_new_one_fails():
    simulation = Simulation(script=failing("api", revision=2, speaks_after=None))
    simulation.up(fleet(service("api", update=START_FIRST, **SERVER)))
    old = simulation.fleet.services["api"].instances["api.1"].pid
    result = simulation.up(fleet(service("api", config="b", update=START_FIRST, **SERVER)))
    assert result.failed["api"].reason == "the answer is not MCP"
    assert stopped(simulation) == ["api.2"]
    assert simulation.fleet.services["api"].instances["api.1"].pid == old


def test_atomic_takes_everything_back():
    simulation = Simulation(script=failing("api", revision=2, speaks_after=None))
    simulation.up(fleet(service("api", **SERVER), service("db", probe=True)))
    result = simulation.up(
        fleet(
            service("api", config="b", **SERVER),
            service("db", probe=True, config="b"),
            service("new", **SERVER),
        ),
        atomic=True,
    )
    assert not result.ok
    assert "new" not in simulation.fleet.services
    running = {
        i.name: i.revision.number for s in simulation.fleet.services.values() for i in s.instances.values()
    }
    assert running == {"api.1": 1, "db.1": 1}


def test_a_service_that_left_the_stack_file_is_stopped_and_forgotten():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER), service("old", **SERVER)))
    simulation.up(fleet(service("api", **SERVER)))
    assert stopped(simulation) == ["old.1"]
    assert list(simulation.fleet.services) == ["api"]


def test_down_stops_dependents_first():
    gone_when_stopped: list[tuple[str, list[str]]] = []

    def watch(simulation: Simulation, action: act.Action) -> None:
        if isinstance(action, act.Stop):
            gone_when_stopped.append((action.instance, sorted(simulation.engine.running)))

    simulation = Simulation()
    simulation.up(
        fleet(
            service("db", probe=True),
            service("api", {"db": "service_healthy"}, **SERVER),
            service("web", {"api": "service_started"}),
        )
    )
    simulation.watch = watch
    down = {name: Change(goal=Goal.STOP) for name in ("db", "api", "web")}
    assert simulation.finish(simulation.change("down", down)).ok
    assert gone_when_stopped == [
        ("web.1", ["api.1", "db.1", "web.1"]),
        ("api.1", ["api.1", "db.1"]),
        ("db.1", ["db.1"]),
    ], "each is asked to end when nothing that stands on it runs any more"
    assert set(states(simulation).values()) == {State.STOPPED}


def test_dependents_of_a_job_wait_until_it_completed():
    simulation = Simulation(
        script=failing("migrate", exits_after=2.0, exit_code=0),
        restart=lambda name: Restart("no" if name == "migrate" else "always"),
    )
    wanted = fleet(
        service("api", {"migrate": "service_completed_successfully"}, **SERVER), service("migrate", job=True)
    )
    assert simulation.up(wanted).ok
    assert states(simulation) == {"api": State.READY, "migrate": State.COMPLETED}
    simulation.done.clear()
    assert simulation.up(wanted).ok
    assert started(simulation) == [], "a job that completed is not run again"


def test_a_job_that_fails_is_named():
    simulation = Simulation(
        script=failing("migrate", exits_after=90.0, exit_code=3), restart=lambda name: Restart("no")
    )
    result = simulation.up(
        fleet(service("api", {"migrate": "service_completed_successfully"}), service("migrate", job=True))
    )
    assert result.failed["migrate"].reason == "exited with code 3"
    assert result.waiting == {"api": "`migrate`, which failed"}


def test_a_package_that_cannot_be_installed_leaves_what_runs_alone():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER)))
    simulation.installer = lambda name, revision: Failure("no network")
    assert simulation.up(fleet(service("api", **SERVER))).ok, "the same package was only looked at again"
    result = simulation.up(fleet(service("api", config="b", **SERVER)))
    assert result.failed["api"].reason == "no network"
    assert stopped(simulation) == []
    assert states(simulation) == {"api": State.READY}


def test_no_more_starts_at_once_than_the_machine_bears():
    most = 0

    def watch(simulation: Simulation, action: act.Action) -> None:
        nonlocal most
        most = max(most, len(simulation.fleet.starting))

    simulation = Simulation(limits=Limits(starts=3, installs=2), watch=watch)
    assert simulation.up(fleet(*(service(f"s{n}", probe=True, replicas=2) for n in range(20)))).ok
    assert most == 3


def test_a_slow_start_gives_its_slot_up():
    simulation = Simulation(script=failing("slow", ready_after=50.0), limits=Limits(starts=1, installs=1))
    simulation.begin(fleet(service("slow", probe=True), service("quick", probe=True)))
    simulation.rest(10)
    assert states(simulation) == {"slow": State.STARTING, "quick": State.READY}


def test_a_start_that_never_ends_fails_at_its_time():
    simulation = Simulation(script=failing("api", speaks_after=1e6))
    result = simulation.up(fleet(service("api", start_timeout=20.0, **SERVER)))
    assert result.failed["api"].reason == "was not ready within 20 s"
    assert simulation.engine.now < 30
    assert simulation.engine.running == {}


def test_one_unlucky_exit_does_not_fail_a_start():
    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        return Behaviour(exits_after=0.01, ready_after=None) if attempt == 0 else Behaviour()

    simulation = Simulation(script=script)
    assert simulation.up(fleet(service("db", probe=True))).ok
    assert simulation.fleet.services["db"].instances["db.1"].restarts == 1


def test_a_crash_at_rest_is_told_and_recovered_from():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER)))
    simulation.engine.kill("api.1")
    assert states(simulation) == {"api": State.STARTING}
    simulation.rest()
    assert states(simulation) == {"api": State.READY}
    told = [a.state for _, a in simulation.done if isinstance(a, act.Tell)]
    assert told[-2:] == [State.STARTING, State.READY]


def test_a_dependent_waits_for_a_dependency_that_is_being_restarted():
    simulation = Simulation()
    db = service("db", probe=True)
    simulation.up(fleet(db))
    simulation.engine.kill("db.1")
    assert simulation.up(fleet(db, service("api", {"db": "service_healthy"}, **SERVER))).ok


def test_stop_and_start_remember_what_was_asked_for():
    simulation = Simulation()
    wanted = fleet(service("api", {"db": "service_healthy"}, **SERVER), service("db", probe=True))
    simulation.up(wanted)
    simulation.finish(simulation.change("stop", {"db": Change(goal=Goal.STOP)}))
    assert states(simulation) == {"api": State.READY, "db": State.STOPPED}
    simulation.finish(simulation.change("start", {"db": Change()}))
    assert states(simulation)["db"] is State.READY


def test_restart_replaces_the_process_and_not_the_revision():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER)))
    before = simulation.fleet.services["api"].instances["api.1"]
    assert simulation.finish(simulation.change("restart", {"api": Change(restart=True)})).ok
    after = simulation.fleet.services["api"].instances["api.1"]
    assert after.pid != before.pid
    assert after.revision.number == before.revision.number


@pytest.mark.parametrize(("count", "running"), [(3, ["api.1", "api.2", "api.3"]), (1, ["api.1"])])
def test_scale_changes_how_many_run(count: int, running: list[str]):
    simulation = Simulation()
    simulation.up(fleet(service("api", replicas=2, **SERVER)))
    pid = simulation.fleet.services["api"].instances["api.1"].pid
    revision = simulation.fleet.services["api"].target.revision
    names = tuple(f"api.{n}" for n in range(1, count + 1))
    change = Change(Placement(revision, names))
    assert simulation.finish(simulation.change("scale", {"api": change})).ok
    instances = simulation.fleet.services["api"].instances
    assert sorted(instances) == running
    assert instances["api.1"].pid == pid


def test_a_server_that_stops_speaking_is_restarted():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER)))
    before = simulation.fleet.services["api"].instances["api.1"].pid
    simulation._deliver([{"kind": "server.closed", "instance": "api.1", "reason": "its stdout closed"}])
    simulation.rest()
    after = simulation.fleet.services["api"].instances["api.1"]
    assert after.pid != before
    assert after.up


def test_an_instance_that_the_gateway_begins_anew_is_not_forgotten():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER)))
    before = simulation.fleet.services["api"].instances["api.1"].pid
    simulation.engine.restart("api.1")
    simulation.rest()
    after = simulation.fleet.services["api"].instances["api.1"]
    assert after.up
    assert after.pid != before


def test_a_new_daemon_finds_everything_as_it_was():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER), service("db", probe=True)))
    pids = {name: run.pid for name, run in simulation.engine.running.items()}
    simulation.done.clear()
    simulation.replace_daemon(remembered(simulation))
    simulation.rest()
    assert {name: run.pid for name, run in simulation.engine.running.items()} == pids
    assert set(states(simulation).values()) == {State.READY}
    assert started(simulation) == stopped(simulation) == []


def test_a_new_daemon_starts_what_is_missing_and_stops_what_nobody_wants():
    simulation = Simulation()
    simulation.up(fleet(service("api", **SERVER), service("db", probe=True)))
    knows = remembered(simulation, without="db")
    del simulation.engine.running["api.1"]
    simulation.replace_daemon(knows)
    simulation.rest()
    assert sorted(simulation.engine.running) == ["api.1"]
