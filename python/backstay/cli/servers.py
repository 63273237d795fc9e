"""Why a call did not get through: no such service, not a server, not ready, no such tool."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backstay.errors import ApiError, BackstayError, CallFailed, DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backstay.client.mcp import McpClient
    from backstay.fleet import Fleet


@asynccontextmanager
async def session(fleet: Fleet, service: str | None, *, timeout: float = 60.0) -> AsyncIterator[McpClient]:
    """Open a session with a server for the length of the block, or say why there can be none.

    Raises:
        UnknownService: there is no such service.
        CallFailed: it is no server, it is not ready, or the call failed.
    """
    from backstay.client import mcp

    try:
        client = mcp.McpClient(fleet.state_dir, service, timeout=timeout)
        await client.initialize()
    except CallFailed:
        if service is not None:
            await _say_why(fleet, service)
        raise
    try:
        yield client
    finally:
        await client.close()


async def _say_why(fleet: Fleet, service: str) -> None:
    """Raise what the fleet's status has to say of a server that cannot be reached, if it has."""
    from backstay.api.selection import unknown

    try:
        services = {each.name: each for each in (await fleet.status()).services}
    except (ApiError, DaemonNotRunning):
        return
    if service not in services:
        raise unknown(service, services)
    found = services[service]
    if found.kind != "server":
        servers = [name for name, each in services.items() if each.kind == "server"]
        raise CallFailed(
            f"`{service}` is not a server: it does not speak MCP", hint=f"servers are: {', '.join(servers)}"
        )
    if found.state != "ready":
        reason = f": {found.reason}" if found.reason else ""
        raise CallFailed(
            f"`{service}` is {found.state}{reason}",
            hint=found.hint or f"`backstay doctor {service}` examines it",
        )


async def unknown_tool(client: McpClient, tool: str) -> BackstayError | None:
    """Return the error that says that a server has no such tool, and which it has; None if it has it."""
    import difflib

    names = [each.name for each in await client.tools()]
    if tool in names:
        return None
    near = difflib.get_close_matches(tool, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"`backstay tools {client.service}` lists those it has"
    return CallFailed(f"`{client.service}` has no tool `{tool}`", hint=hint)
