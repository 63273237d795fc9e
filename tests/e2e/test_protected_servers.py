"""Remote servers that want credentials: what a user is told, how they are shown, whose never pass."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet

METADATA = "https://example.com/.well-known/oauth-protected-resource"
TOOL = {"name": "whose", "inputSchema": {"type": "object"}}


class Protected(BaseHTTPRequestHandler):
    """An MCP server that lets in who shows its token, and says which token it was shown."""

    protocol_version = "HTTP/1.1"
    seen: list[str | None]
    token: str

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        shown = self.headers["authorization"]
        self.seen.append(shown)
        if shown != f"Bearer {self.token}":
            challenge = f'Bearer resource_metadata="{METADATA}", scope="tools"'
            return self.answer(401, None, {"www-authenticate": challenge})
        if "id" not in message:
            return self.answer(202, None)
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "protected", "version": "1"},
            },
            "ping": {},
            "tools/list": {"tools": [TOOL]},
            "tools/call": {"content": [{"type": "text", "text": shown}]},
        }
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] in results:
            answer["result"] = results[message["method"]]
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
        return self.answer(200, answer)

    def do_GET(self) -> None:
        self.answer(405, None)

    do_DELETE = do_GET

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def protected(token: str) -> Iterator[tuple[str, list[str | None]]]:
    """Serve one; give its URL and the credentials that it is shown."""
    seen: list[str | None] = []
    handler = type("Mine", (Protected,), {"seen": seen, "token": token})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp", seen
        finally:
            server.shutdown()
            thread.join()


def ask(fleet: FleetFolder, message: dict[str, Any], session: str | None, **headers: str) -> Any:
    """Ask the gateway as a client of 2025-11-25 would; give the answer and its headers."""
    fields = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    if session is not None:
        fields["mcp-session-id"] = session
    body = json.dumps({"jsonrpc": "2.0", "id": 1, **message}).encode()
    with urlopen(Request(fleet.url, body, fields), timeout=30) as answer:
        return json.loads(answer.read()), answer.headers


def test_who_wants_a_token_is_named_with_the_way_to_show_one(fleet_folder: FleetFolder) -> None:
    with protected("secret") as (url, _):
        fleet_folder.write({"remote": {"mcp": {"url": url}}})
        said = fleet_folder.run("up", "-d", code=1).stderr
    assert f'it wants credentials (Bearer resource_metadata="{METADATA}"' in said
    assert 'Authorization: "Bearer {{ secrets.' in said


def test_a_secret_is_shown_to_the_server_and_to_nobody_else(fleet_folder: FleetFolder) -> None:
    with protected("s3cret-of-the-server") as (url, seen):
        headers = {"Authorization": "Bearer {{ secrets.remote }}"}
        services = {"remote": {"mcp": {"url": url, "headers": headers}, "secrets": ["remote"]}}
        fleet_folder.write(services, secrets={"remote": {"environment": "REMOTE_TOKEN"}})
        fleet_folder.environ["REMOTE_TOKEN"] = "s3cret-of-the-server"
        fleet_folder.run("up", "-d")
        assert "Bearer s3cret-of-the-server" in fleet_folder.run("call", "remote", "whose").stdout
        assert set(seen) == {"Bearer s3cret-of-the-server"}
        state = fleet_folder.folder / ".backstay"
        told = [path for path in state.rglob("*") if path.is_file() and path.name != "environ.json"]
        leaks = [path for path in told if b"s3cret-of-the-server" in path.read_bytes()]
        assert not leaks
        assert "s3cret" not in fleet_folder.run("config").stdout


def test_a_clients_own_token_never_reaches_a_server(fleet_folder: FleetFolder) -> None:
    with protected("secret") as (url, seen):
        headers = {"Authorization": "Bearer secret"}
        fleet_folder.write({"remote": {"mcp": {"url": url, "headers": headers, "prefix": ""}}})
        fleet_folder.run("up", "-d")
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        own = {"authorization": "Bearer of-the-client"}
        _, answered = ask(fleet_folder, {"method": "initialize", "params": params}, None, **own)
        session = answered["mcp-session-id"]
        call = {"method": "tools/call", "params": {"name": "whose"}}
        answer, _ = ask(fleet_folder, call, session, **own)
        assert answer["result"]["content"][0]["text"] == "Bearer secret"
        assert "Bearer of-the-client" not in seen
