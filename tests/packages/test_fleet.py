"""Real packages from the real registries, and the example's own servers, spoken to by the official client."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.packages import Launch, PackageError, cache_dir
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.packages.package_user import User, output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]
SERVERS = Path(__file__).parents[2] / "examples" / "assistant" / "servers"


@pytest.fixture
def me(tmp_path: Path) -> User:
    """The user who runs the tests, with their own registries and cache, and a lock file for one test."""
    (tmp_path / "stack").mkdir()
    return User(tmp_path, dict(os.environ), kept_cache=cache_dir())


@asynccontextmanager
async def client(launch: Launch, *args: str, **environ: str) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(
        command=launch.argv[0], args=[*launch.argv[1:], *args], env={**os.environ, **launch.env, **environ}
    )
    async with Client(stdio_client(parameters)) as connected:
        yield connected


async def call(connected: Client, tool: str, **arguments: Any) -> str:
    result = await connected.call_tool(tool, arguments)
    return str(result.content[0].text)


async def test_the_rust_server_counts_digests_and_compares(me: User) -> None:
    async with client(await me.install(f"path:{SERVERS / 'rust-server'}")) as texts:
        assert {tool.name for tool in (await texts.list_tools()).tools} == {"compare", "digest", "statistics"}
        assert '"words":2' in await call(texts, "statistics", text="two words")
        assert "e3b0c44298fc1c14" in await call(texts, "digest", text="")
        assert '"- b"' in await call(texts, "compare", before="a\nb", after="a")


async def test_the_typescript_server_converts(me: User) -> None:
    async with client(await me.install(f"path:{SERVERS / 'typescript-server'}")) as units:
        assert (
            await call(units, "convert", value=26.2, **{"from": "mi", "to": "km"})
            == "26.2 mi = 42.1648128 km"
        )
        assert await call(units, "convert", value=100, **{"from": "C", "to": "°F"}) == "100 C = 212 °F"
        refused = await units.call_tool("convert", {"value": 1, "from": "kg", "to": "m"})
        assert refused.is_error
        assert "nautical mile" in await call(units, "list_units", quantity="length")


async def test_the_python_server_keeps_notes_through_a_restart(me: User, tmp_path: Path) -> None:
    launch = await me.install(f"path:{SERVERS / 'python-server'}")
    kept = str(tmp_path / "notes.jsonl")
    async with client(launch, NOTES_FILE=kept) as notes:
        assert await call(notes, "add_note", title="Milk", text="two litres", tags=["shop"]) == "noted as 1"
        assert await call(notes, "add_note", title="Call Ada") == "noted as 2"
        assert await call(notes, "delete_note", number=2) == "deleted 2: Call Ada"
    async with client(launch, NOTES_FILE=kept) as notes:
        assert await call(notes, "find_notes", words="litres") == "1: Milk [shop]"
        assert await call(notes, "read_note", number=1) == "two litres"
        assert await call(notes, "add_note", title="Third") == "noted as 3"


async def test_an_npm_package_with_a_program_of_another_language_inside_works(
    me: User, tmp_path: Path
) -> None:
    kubeconfig = SERVERS.parent / "data" / "kubeconfig.yaml"
    launch = await me.install("npm:kubernetes-mcp-server")
    async with client(launch, "--kubeconfig", str(kubeconfig)) as kubernetes:
        assert len((await kubernetes.list_tools()).tools) > 5


async def test_a_package_that_installs_itself_by_a_script_works(me: User) -> None:
    launch = await me.install("npm:esbuild")
    assert output(launch, "--version").startswith("0.")


async def test_drifted_dependencies_are_held_back(me: User) -> None:
    launch = await me.install("pypi:mcp-server-sqlite", **{"with": ["mcp<2"]})
    async with client(launch, "--db-path", str(me.root / "x.db")) as sqlite:
        assert "list_tables" in {tool.name for tool in (await sqlite.list_tools()).tools}


async def test_a_node_of_another_version_is_fetched(me: User) -> None:
    launch = await me.install("npm:@modelcontextprotocol/server-memory", runtime="node>=22,<23")
    async with client(launch, MEMORY_FILE_PATH=str(me.root / "memory.jsonl")) as memory:
        assert "read_graph" in {tool.name for tool in (await memory.list_tools()).tools}
    assert "node-22." in launch.argv[0]


async def test_a_package_that_is_not_there_is_said_plainly(me: User) -> None:
    with pytest.raises(PackageError) as refused:
        await me.install("npm:@modelcontextprotocol/server-filesytem")
    assert refused.value.hint == "did you mean npm:@modelcontextprotocol/server-filesystem?"
