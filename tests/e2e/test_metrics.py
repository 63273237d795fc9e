"""`/metrics` of a real daemon: everything that is to be seen is there, and other programs can read it."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from backstay.observe.collector import FleetCollector
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

GOLDEN = {
    "backstay_requests": "counter",
    "backstay_request_errors": "counter",
    "backstay_request_seconds": "histogram",
    "backstay_requests_in_flight": "gauge",
}
PROCESSES = {
    "backstay_process_cpu_seconds",
    "backstay_process_resident_memory_bytes",
    "backstay_process_open_fds",
    "backstay_process_threads",
    "backstay_instance_restarts",
    "backstay_instance_uptime_seconds",
}
BOOKS = {"backstay_ledger_capacity", "backstay_ledger_reserved", "backstay_ports", "backstay_services"}
CACHE = {"backstay_package_environments", "backstay_package_cache_bytes", "backstay_package_installs"}
DAEMON = {
    "backstay_daemon_generation",
    "backstay_daemon_cpu_seconds",
    "backstay_daemon_resident_memory_bytes",
    "backstay_daemon_open_fds",
    "backstay_daemon_threads",
    "backstay_daemon_uptime_seconds",
    "backstay_daemon_events_waiting",
}


@pytest.fixture
def fleet(fleet_folder: FleetFolder, python_server: list[str]) -> FleetFolder:
    """A server that was called, well and badly, and a service with a port and a reservation."""
    fleet_folder.write(
        {
            "plain": {"command": python_server, "mcp": {"transport": "stdio"}},
            "web": {
                "command": ["sleep", "1000"],
                "ports": {"http": "auto"},
                "deploy": {"resources": {"reservations": {"memory": "32M"}}},
            },
        },
        ports="24200-24210",
    )
    fleet_folder.run("up", "-d")
    fleet_folder.run("call", "plain", "echo", "text=hello")
    fleet_folder.run("call", "plain", "crash", code=1)
    return fleet_folder


def families(fleet: FleetFolder) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.gateway_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Any], sample: str, **labels: str) -> float:
    for family in found.values():
        for row in family.samples:
            if row.name == sample and row.labels == labels:
                return float(row.value)
    raise AssertionError(f"no {sample} {labels}")


def test_everything_that_is_to_be_seen_is_there(fleet: FleetFolder):
    found = eventually(lambda: (f := families(fleet)) and "backstay_ports" in f and f)
    assert set(GOLDEN) | PROCESSES | BOOKS | CACHE | DAEMON <= set(found)
    for name, kind in GOLDEN.items():
        assert found[name].type == kind
        assert found[name].documentation

    called = {"service": "plain", "tool": "echo"}
    assert value(found, "backstay_requests_total", **called) == 1
    assert value(found, "backstay_request_seconds_count", **called) == 1
    assert value(found, "backstay_requests_in_flight", **called) == 0
    errors = [row for row in found["backstay_request_errors"].samples if row.labels["tool"] == "crash"]
    assert sum(row.value for row in errors if row.name.endswith("_total")) == 1

    web = {"service": "web", "instance": "web.1"}
    assert value(found, "backstay_process_resident_memory_bytes", **web) > 10_000
    assert value(found, "backstay_ledger_reserved", resource="memory_bytes") == 32 * 1024**2
    assert value(found, "backstay_ports", state="leased") == 1
    assert value(found, "backstay_ports", state="free") == 10
    assert value(found, "backstay_package_installs_total", result="failed") == 0
    assert value(found, "backstay_daemon_generation") == 1
    assert value(found, "backstay_daemon_resident_memory_bytes") > 1_000_000
    assert value(found, "backstay_daemon_open_fds") > 3


def test_an_embedding_program_has_the_same_series_in_its_own_registry(fleet: FleetFolder):
    eventually(lambda: "backstay_ports" in families(fleet))
    program = prometheus_client.CollectorRegistry()
    program.register(FleetCollector(fleet.folder / ".backstay"))
    offered = {family.name: family for family in program.collect()}
    shown = families(fleet)
    assert set(offered) == set(shown) | {"backstay_fleet_up"}
    for name, family in shown.items():
        rows = {(row.name, tuple(sorted(row.labels.items()))) for row in family.samples}
        ours = {(row.name, tuple(sorted(row.labels.items()))) for row in offered[name].samples}
        assert rows <= ours, name
    assert program.get_sample_value("backstay_fleet_up") == 1.0
    # What it offers can be shown again, beside the program's own.
    assert b"backstay_daemon_generation 1.0" in prometheus_client.generate_latest(program)


def test_labels_come_of_the_fleet_and_never_of_a_client_s_text(fleet: FleetFolder):
    before = {name: len(family.samples) for name, family in families(fleet).items()}
    for number in range(5):
        fleet.run("call", "plain", f"nothing-{number}", code=1)
    after = families(fleet)
    for name, family in after.items():
        texts = {text for row in family.samples for text in row.labels.values()}
        assert not [text for text in texts if "nothing" in text], name
    assert len(after["backstay_requests"].samples) <= before["backstay_requests"] + 1
