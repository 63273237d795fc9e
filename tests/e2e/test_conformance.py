"""The official conformance suite: what passes against a server directly must pass through the gateway.

The fixtures (`tests/fixtures/conformance`, one for each era) run directly over HTTP, and behind the gateway
over HTTP and over stdio, which the suite alone never tests.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conftest import TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FleetFolder

FIXTURE = TESTS / "fixtures" / "conformance" / "server.mjs"
MODERN = TESTS / "fixtures" / "conformance" / "modern.mjs"
SUITE = TESTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

#: What a server does with its own HTTP streams; over stdio it has none, and the fixture cannot close one.
OF_HTTP_ONLY = "server-sse-polling/"

#: The extension that the fixture has not; what it fails with is not compared.
OF_TASKS = "tasks-"

pytestmark = pytest.mark.fleet


def run_suite(node: Path, url: str, output: Path, requirements: str = "2025-11-25") -> dict[str, str]:
    """Run the suite against `url`; return the status of every check by 'scenario/check'."""
    subprocess.run(
        [node, SUITE, "server", "--url", url, "--requirements", requirements, "-o", output],
        check=False,
        timeout=180,
        capture_output=True,
    )
    statuses: dict[str, str] = {}
    for report in sorted(output.glob("*/checks.json")):
        scenario = report.parent.name.split("-20")[0].removeprefix("server-")
        for check in json.loads(report.read_text()):
            name = f"{scenario}/{check['id']}"
            # A check that ran several times counts as its worst outcome.
            worst = max(statuses.get(name, "INFO"), check["status"], key=_badness)
            statuses[name] = worst
    return statuses


def _badness(status: str) -> int:
    # INFO is what the suite says where an answer of another allowed form leaves a check nothing to look at.
    return ["INFO", "SUCCESS", "SKIPPED", "WARNING", "FAILURE"].index(status)


@contextmanager
def served(node: Path, fixture: Path) -> Iterator[str]:
    """Run a fixture over HTTP; give its URL."""
    server = subprocess.Popen([node, fixture, "--http", "0"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


def service(node: Path, fixture: Path, transport: str) -> dict[str, object]:
    """A fixture as a service of the stack file, under its own names on `/mcp`."""
    if transport == "stdio":
        return {"command": [str(node), str(fixture)], "mcp": {"transport": "stdio", "prefix": ""}}
    return {
        "command": [str(node), str(fixture), "--http", "{{ ports.http }}"],
        "mcp": {"transport": "streamable-http", "port": "http", "path": "/mcp", "prefix": ""},
        "ports": {"http": "auto"},
    }


@pytest.fixture(scope="module")
def direct(node: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The suite's checks against the fixture itself."""
    with served(node, FIXTURE) as url:
        return run_suite(node, url, tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="module")
def modern(node: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The suite's checks of 2026-07-28 against the modern fixture itself."""
    with served(node, MODERN) as url:
        return run_suite(node, url, tmp_path_factory.mktemp("modern"), "2026-07-28")


def test_the_fixture_itself_passes_every_check(direct: dict[str, str]) -> None:
    failed = [name for name, status in direct.items() if status == "FAILURE"]
    assert not failed
    assert len(direct) > 35, "the suite ran fewer scenarios than it has"


@pytest.mark.parametrize("transport", ["stdio", "streamable-http"])
def test_nothing_that_passes_directly_is_lost_through_the_gateway(
    transport: str, direct: dict[str, str], node: Path, fleet_folder: FleetFolder, tmp_path: Path
) -> None:
    fleet_folder.write({"fixture": service(node, FIXTURE, transport)})
    fleet_folder.run("up", "-d")
    for place in ("", "/fixture"):
        through = run_suite(node, fleet_folder.url + place, tmp_path / f"out{place.replace('/', '-')}")
        lost = {
            name: (status, through.get(name, "never ran"))
            for name, status in direct.items()
            if status == "SUCCESS"
            and through.get(name) not in ("SUCCESS", "INFO")
            and not (transport == "stdio" and name.startswith(OF_HTTP_ONLY))
        }
        assert not lost, f"lost at /mcp{place}: {lost}"


def test_the_modern_fixture_itself_passes_what_the_version_requires(modern: dict[str, str]) -> None:
    failed = [
        name for name, status in modern.items() if status == "FAILURE" and not name.startswith(OF_TASKS)
    ]
    assert not failed
    assert len(modern) > 100, "the suite ran fewer scenarios than it has"


@pytest.mark.parametrize("transport", ["stdio", "streamable-http"])
def test_a_modern_server_is_the_same_through_the_gateway_check_by_check(
    transport: str, modern: dict[str, str], node: Path, fleet_folder: FleetFolder, tmp_path: Path
) -> None:
    fleet_folder.write({"fixture": service(node, MODERN, transport)})
    fleet_folder.run("up", "-d")
    for place in ("", "/fixture"):
        output = tmp_path / f"out{place.replace('/', '-')}"
        through = run_suite(node, fleet_folder.url + place, output, "2026-07-28")
        assert through == modern, f"at /mcp{place}"


#: What the suite tries with tools that only the modern fixture has.
OF_MODERN_TOOLS = (
    OF_TASKS,
    "input-required-result",
    "http-custom-header",
    "server-stateless/sep-2575-server-rejects-undeclared-capability",
    "server-stateless/sep-2575-missing-capability-http-400",
    "server-stateless/sep-2575-http-server-no-independent-requests-on-stream",
    "server-stateless/sep-2575-server-no-log-without-loglevel",
)


def test_a_server_with_sessions_passes_what_the_version_without_them_requires(
    modern: dict[str, str], node: Path, fleet_folder: FleetFolder, tmp_path: Path
) -> None:
    fleet_folder.write({"fixture": service(node, FIXTURE, "stdio")})
    fleet_folder.run("up", "-d")
    through = run_suite(node, fleet_folder.url, tmp_path / "out", "2026-07-28")
    asked = {
        name
        for name, status in modern.items()
        if status == "SUCCESS" and not name.startswith(OF_MODERN_TOOLS)
    }
    assert len(asked) > 50
    lost = {name: through.get(name, "never ran") for name in asked}
    assert not {name: status for name, status in lost.items() if status in ("FAILURE", "never ran")}
