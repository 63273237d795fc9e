"""Checks of what only servers over streamable HTTP do: status codes, headers, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.compliance.rules import finding
from backstay.compliance.sessions import MODERN, request

if TYPE_CHECKING:
    from backstay.compliance.findings import Finding, Outcome
    from backstay.compliance.http import HttpSession, Reply

LOCAL = ("127.0.0.1", "localhost", "[::1]")


async def origin(session: HttpSession, patience: float) -> Finding:
    """Ask as a script of a foreign page would."""
    reply = await session.post(request("origin", "ping"), patience, {"origin": "https://evil.example"})
    if reply is None:
        return finding("http.origin", "failed", "no answer")
    if reply.status == 403:
        return finding("http.origin", "passed")
    where = session.url.partition("://")[2]
    outcome: Outcome = "failed" if where.startswith(LOCAL) else "warned"
    return finding("http.origin", outcome, f"it answered with HTTP {reply.status}")


async def unknown_session(session: HttpSession, patience: float) -> Finding:
    """Ask in a session that is not there."""
    if session.id is None:
        return finding("http.session", "skipped", "it has no sessions")
    reply = await session.post(
        request("session", "ping"), patience, {"mcp-session-id": "backstay-check-no-such-session"}
    )
    return _status("http.session", reply, 404, "warned")


async def unknown_version(session: HttpSession, patience: float) -> Finding:
    """Ask in a version that is none."""
    if session.version < "2025-06-18":
        return finding("http.version", "skipped", f"{session.version} has no version header")
    reply = await session.post(request("version", "ping"), patience, {"mcp-protocol-version": "1999-01-01"})
    return _status("http.version", reply, 400, "failed")


async def mirror(session: HttpSession, patience: float) -> Finding:
    """Name another method in the headers than in the body."""
    if session.version != MODERN:
        return finding("http.mirror", "skipped", f"{session.version} has no such headers")
    reply = await session.post(request("mirror", "ping"), patience, {"mcp-method": "tools/list"})
    return _status("http.mirror", reply, 400, "failed")


async def accepted(session: HttpSession, patience: float) -> Finding:
    """Send a notification."""
    if session.version == MODERN:
        return finding("http.accepted", "skipped", "its clients send none over HTTP")
    message = {"jsonrpc": "2.0", "method": "notifications/backstay/unknown"}
    reply = await session.post(message, patience)
    if reply is not None and reply.status == 202 and reply.body:
        return finding("http.accepted", "warned", "202, but with a body")
    return _status("http.accepted", reply, 202, "failed")


def _status(check: str, reply: Reply | None, wanted: int, otherwise: Outcome) -> Finding:
    if reply is None:
        return finding(check, "failed", "no answer")
    if reply.status == wanted:
        return finding(check, "passed")
    return finding(check, otherwise, f"it answered with HTTP {reply.status}")
