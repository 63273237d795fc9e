"""What is asked of a server beyond Rust's checks: the rule, the specification's section, the cure."""

from __future__ import annotations

from typing import NamedTuple

from backstay.compliance.findings import Finding, Outcome


class Rule(NamedTuple):
    """One rule; the section is of the specification, without its version, and none where it is our own."""

    says: str
    section: str | None
    cure: str


_STDIO = "basic/transports#stdio"
_HTTP = "basic/transports#streamable-http"
_STOP = "basic/lifecycle#stdio"

RULES = {
    "start.ready": Rule(
        "it is ready within 10 s of its start",
        None,
        "answer `initialize` first and load models, indexes and connections when they are first needed",
    ),
    "start.memory": Rule(
        "it needs less than 512 MiB when it is ready",
        None,
        "load what is large when it is first needed; set `deploy.resources.limits.memory` in the stack file",
    ),
    "versions": Rule(
        "offered a version it does not speak, it answers with one that it does",
        "basic/lifecycle#version-negotiation",
        "answer `initialize` with the newest version the server speaks; do not refuse it",
    ),
    "wire.ids": Rule(
        "ids of every legal kind come back as they were sent",
        "basic#requests",
        "keep the id as the JSON value it is: text, zero, negative, and up to 2^53",
    ),
    "wire.meta": Rule(
        "a request with `_meta` and parameters nobody knows is answered",
        "basic#_meta",
        "ignore fields that are not known; later versions and other vendors add some",
    ),
    "wire.unicode": Rule(
        "a message of any characters is read, and answered in UTF-8",
        "basic/transports",
        "read and write UTF-8, whatever the locale; end lines at `\\n` only, not at U+2028 or U+0085",
    ),
    "wire.together": Rule(
        "messages that arrive in one write are each answered",
        _STDIO,
        "split what was read at `\\n`; a read of a pipe knows no messages",
    ),
    "wire.pieces": Rule(
        "a message that arrives in pieces is one message",
        _STDIO,
        "keep what was read until its `\\n` comes; a read of a pipe knows no messages",
    ),
    "wire.garbage": Rule(
        "a line that is no message does not end it",
        _STDIO,
        "answer -32700 or ignore the line, and go on reading",
    ),
    "wire.batch": Rule(
        "a batch is answered, for this version has them",
        "basic#batching",
        "take an SDK that reads batches, or do not negotiate 2025-03-26; no other version has them",
    ),
    "call.cancel": Rule(
        "a cancelled request is answered once at the most, and the next one as ever",
        "basic/utilities/cancellation#behavior-requirements",
        "stop the work when `notifications/cancelled` names its id, and go on serving",
    ),
    "size.argument": Rule(
        "an argument of 1 MiB is taken or refused, and 8 MiB do not end it",
        None,
        "raise the limit of lines or bodies, or answer with an error; do not exit",
    ),
    "schemas.input": Rule(
        "every `inputSchema` is a JSON Schema",
        "server/tools#tool",
        "correct the schema; some hosts refuse the whole server for one that is wrong",
    ),
    "schemas.output": Rule(
        "every `outputSchema` is a JSON Schema of an object",
        "server/tools#output-schema",
        "correct the schema, or leave it out",
    ),
    "schemas.result": Rule(
        "results are what the tool's `outputSchema` says",
        "server/tools#output-schema",
        "return `structuredContent` that conforms to the schema, and say `isError` where there is none",
    ),
    "stop.eof": Rule(
        "it ends within 5 s when its stdin is closed",
        _STOP,
        "leave the main loop when stdin ends; clients that die leave orphans otherwise",
    ),
    "stop.term": Rule(
        "it ends within 5 s of SIGTERM",
        _STOP,
        "do not ignore SIGTERM: close what is open and exit",
    ),
    "stop.children": Rule(
        "it leaves no process behind",
        _STOP,
        "start the program itself instead of a wrapper (`npx`, a shell), and end children before you exit",
    ),
    "stop.pure": Rule(
        "nothing but messages comes on stdout until its end",
        _STDIO,
        "log to stderr; look for a print at the exit",
    ),
    "http.origin": Rule(
        "a request from a foreign web page is refused with 403",
        "basic/transports#security-warning",
        "check the `Origin` header of every request, against DNS rebinding",
    ),
    "http.session": Rule(
        "a session that it does not know is answered with 404",
        "basic/transports#session-management",
        "answer 404, so that clients initialize anew",
    ),
    "http.version": Rule(
        "a version header that means nothing is answered with 400",
        "basic/transports#protocol-version-header",
        "check `MCP-Protocol-Version` and answer 400 where it is unknown",
    ),
    "http.mirror": Rule(
        "headers that say something else than the body are answered with 400",
        "basic/transports/streamable-http#server-validation",
        "compare `Mcp-Method` and `Mcp-Name` with the body; what stands in between decides by the headers",
    ),
    "http.accepted": Rule(
        "a notification is answered with 202 and nothing else",
        "basic/transports#sending-messages-to-the-server",
        "answer 202 Accepted with an empty body",
    ),
}


def finding(check: str, outcome: Outcome, detail: str = "") -> Finding:
    """Say how a check went; what passed is said in the words of its rule where there is nothing to add."""
    rule = RULES[check]
    cure = rule.cure if outcome in ("warned", "failed") else None
    return Finding(check, outcome, detail or rule.says, cure, rule.section)
