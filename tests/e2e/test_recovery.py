"""What survives what: the daemon's death, the keeper's, an instance's, and a client's patience meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.waiting import eventually, gone

if TYPE_CHECKING:
    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet


@pytest.fixture
def fleet(fleet_folder: FleetFolder, python_server: list[str]) -> FleetFolder:
    fleet_folder.write(
        {
            "plain": {"command": python_server, "mcp": {"transport": "stdio"}},
            "sleeper": {"command": ["sleep", "1000"], "restart": "always"},
        }
    )
    fleet_folder.run("up", "-d")
    return fleet_folder


def count(fleet: FleetFolder) -> int:
    answer = fleet.json("call", "plain", "count")
    return int(answer["content"][0]["text"])


def pids(fleet: FleetFolder) -> dict[str, int]:
    return {i["name"]: i["pid"] for row in fleet.json("ps")["services"] for i in row["instances"]}


def daemon(fleet: FleetFolder) -> int:
    return int(fleet.json("ps")["daemon"]["pid"])


def test_a_killed_daemon_comes_back_to_the_same_processes_with_their_memory(fleet: FleetFolder) -> None:
    assert count(fleet) == 1
    before, first = pids(fleet), daemon(fleet)
    os.kill(first, signal.SIGKILL)
    # No wait: the command's connection is held until the next daemon answers.
    assert count(fleet) == 2
    assert pids(fleet) == before
    assert daemon(fleet) != first


def test_a_daemon_killed_again_and_again_loses_nothing(fleet: FleetFolder) -> None:
    before = pids(fleet)
    for expected in range(1, 6):
        assert count(fleet) == expected
        os.kill(daemon(fleet), signal.SIGKILL)
    assert pids(fleet) == before


def test_a_killed_instance_is_restarted_and_the_next_call_finds_it(fleet: FleetFolder) -> None:
    first = pids(fleet)["plain.1"]
    os.kill(first, signal.SIGKILL)
    row = eventually(lambda: _restarted(fleet, "plain", first))
    assert row["restarts"] == 1
    assert count(fleet) == 1


def test_a_call_to_a_server_that_dies_gets_a_clear_error(fleet: FleetFolder) -> None:
    done = fleet.run("call", "plain", "crash", code=1)
    assert "plain" in done.stderr
    assert done.stderr.startswith("error:")
    assert eventually(lambda: fleet.run("call", "plain", "count", code=None).returncode == 0)


def test_a_keeper_killed_with_its_daemon_leaves_no_orphan_and_up_says_so(fleet: FleetFolder) -> None:
    state = fleet.json("ps")
    left = list(pids(fleet).values())
    os.kill(state["daemon"]["pid"], signal.SIGSTOP)
    os.kill(state["keeper"]["pid"], signal.SIGKILL)
    os.kill(state["daemon"]["pid"], signal.SIGKILL)
    fleet.run("up", "-d")
    for pid in left:
        assert pid in pids(fleet).values() or eventually(lambda pid=pid: gone(pid))
    assert count(fleet) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_a_fleet_whose_state_was_deleted_ends_and_its_folder_can_be_used_again(
    at_once: bool, fleet: FleetFolder
) -> None:
    state = fleet.json("ps")
    everyone = [*pids(fleet).values(), state["daemon"]["pid"], state["keeper"]["pid"]]
    folder = fleet.folder / ".backstay"
    while folder.exists():  # what is being written meanwhile is deleted, too
        shutil.rmtree(folder, ignore_errors=True)
    if not at_once:
        eventually(lambda: all(gone(pid) for pid in everyone))
    fleet.run("up", "-d")
    assert [pid for pid in everyone if not gone(pid)] == []
    fresh = pids(fleet)
    assert count(fleet) == 1
    assert fleet.json("ps")["keeper"]["pid"] not in everyone
    assert pids(fleet) == fresh, "nobody else restarts them"


def test_down_leaves_nothing_behind(fleet: FleetFolder) -> None:
    state = fleet.json("ps")
    everyone = [*pids(fleet).values(), state["daemon"]["pid"], state["keeper"]["pid"]]
    fleet.run("down")
    assert [pid for pid in everyone if not gone(pid)] == []
    folder = Path(fleet.folder) / ".backstay"
    assert [path.name for path in folder.rglob("*") if path.is_socket()] == []
    # The port is free again: another fleet can have it at once.
    fleet.run("up", "-d")


def test_a_second_up_with_nothing_changed_touches_nothing(fleet: FleetFolder) -> None:
    before = pids(fleet)
    fleet.run("up", "-d")
    assert pids(fleet) == before


def _restarted(fleet: FleetFolder, service: str, pid: int) -> dict[str, Any] | None:
    instance = fleet.service(service)["instances"][0]
    return instance if instance["pid"] not in (None, pid) and instance["state"] == "ready" else None


def test_metrics_show_calls_processes_books_and_services(fleet: FleetFolder) -> None:
    assert count(fleet) == 1

    def shown() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{fleet.gateway_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    assert eventually(lambda: 'backstay_services{state="ready"} 2' in shown())
    text = shown()
    for series in (
        "backstay_ledger_capacity{",
        "backstay_ports{",
        'service="plain",tool="count"',
        'instance="sleeper.1"',
    ):
        assert series in text, text
