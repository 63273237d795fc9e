"""Checks of how messages are cut out of a stream of bytes: stdio alone, which no official suite tests."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from backstay.compliance.rules import finding
from backstay.compliance.sessions import alive, dressed, request, written

if TYPE_CHECKING:
    from backstay.compliance.findings import Finding
    from backstay.compliance.stdio import StdioSession

TOGETHER = 50
PIECE = 40_001
BATCHES = "2025-03-26"


async def together(session: StdioSession, patience: float) -> Finding:
    """Write many messages at once."""
    asked = [request(f"together-{number}", "ping") for number in range(TOGETHER)]
    data = b"".join(written(dressed(each, session.version)) + b"\n" for each in asked)
    answers = await session.ask_raw(data, [each["id"] for each in asked], patience)
    if len(answers) < TOGETHER:
        return finding("wire.together", "failed", f"{len(answers)} of {TOGETHER} were answered")
    return finding("wire.together", "passed")


async def pieces(session: StdioSession, patience: float) -> Finding:
    """Write a long message in pieces that end inside of characters."""
    message = request("pieces", "ping", {"_meta": {"text": "☃" * 50_000}})
    line = written(dressed(message, session.version)) + b"\n"
    for begin, end in itertools.pairwise([*range(0, len(line), PIECE), len(line) - 1]):
        await session.write(line[begin:end], patience)
    if not await session.ask_raw(line[-1:], ["pieces"], patience):
        return finding("wire.pieces", "failed", "no answer")
    return finding("wire.pieces", "passed")


async def garbage(session: StdioSession, patience: float) -> Finding:
    """Write lines that are no message."""
    lines = (
        b"this is no JSON",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"jsonrpc":"2.0"}',
        b"\xff\xfe",
        b"{" * 200,
    )
    for line in lines:
        await session.write(line + b"\n", patience)
        if not await alive(session, patience):
            shown = json.dumps(line[:20].decode(errors="replace"), ensure_ascii=False)
            await session.lives()
            how = f"it {session.process.ended_as()}"
            return finding("wire.garbage", "failed", f"no answer any more after the line {shown}: {how}")
    return finding("wire.garbage", "passed")


async def batch(session: StdioSession, patience: float) -> Finding:
    """Write several requests as one array, in the one version that has it."""
    if session.version != BATCHES:
        return finding("wire.batch", "skipped", f"{session.version} has no batches")
    ids: list[object] = ["batch-1", "batch-2"]
    data = written([request(id, "ping") for id in ids]) + b"\n"
    answers = await session.ask_raw(data, ids, min(patience, 5))
    if len(answers) < len(ids):
        # A MUST that the next version took back.
        return finding("wire.batch", "warned", "no answer to a batch")
    return finding("wire.batch", "passed")
