"""Our own conformance suite over stdio, which the official one never tests: what a proxy may lose on a pipe.

`run` makes every check in one version against a command: the server itself, or `backstay connect` before it.
The checks of framing, ids and sizes are those of `backstay doctor`; those here need the tools of
`tests/fixtures/servers/conformance.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from backstay.compliance import asking, ending, framing
from backstay.compliance.process import Process
from backstay.compliance.sessions import MODERN, dressed, request, written
from backstay.compliance.stdio import StdioSession
from backstay.compliance.targets import of_command

from tests.fixtures.servers.conformance import PREFIX, PROGRESS, SPELLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE = 20.0
ARGUMENTS = b'{"a":1.0,"b":1E+2,"c":12345678901234567890,"d":"caf\\u00e9 \\/","e":-0.0,"x":{"y":[ ]}}'
META = b'{"example.com/trace":1.50,"x-unknown":[1e0]}'
BIG = 3 << 20


def call(id: str, tool: str, arguments: Any = None, **meta: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"name": tool, "arguments": arguments or {}}
    return request(id, "tools/call", params | ({"_meta": meta} if meta else {}))


def line(session: StdioSession, message: dict[str, Any], **spelled: bytes) -> bytes:
    """Write a request as the version has it, with places in it spelled as they are given."""
    text = written(dressed(message, session.version))
    for place, spelling in spelled.items():
        assert text.count(b'"%b":0' % place.encode()) == 1
        text = text.replace(b'"%b":0' % place.encode(), spelling)
    return text + b"\n"


def said(answer: dict[str, Any] | None) -> str:
    return str(answer["result"]["content"][0]["text"]) if answer and "result" in answer else f"no: {answer}"


async def arguments_arrive_as_written(session: StdioSession) -> str:
    asked = line(session, call("arguments", "received", {"place": 0}), place=ARGUMENTS[1:-1])
    answers = await session.ask_raw(asked, ["arguments"], PATIENCE)
    return "passed" if ARGUMENTS.decode() in said(answers[0] if answers else None) else "failed"


async def metadata_arrives_as_written(session: StdioSession) -> str:
    message = call("meta", "received", place=0)
    message["params"]["more"] = 0
    asked = line(session, message, place=META[1:-1], more=b'"x-more":1.0')
    answers = await session.ask_raw(asked, ["meta"], PATIENCE)
    received = said(answers[0] if answers else None)
    return (
        "passed" if META.decode()[1:-1] in received and '"x-more":1.0' in received else f"failed: {received}"
    )


async def results_come_as_written(session: StdioSession) -> str:
    await session.ask(call("spelled", "spelled"), PATIENCE)
    return "passed" if SPELLED in session.line else f"failed: {session.line!r}"


async def progress_comes_in_order_and_before_the_answer(session: StdioSession) -> str:
    while not session.messages.empty():
        session.messages.get_nowait()
    await session.ask(call("progress", "progress", progressToken="my token"), PATIENCE)
    seen = []
    while not session.messages.empty():
        message = session.messages.get_nowait()
        if message["method"] == "notifications/progress":
            seen.append(message["params"])
    wanted = [
        {"progressToken": "my token", "progress": number, "total": PROGRESS, "x-unknown": [number]}
        for number in range(PROGRESS)
    ]
    return "passed" if seen == wanted else f"failed: {seen}"


async def a_cancellation_reaches_the_server_once(session: StdioSession) -> str:
    before = int(said(await session.ask(call("before", "cancelled"), PATIENCE)))
    meta = {PREFIX + "logLevel": "info"} if session.version == MODERN else {}
    await session.write(line(session, call("waiting", "wait", **meta)), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while (await session.messages.get())["params"].get("data") != "waiting":
            pass
    params = {"requestId": "waiting", "reason": "a check"}
    await session.tell({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    # Where a cancellation is the end of a stream (HTTP in 2026-07-28), the next call may overtake it.
    after, asked = before, 0
    end = asyncio.get_running_loop().time() + PATIENCE
    while after == before and asyncio.get_running_loop().time() < end:
        asked += 1
        after = int(said(await session.ask(call(f"after-{asked}", "cancelled"), PATIENCE)))
    after = int(said(await session.ask(call("once more", "cancelled"), PATIENCE)))
    return (
        "passed" if after - before == 1 and session.answers['"waiting"'] <= 1 else f"failed: {after - before}"
    )


async def a_message_of_megabytes_goes_both_ways(session: StdioSession) -> str:
    text = "☃" * (BIG // 3)
    return (
        "passed"
        if said(await session.ask(call("big", "echo", {"text": text}), PATIENCE)) == text
        else "failed"
    )


async def errors_keep_their_code_and_words(session: StdioSession) -> str:
    answer = await session.ask(call("unknown", "no-such-tool"), PATIENCE)
    return str((answer or {}).get("error", {}).get("code"))


async def many_calls_at_once_are_all_answered(session: StdioSession) -> str:
    texts = [f"text {number}" for number in range(200)]
    asked = [call(f"many-{number}", "echo", {"text": text}) for number, text in enumerate(texts)]
    data = b"".join(line(session, each) for each in asked)
    answers = await session.ask_raw(data, [each["id"] for each in asked], PATIENCE)
    return "passed" if [said(each) for each in answers] == texts else f"failed: {len(answers)} answers"


OWN = (
    arguments_arrive_as_written,
    metadata_arrives_as_written,
    results_come_as_written,
    progress_comes_in_order_and_before_the_answer,
    a_cancellation_reaches_the_server_once,
    a_message_of_megabytes_goes_both_ways,
    errors_keep_their_code_and_words,
    many_calls_at_once_are_all_answered,
)
DOCTORS = (
    asking.ids,
    asking.unknown_fields,
    asking.characters,
    framing.together,
    framing.pieces,
    framing.batch,
    framing.garbage,
    asking.sizes,
)


async def _run(command: Sequence[str], version: str, environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    with Process(of_command(command, environ)) as process:
        async with StdioSession(process) as session:
            assert await session.open(version, PATIENCE), process.tail
            found["version"] = session.version
            found["capabilities"] = json.dumps("tools" in session.greeted["capabilities"])
            for own in OWN:
                found[own.__name__] = await own(session)
            for doctors in DOCTORS:
                finding = await doctors(session, PATIENCE)
                found[finding.check] = finding.outcome if finding.outcome != "failed" else finding.detail
            ended, _ = await ending.by_eof(process)
            await session.rest(1)
            found["stop.eof"] = ended.outcome
            found["stop.pure"] = "passed" if not session.printed else session.printed[0]
            found["code"] = str(process.code)
    return found


def run(command: Sequence[str], version: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Make every check; return how each went, by its name."""
    return asyncio.run(_run(command, version, environ))
