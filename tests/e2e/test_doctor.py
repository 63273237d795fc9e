"""`backstay doctor` as it is called: for copies, for servers in no fleet, and for those that do not start."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as xml

import pytest

from tests.conftest import SERVERS

if TYPE_CHECKING:
    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

CAREFUL = [sys.executable, str(SERVERS / "careful.py")]


def ready(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in reports[0]["findings"] if each["check"] == "ready")


def examined(fleet: FleetFolder, *command: str) -> dict[str, Any]:
    done = fleet.run("doctor", "--json", "--protocol", "2025-11-25", "--", *command, code=1)
    [report] = json.loads(done.stdout)
    return dict(report)


def test_deep_examines_copies_and_leaves_the_fleet_alone(fleet_folder: FleetFolder) -> None:
    fleet_folder.write({"careful": {"command": CAREFUL, "mcp": {"transport": "stdio"}}})
    fleet_folder.run("up", "-d")
    before = fleet_folder.service("careful")["instances"]
    [report] = fleet_folder.json("doctor", "--deep", "careful")
    assert (report["grade"], report["score"]) == ("A", 100)
    assert {"gateway", "stop.eof", "wire.batch"} <= {each["check"] for each in report["findings"]}
    after = fleet_folder.service("careful")["instances"]
    assert [(i["pid"], i["restarts"]) for i in after] == [(i["pid"], i["restarts"]) for i in before]


def test_deep_needs_no_fleet_that_runs(fleet_folder: FleetFolder) -> None:
    fleet_folder.write({"careful": {"command": CAREFUL, "mcp": {"transport": "stdio"}}})
    [report] = fleet_folder.json("doctor", "--deep", "careful", "--protocol", "2025-11-25")
    assert (report["grade"], report["protocols"]) == ("A", ["2025-11-25"])


def test_a_command_is_examined_without_a_stack_file_and_written_as_junit(fleet_folder: FleetFolder) -> None:
    done = fleet_folder.run("doctor", "--format", "junit", "--protocol", "2025-06-18", "--", *CAREFUL)
    [suite] = xml.fromstring(done.stdout)
    assert (suite.get("failures"), suite.get("name")) == ("0", " ".join(CAREFUL))
    assert "wire.ids [2025-06-18]" in [case.get("name") for case in suite.iter("testcase")]


def test_a_server_of_a_url_is_examined_where_it_is(fleet_folder: FleetFolder) -> None:
    fleet_folder.write({"careful": {"command": CAREFUL, "mcp": {"transport": "stdio"}}})
    fleet_folder.run("up", "-d")
    [report] = fleet_folder.json("doctor", f"{fleet_folder.url}/careful", code=None)
    outcomes = {(each["check"], each["outcome"]) for each in report["findings"]}
    assert {check for check, outcome in outcomes if outcome == "failed"} == set()
    assert {("http.origin", "passed"), ("http.session", "passed"), ("http.mirror", "passed")} <= outcomes


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("arguments", "cause", "cure"),
    [
        (
            ["pypi:mcp-server-sqlite", "--", "--db-path", "x.db"],
            "it was written for an older mcp",
            'add `with: ["mcp<2"]` to its mcp block',
        ),
        (["pypi:chroma-mcp"], "older pydantic", 'add `with: ["pydantic<2.12"]` to its mcp block'),
        (
            ["pypi:mcp-server-docker", "--runtime", "python>=3.12"],
            "it needs a running Docker, and its socket is not there",
            "start Docker, or set DOCKER_HOST under `environment:`",
        ),
        (
            ["npm:@sentry/mcp-server", "--runtime", "node>=22.13"],
            "needs SENTRY_ACCESS_TOKEN",
            "set SENTRY_ACCESS_TOKEN under the service's `environment:`",
        ),
        (
            ["npm:@modelcontextprotocol/server-brave-search"],
            "needs BRAVE_API_KEY",
            "set BRAVE_API_KEY under the service's `environment:`",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_real_server_that_cannot_start_is_diagnosed(
    arguments: list[str], cause: str, cure: str, fleet_folder: FleetFolder
) -> None:
    unset = ("BRAVE_API_KEY", "SENTRY_ACCESS_TOKEN", "DOCKER_HOST")
    fleet_folder.environ = {name: value for name, value in os.environ.items() if name not in unset}
    done = fleet_folder.run("doctor", "--json", *arguments, code=1, timeout=800)
    found = ready(json.loads(done.stdout))
    assert found["outcome"] == "failed"
    assert cause in found["detail"]
    assert cure in found["hint"]


@pytest.mark.full
def test_a_real_server_that_needs_a_newer_node_is_not_even_installed(fleet_folder: FleetFolder) -> None:
    # As if the machine had an old one: what is resolved says which it needs.
    done = fleet_folder.run("doctor", "npm:@sentry/mcp-server", "--runtime", "node<22", code=1)
    assert "needs Node >=22.13" in done.stderr
    assert "hint: add `runtime: node>=22.13`" in done.stderr


def test_a_server_that_needs_a_newer_node_is_diagnosed(fleet_folder: FleetFolder) -> None:
    # What a Node says that does not know a flag that only newer ones have.
    report = examined(fleet_folder, "node", "--a-flag-of-tomorrow", "x.js")
    assert report["findings"][0]["detail"] == "it needs a newer Node than runs it"
    assert report["findings"][0]["hint"] == "add `runtime: node>=22` to its mcp block"


def test_a_server_that_prints_to_stdout_is_told_so(fleet_folder: FleetFolder) -> None:
    report = examined(fleet_folder, *CAREFUL, "prints")
    [pure] = [each for each in report["findings"] if each["check"] == "stream.pure"]
    assert (pure["outcome"], pure["section"]) == ("failed", "basic/transports#stdio")
    assert "hello" in pure["detail"]
