"""What verbs do, against a daemon whose fleet is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backstay.cli.plan import pace
from backstay.deploy.status import (
    FleetPlan,
    FleetStatus,
    PlannedRollout,
    PlanStep,
    ServiceFailure,
    State,
    TroubleStatus,
)

from tests.fake_fleet import FakeFleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli


def test_up_detached_shows_progress_and_ends_with_a_summary(cli: Cli, fleet: FakeFleet) -> None:
    result = cli("up", "-d")
    assert result.exit_code == 0
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(" after")[0] for line in lines[:2]] == ["web: ready", "db: ready"]
    assert lines[-1] == "fake: 2 of 2 services ready at http://127.0.0.1:7077"


def test_up_names_what_failed_and_why_and_exits_with_1(
    cli: Cli, serve: Callable[[FakeFleet], FakeFleet]
) -> None:
    serve(
        FakeFleet({"db": ServiceFailure(reason="exited with code 3", hint="mind the gap", tail="no disk\n")})
    )
    result = cli("up", "-d")
    assert result.exit_code == 1
    assert "error: db: exited with code 3\n  | no disk\nhint: mind the gap\n" in result.stderr


def test_up_as_json_prints_how_the_deploy_ended(cli: Cli, fleet: FakeFleet) -> None:
    assert cli.json("up", "-d")["ok"] is True


def test_up_passes_on_proxies_but_no_secrets(
    cli: Cli, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("SOME_API_KEY", "secret")
    cli("up", "-d")
    environ = fleet.calls[-1][3]
    assert environ["HTTPS_PROXY"] == "http://proxy:1"
    assert "SOME_API_KEY" not in environ


def test_up_of_a_service_that_is_not_there_says_so_and_asks_nothing_of_the_daemon(
    cli: Cli, fleet: FakeFleet
) -> None:
    result = cli("up", "-d", "wbe")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: there is no service `wbe`\nhint: did you mean `web`?\n",
    )
    assert fleet.calls == []


def test_ps_prints_a_line_for_each_instance(cli: Cli, fleet: FakeFleet) -> None:
    cli("up", "-d")
    assert cli("scale", "web=2").exit_code == 0
    result = cli("ps")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["SERVICE", "STATE", "REVISION", "PORTS", "PID", "CPU", "MEMORY", "RESTARTS", "UPTIME"]
    assert rows[1][:2] == ["web", "ready"]
    assert [row[0] for row in rows[2:4]] == ["web.1", "web.2"]
    assert rows[4] == ["db", "ready", "1", "http:30001", "1010", "2.0%", "64M", "0", "1m", "30s"]
    assert result.stdout.endswith("\ngateway  http://127.0.0.1:7077\n")


def test_ps_says_why_a_service_is_not_ready(cli: Cli, serve: Callable[[FakeFleet], FakeFleet]) -> None:
    serve(FakeFleet({"db": ServiceFailure(reason="exited with code 3", hint="mind the gap")}))
    cli("up", "-d")
    assert "\ndb: exited with code 3\n  mind the gap\n" in cli("ps").stdout


def test_ps_says_what_keeps_calls_from_an_instance(cli: Cli, fleet: FakeFleet) -> None:
    def breaker(tool: str | None, retry_in: float) -> TroubleStatus:
        return TroubleStatus(kind="open", tool=tool, retry_in=retry_in)

    fleet.troubles = {
        "web.1": [breaker("search", 3.4), breaker(None, 9.0)],
        "db.1": [
            TroubleStatus(kind="ejected", tool=None, retry_in=12.0),
            TroubleStatus(kind="half-open", tool="query", retry_in=1.0),
        ],
    }
    cli("up", "-d")
    shown = cli("ps").stdout
    assert "\nweb.1: the breakers for `search`, what is no tool are open; a call may try it in 3 s\n" in shown
    assert "\ndb.1: rests for 12 s after failures; others get its calls\n" in shown
    assert "\ndb.1: the breaker for `query` is half-open; a call tries it\n" in shown


def test_ps_as_json_is_the_published_shape(cli: Cli, fleet: FakeFleet) -> None:
    cli("up", "-d")
    status = FleetStatus.model_validate(cli.json("ps"))
    assert [service.name for service in status.services] == ["web", "db"]
    assert [service["name"] for service in cli.json("ps", "db")["services"]] == ["db"]


def test_stop_and_start_change_one_service(cli: Cli, fleet: FakeFleet) -> None:
    cli("up", "-d")
    assert cli("stop", "db").stderr == "db: stopped\n"
    assert fleet.states == {"web": State.READY, "db": State.STOPPED}
    assert cli("start", "db").exit_code == 0
    assert fleet.states["db"] is State.READY


def test_a_verb_on_an_unknown_service_is_wrong_input(cli: Cli, fleet: FakeFleet) -> None:
    result = cli("restart", "nothing")
    assert (result.exit_code, result.stderr) == (2, "error: there is no service `nothing`\n")


def test_plan_prints_steps_and_changes_nothing(cli: Cli, fleet: FakeFleet) -> None:
    assert FleetPlan.model_validate(cli.json("plan")).changes
    assert "2 to start; the fleet reserves nothing" in cli("plan").stdout
    assert fleet.calls == []


def test_logs_are_written_under_the_names_of_instances_and_cannot_steer_the_terminal(
    cli: Cli, fleet: FakeFleet
) -> None:
    cli("up", "-d")
    result = cli("logs", "web")
    assert result.stdout == "web.1 | listening\nweb.1 | ready red cleared\n"
    assert cli("logs", "--tail", "1", "web").stdout == "web.1 | ready red cleared\n"


def test_events_are_printed_a_line_each(cli: Cli, fleet: FakeFleet) -> None:
    cli("up", "-d")
    lines = cli("events").stdout.splitlines()
    assert len(lines) == fleet.last_seq()
    assert "web" in lines[1]
    assert "state=ready" in lines[1]
    assert [event["seq"] for event in _json_lines(cli("events", "--after", "2", "--json").stdout)] == [3, 4]


def test_down_ends_the_fleet_and_a_fleet_that_does_not_run_is_no_error(cli: Cli, fleet: FakeFleet) -> None:
    cli("up", "-d")
    assert cli("down").exit_code == 0
    assert fleet.calls[-1] == ("down",)


def test_down_of_nothing_says_so(cli: Cli, folder: Path) -> None:
    result = cli("down")
    assert (result.exit_code, result.stderr) == (0, "this fleet is not running\n")


def test_check_says_what_the_file_holds(cli: Cli, folder: Path) -> None:
    result = cli("check")
    assert result.exit_code == 0
    assert result.stdout == "backstay.yaml: 0 servers and 2 services; nothing is wrong\n"


def test_check_as_json_lists_problems_with_their_places(cli: Cli, folder: Path) -> None:
    (folder / "backstay.yaml").write_text("services:\n  web: {comand: x}\n")
    result = cli("check", "--json")
    assert result.exit_code == 2
    problem = __import__("json").loads(result.stdout)["problems"][0]
    assert problem["places"][0]["line"] == 2
    assert problem["level"] == "error"


def test_config_as_json_is_a_stack_file_that_loads_again(cli: Cli, folder: Path) -> None:
    resolved = cli.json("config")
    (folder / "resolved.yaml").write_text(__import__("json").dumps(resolved))
    assert list(resolved["services"]) == ["web", "db"]
    assert cli.json("-f", str(folder / "resolved.yaml"), "config") == resolved
    assert cli("config", "--services").stdout == "web\ndb\n"


def test_config_prints_the_schema_without_a_stack_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert __import__("json").loads(cli("config", "--schema").stdout)["title"] == "backstay.yaml"


def test_init_writes_a_file_that_check_likes_and_never_writes_over_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("init").exit_code == 0
    assert cli("check").exit_code == 0
    assert cli("init").exit_code == 2
    assert cli("init", "--force").exit_code == 0


def test_completion_scripts_are_printed_for_each_shell(cli: Cli) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_BACKSTAY_COMPLETE" in cli("completion", shell).stdout


def _json_lines(text: str) -> list[dict[str, object]]:
    import json

    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("rollout", "count", "said"),
    [
        ({}, 1, "watched for 5s, back if one fails"),
        ({"at_a_time": 2, "apart": 10.0}, 4, "2 at a time, 10s apart, watched for 5s, back if one fails"),
        ({"at_a_time": 4, "watched": 0.0, "on_failure": "continue"}, 4, "all at once, goes on if any fails"),
        (
            {"order": "start-first", "may_fail": 0.5, "on_failure": "pause"},
            4,
            "1 at a time, new before old, watched for 5s, pauses if more than 2 fail",
        ),
    ],
)
def test_a_plan_says_how_instances_are_replaced(rollout: dict[str, Any], count: int, said: str) -> None:
    usual = {"order": "stop-first", "at_a_time": 1, "apart": 0, "watched": 5, "may_fail": 0}
    planned = PlannedRollout(**{"on_failure": "rollback"} | usual | rollout)
    instances = [f"api.{number}" for number in range(1, count + 1)]
    step = PlanStep(
        action="replace", service="api", reason="args changed", instances=instances, rollout=planned
    )
    assert pace(step, planned) == said
