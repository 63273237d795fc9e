"""`backstay connect`, driven by the official SDK's stdio client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from backstay.client.sockets import STATE_DIR
from mcp import ClientSession, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.fake_gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONNECT = [sys.executable, "-m", "backstay.cli", "connect", "clock"]


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    gateway = Gateway(folder / STATE_DIR)
    yield gateway
    gateway.close()


def parameters(folder: Path) -> StdioServerParameters:
    return StdioServerParameters(command=CONNECT[0], args=CONNECT[1:], cwd=folder)


def talk(folder: Path, *messages: str) -> list[dict[str, object]]:
    """Say messages, close, and return what came back."""
    done = subprocess.run(
        CONNECT,
        input="".join(f"{m}\n" for m in messages),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": "one",
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
)
INITIALIZED = '{"jsonrpc": "2.0", "method": "notifications/initialized"}'


async def test_an_official_client_lists_and_calls_tools(folder: Path, gateway: Gateway) -> None:
    async with stdio_client(parameters(folder)) as streams, ClientSession(*streams) as session:
        assert (await session.initialize()).server_info.name == "clock"
        assert {tool.name for tool in (await session.list_tools()).tools} >= {"now", "slow"}
        answers = await asyncio.gather(*(session.call_tool("now", {"zone": str(n)}) for n in range(50)))
        assert [answer.content[0].text for answer in answers] == [f"noon in {n}, 0 later" for n in range(50)]


async def test_progress_reaches_the_client(folder: Path, gateway: Gateway) -> None:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with stdio_client(parameters(folder)) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.call_tool("slow", progress_callback=on_progress)
    assert seen == [1]


async def test_a_restart_of_the_daemon_ends_calls_under_way_and_the_next_ones_work(
    folder: Path, gateway: Gateway
) -> None:
    async with stdio_client(parameters(folder)) as streams, ClientSession(*streams) as session:
        await session.initialize()
        waiting = asyncio.create_task(session.call_tool("forever"))
        await session.call_tool("now", {"zone": "a"})
        await asyncio.to_thread(gateway.die)
        with pytest.raises(MCPError, match="the daemon restarted"):
            await waiting
        asking = asyncio.create_task(session.call_tool("now", {"zone": "b"}))
        await asyncio.to_thread(gateway.start)
        assert (await asking).content[0].text == "noon in b, 0 later"


def test_messages_that_are_no_json_are_answered_and_do_not_reach_the_server(
    folder: Path, gateway: Gateway
) -> None:
    answers = talk(
        folder, INITIALIZE, INITIALIZED, '{"jsonrpc": ', "5", '{"jsonrpc": "2.0", "id": 7, "method": "ping"}'
    )
    assert [answer["id"] for answer in answers] == ["one", None, None, 7]
    assert [answer["error"]["code"] for answer in answers[1:3]] == [-32700, -32600]
    assert "byte 12" in answers[1]["error"]["message"]
    assert answers[3]["result"] == {}


def test_a_refusal_is_answered_to_the_request(folder: Path, gateway: Gateway) -> None:
    [answer] = talk(folder, '{"jsonrpc": "2.0", "id": 7, "method": "tools/list"}')
    assert answer["id"] == 7
    assert "error" in answer


def test_a_fleet_that_is_not_up_is_said_on_stderr(folder: Path) -> None:
    done = subprocess.run(
        CONNECT, input=INITIALIZE + "\n", capture_output=True, text=True, cwd=folder, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: this fleet is not running\nhint: bring it up with `backstay up -d`\n"
