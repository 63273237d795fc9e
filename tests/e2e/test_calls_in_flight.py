"""What a client sees of a daemon that is killed during its calls: an end, soon, and no dead session."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BACKSTAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def message(method: str, params: dict[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, **envelope} | ({} if params is None else {"params": params})


def tool(name: str, call: Any, **params: Any) -> dict[str, Any]:
    return message("tools/call", {"name": name, "arguments": {}} | params, id=call)


@pytest.fixture
def fleet(fleet_folder: FleetFolder, python_server: list[str]) -> FleetFolder:
    fleet_folder.write({"plain": {"command": python_server, "mcp": {"transport": "stdio"}}})
    fleet_folder.run("up", "-d")
    return fleet_folder


def kill_daemon(fleet: FleetFolder) -> None:
    os.kill(int(fleet.json("ps")["daemon"]["pid"]), signal.SIGKILL)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Opens when the server is inside the call that reads this pipe; the call goes on when it closes."""
    with path.open("wb"):
        yield


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "hold"
    os.mkfifo(path)
    return path


class Stdio:
    """A client of `backstay connect`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.say(message("initialize", HELLO, id=0))
        assert self.answer(0)["result"]["serverInfo"]["name"]
        self.say(message("notifications/initialized"))

    def say(self, what: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        return dict(json.loads(self.process.stdout.readline()))

    def answer(self, call: Any) -> dict[str, Any]:
        while True:
            heard = self.hear()
            if heard.get("id") == call and "method" not in heard:
                return heard


@pytest.fixture
def stdio(fleet: FleetFolder) -> Iterator[Stdio]:
    command = [BACKSTAY, "connect", "plain"]
    with subprocess.Popen(
        command,
        cwd=fleet.folder,
        env=fleet.environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield Stdio(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("streams", [False, True], ids=["unanswered", "streaming"])
def test_a_stdio_clients_call_that_the_daemon_took_with_it_ends_with_an_error_of_its_own_id(
    streams: bool, fleet: FleetFolder, stdio: Stdio, pipe: Path
) -> None:
    meta = {"_meta": {"progressToken": "p"}} if streams else {}
    stdio.say(tool("hold", "call-7", arguments={"path": str(pipe)}, **meta))
    with held(pipe):
        if streams:
            assert stdio.hear()["params"]["progressToken"] == "p"
        kill_daemon(fleet)
        ended = stdio.answer("call-7")
    assert ended["error"]["code"] == -32000
    assert "the daemon restarted during the call" in ended["error"]["message"]
    # The server still answers the call of the daemon that is dead: nobody is given that answer.
    stdio.say(tool("count", 8))
    assert stdio.answer(8)["result"]["content"][0]["text"] == "1"


class Http:
    """A client that keeps its connection."""

    def __init__(self, fleet: FleetFolder) -> None:
        self.port = fleet.gateway_port
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        opened = self.post(message("initialize", HELLO, id=0))
        self.headers |= {
            "mcp-session-id": str(opened.headers["mcp-session-id"]),
            "mcp-protocol-version": HELLO["protocolVersion"],
        }
        opened.read()
        assert self.post(message("notifications/initialized")).read() == b""

    def send(self, what: dict[str, Any]) -> None:
        self.connection.request("POST", "/mcp/plain", json.dumps(what), self.headers)

    def post(self, what: dict[str, Any]) -> http.client.HTTPResponse:
        self.send(what)
        return self.connection.getresponse()


def test_an_http_clients_kept_connection_is_closed_and_its_session_goes_on(
    fleet: FleetFolder, pipe: Path
) -> None:
    client = Http(fleet)
    client.send(tool("hold", 1, arguments={"path": str(pipe)}))
    with held(pipe):
        kill_daemon(fleet)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            client.connection.getresponse()
    client.connection.close()
    # The same session over a connection of its own: not even a new `initialize` is needed.
    answer = client.post(tool("count", 2))
    assert answer.status == 200
    assert b'"text":"1"' in answer.read().replace(b'": "', b'":"')
    client.connection.close()
