"""Servers by the official SDKs that speak 2026-07-28, through the whole gateway, for a client with a session.

The client is the official Python SDK's, which knows nothing of what it is joined to. The TypeScript servers
take 2026-07-28 only; the Python ones take what they are asked first, which over stdio the lock file decides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    ResourceUpdatedNotification,
    Root,
    TextContent,
    ToolListChangedNotification,
)

from tests.conftest import SERVERS, TESTS, FleetFolder
from tests.e2e.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [
    pytest.mark.fleet,
    # The client says of what 2026-07-28 has no more that it is deprecated, which is why it is tried here.
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

SOON = 30


def service(kind: str, node: Path) -> dict[str, Any]:
    """A service of the stack file: `ts-stdio`, `py-http`."""
    sdk, transport = kind.split("-")
    command = (
        [str(node), str(SERVERS / "modern.mjs")]
        if sdk == "ts"
        else [sys.executable, str(SERVERS / "modern.py")]
    )
    if transport == "stdio":
        return {"command": [*command, "stdio"], "mcp": {"transport": "stdio"}}
    mcp = {"transport": "streamable-http", "port": "http", "path": "/mcp"}
    return {"command": [*command, "http"], "mcp": mcp, "ports": {"http": "auto"}}


def remember(fleet: FleetFolder, era: str, of: str) -> None:
    """Write a lock file that takes the server for one of that era."""
    lock = {"version": 1, "packages": {}, "servers": {"it": {"era": era, "of": of}}}
    (fleet.folder / "backstay.lock").write_text(json.dumps(lock))


def remembered(fleet: FleetFolder) -> str | None:
    """The era of the server that the lock file has now."""
    lock = fleet.folder / "backstay.lock"
    servers = json.loads(lock.read_text()).get("servers", {}) if lock.exists() else {}
    era = servers.get("it", {}).get("era")
    return str(era) if era else None


@pytest.fixture(scope="module", params=["ts-stdio", "ts-http", "py-stdio", "py-http"])
def fleet(
    request: pytest.FixtureRequest, node: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetFolder]:
    """A fleet of one modern server."""
    fleet = FleetFolder(tmp_path_factory.mktemp(request.param))
    fleet.write({"it": service(request.param, node)})
    if request.param == "py-stdio":
        remember(fleet, "modern", f"{Path(sys.executable).name} over stdio")
    fleet.run("up", "-d")
    yield fleet
    fleet.down()


class Client:
    """A client with a session, and what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.logged: list[str] = []
        self.session: ClientSession

    async def elicit(self, context: Any, params: Any) -> ElicitResult:
        assert params.message == "Who are you?"
        return ElicitResult(action="accept", content={"name": "Ada"})

    async def sample(self, context: Any, params: Any) -> CreateMessageResult:
        assert params.messages[0].content.text == "What?"
        said = TextContent(type="text", text="forty-two")
        return CreateMessageResult(role="assistant", content=said, model="none")

    async def roots(self, context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri="file:///home/ada")])

    async def hear(self, message: Any) -> None:
        self.told.append(message)

    async def log(self, params: Any) -> None:
        self.logged.append(params.data)

    async def call(self, tool: str, **arguments: Any) -> str:
        result = await self.session.call_tool(tool, arguments)
        assert not result.is_error, result
        return str(result.content[0].text)

    async def was_told(self, kind: type) -> Any:
        """Wait for a notification of that kind."""
        with anyio.fail_after(SOON):
            while True:
                for message in self.told:
                    inner = getattr(message, "root", message)
                    if isinstance(inner, kind):
                        return inner
                await anyio.lowlevel.checkpoint()
                await anyio.sleep(0.01)


@asynccontextmanager
async def client(fleet: FleetFolder) -> AsyncIterator[Client]:
    """Connects as a client of 2025-11-25 that can be asked for input."""
    it = Client()
    async with (
        streamable_http_client(f"{fleet.url}/it") as streams,
        ClientSession(
            *streams,
            elicitation_callback=it.elicit,
            sampling_callback=it.sample,
            list_roots_callback=it.roots,
            message_handler=it.hear,
            logging_callback=it.log,
        ) as session,
    ):
        await session.initialize()
        it.session = session
        yield it


def test_its_era_is_remembered(fleet: FleetFolder) -> None:
    eventually(lambda: remembered(fleet) == "modern")


