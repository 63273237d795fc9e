"""Clients that stall, break off and never end, servers that misbehave: bounded, and nobody else's loss."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.conftest import SERVERS, FleetFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fleet

SERVER = [sys.executable, str(SERVERS / "conformance.py")]
NOISY = [sys.executable, str(SERVERS / "noisy.py")]
CALLS = 300
BOUND = 40
"""How much worse a neighbour's p99 may be: two cores are shared, and nobody waits for another."""


class Caller:
    """A client of one server, over one connection that is kept until the test ends."""

    opened: ClassVar[list[Caller]] = []

    def __init__(self, fleet: FleetFolder, service: str) -> None:
        self.port = fleet.gateway_port
        self.path = f"/mcp/{service}"
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.opened.append(self)
        self.headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        client = {"name": "t", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        status, headers, _ = self.post("initialize", params)
        assert status == 200
        self.headers |= {"mcp-session-id": headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}

    def post(self, method: str, params: dict[str, Any], id: int = 1) -> tuple[int, Any, bytes]:
        body = json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        self.connection.request("POST", self.path, body, self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def echo(self, text: str) -> bool:
        status, _, body = self.post("tools/call", {"name": "echo", "arguments": {"text": text}})
        return status == 200 and text.encode() in body

    def p99(self) -> float:
        took = []
        for number in range(CALLS):
            begun = time.perf_counter()
            assert self.echo(f"call {number}")
            took.append(time.perf_counter() - begun)
        return sorted(took)[int(CALLS * 0.99)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFolder]:
    made = FleetFolder(tmp_path_factory.mktemp("hostile"))
    mcp = {"transport": "stdio", "call_timeout": "5s"}
    made.write({"good": {"command": SERVER, "mcp": mcp}, "noisy": {"command": NOISY, "mcp": mcp}})
    made.run("up", "-d")
    yield made
    made.down()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while Caller.opened:
        Caller.opened.pop().connection.close()


def opened(fleet: FleetFolder) -> socket.socket:
    return socket.create_connection(("127.0.0.1", fleet.gateway_port), 30)


def status(connection: socket.socket) -> int:
    answer = b""
    while b"\r\n" not in answer and (part := connection.recv(4096)):
        answer += part
    return int(answer.split(b" ")[1]) if answer else 0


def test_a_hundred_clients_that_never_finish_their_headers_cost_nobody_a_call(fleet: FleetFolder) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(opened(fleet))
            connection.sendall(b"POST /mcp/good HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        caller = Caller(fleet, "good")
        assert all(caller.echo(f"slow {number}") for number in range(20))


def test_a_body_that_stops_half_way_reaches_no_server(fleet: FleetFolder) -> None:
    caller = Caller(fleet, "good")
    with opened(fleet) as connection:
        head = "POST /mcp/good HTTP/1.1\r\nhost: localhost\r\n"
        head += f"mcp-session-id: {caller.headers['mcp-session-id']}\r\n"
        head += "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        connection.sendall(f"{head}content-length: 1000\r\n\r\n".encode() + b'{"jsonrpc":"2.0","id":9,"meth')
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) in (0, 400)
    assert caller.echo("still there")


def test_a_client_that_closes_its_half_disturbs_nobody(
    fleet: FleetFolder,
) -> None:
    with opened(fleet) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) in (0, 200)
    assert Caller(fleet, "good").echo("mine")


def test_a_body_without_end_is_cut_off(fleet: FleetFolder) -> None:
    caller = Caller(fleet, "good")
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    sent = 0
    with opened(fleet) as connection:
        head = "POST /mcp/good HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        head += f"content-type: application/json\r\nmcp-session-id: {caller.headers['mcp-session-id']}\r\n"
        connection.sendall(f"{head}accept: application/json, text/event-stream\r\n\r\n".encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 512:
                connection.sendall(chunk)
                sent += 1
        assert sent < 512, "it takes everything"
    assert caller.echo("after the flood")


def test_a_flood_of_headers_is_refused(fleet: FleetFolder) -> None:
    with opened(fleet) as connection:
        head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + "".join(
            f"x-{number}: {'y' * 100}\r\n" for number in range(20_000)
        )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.encode() + b"\r\n")
        answered = 0
        with contextlib.suppress(ConnectionResetError):
            answered = status(connection)
        assert answered in (0, 400, 431)
    assert Caller(fleet, "good").echo("after the flood")


def test_a_thousand_cancellations_of_what_is_not_there_change_nothing(fleet: FleetFolder) -> None:
    caller = Caller(fleet, "good")
    for number in range(1000):
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
        caller.connection.request("POST", caller.path, json.dumps(message), caller.headers)
        answer = caller.connection.getresponse()
        answer.read()
        assert answer.status == 202
    assert caller.echo("after a thousand")


def test_an_id_that_was_answered_can_be_used_again(fleet: FleetFolder) -> None:
    caller = Caller(fleet, "good")
    assert all(caller.echo(f"again {number}") for number in range(50))


def misbehave(fleet: FleetFolder, how: str, over: threading.Event) -> None:
    """Have the noisy server do it again and again; what its callers are told is theirs."""
    while not over.is_set():
        with contextlib.suppress(OSError, AssertionError, http.client.HTTPException, KeyError):
            caller = Caller(fleet, "noisy")
            while not over.is_set():
                caller.post("tools/call", {"name": how, "arguments": {}})


@pytest.mark.parametrize("how", ["stall", "lie", "flood", "half", "die"])
def test_a_neighbours_p99_does_not_care_how_a_server_misbehaves(how: str, fleet: FleetFolder) -> None:
    good = Caller(fleet, "good")
    good.p99()
    before = good.p99()
    over = threading.Event()
    culprit = threading.Thread(target=misbehave, args=(fleet, how, over))
    culprit.start()
    try:
        during = good.p99()
    finally:
        over.set()
        culprit.join(60)
    after = good.p99()
    quiet = max(before, after)
    assert during <= BOUND * quiet, f"p99 {quiet * 1000:.1f} ms became {during * 1000:.1f} ms"
