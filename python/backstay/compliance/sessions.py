"""One session with a server, message by message as a check writes it: what stdio and HTTP have in common."""

from __future__ import annotations

import json
from typing import Any, Protocol

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The versions that are offered, newest first."""

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
