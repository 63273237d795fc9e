"""Checks that need nothing but questions and answers: ids, unknown fields, sizes, cancellation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backstay.compliance.rules import finding
from backstay.compliance.sessions import alive, dressed, request

if TYPE_CHECKING:
    from backstay.compliance.findings import Finding, Outcome
    from backstay.compliance.sessions import Session
    from backstay.compliance.stdio import StdioSession

IDS: tuple[int | str, ...] = (0, -1, 2**31, 2**53 - 1, "0", "", "with space", "ünï-☃-😀", 'quote"\\')
"""Legal ids that servers stumble over. The last number is the largest that JavaScript can hold."""

SIZES = ((64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (8 << 20, "8 MiB"))
_ENOUGH = 1 << 20
NOWHERE = "backstay-check-no-such-tool"


async def ids(session: Session, patience: float) -> Finding:
    """Ask with ids of every kind."""
    for id in IDS:
        answer = await session.ask(request(id, "ping"), patience)
        if answer is None:
            return finding("wire.ids", "failed", f"no answer to the id {json.dumps(id)}")
    return finding("wire.ids", "passed")


async def unknown_fields(session: Session, patience: float) -> Finding:
    """Ask with fields that nobody knows."""
    params = {"_meta": {"example.com/unknown": {"a": [1, None]}}, "unknown": 1.0}
    answer = await session.ask(request("meta", "ping", params), patience)
    if answer is None:
        return finding("wire.meta", "failed", "no answer")
    if "error" in answer:
        return finding("wire.meta", "failed", f"it answered with an error: {_error(answer)}")
    return finding("wire.meta", "passed")


async def characters(session: Session, patience: float) -> Finding:
    """Ask with characters that end lines elsewhere, or need four bytes."""
    params = {"_meta": {"text": "\u2028\u2029\u0085 ☃ 😀 \x7f \t \\ \" '"}}
    if await session.ask(request("unicode", "ping", params), patience) is None:
        return finding("wire.unicode", "failed", "no answer")
    return finding("wire.unicode", "passed")


async def sizes(session: Session, patience: float) -> Finding:
    """Call a tool that is not there with ever larger arguments, which can but be read."""
    largest = "nothing"
    for size, name in SIZES:
        params: dict[str, Any] = {"name": NOWHERE, "arguments": {"text": "x" * size}}
        answer = await session.ask(request(f"size-{size}", "tools/call", params), patience)
        if answer is None:
            what = "did not answer" if await alive(session, patience) else "was gone"
            outcome: Outcome = "warned" if size > _ENOUGH else "failed"
            return finding(
                "size.argument", outcome, f"it {what} after an argument of {name}; {largest} is well"
            )
        largest = f"up to {name}"
    return finding("size.argument", "passed")


async def cancellation(session: StdioSession, patience: float) -> Finding:
    """Ask for something and take it back at once."""
    method = "tools/list" if "tools" in session.greeted.get("capabilities", {}) else "ping"
    await session.tell(dressed(request("cancelled", method), session.version))
    params = {"requestId": "cancelled", "reason": "a check"}
    await session.tell({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    if not await alive(session, patience):
        return finding("call.cancel", "failed", "it answers nothing more after a cancellation")
    times = session.answers['"cancelled"']
    if times > 1:
        return finding("call.cancel", "failed", f"it answered the cancelled request {times} times")
    return finding("call.cancel", "passed")


def _error(answer: dict[str, Any]) -> str:
    error = answer["error"]
    return f"{error.get('message')} ({error.get('code')})" if isinstance(error, dict) else str(error)
