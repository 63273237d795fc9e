"""Clients of the official SDKs over HTTP+SSE, the transport of 2024-11-05, through the whole gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import anyio
import pytest
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent

from tests.conftest import SERVERS, TESTS, FleetFolder
from tests.e2e.waiting import eventually, gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.fleet,
    # The clients say of their own transport that it is deprecated, which is why it is tried here.
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

CLIENT = TESTS / "fixtures" / "sse-client.mjs"
LEGACY = TESTS / "fixtures" / "conformance" / "server.mjs"
TEXT = "This is a simple text response for testing."


@pytest.fixture(scope="module")
def fleet(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetFolder]:
    """A server with sessions and one without, over stdio both."""
    fleet = FleetFolder(tmp_path_factory.mktemp("old"))
    stdio = {"transport": "stdio"}
    fleet.write(
        {
            "legacy": {"command": [str(node), str(LEGACY)], "mcp": stdio},
            "modern": {"command": [str(node), str(SERVERS / "modern.mjs"), "stdio"], "mcp": stdio},
        }
    )
    fleet.run("up", "-d")
    yield fleet
    fleet.down()


def sse(fleet: FleetFolder, service: str = "") -> str:
    """Where clients of this transport begin."""
    return fleet.url.replace("/mcp", "/sse") + service


class Client:
    """The Python SDK's client, which can be asked for everything."""

    def __init__(self) -> None:
        self.logged: list[Any] = []
        self.session: ClientSession

    async def elicit(self, context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada", "username": "ada"})

    async def sample(self, context: Any, params: Any) -> CreateMessageResult:
        said = TextContent(type="text", text="forty-two")
        return CreateMessageResult(role="assistant", content=said, model="none")

    async def roots(self, context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri="file:///home/ada")])

    async def log(self, params: Any) -> None:
        self.logged.append(params.data)

    async def call(self, tool: str, **arguments: Any) -> str:
        result = await self.session.call_tool(tool, arguments)
        assert not result.is_error, result
        return str(result.content[0].text)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    it = Client()
    async with (
        sse_client(url) as streams,
        ClientSession(
            *streams,
            elicitation_callback=it.elicit,
            sampling_callback=it.sample,
            list_roots_callback=it.roots,
            logging_callback=it.log,
        ) as session,
    ):
        await session.initialize()
        it.session = session
        yield it


def test_the_typescript_sdk_is_answered_told_and_asked(fleet: FleetFolder, node: Path) -> None:
    ran = subprocess.run([node, CLIENT, sse(fleet, "/legacy")], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["server"] == "backstay-conformance-fixture"
    assert seen["tools"] > 10
    assert seen["text"] == TEXT
    assert seen["progress"] == [0, 50, 100]
    assert seen["logged"] == ["Tool execution started", "Tool processing data", "Tool execution completed"]
    assert seen["elicited"].startswith("User response: action=accept")
    assert seen["sampled"] == "LLM response: forty-two"
    assert seen["roots"] == "Roots: file:///home/ada"
    assert seen["read"] == "This is the content of the static text resource."
    assert seen["missing"] == -32002


async def test_the_python_sdk_is_answered_told_and_asked(fleet: FleetFolder) -> None:
    progress: list[float] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with connected(sse(fleet)) as it:
        tools = {tool.name for tool in (await it.session.list_tools()).tools}
        assert {"legacy__test_simple_text", "modern__echo"} <= tools
        assert await it.call("legacy__test_simple_text") == TEXT
        await it.session.call_tool("legacy__test_tool_with_progress", {}, progress_callback=report)
        assert progress == [0, 50, 100]
        assert await it.call("legacy__test_sampling", prompt="What?") == "LLM response: forty-two"
        assert await it.call("legacy__test_roots") == "Roots: file:///home/ada"
        assert "action=accept" in await it.call("legacy__test_elicitation", message="Who?")


async def test_a_server_without_sessions_asks_and_tells_it_all_the_same(fleet: FleetFolder) -> None:
    async with connected(sse(fleet, "/modern")) as it:
        assert await it.call("survey") == "Ada says forty-two in file:///home/ada"
        await it.session.set_logging_level("info")
        assert await it.call("work") == "worked"
        assert it.logged == ["working"]


async def test_two_clients_are_each_told_their_own(fleet: FleetFolder) -> None:
    async def ask(client: Client, text: str) -> None:
        for _ in range(20):
            assert await client.call("echo", text=text) == text

    url = sse(fleet, "/modern")
    async with connected(url) as one, connected(url) as two, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, one, "of one")
        tasks.start_soon(ask, two, "of two")


async def test_who_lost_its_stream_opens_another_at_the_next_daemon(
    fleet_folder: FleetFolder, python_server: list[str]
) -> None:
    fleet_folder.write({"it": {"command": python_server, "mcp": {"transport": "stdio"}}})
    fleet_folder.run("up", "-d")
    before = fleet_folder.json("ps")
    with urlopen(sse(fleet_folder), timeout=30) as stream:
        assert stream.readline() == b"event: endpoint\n"
        endpoint = stream.readline().decode().removeprefix("data: ").strip()
        os.kill(before["daemon"]["pid"], signal.SIGKILL)
        eventually(lambda: gone(before["daemon"]["pid"]))
    # What it was is over with its stream, and it is told so; the transport knows no resumption.
    late = Request(
        fleet_folder.url.removesuffix("/mcp") + endpoint,
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        {"content-type": "application/json"},
    )
    with pytest.raises(HTTPError, match="404") as refused:
        urlopen(late, timeout=30)
    assert "open another at /sse" in refused.value.read().decode()
    async with connected(sse(fleet_folder)) as it:
        assert await it.call("it__echo", text="again") == "again"
    assert fleet_folder.service("it")["instances"][0]["pid"] == before["services"][0]["instances"][0]["pid"]
