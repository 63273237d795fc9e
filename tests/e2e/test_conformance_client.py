"""The official suite's client scenarios: what a client does directly, the gateway does in its place.

The scenarios of authorization (`auth/…`) are not played. They look at what an OAuth client does when a
server refuses it: whom it asks, for which scopes, with which proof. The gateway stands between two trust
domains and passes no token from one to the other, as the specification wants it; towards a remote server it
shows the headers of the stack file, and is no OAuth client. What it does with such a server is tried in
`test_protected_servers.py`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import TESTS

SUITE = TESTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
CLIENTS = {"2026-07-28": TESTS / "fixtures" / "conformance" / "client-modern.mjs"}
CLIENT = TESTS / "fixtures" / "conformance" / "client.mjs"
THROUGH = Path(__file__).parent / "through.py"

SCENARIOS = {
    "2025-06-18": ("initialize", "tools_call"),
    "2025-11-25": (
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
        "json-schema-2020-12-preservation",
    ),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ),
}

BADNESS = ("SKIPPED", "INFO", "SUCCESS", "WARNING", "FAILURE")

pytestmark = pytest.mark.fleet


def play(node: Path, scenario: str, version: str, command: list[str], output: Path) -> dict[str, str]:
    """Play one scenario with a client; return the status of every check."""
    done = subprocess.run(
        [
            *(node, SUITE, "client", "--command", shlex.join(command), "--scenario", scenario),
            *("--spec-version", version, "--timeout", "120000", "-o", output),
        ],
        check=False,
        timeout=240,
        text=True,
        capture_output=True,
    )
    reports = list(output.rglob("checks.json"))
    assert reports, done.stdout + done.stderr
    checks = [check for report in reports for check in json.loads(report.read_text())]
    statuses: dict[str, str] = {}
    for check in checks:
        # A check that was made several times counts as its worst outcome.
        name = f"{check['id']} {check['name']}"
        statuses[name] = max(statuses.get(name, "SKIPPED"), check["status"], key=BADNESS.index)
    return statuses


@pytest.mark.parametrize("version", SCENARIOS)
def test_the_gateway_is_the_client_that_the_client_is(version: str, node: Path, tmp_path: Path) -> None:
    direct_command = [str(node), str(CLIENTS.get(version, CLIENT))]
    through_command = [sys.executable, str(THROUGH), *direct_command]

    def both(scenario: str) -> tuple[dict[str, str], dict[str, str]]:
        return (
            play(node, scenario, version, direct_command, tmp_path / scenario / "direct"),
            play(node, scenario, version, through_command, tmp_path / scenario / "through"),
        )

    with ThreadPoolExecutor(2) as threads:
        played = dict(zip(SCENARIOS[version], threads.map(both, SCENARIOS[version]), strict=True))
    lost = {}
    for scenario, (direct, through) in played.items():
        good = {name for name, status in direct.items() if status == "SUCCESS"}
        assert good, f"{scenario} looked at nothing"
        assert "FAILURE" not in direct.values(), f"the client itself fails {scenario}: {direct}"
        worse = {name: through.get(name, "never ran") for name in good if through.get(name) != "SUCCESS"}
        if worse:
            lost[scenario] = worse
    assert not lost
