"""The MCP server in front of the dice, over streamable HTTP on loopback, with the official Python SDK.

It listens on `PORT` (backstay sets it to the service's first port) and answers at `/mcp`.
"""

from __future__ import annotations

import os
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from dice_server.dice import Dice

server = MCPServer(
    "dice-server", title="Dice", version="0.1.0", instructions="Throws dice and knows the odds."
)

Notation = Annotated[str, Field(description="The dice, as 2d6 or d20+3", examples=["2d6", "d20+3"])]


class Throw(BaseModel):
    """What was thrown."""

    dice: list[int]
    total: int


@server.tool(title="Throw dice")
def throw(dice: Notation = "1d6") -> Throw:
    """Throw dice and add them up."""
    read = _read(dice)
    shown = read.throw()
    return Throw(dice=shown, total=sum(shown) + read.plus)


@server.tool(title="Odds of a throw")
def odds(dice: Notation, total: Annotated[int, Field(description="The sum to reach")]) -> float:
    """The chance, from 0 to 1, that a throw reaches a total."""
    return _read(dice).at_least(total)


def _read(notation: str) -> Dice:
    try:
        return Dice.read(notation)
    except ValueError as error:
        raise ToolError(str(error)) from None


def main() -> None:
    """Serve on loopback until told to stop."""
    server.run("streamable-http", host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
