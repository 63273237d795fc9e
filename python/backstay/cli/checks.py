"""What `doctor` examines of a server: one function a check, through the fleet's own gateway.

A check returns what it found as words, or raises `Finding` for what is not as the protocol has it. The wire
itself (framing, ids, lifecycle) is judged by the gateway's handshake, whose verdict is in the status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backstay.client.mcp import METHOD_NOT_FOUND, session
from backstay.errors import CallFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from backstay.client.mcp import McpClient, Tool

Verdict = Literal["pass", "warning", "fail"]

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
INVALID_PARAMS = -32602


class Finding(Exception):
    """Something that is not as it should be, and what to do about it."""

    def __init__(self, what: str, hint: str | None = None, *, verdict: Verdict = "fail") -> None:
        super().__init__(what)
        self.hint = hint
        self.verdict: Verdict = verdict


@dataclass(frozen=True)
class Checked:
    """The outcome of one check."""

    check: str
    verdict: Verdict
    detail: str
    hint: str | None = None


async def examine(state_dir: Path, service: str, *, timeout: float) -> list[Checked]:
    """Run all checks on one server that is ready."""
    try:
        async with session(state_dir, service, timeout=timeout) as client:
            return [await _run(name, check, client) for name, check in CHECKS.items()]
    except CallFailed as error:
        return [Checked("handshake", "fail", str(error), error.hint)]


async def _run(name: str, check: Callable[[McpClient], Awaitable[str]], client: McpClient) -> Checked:
    try:
        return Checked(name, "pass", await check(client))
    except Finding as finding:
        return Checked(name, finding.verdict, str(finding), finding.hint)
    except CallFailed as error:
        return Checked(name, "fail", str(error), error.hint)


async def handshake(client: McpClient) -> str:
    """The server introduces itself with a version that exists."""
    version = client.initialized.get("protocolVersion")
    server = client.initialized.get("serverInfo")
    if version not in VERSIONS:
        raise Finding(f"the protocol has no version {version!r}")
    if not isinstance(server, dict) or not server.get("name"):
        raise Finding("the server does not say its name", "`serverInfo` needs `name` and `version`")
    return f"{server['name']} {server.get('version', '')}".strip() + f", protocol {version}"


async def ping(client: McpClient) -> str:
    """The server answers `ping`."""
    await client.request("ping", {})
    return "answered"


async def tools(client: McpClient) -> str:
    """Tools are listed, with names that clients take, each once, and with schemas of objects."""
    if "tools" not in client.initialized.get("capabilities", {}):
        return "none"
    listed = await client.tools()
    names = [tool.name for tool in listed]
    if (
        twice := sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    ):
        raise Finding(f"listed more than once: {', '.join(twice)}", "clients know a tool by its name alone")
    if odd := [name for name in names if TOOL_NAME.fullmatch(name) is None]:
        raise Finding(f"a name that clients may refuse: {odd[0]!r}", "use up to 128 letters, digits, _ - .")
    if loose := [tool.name for tool in listed if tool.input_schema.get("type") != "object"]:
        raise Finding(f"no object schema for the arguments of {', '.join(loose)}")
    return f"{len(listed)} listed"


async def descriptions(client: McpClient) -> str:
    """Tools say what they do: models choose by that."""
    if "tools" not in client.initialized.get("capabilities", {}):
        return "no tools"
    if silent := [tool.name for tool in await client.tools() if not tool.description.strip()]:
        raise Finding(
            f"without a description: {', '.join(silent)}",
            "models choose tools by their descriptions",
            verdict="warning",
        )
    return "every tool has one"


async def stable_list(client: McpClient) -> str:
    """The list of tools is the same when asked for again."""

    def essence(listed: list[Tool]) -> list[str]:
        return sorted(tool.name for tool in listed)

    if "tools" not in client.initialized.get("capabilities", {}):
        return "no tools"
    if essence(await client.tools()) != essence(await client.tools()):
        raise Finding(
            "two lists in a row differ", "a change is announced by `notifications/tools/list_changed`"
        )
    return "same twice"


async def resources(client: McpClient) -> str:
    """Declared resources and prompts can be listed."""
    declared = client.initialized.get("capabilities", {})
    found = []
    for name in ("resources", "prompts"):
        if name in declared:
            found.append(f"{len(await client.items(f'{name}/list', name))} {name}")
    return ", ".join(found) or "none declared"


async def unknown_tool(client: McpClient) -> str:
    """A tool that is not there is an error, not an answer."""
    if "tools" not in client.initialized.get("capabilities", {}):
        return "no tools"
    try:
        result = await client.call("backstay_doctor_no_such_tool")
    except CallFailed as error:
        if error.code in (INVALID_PARAMS, METHOD_NOT_FOUND):
            return "refused"
        raise Finding(
            f"refused with code {error.code}", f"the protocol has {INVALID_PARAMS} for it", verdict="warning"
        ) from None
    if not result.is_error:
        raise Finding("answered as if it were there", f"the protocol has error {INVALID_PARAMS} for it")
    return "refused in the result"


CHECKS: dict[str, Callable[[McpClient], Awaitable[str]]] = {
    "handshake": handshake,
    "ping": ping,
    "tools": tools,
    "descriptions": descriptions,
    "stable list": stable_list,
    "resources and prompts": resources,
    "unknown tool": unknown_tool,
}
