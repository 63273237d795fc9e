"""The official suite's server scenarios of earlier versions: direct and through the gateway, the same."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import TESTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FleetFolder

FIXTURE = TESTS / "fixtures" / "conformance" / "server.mjs"
SUITE = TESTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

VERSIONS = {"2025-03-26": 1, "2025-06-18": 21}
"""The older versions that the suite has scenarios for, and how many checks it makes at the least. It has none
of 2024-11-05; the later ones are in `test_conformance.py`."""

pytestmark = pytest.mark.fleet


def play(node: Path, url: str, version: str, output: Path) -> dict[str, set[str]]:
    """Run the scenarios of the version against `url`; return the outcomes of every check."""
    subprocess.run(
        [node, SUITE, "server", "--url", url, "--spec-version", version, "-o", output],
        check=False,
        timeout=180,
        capture_output=True,
    )
    found: dict[str, set[str]] = {}
    for report in sorted(output.glob("*/checks.json")):
        scenario = report.parent.name.split("-20")[0]
        for check in json.loads(report.read_text()):
            found.setdefault(f"{scenario}/{check['id']}", set()).add(check["status"])
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", ["stdio", "streamable-http"])
def test_an_earlier_version_loses_nothing_either(
    transport: str, version: str, node: Path, fleet_folder: FleetFolder, tmp_path: Path
) -> None:
    server = subprocess.Popen([node, FIXTURE, "--http", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        direct = play(node, server.stdout.readline().strip(), version, tmp_path / "direct")
    finally:
        server.terminate()
        server.communicate(timeout=10)
    service: dict[str, object] = {
        "command": [str(node), str(FIXTURE)],
        "mcp": {"transport": "stdio", "prefix": ""},
    }
    if transport == "streamable-http":
        service = {
            "command": [str(node), str(FIXTURE), "--http", "{{ ports.http }}"],
            "mcp": {"transport": "streamable-http", "port": "http", "path": "/mcp", "prefix": ""},
            "ports": {"http": "auto"},
        }
    fleet_folder.write({"fixture": service})
    fleet_folder.run("up", "-d")
    through = play(node, f"{fleet_folder.url}/fixture", version, tmp_path / "through")
    good = {name for name, statuses in direct.items() if statuses == {"SUCCESS"}}
    lost = {name: through.get(name) for name in good if not through.get(name, set()) <= {"SUCCESS", "INFO"}}
    lost |= {name: None for name in good - through.keys()}
    assert not lost
    assert len(good) >= VERSIONS[version], "the suite ran fewer scenarios than it has"
