"""The official TypeScript SDK 2.x as a client of 2026-07-28, through the gateway, at a server with sessions.

The server is the conformance fixture on the SDK 1.x. It asks its client in the middle of a call, which such a
client hears as a result and answers with another request; neither knows of that.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BACKSTAY, TESTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FleetFolder

CLIENT = TESTS / "fixtures" / "modern-client.mjs"
SERVER = TESTS / "fixtures" / "conformance" / "server.mjs"

pytestmark = pytest.mark.fleet


def legacy(node: Path, upstream: str) -> dict[str, Any]:
    """The fixture as a service of the stack file."""
    if upstream == "stdio":
        return {"command": [str(node), str(SERVER)], "mcp": {"transport": "stdio"}}
    return {
        "command": [str(node), str(SERVER), "--http", "{{ ports.http }}"],
        "mcp": {"transport": "streamable-http", "port": "http", "path": "/mcp"},
        "ports": {"http": "auto"},
    }


@pytest.mark.parametrize("downstream", ["http", "stdio"])
@pytest.mark.parametrize("upstream", ["stdio", "streamable-http"])
def test_a_modern_client_does_not_notice_that_its_server_is_legacy(
    upstream: str, downstream: str, node: Path, fleet_folder: FleetFolder
) -> None:
    fleet_folder.write({"it": legacy(node, upstream)})
    fleet_folder.run("up", "-d")
    target = (
        [f"{fleet_folder.url}/it"]
        if downstream == "http"
        else [str(BACKSTAY), "-f", str(fleet_folder.folder / "backstay.yaml"), "connect", "it"]
    )
    ran = subprocess.run(
        [node, CLIENT, *target], capture_output=True, text=True, timeout=60, cwd=fleet_folder.folder
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["version"] == "2026-07-28"
    assert seen["server"] == "backstay-conformance-fixture"
    assert "test_simple_text" in seen["tools"]
    assert seen["text"] == "This is a simple text response for testing."
    assert seen["progress"] == [0, 50, 100]
    assert seen["elicited"].startswith("User response: action=accept")
    assert "ada@example.org" in seen["elicited"]
    assert seen["sampled"] == "LLM response: forty-two"
    assert seen["roots"] == "Roots: file:///home/ada"
    assert seen["read"] == "This is the content of the static text resource."
    assert seen["missing"] == -32602
    assert seen["honoured"] == {
        "toolsListChanged": True,
        "resourceSubscriptions": ["test://watched-resource"],
    }
