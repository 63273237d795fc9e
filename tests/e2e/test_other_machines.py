"""Clients on other machines: a token, and answers compressed for the way; our own address is theirs."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import TESTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

FIXTURE = TESTS / "fixtures" / "conformance" / "server.mjs"
OPEN = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine is in no network")
        return str(probe.getsockname()[0])


@pytest.fixture
def fleet(fleet_folder: FleetFolder, node: Path) -> FleetFolder:
    """A fleet that listens at every address."""
    service = {"command": [str(node), str(FIXTURE)], "mcp": {"transport": "stdio"}}
    fleet_folder.write({"it": service}, gateway={"listen": f"0.0.0.0:{fleet_folder.gateway_port}"})
    fleet_folder.run("up", "-d")
    return fleet_folder


class Client:
    """What asks at an address, with these headers."""

    def __init__(self, fleet: FleetFolder, address: str, **headers: str) -> None:
        self.url = f"http://{address}:{fleet.gateway_port}/mcp"
        self.headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **headers,
        }

    def ask(self, method: str, params: dict[str, Any]) -> tuple[bytes, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with urlopen(Request(self.url, json.dumps(body).encode(), self.headers), timeout=30) as answer:
            return answer.read(), answer.headers

    def open(self) -> None:
        _, headers = self.ask("initialize", OPEN)
        self.headers["mcp-session-id"] = headers["mcp-session-id"]


def test_a_token_is_made_asked_for_and_enough(fleet: FleetFolder) -> None:
    file = fleet.folder / ".backstay" / "token"
    assert file.stat().st_mode & 0o777 == 0o600
    for address in ("127.0.0.1", own_address()):
        with pytest.raises(HTTPError, match="401"):
            Client(fleet, address).open()
        with pytest.raises(HTTPError, match="401"):
            Client(fleet, address, authorization="Bearer guessed").open()
        client = Client(fleet, address, authorization=f"Bearer {file.read_text().strip()}")
        client.open()
        assert b"it__test_simple_text" in client.ask("tools/list", {})[0]
    assert "it__test_simple_text" in fleet.run("tools").stdout, "the command needs none"


def test_answers_are_compressed_for_another_machine_and_for_none_here(fleet: FleetFolder) -> None:
    token = (fleet.folder / ".backstay" / "token").read_text().strip()
    fields = {"authorization": f"Bearer {token}", "accept-encoding": "gzip"}
    here = Client(fleet, "127.0.0.1", **fields)
    here.open()
    plain, headers = here.ask("tools/list", {})
    assert headers["content-encoding"] is None
    there = Client(fleet, own_address(), **fields)
    there.open()
    packed, headers = there.ask("tools/list", {})
    assert headers["content-encoding"] == "gzip"
    assert len(packed) < len(plain) / 2
    assert json.loads(gzip.decompress(packed)) == json.loads(plain)
    short, headers = there.ask("ping", {})
    assert (json.loads(short)["result"], headers["content-encoding"]) == ({}, None)
