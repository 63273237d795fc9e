"""`call`, `tools` and `doctor`, against a server of the official SDK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from backstay.cli.call import typed
from backstay.client.sockets import STATE_DIR
from backstay.deploy.status import ServiceFailure, State

from tests.fake_fleet import FakeFleet
from tests.fake_gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli


@pytest.fixture
def gateway(folder: Path) -> Iterator[None]:
    gateway = Gateway(folder / STATE_DIR)
    yield
    gateway.close()


@pytest.mark.usefixtures("gateway")
class TestCall:
    def test_arguments_are_one_json_object(self, cli: Cli) -> None:
        result = cli("call", "clock", "now", '{"zone": "UTC"}')
        assert (result.exit_code, result.stdout) == (0, "noon in UTC, 0 later\n")

    def test_or_names_and_values_which_take_the_types_of_the_schema(self, cli: Cli) -> None:
        assert cli("call", "clock", "now", "zone=5", "offset=5").stdout == "noon in 5, 5 later\n"

    def test_or_json_on_stdin(self, cli: Cli) -> None:
        assert cli("call", "clock", "now", "-", input='{"zone": "Z"}').stdout == "noon in Z, 0 later\n"

    def test_json_prints_the_whole_result(self, cli: Cli) -> None:
        assert cli.json("call", "clock", "now", "zone=Z")["content"][0]["text"] == "noon in Z, 0 later"

    def test_a_tool_that_fails_exits_with_1_and_says_why_on_stderr(self, cli: Cli) -> None:
        result = cli("call", "clock", "broken")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no battery" in result.stderr

    def test_a_tool_that_is_not_there_is_said_with_the_nearest(self, cli: Cli) -> None:
        result = cli("call", "clock", "noww")
        assert (result.exit_code, result.stderr) == (
            1,
            "error: `clock` has no tool `noww`\nhint: did you mean `now`?\n",
        )

    def test_why_a_server_cannot_be_called_is_said(
        self, cli: Cli, folder: Path, serve: Callable[[FakeFleet], FakeFleet]
    ) -> None:
        fleet = serve(FakeFleet({"dead": ServiceFailure(reason="exited with code 3", hint="mind the gap")}))
        fleet.states = {"clock": State.READY, "dead": State.FAILED, "db": State.READY}
        fleet.kinds["db"] = "service"
        said = {name: cli("call", name, "x") for name in ("cluck", "dead", "db")}
        assert {name: (each.exit_code, each.stderr) for name, each in said.items()} == {
            "cluck": (2, "error: there is no service `cluck`\nhint: did you mean `clock`?\n"),
            "dead": (1, "error: `dead` is failed: exited with code 3\nhint: mind the gap\n"),
            "db": (
                1,
                "error: `db` is not a server: it does not speak MCP\nhint: servers are: clock, dead\n",
            ),
        }


@pytest.mark.usefixtures("gateway")
def test_tools_are_listed_with_their_arguments(cli: Cli) -> None:
    lines = cli("tools", "clock").stdout.splitlines()
    assert lines[0].split() == ["TOOL", "ARGUMENTS", "DESCRIPTION"]
    assert lines[1].split(maxsplit=3) == ["now", "zone", "[offset]", "Say the time."]
    assert {tool["name"] for tool in cli.json("tools", "clock")} == {"now", "broken", "slow", "forever"}


@pytest.fixture
def examined(cli: Cli, folder: Path, gateway: None, serve: Callable[[FakeFleet], FakeFleet]) -> FakeFleet:
    server = "{command: sleep 1000, mcp: {transport: stdio}}"
    (folder / "backstay.yaml").write_text(
        f"services:\n  clock: {server}\n  sloppy: {server}\n  dead: {server}\n"
    )
    fleet = FakeFleet({"dead": ServiceFailure(reason="exited with code 3", hint="mind the gap")})
    serve(fleet)
    return fleet


def test_doctor_finds_nothing_wrong_with_a_good_server(cli: Cli, examined: FakeFleet) -> None:
    cli("up", "-d", "clock")
    result = cli("doctor")
    assert result.exit_code == 0
    assert "✓ clock  ready" in result.stdout
    assert "4 of 4 checks passed" in result.stdout
    assert result.stdout.endswith("1 service, 5 checks: nothing is wrong\n")


def test_doctor_shows_every_check_of_one_service(cli: Cli, examined: FakeFleet) -> None:
    cli("up", "-d", "clock")
    shown = cli("doctor", "clock").stdout
    assert "✓ protocol           clock 1.2.3, version 2025-11-25" in shown
    assert "· prompts.list       no prompts" in shown
    assert "✓ gateway            4 tools at /mcp/clock" in shown
    assert [report["ok"] for report in cli.json("doctor", "clock")] == [True]


def test_doctor_says_what_breaks_the_protocol_and_what_to_do(cli: Cli, examined: FakeFleet) -> None:
    cli("up", "-d", "sloppy")
    result = cli("doctor")
    assert result.exit_code == 1
    assert "    ✗ tools.schema  `x` has none\n      hint: declare an object (server/tools)\n" in result.stdout
    assert "    ✗ gateway       the gateway answered HTTP 404" in result.stdout


def test_doctor_says_why_a_server_is_not_ready(cli: Cli, examined: FakeFleet) -> None:
    cli("up", "-d", "dead")
    result = cli("doctor")
    assert result.exit_code == 1
    assert "✗ dead  failed" in result.stdout
    assert "    ✗ ready  exited with code 3\n      hint: mind the gap\n" in result.stdout


def test_a_value_is_text_where_the_schema_says_so_and_else_json_if_it_is_json() -> None:
    assert typed("5", {"type": "string"}) == "5"
    assert typed("5", {"type": "integer"}) == 5
    assert typed("[1]", {}) == [1]
    assert typed("UTC", {"type": "integer"}) == "UTC"
    assert typed("true", None) is True
    assert json.dumps(typed("{}", {})) == "{}"
