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
    from pathlib import Path


def now(zone: str, offset: int = 0) -> str:
    """Say the time.

    In words.
    """
    return f"noon in {zone}, {offset} later"


def broken() -> str:
    """Fail."""
    raise ToolError("no battery")


async def slow(ctx: Context) -> str:
    """Report progress on the way."""
    await ctx.report_progress(1, 2)
    return "done"


async def forever() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return "never"


def make_server() -> MCPServer:
    server = MCPServer("clock", version="1.2.3")
    for tool in (now, broken, slow, forever):
        server.add_tool(tool)
    return server


class Gateway:
    """Serves it as `/mcp/clock`; its socket outlives it, as the keeper's do."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / GATEWAY
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        with short_address(path) as address:
            self.listener.bind(address)
        self.listener.listen()
        self.start()

    def start(self) -> None:
        server = make_server()
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        app = server.streamable_http_app(streamable_http_path="/mcp/clock", transport_security=security)
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="on", timeout_graceful_shutdown=0)
        self.running = ControlServer(config)
        own = self.listener.dup()
        self.thread = threading.Thread(target=asyncio.run, args=(self.running.serve(sockets=[own]),))
        self.thread.start()

    def die(self) -> None:
        self.running.stop()
        self.thread.join()

    def close(self) -> None:
        self.die()
        self.listener.close()
