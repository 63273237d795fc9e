"""Other tools' files: what comes out, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.config import load
from backstay.config.importers import Imported, import_file
from backstay.config.importers.commands import NotCarried, program
from backstay.config.machine import Machine
from backstay.config.starter import starter
from backstay.config.writing import scalar, write
from backstay.errors import ConfigErrors
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from backstay.config import Stack

MACHINE = Machine(cpus=4, memory=8 * 2**30, gpus=0)
HERE = Path(__file__).parent


def take(folder: Path, name: str, data: Any) -> tuple[Imported, Stack]:
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data))
    imported = import_file(Path(name), target=folder / "backstay.yaml", environ={})
    (folder / "backstay.yaml").write_text(imported.text)
    return imported, load([folder / "backstay.yaml"], environ={}, profiles=["*"], machine=MACHINE)


@pytest.mark.parametrize(
    ("command", "mcp", "rest"),
    [
        ("npx -y @scope/server@1.2.3 a b", {"package": "npm:@scope/server@1.2.3"}, ["a", "b"]),
        ("npx server@latest", {"package": "npm:server"}, []),
        ("npx --yes -- server -x", {"package": "npm:server"}, ["-x"]),
        ("npx -p @scope/tools other a", {"package": "npm:@scope/tools", "entry": "other"}, ["a"]),
        ("npx --package=@scope/server server a", {"package": "npm:@scope/server"}, ["a"]),
        ("bunx server", {"package": "npm:server"}, []),
        ("pnpm dlx server a", {"package": "npm:server"}, ["a"]),
        ("cmd /c npx -y server a", {"package": "npm:server"}, ["a"]),
        ("C:\\node\\npx.cmd -y server", {"package": "npm:server"}, []),
        ("/usr/bin/uvx server --flag", {"package": "pypi:server"}, ["--flag"]),
        ("uvx server@1.2", {"package": "pypi:server==1.2"}, []),
        ("uvx --from server[x]>=1 run a", {"package": "pypi:server[x]>=1", "entry": "run"}, ["a"]),
        ("uvx --from server server", {"package": "pypi:server"}, []),
        ("uvx --with mcp<2,a server", {"package": "pypi:server", "with": ["mcp<2", "a"]}, []),
        ("uvx --python 3.12 server", {"package": "pypi:server", "runtime": "python==3.12.*"}, []),
        ("uv tool run server", {"package": "pypi:server"}, []),
        ("pipx run --spec server run", {"package": "pypi:server", "entry": "run"}, []),
        ("npx mcp-remote http://x/y --transport sse-only", {"url": "http://x/y", "transport": "sse"}, []),
        ("npx -y mcp-remote@latest https://e.com/mcp", {"url": "https://e.com/mcp"}, []),
    ],
)  # fmt: skip
def test_a_wrapper_becomes_its_package(command: str, mcp: dict[str, Any], rest: list[str]) -> None:
    words = command.split(" ")
    found = program(words)
    assert found is not None
    assert (found.mcp, words[found.taken :]) == (mcp, rest)


@pytest.mark.parametrize(
    "command",
    ["python server.py", "npx", "npx --node-options=x server", "uvx --from git+https://x/y run",
     "uvx ./local", "uv run x", "uvx --index-url https://x server", "npx mcp-remote", "uvx"],
)  # fmt: skip
def test_what_is_no_package_of_a_registry_stays_a_command(command: str) -> None:
    assert program(command.split(" ")) is None


@pytest.mark.parametrize("command", ["docker run -i image", "/usr/bin/podman run x", "docker.exe run x"])
def test_containers_are_not_carried(command: str) -> None:
    with pytest.raises(NotCarried):
        program(command.split(" "))


CLAUDE = """{
	// what Claude Desktop writes, indented by tabs
	"globalShortcut": "Ctrl+Space",
	"mcpServers": {
		"filesystem": {
			"command": "npx",
			"args": ["-y", "@modelcontextprotocol/server-filesystem@2025.1.1", "/Users/me/My Files"]
		},
		"Brave Search": {
			"command": "npx",
			"args": ["-y", "@modelcontextprotocol/server-brave-search"],
			"env": {"BRAVE_API_KEY": "BSA-not-$a-key", "LEVEL": "{{debug}}", "PRICE": "$5"}
		},
		"time": {"command": "uvx", "args": ["mcp-server-time", "--local-timezone=UTC"], "timeout": 5},
		"github": {"command": "docker", "args": ["run", "-i", "ghcr.io/github/github-mcp-server"]},
		"bridge": {
			"command": "npx",
			"args": ["mcp-remote", "https://example.com/sse", "--header", "Authorization: Bearer abc"]
		},
		"db": {"command": "npx", "args": ["-y", "server-postgres", "postgresql://me:pw@localhost/db"]},
		"own": {
			"command": "python", "args": ["-m", "own", "--api-key", "zzz"], "cwd": "/srv", "disabled": true
		},
		"broken": {"args": ["x"]},
	},
}
"""


def test_claudes_servers_are_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    imported, stack = take(tmp_path, "claude_desktop_config.json", CLAUDE)
    assert imported.text == (HERE / "imported-claude.yaml").read_text()
    assert list(stack.services) == ["filesystem", "Brave-Search", "time", "bridge", "db", "own"]
    assert stack.services["Brave-Search"].environment["PRICE"] == "$5"
    assert stack.services["filesystem"].args == ("/Users/me/My Files",)
    for hidden in ("BSA-not", "abc", "pw@", "zzz"):
        assert hidden not in imported.text


def test_vs_codes_servers_are_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = {
        "inputs": [{"type": "promptString", "id": "api-key", "description": "The key", "password": True}],
        "servers": {
            "a": {
                "type": "stdio",
                "command": "npx",
                "args": ["a", "${workspaceFolder}/x"],
                "env": {"K": "${input:api-key}"},
            },
            "b": {
                "type": "http",
                "url": "https://e.com/mcp",
                "headers": {"Authorization": "Bearer ${input:api-key}"},
            },
            "c": {"type": "sse", "url": "https://e.com/events"},
            "d": {
                "command": "d",
                "envFile": "${workspaceFolder}/.env.d",
                "cwd": "${userHome}/d",
                "env": {"H": "${env:HOME}"},
            },
        },
    }
    (tmp_path / ".env.d").write_text("")
    imported, stack = take(tmp_path, "mcp.json", data)
    assert [str(note) for note in imported.notes] == [
        "mcp.json:1:13 inputs[0]: is not asked for: set API_KEY (The key) in the environment or in `.env`"
    ]
    assert stack.services["a"].args == ("{{ fleet.dir }}/x",)
    assert "K: ${API_KEY}" in imported.text or 'K: "${API_KEY}"' in imported.text
    kinds = {name: service.mcp.transport for name, service in stack.services.items() if service.mcp}
    assert kinds == {"a": "stdio", "b": "streamable-http", "c": "sse", "d": "stdio"}
    assert stack.services["d"].environment == {"H": ""}


def test_servers_within_vs_codes_settings_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, stack = take(
        tmp_path,
        "settings.json",
        {"editor.fontSize": 12, "mcp": {"servers": {"a": {"command": "npx", "args": ["a"]}}}},
    )
    assert list(stack.services) == ["a"]


def test_two_servers_with_one_name_after_all_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    servers = {name: {"command": "x", "env": {"TOKEN": name}} for name in ("a b", "a-b", "a__b", "日本")}
    imported, stack = take(tmp_path, "c.json", {"mcpServers": servers})
    assert list(stack.services) == ["a-b", "a-b-2", "a_b", "server"]
    assert '"${A_B_2_TOKEN}"' in imported.text


COMPOSE = """
name: shop
services:
  db:
    image: postgres:16
    volumes: [data:/var/lib/postgresql]
  web:
    image: shop
    command: python app.py --port 8000
    ports: ["8080:8000", {target: 9000, name: admin}]
    environment: ["A=${A:-b}", "B={{x}}"]
    depends_on: [db, worker]
    networks: [front]
    restart: unless-stopped
    healthcheck: {test: [CMD, curl, localhost], interval: 5s}
    secrets: [key]
  worker:
    build: .
    entrypoint: [run, it]
    stop_signal: SIGNOTHING
    stop_grace_period: 1m30s
