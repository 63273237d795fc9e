"""The command line against a fake daemon: a real control API over a fleet in memory, on a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from backstay.api.server import control_server
from backstay.cli.root import root
from backstay.client.sockets import CONTROL, STATE_DIR, short_address
from click.testing import CliRunner, Result

from tests.fake_fleet import FakeFleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACK = """\
name: demo
services:
  web: {command: sleep 1000}
  db: {command: sleep 1000}
"""


class Cli:
    """`backstay` in this process."""

    def __call__(self, *args: str, input: str | None = None) -> Result:
        return CliRunner(catch_exceptions=False).invoke(root, list(args), input=input)

    def json(self, *args: str) -> Any:
        result = self(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def cli() -> Cli:
    return Cli()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stack file, which is the working directory."""
    (tmp_path / "backstay.yaml").write_text(STACK)
    monkeypatch.chdir(tmp_path)
    launch = SimpleNamespace(ensure_keeper=lambda *_: None)
    monkeypatch.setitem(sys.modules, "backstay.daemon.launch", launch)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[FakeFleet], FakeFleet]]:
    """Serve a fake fleet as the one of the folder."""
    stops: list[Callable[[], None]] = []

    def start(fleet: FakeFleet) -> FakeFleet:
        state = folder / STATE_DIR
        state.mkdir(exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with short_address(state / CONTROL) as address:
            listener.bind(address)
        listener.listen()
        server = control_server(fleet)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
        thread.start()
        stops.append(lambda: (server.stop(), thread.join(), listener.close()))
        return fleet

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def fleet(serve: Callable[[FakeFleet], FakeFleet]) -> FakeFleet:
    """A fake fleet that answers in the folder."""
    return serve(FakeFleet())
