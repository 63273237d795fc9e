"""The small MCP client against a server of the official SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backstay.client.mcp import session
from backstay.errors import CallFailed, DaemonNotRunning

from tests.fake_gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    gateway = Gateway(tmp_path)
    yield tmp_path
    gateway.close()


async def test_a_session_learns_who_the_server_is(state_dir: Path) -> None:
    async with session(state_dir, "clock") as client:
        assert client.initialized["serverInfo"]["name"] == "clock"
        assert client.initialized["serverInfo"]["version"] == "1.2.3"


async def test_tools_are_listed_and_called(state_dir: Path) -> None:
    async with session(state_dir, "clock") as client:
        tools = {tool.name: tool for tool in await client.tools()}
        assert set(tools) == {"now", "broken", "slow", "forever"}
        assert tools["now"].input_schema["required"] == ["zone"]
        result = await client.call("now", {"zone": "Łódź"})
        assert (result.text, result.is_error) == ("noon in Łódź, 0 later", False)


async def test_a_tool_that_fails_says_so_in_its_result(state_dir: Path) -> None:
    async with session(state_dir, "clock") as client:
        result = await client.call("broken")
        assert result.is_error
        assert "no battery" in result.text


async def test_progress_is_passed_on(state_dir: Path) -> None:
    seen: list[tuple[str, Any]] = []
    async with session(state_dir, "clock") as client:
        result = await client.call(
            "slow", on_notification=lambda method, params: seen.append((method, params))
        )
    assert result.text == "done"
    assert [(method, params["progress"]) for method, params in seen] == [("notifications/progress", 1)]


async def test_an_unknown_method_is_an_error_with_its_code(state_dir: Path) -> None:
    async with session(state_dir, "clock") as client:
        with pytest.raises(CallFailed) as raised:
            await client.request("no/such", {})
        assert raised.value.code == -32601


async def test_a_server_that_is_not_there_is_said(state_dir: Path) -> None:
    with pytest.raises(CallFailed, match="HTTP 404"):
        async with session(state_dir, "nothing"):
            pass


async def test_without_a_gateway_the_fleet_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning):
        async with session(tmp_path, "clock"):
            pass
