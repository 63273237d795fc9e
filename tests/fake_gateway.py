"""A server of the official SDK on the fleet's gateway socket, for tests of its clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from backstay.api.server import ControlServer
from backstay.client.sockets import GATEWAY, short_address
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

server = MCPServer("clock", version="1.2.3")


@server.tool()
def now(zone: str, offset: int = 0) -> str:
    """Say the time.

    In words.
    """
    return f"noon in {zone}, {offset} later"


@server.tool()
def broken() -> str:
    """Fail."""
    raise ToolError("no battery")


@server.tool()
async def slow(ctx: Context) -> str:
    """Report progress on the way."""
    await ctx.report_progress(1, 2)
    return "done"


def serve_gateway(state_dir: Path) -> Callable[[], None]:
    """Serve it as `/mcp` and `/mcp/clock`; the result stops it."""
    path = state_dir / GATEWAY
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with short_address(path) as address:
        listener.bind(address)
    listener.listen()
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(streamable_http_path="/mcp/clock", transport_security=security)
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="on")
    running = ControlServer(config)
    thread = threading.Thread(target=asyncio.run, args=(running.serve(sockets=[listener]),))
    thread.start()

    def stop() -> None:
        running.stop()
        thread.join()
        listener.close()

    return stop
