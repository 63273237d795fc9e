"""`backstay tools`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, locate
from backstay.cli.root import verb
from backstay.cli.style import Pen, plain, table

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.client.mcp import Tool
    from backstay.fleet import Fleet


@verb("tools")
@click.argument("service", required=False, shell_complete=complete.services)
def command(settings: Settings, service: str | None) -> None:
    """List the tools of the fleet, under the names its endpoint gives them, or of one server, under its own.

    --json prints whole descriptions with the schemas of arguments.
    """
    tools = asyncio.run(_tools(locate.fleet(settings), service))
    if settings.json:
        click.echo(json.dumps([tool.raw for tool in tools], ensure_ascii=False))
        return
    pen = Pen(settings.color)
    table(
        ("TOOL", "ARGUMENTS", "DESCRIPTION"),
        [(tool.name, _arguments(tool), _first_line(tool)) for tool in tools],
        pen,
    )


async def _tools(fleet: Fleet, service: str | None) -> list[Tool]:
    from backstay.cli.servers import session

    async with session(fleet, service) as client:
        return await client.tools()


def _arguments(tool: Tool) -> str:
    """Write the names of a tool's arguments, those that may be left out in brackets."""
    properties = tool.input_schema.get("properties")
    required = tool.input_schema.get("required") or ()
    names = properties if isinstance(properties, dict) else {}
    return " ".join(plain(name) if name in required else f"[{plain(name)}]" for name in names) or "-"


def _first_line(tool: Tool) -> str:
    return plain(tool.description.strip().partition("\n")[0])