async def test_what_it_offers_is_listed_called_and_read(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        tools = {tool.name for tool in (await it.session.list_tools()).tools}
        assert {"echo", "greet", "hold"} <= tools
        assert await it.call("echo", text="grüße") == "grüße"
        note = await it.session.read_resource("note://one")
        assert note.contents[0].text
        prompt = await it.session.get_prompt("hello", {"name": "Ada"})
        assert prompt.messages[0].content.text == "Say hello to Ada"


async def test_a_client_is_asked_for_what_the_server_wants(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        assert await it.call("greet") == "Hello Ada"


async def test_a_client_is_asked_for_several_things_at_once(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        assert await it.call("survey") == "Ada says forty-two in file:///home/ada"


async def test_progress_and_log_messages_reach_the_call_that_asked(fleet: FleetFolder) -> None:
    progress: list[float] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with client(fleet) as it:
        await it.session.set_logging_level("info")
        result = await it.session.call_tool("work", {}, progress_callback=report)
        assert result.content[0].text == "worked"
        assert progress == [1, 2]
        assert it.logged == ["working"]


async def test_a_list_that_changes_is_told_and_listed(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        assert await it.call("grow") == "grown"
        await it.was_told(ToolListChangedNotification)
        assert "grown" in {tool.name for tool in (await it.session.list_tools()).tools}


async def test_who_subscribed_is_told_of_a_change(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        await it.session.subscribe_resource("note://one")
        await it.call("write", text="two")
        told = await it.was_told(ResourceUpdatedNotification)
        assert str(told.params.uri) == "note://one"
        await it.session.unsubscribe_resource("note://one")


async def test_a_call_that_is_called_off_ends_at_the_server(fleet: FleetFolder) -> None:
    async with client(fleet) as it:
        before = int(await it.call("cancelled"))
        begun = anyio.Event()

        async def report(done: float, total: float | None, message: str | None) -> None:
            begun.set()

        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                await it.session.call_tool("hold", {}, progress_callback=report)

            tasks.start_soon(hold)
            with anyio.fail_after(SOON):
                await begun.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(SOON):
            while int(await it.call("cancelled")) == before:
                await anyio.sleep(0.02)


async def test_annotated_arguments_are_mirrored_in_headers(node: Path, fleet_folder: FleetFolder) -> None:
    fleet_folder.write({"it": service("ts-http", node)})
    fleet_folder.run("up", "-d")
    async with client(fleet_folder) as it:
        await it.session.list_tools()
        assert await it.call("region", where="us-west1") == "us-west1"


async def test_a_killed_daemon_s_successor_goes_on_with_the_same_server(
    node: Path, fleet_folder: FleetFolder
) -> None:
    fleet_folder.write({"it": service("ts-stdio", node)})
    fleet_folder.run("up", "-d")
    before = fleet_folder.service("it")["instances"][0]["pid"]
    pid = fleet_folder.json("ps")["daemon"]["pid"]
    os.kill(pid, signal.SIGKILL)
    async with client(fleet_folder) as it:
        assert await it.call("write", text="after") == "after"
        await it.call("grow")
        await it.was_told(ToolListChangedNotification)
    assert fleet_folder.service("it")["instances"][0]["pid"] == before


FIXTURE = TESTS / "fixtures" / "conformance" / "server.mjs"


@pytest.mark.parametrize("wrongly", [False, True])
async def test_servers_with_sessions_are_greeted_whatever_was_remembered(
    wrongly: bool, node: Path, fleet_folder: FleetFolder
) -> None:
    """The TypeScript SDK 1.x takes `initialize` after it refused discovery, in the same process."""
    fleet_folder.write({"it": {"command": [str(node), str(FIXTURE)], "mcp": {"transport": "stdio"}}})
    if wrongly:
        remember(fleet_folder, "modern", "node over stdio")
    fleet_folder.run("up", "-d")
    eventually(lambda: remembered(fleet_folder) == "legacy")
    async with client(fleet_folder) as it:
        assert await it.session.call_tool("test_simple_text", {})


def test_a_server_of_both_eras_is_offered_a_session_first(node: Path, fleet_folder: FleetFolder) -> None:
    """Python's mcp 2.3 serves one era for as long as it lives: the one it is greeted in."""
    fleet_folder.write({"it": service("py-stdio", node)})
    fleet_folder.run("up", "-d")
    eventually(lambda: remembered(fleet_folder) == "legacy")


OLD = """\
from mcp.server.fastmcp import FastMCP

server = FastMCP("old")


@server.tool()
def echo(text: str) -> str:
    return text


def main() -> None:
    server.run("stdio")
"""
PROJECT = """\
[project]
name = "old-server"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["mcp==1.6.0", "pydantic==2.10.6"]

[project.scripts]
old-server = "old_server:main"

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
py-modules = ["old_server"]
"""


@pytest.mark.parametrize("wrongly", [False, True])
async def test_a_server_that_never_answers_discovery_is_found_again(
    wrongly: bool, fleet_folder: FleetFolder
) -> None:
    """Python's mcp 1.6 is silent to `server/discover`, and ends at the next `initialize`."""
    project = fleet_folder.folder / "old"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "old_server.py").write_text(OLD)
    fleet_folder.write({"it": {"mcp": {"package": "path:./old", "start_timeout": "8s"}}})
    fleet_folder.run("up", "-d")
    eventually(lambda: remembered(fleet_folder) == "legacy")
    if wrongly:
        fleet_folder.run("down")
        lock = json.loads((fleet_folder.folder / "backstay.lock").read_text())
        lock["servers"]["it"]["era"] = "modern"
        (fleet_folder.folder / "backstay.lock").write_text(json.dumps(lock))
        fleet_folder.run("up", "-d", code=None)
        eventually(lambda: remembered(fleet_folder) == "legacy", 60)
    async with client(fleet_folder) as it:
        assert await it.call("echo", text="x") == "x"
