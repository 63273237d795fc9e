"""`session: isolated` over stdio: each client session has a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from backstay.client.mcp import McpClient
from backstay.errors import CallFailed

from tests.e2e.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet


@pytest.fixture
def counters(fleet_folder: FleetFolder, python_server: list[str]) -> FleetFolder:
    """A fleet of one server that counts its calls, for two sessions at the most, one instance kept ready."""
    mcp = {"transport": "stdio", "session": "isolated", "max_sessions": 2, "call_timeout": "30s"}
    fleet_folder.write({"counter": {"command": python_server, "mcp": mcp}})
    fleet_folder.run("up", "-d")
    return fleet_folder


@asynccontextmanager
async def client(fleet: FleetFolder) -> AsyncIterator[McpClient]:
    opened = McpClient(fleet.folder / ".backstay", "counter", timeout=40)
    await opened.initialize()
    yield opened
    await opened.close()


async def count(opened: McpClient) -> int:
    return int((await opened.call("count", {})).text)


def instances(fleet: FleetFolder) -> dict[str, int]:
    return {i["name"]: i["pid"] for i in fleet.service("counter")["instances"] if i["state"] == "ready"}


async def test_two_clients_share_nothing_and_a_third_is_told_to_come_back(counters: FleetFolder):
    async with client(counters) as one, client(counters) as two, client(counters) as three:
        assert [await count(one), await count(one)] == [1, 2]
        assert await count(two) == 1, "it waited for a process of its own"
        assert [await count(one), await count(two)] == [3, 2]
        with pytest.raises(CallFailed, match="max_sessions") as refused:
            await count(three)
        assert refused.value.data["retryAfter"] == 5
        await two.close()

        async def again() -> int:
            while True:
                try:
                    return await count(three)
                except CallFailed:
                    await asyncio.sleep(0.05)

        assert await asyncio.wait_for(again(), 30) == 1, "nothing is left of who had it before"
    await asyncio.to_thread(eventually, lambda: len(instances(counters)) == 1)
    assert counters.service("counter")["state"] == "ready"


async def test_sessions_keep_their_processes_through_a_daemon_that_is_killed(counters: FleetFolder):
    async with client(counters) as one, client(counters) as two:
        assert [await count(one), await count(two), await count(two)] == [1, 1, 2]
        before = instances(counters)
        daemon = counters.json("ps")["daemon"]["pid"]
        os.kill(daemon, signal.SIGKILL)

        def another() -> Any:
            status = counters.json("ps")
            return status["daemon"]["pid"] != daemon and len(instances(counters)) == 2

        await asyncio.to_thread(eventually, another)
        assert [await count(one), await count(two)] == [2, 3]
        assert instances(counters) == before


async def test_a_second_up_takes_no_session_its_process(counters: FleetFolder):
    async with client(counters) as one, client(counters) as two:
        assert [await count(one), await count(two)] == [1, 1]
        await asyncio.to_thread(counters.run, "up", "-d")
        assert [await count(one), await count(two)] == [2, 2]
