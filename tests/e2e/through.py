"""Runs a client through a gateway: `through.py NODE CLIENT URL`, with the address of the server behind it.

The official suite starts its client with a command to which it adds the address of the scenario's
server. This one brings up a fleet whose only server is there, and gives the client the gateway's address.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.conftest import FleetFolder  # noqa: E402


def main() -> int:
    node, client, url = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        fleet = FleetFolder(Path(folder))
        fleet.write({"scenario": {"mcp": {"url": url, "prefix": ""}}})
        try:
            fleet.run("up", "-d")
            return subprocess.run([node, client, fleet.url], check=False, timeout=60).returncode
        finally:
            fleet.down()


if __name__ == "__main__":
    sys.exit(main())
