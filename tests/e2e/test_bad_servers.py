"""Servers that fail in the ways servers fail: one clear message each, exit code 1, the neighbour unharmed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

#: What the user is told, by the way in which the server fails.
TOLD = {
    "exit": r"exited with code 1.*told to exit at once",
    "garbage": r"did not answer `initialize` within 2s; on stdout it printed 2 lines.*Welcome to",
    "silent": r"did not answer `initialize` within 2s$",
    "wrong-id": r'answered `initialize` with the id "no-such-request" instead of \d+',
    "endless": r"wrote more than 4 MiB to stdout without a line break before it answered.*xxxx.*stderr",
    "prompt": r"did not answer `initialize` within 2s; on stdout it began a line of 10 bytes.*Password:",
    "needs-key": r"BRAVE_API_KEY",
}


@pytest.mark.parametrize("flag", TOLD)
def test_a_server_that_fails_is_named_with_the_reason_and_the_rest_runs(
    flag: str, fleet_folder: FleetFolder, python_server: list[str]
) -> None:
    fleet_folder.write(
        {
            "good": {"command": python_server, "mcp": {"transport": "stdio"}},
            "bad": {
                "command": [*python_server, flag],
                "mcp": {"transport": "stdio", "start_timeout": "2s"},
                "restart": "no",
            },
            "waits": {"command": ["sleep", "1000"], "depends_on": ["bad"]},
        }
    )
    done = fleet_folder.run("up", "-d", code=1)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert any("bad" in line for line in errors), done.stderr
    assert re.search(TOLD[flag], done.stderr, re.DOTALL | re.MULTILINE), done.stderr
    assert "hint:" in done.stderr
    assert fleet_folder.service("good")["state"] == "ready"
    assert fleet_folder.service("bad")["state"] == "failed"
    assert fleet_folder.service("waits")["state"] in ("pending", "stopped")
    assert fleet_folder.json("call", "good", "echo", "text=hello")["content"][0]["text"] == "hello"


def test_a_failing_change_goes_back_to_the_last_good_revision(
    fleet_folder: FleetFolder, python_server: list[str]
) -> None:
    good = {"command": python_server, "mcp": {"transport": "stdio", "start_timeout": "2s"}}
    fleet_folder.write({"one": good, "two": good})
    fleet_folder.run("up", "-d")
    fleet_folder.write({"one": good, "two": good | {"command": [*python_server, "exit"]}})
    done = fleet_folder.run("up", "-d", code=1)
    assert "two" in done.stderr
    assert fleet_folder.service("two")["state"] == "ready"
    assert fleet_folder.json("call", "two", "echo", "text=still")["content"][0]["text"] == "still"


def test_atomic_rolls_everything_back(fleet_folder: FleetFolder, python_server: list[str]) -> None:
    good = {"command": python_server, "mcp": {"transport": "stdio", "start_timeout": "2s"}}
    fleet_folder.write({"one": good})
    fleet_folder.run("up", "-d")
    pid = fleet_folder.service("one")["instances"][0]["pid"]
    fleet_folder.write({"one": good, "two": good, "three": good | {"command": [*python_server, "exit"]}})
    fleet_folder.run("up", "-d", "--atomic", code=1)
    services = {row["name"]: row for row in fleet_folder.json("ps")["services"]}
    assert services["one"]["instances"][0]["pid"] == pid
    assert services.get("two", {"state": "stopped"})["state"] == "stopped"


def test_nothing_secret_is_inherited(fleet_folder: FleetFolder, python_server: list[str]) -> None:
    fleet_folder.environ["GITHUB_TOKEN"] = "not-for-you"
    fleet_folder.write({"plain": {"command": python_server, "mcp": {"transport": "stdio"}}})
    fleet_folder.run("up", "-d")
    seen = fleet_folder.json("call", "plain", "environment")["content"][0]["text"].splitlines()
    assert "PATH" in seen
    assert "HOME" in seen
    assert "GITHUB_TOKEN" not in seen
