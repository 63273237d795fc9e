"""A session over streamable HTTP, raw: each message is one POST, with the headers that a check wants.

It stands on the standard library's client, in a thread for each request: an examination makes a few hundred.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backstay.client.wire import ServerEvents
from backstay.compliance.sessions import INITIALIZED, MODERN, agreed, discover, dressed, greeting, written

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_BODY = 64 << 20
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """What one request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    messages: tuple[dict[str, Any], ...]


class HttpSession:
    """A session with the server at an address."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.version = ""
        self.greeted: dict[str, Any] = {}
        self.id: str | None = None
        self._headers = dict(headers)

    async def open(self, version: str, patience: float) -> bool:
        """Shake hands, where the version has that; say whether the server speaks it."""
        if version == MODERN:
            return await discover(self, patience)
        reply = await self.post(greeting(version), patience)
        result = reply.messages[-1].get("result") if reply and reply.messages else None
        if reply is None or not agreed(self, result):
            return False
        self.id = reply.headers.get("mcp-session-id")
        await self.tell(INITIALIZED)
        return True

    async def ask(self, message: dict[str, Any], patience: float) -> dict[str, Any] | None:
        """Send a request and return its answer; a refusal by HTTP is an error's answer."""
        reply = await self.post(message, patience)
        if reply is None:
            return None
        for each in reply.messages:
            if each.get("id") == message["id"] and "method" not in each:
                return each
        if reply.status >= 400:
            error = {"code": -reply.status, "message": f"HTTP {reply.status}"}
            return {"jsonrpc": "2.0", "id": message["id"], "error": error}
        return None

    async def tell(self, message: dict[str, Any]) -> None:
        """Send what wants no answer."""
        await self.post(message, 30)

    async def post(
        self, message: dict[str, Any], patience: float, headers: Mapping[str, str] | None = None
    ) -> Reply | None:
        """Send a message, with further headers; None where the connection failed or took too long."""
        message = dressed(message, self.version)
        fields = {}
        if self.version == MODERN:
            fields["mcp-method"] = message.get("method", "")
            if message.get("method") == "tools/call":
                fields["mcp-name"] = message["params"]["name"]
        return await self.exchange("POST", written(message), patience, {**fields, **(headers or {})})

    async def close(self, patience: float) -> None:
        """End the session."""
        if self.id is not None:
            await self.exchange("DELETE", None, patience, None)

    async def exchange(
        self, method: str, body: bytes | None, patience: float, headers: Mapping[str, str] | None
    ) -> Reply | None:
        """Make one request; None where the connection failed or took too long."""
        fields = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            **self._headers,
        }
        if self.version:
            fields["mcp-protocol-version"] = self.version
        if self.id is not None:
            fields["mcp-session-id"] = self.id
        fields |= headers or {}
        try:
            return await asyncio.to_thread(_exchange, self.url, method, body, fields, patience)
        except (OSError, http.client.HTTPException, ValueError):
            return None


def _exchange(
    url: str, method: str, body: bytes | None, headers: Mapping[str, str], patience: float
) -> Reply:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=patience)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        messages: list[dict[str, Any]] = []
        if fields.get("content-type", "").startswith("text/event-stream"):
            text = _events(answer, messages)
        else:
            text = answer.read(LONGEST_BODY)
            messages += _read(text)
        return Reply(answer.status, fields, text, tuple(messages))
    finally:
        connection.close()


def _events(answer: http.client.HTTPResponse, messages: list[dict[str, Any]]) -> bytes:
    """Read a stream of events up to the answer to the request, or its end."""
    events, size = ServerEvents(), 0
    while part := answer.read1(_CHUNK):
        size += len(part)
        for data in events.feed(part):
            messages += _read(data)
        if size > LONGEST_BODY or any("method" not in each for each in messages):
            break
    return b""


def _read(data: bytes) -> list[dict[str, Any]]:
    try:
        message = json.loads(data) if data else None
    except ValueError:
        return []
    return [each for each in (message if isinstance(message, list) else [message]) if isinstance(each, dict)]