volumes: {data: }
secrets: {key: {environment: SHOP_KEY}, other: {external: true}}
"""


def test_composes_processes_are_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    imported = import_file(Path("compose.yaml"), target=tmp_path / "backstay.yaml", environ={"SHOP_KEY": "x"})
    assert imported.text == (HERE / "imported-compose.yaml").read_text()
    (tmp_path / "backstay.yaml").write_text(imported.text)
    stack = load([tmp_path / "backstay.yaml"], environ={"SHOP_KEY": "x"}, machine=MACHINE)
    assert (stack.name, list(stack.services)) == ("shop", ["web", "worker"])
    assert stack.services["web"].ports == {"main": 8000, "admin": 9000}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", 'this is not JSON: expected `"` or `}`'),
        ("a.json", '{"a": }', "this is not JSON: expected a value"),
        ("a.json", '{"a": "b', "this is not JSON: unterminated string starting at"),
        ("a.json", "[]", "the file is not a JSON object"),
        ("a.json", "{}", "the file is of no form that is known"),
        ("a.json", "{} x", "this is not JSON: something follows after the end"),
        ("a.yaml", "a: b", "the file is of no form that is known"),
        ("a.yaml", "services: {db: {image: postgres}}", "nothing in the file can be carried over"),
        ("a.json", '{"mcpServers": {"g": {"command": "docker"}}}', "nothing in the file can be carried over"),
        ("a.json", "[" * 100, "this is not JSON: it is nested deeper than 64"),
    ],
)
def test_what_cannot_be_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        import_file(Path(name), target=tmp_path / "backstay.yaml", environ={})
    assert caught.value.problems[0].message.splitlines()[0] == message


def test_a_file_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigErrors, match=r"there is no file `none\.json`"):
        import_file(Path("none.json"), target=tmp_path / "backstay.yaml", environ={})


@pytest.mark.parametrize("folder", ["My Project", "___", "日本"])
def test_the_starter_passes_the_check(tmp_path: Path, folder: str) -> None:
    (tmp_path / "backstay.yaml").write_text(starter(folder))
    assert list(load([tmp_path / "backstay.yaml"], environ={}, machine=MACHINE).services) == ["files", "time"]


@example("\ufffe")
@given(st.text())
def test_a_text_is_written_so_that_it_is_read_again(text: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return
    yaml = YAML(typ="safe", pure=True)
    assert yaml.load(f"a: {scalar(text)}\n") == {"a": text}
    assert yaml.load(f"a: [{scalar(text, flow=True)}]\n") == {"a": [text]}
    assert yaml.load(f"{scalar(text)}: 1\n") == {text: 1}
    assert yaml.load(write({"services": {"s": {"k": text, "l": [text], "m": {text: text}}}})) == {
        "services": {"s": {"k": text, "l": [text], "m": {text: text}}}
    }
