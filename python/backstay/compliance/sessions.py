"""One session with a server, message by message as a check writes it: what stdio and HTTP have in common."""

from __future__ import annotations

import json
from typing import Any, Protocol

MODERN = "2026-07-28"
"""The version without sessions: each request says what it speaks, and `server/discover` is its `ping`."""

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", MODERN)
"""The versions that are offered, in this order: those with a handshake first, for a modern server refuses
that at once, while some of the others do not answer `server/discover` at all."""

METHOD_NOT_FOUND = -32601


class Session(Protocol):
    """What checks need of a session."""

    @property
    def version(self) -> str:
        """The version spoken."""

    @property
    def greeted(self) -> dict[str, Any]:
        """The answer to `initialize`."""

    async def ask(self, message: dict[str, Any], patience: float) -> dict[str, Any] | None:
        """Send a request and return its answer; None if none came in time, or the server is gone."""

    async def tell(self, message: dict[str, Any]) -> None:
        """Send what wants no answer."""


def request(id: object, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Write a request."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else {**message, "params": params}


def greeting(version: str) -> dict[str, Any]:
    """Write `initialize`."""
    from backstay import __version__

    client = {"name": "backstay-doctor", "version": __version__}
    return request(
        "initialize",
        "initialize",
        {"protocolVersion": version, "capabilities": {}, "clientInfo": client},
    )


def discovery() -> dict[str, Any]:
    """Write `server/discover`."""
    return request("discover", "server/discover", {})


def dressed(message: dict[str, Any], version: str) -> dict[str, Any]:
    """Write a request in the words of a version, where those differ."""
    if version != MODERN or "method" not in message:
        return message
    from backstay import __version__

    params = message.get("params") or {}
    said = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "backstay-doctor", "version": __version__},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    method = "server/discover" if message["method"] == "ping" else message["method"]
    return {**message, "method": method, "params": {**params, "_meta": {**params.get("_meta", {}), **said}}}


class Opening(Protocol):
    """A session that is being opened: what it finds out is written into it."""

    version: str
    greeted: dict[str, Any]

    async def ask(self, message: dict[str, Any], patience: float) -> dict[str, Any] | None:
        """Send a request and return its answer."""


async def discover(session: Opening, patience: float) -> bool:
    """Open a session that is none; say whether the server speaks this version."""
    session.version = MODERN
    answer = await session.ask(discovery(), patience)
    session.greeted = (answer or {}).get("result") or {}
    return MODERN in session.greeted.get("supportedVersions", ())


def agreed(session: Opening, result: object) -> bool:
    """Take the result of `initialize`; say whether it is one."""
    if not isinstance(result, dict):
        return False
    session.greeted, session.version = result, str(result.get("protocolVersion", ""))
    return True


INITIALIZED: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def written(message: object) -> bytes:
    """Write a message in one line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def refusal(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer what a server asks of this client, which can do nothing but `ping`."""
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "ping":
        return {**reply, "result": {}}
    return {**reply, "error": {"code": METHOD_NOT_FOUND, "message": "this client declared no capability"}}


async def alive(session: Session, patience: float) -> bool:
    """Say whether the server still answers."""
    return await session.ask(request("alive", "ping"), patience) is not None
