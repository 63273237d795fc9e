"""Our own conformance suite over stdio: a server directly and through `connect`, check by check the same."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BACKSTAY, SERVERS
from tests.e2e import stdio_suite
from tests.fixtures.servers.conformance import MODERN, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

LEGACY = [sys.executable, str(SERVERS / "conformance.py")]
SERVERS_OF = {"legacy": LEGACY, "modern": [*LEGACY, "modern"]}


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFolder]:
    """A fleet of the suite's server."""
    from tests.conftest import FleetFolder

    fleet = FleetFolder(tmp_path_factory.mktemp("stdio"))
    stdio = {"transport": "stdio"}
    fleet.write({service: {"command": command, "mcp": stdio} for service, command in SERVERS_OF.items()})
    fleet.run("up", "-d")
    yield fleet
    fleet.down()


@pytest.mark.parametrize("version", [*VERSIONS, MODERN])
def test_connect_loses_nothing_that_the_server_itself_does(version: str, connected: FleetFolder) -> None:
    service = "modern" if version == MODERN else "legacy"
    direct = stdio_suite.run(SERVERS_OF[service], version, connected.environ)
    command = [str(BACKSTAY), "-f", str(connected.folder / "backstay.yaml"), "connect", service]
    through = stdio_suite.run(command, version, connected.environ)
    assert through == direct
    wrong = {name: how for name, how in direct.items() if how.startswith("failed")}
    assert not wrong, "the server itself passes"
    assert len(direct) > 18
