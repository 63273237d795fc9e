"""A small MCP client: what `call`, `tools` and `doctor` need of the protocol, no more.

It speaks Streamable HTTP to the fleet's own gateway over its trusted unix socket, answers `ping`,
refuses other requests of the server, and passes notifications on. Programs that want the whole
protocol take an official SDK and the gateway's address.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from backstay.client import wire
from backstay.client.aio import Answer, exchange
from backstay.client.sockets import GATEWAY
from backstay.errors import BadAnswer, CallFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

VERSION = "2025-11-25"
MAX_PAGES = 1_000
"""How many pages of a list are read before a server is taken to turn in circles."""

METHOD_NOT_FOUND = -32601


@dataclass(frozen=True)
class CallResult:
    """What a tool answered.

    Attributes:
        content: the content blocks as the server sent them.
        structured: the structured result, where the tool has an output schema.
        is_error: whether the tool says that it failed.
        raw: the whole result object.
    """

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool = False
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """All text blocks, a line break between them."""
        return "\n".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")


@dataclass(frozen=True)
class Tool:
    """A tool as its server describes it.

    Attributes:
        name: what it is called by.
        title: its name for people, if it has one.
        description: what it does.
        input_schema: the JSON Schema of its arguments.
        raw: the whole description.
    """

    name: str
    title: str | None = None
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict, repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Tool:
        """Read a server's description."""
        schema = raw.get("inputSchema")
        return cls(
            name=str(raw.get("name", "")),
            title=raw.get("title"),
            description=str(raw.get("description") or ""),
            input_schema=schema if isinstance(schema, dict) else {},
            raw=raw,
        )


class McpClient:
    """One session with a server of the fleet, or with the whole fleet."""

    def __init__(self, state_dir: Path, service: str | None, *, timeout: float) -> None:
        self._socket = state_dir / GATEWAY
        self._path = "/mcp" if service is None else f"/mcp/{quote(service, safe='')}"
        self._timeout = timeout
        self._session: str | None = None
        self._next_id = 0
        self.service = service
        self.initialized: dict[str, Any] = {}
        """The server's answer to `initialize`."""

    async def initialize(self) -> dict[str, Any]:
        """Open the session."""
        from backstay import __version__

        client = {"name": "backstay", "version": __version__}
        self.initialized = await self.request(
            "initialize", {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
        )
        await self.notify("notifications/initialized")
        return self.initialized

    async def tools(self) -> list[Tool]:
        """Return the server's tools, all pages of them."""
        return [Tool.read(raw) for raw in await self.items("tools/list", "tools")]

    async def items(self, method: str, key: str) -> list[dict[str, Any]]:
        """Return all items that `method` lists under `key`."""
        items: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = await self.request(method, params)
            items += page.get(key) or []
            if not (cursor := page.get("nextCursor")):
                return items
            params = {"cursor": cursor}
        raise CallFailed(f"`{method}` has more than {MAX_PAGES} pages")

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_notification: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> CallResult:
        """Call a tool; a result that says `isError` is returned, not raised."""
        result = await self.request(
            "tools/call", {"name": tool, "arguments": dict(arguments or {})}, on_notification=on_notification
        )
        content = result.get("content")
        return CallResult(
            content=[block for block in content if isinstance(block, dict)]
            if isinstance(content, list)
            else [],
            structured=result.get("structuredContent"),
            is_error=result.get("isError") is True,
            raw=result,
        )

    async def request(
        self,
        method: str,
        params: dict[str, Any],
        *,
        on_notification: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return its result.

        Raises:
            CallFailed: the server answered with an error, or not in time.
        """
        self._next_id += 1
        if on_notification is not None:
            params = {**params, "_meta": {"progressToken": self._next_id}}
        message = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        try:
            async with asyncio.timeout(self._timeout), self._post(message) as answer:
                async for reply in _messages(answer):
                    if reply.get("id") == self._next_id and "method" not in reply:
                        return _result(reply)
                    await self._incoming(reply, on_notification)
        except TimeoutError:
            raise CallFailed(
                f"no answer to `{method}` in {self._timeout:g} s", hint="give it longer with --timeout"
            ) from None
        raise CallFailed(f"the answer to `{method}` ended before its result")

    async def notify(self, method: str) -> None:
        """Send a notification."""
        async with asyncio.timeout(self._timeout), self._post({"jsonrpc": "2.0", "method": method}) as answer:
            await answer.read()

    async def close(self) -> None:
        """End the session."""
        if self._session is not None:
            async with exchange(self._socket, "DELETE", self._path, headers=self._headers()) as answer:
                await answer.read()
            self._session = None

    async def _incoming(
        self, message: dict[str, Any], on_notification: Callable[[str, dict[str, Any]], None] | None
    ) -> None:
        method = message.get("method")
        if not isinstance(method, str):
            return
        if "id" not in message:
            if on_notification is not None:
                on_notification(method, message.get("params") or {})
            return
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if method == "ping":
            reply["result"] = {}
        else:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": f"this client does not do {method}"}
        async with self._post(reply) as answer:
            await answer.read()

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}
        if version := self.initialized.get("protocolVersion"):
            headers["mcp-protocol-version"] = str(version)
        if self._session is not None:
            headers["mcp-session-id"] = self._session
        return headers

    @asynccontextmanager
    async def _post(self, message: dict[str, Any]) -> AsyncIterator[Answer]:
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        async with exchange(self._socket, "POST", self._path, body=body, headers=self._headers()) as answer:
            if answer.status >= 400:
                raise _refusal(answer.status, await answer.read())
            self._session = answer.headers.get("mcp-session-id", self._session)
            yield answer


@asynccontextmanager
async def session(
    state_dir: Path, service: str | None = None, *, timeout: float = 60.0
) -> AsyncIterator[McpClient]:
    """Open an MCP session with `service`, or with the whole fleet, for the length of the block."""
    client = McpClient(state_dir, service, timeout=timeout)
    await client.initialize()
    try:
        yield client
    finally:
        await client.close()


async def _messages(answer: Answer) -> AsyncIterator[dict[str, Any]]:
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        events = wire.ServerEvents()
        async for part in answer.parts():
            for data in events.feed(part):
                if data:
                    yield _message(data)
    elif body := await answer.read():
        yield _message(body)


def _message(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise BadAnswer(f"not a JSON-RPC message: {data[:80]!r}")
    return message


def _result(reply: dict[str, Any]) -> dict[str, Any]:
    if isinstance(error := reply.get("error"), dict):
        raise _error(error)
    result = reply.get("result")
    return result if isinstance(result, dict) else {}


def _error(error: dict[str, Any]) -> CallFailed:
    data = error.get("data")
    hint = data.get("hint") if isinstance(data, dict) else None
    return CallFailed(
        str(error.get("message", "error without a message")), code=error.get("code"), hint=hint, data=data
    )


def _refusal(status: int, body: bytes) -> CallFailed:
    try:
        error = json.loads(body)["error"]
        return _error(error) if "message" in error else CallFailed(str(error["what"]), hint=error.get("hint"))
    except (ValueError, TypeError, KeyError):
        text = body[:200].decode(errors="replace").strip()
        return CallFailed(f"the gateway answered HTTP {status}" + (f": {text}" if text else ""))
