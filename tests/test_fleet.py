"""`Fleet` and `BlockingFleet`: one definition, against a daemon whose fleet is in memory."""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from backstay import BlockingFleet, Fleet
from backstay.api.server import ControlServer, control_server
from backstay.client.sockets import CONTROL, STATE_DIR, short_address
from backstay.deploy.status import ServiceFailure, State
from backstay.errors import (
    BackstayError,
    CallFailed,
    ConfigErrors,
    DaemonNotRunning,
    DeployFailed,
    UnknownService,
)
from backstay.fleet import Described
from mypy import api as mypy

from tests.fake_fleet import FakeFleet
from tests.fake_gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK = """\
name: demo
services:
  web: {command: sleep 1000}
  db: {command: sleep 1000}
  bad: {command: sleep 1000, profiles: [broken]}
"""


class Daemon:
    """A daemon in a thread, which can die and come back while its socket stays."""

    def __init__(self, folder: Path, fleet: FakeFleet) -> None:
        self.fleet = fleet
        state = folder / STATE_DIR
        state.mkdir()
        self.listener = socket.socket(socket.AF_UNIX)
        with short_address(state / CONTROL) as address:
            self.listener.bind(address)
        self.listener.listen()
        self.start()

    def start(self) -> None:
        self.fleet.news = asyncio.Condition()
        self.server: ControlServer = control_server(self.fleet)
        self.server.config.timeout_graceful_shutdown = 0
        own = self.listener.dup()
        self.thread = threading.Thread(target=asyncio.run, args=(self.server.serve(sockets=[own]),))
        self.thread.start()

    def die(self) -> None:
        self.server.stop()
        self.thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "backstay.yaml").write_text(STACK)
    monkeypatch.chdir(tmp_path)
    launch = SimpleNamespace(ensure_keeper=lambda *_: None)
    monkeypatch.setitem(sys.modules, "backstay.daemon.launch", launch)
    return tmp_path


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder, FakeFleet({"bad": ServiceFailure(reason="exited with code 3")}))
    yield daemon
    daemon.die()
    daemon.listener.close()


@pytest.fixture
def fake(daemon: Daemon) -> FakeFleet:
    return daemon.fleet


async def test_up_waits_until_all_is_ready_and_status_says_so(fake: FakeFleet) -> None:
    fleet = Fleet.load("backstay.yaml")
    result = await fleet.up()
    assert result.ok
    status = await fleet.status()
    assert status.ready
    assert [service.name for service in status.services] == ["web", "db"]


async def test_up_of_a_service_that_fails_raises_with_the_reasons(fake: FakeFleet) -> None:
    fleet = Fleet.load(profiles=["broken"])
    with pytest.raises(DeployFailed, match="bad: exited with code 3") as raised:
        await fleet.up()
    assert raised.value.result is not None
    assert list(raised.value.result.failed) == ["bad"]
    assert fake.states["web"] is State.READY


async def test_a_fleet_that_ran_before_the_block_runs_after_it(fake: FakeFleet) -> None:
    async with Fleet.load() as fleet:
        await fleet.up("web")
    assert fake.calls == [("up", ["web"], False, fake.calls[0][3])]


async def test_a_fleet_that_the_block_brought_up_is_brought_down_at_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Daemon] = []

    def ensure_keeper(*_: object) -> None:
        started.append(Daemon(folder, FakeFleet()))

    monkeypatch.setitem(sys.modules, "backstay.daemon.launch", SimpleNamespace(ensure_keeper=ensure_keeper))
    async with Fleet.load() as fleet:
        assert not await fleet.running()
        await fleet.up()
        assert await fleet.running()
    assert started[0].fleet.calls[-1] == ("down",)
    started[0].die()
    started[0].listener.close()


async def test_verbs_change_one_service(fake: FakeFleet) -> None:
    fleet = Fleet.load()
    await fleet.up()
    await fleet.stop("db")
    assert fake.states["db"] is State.STOPPED
    await fleet.start("db")
    await fleet.restart("db")
    await fleet.scale("web", 3)
    assert fake.states["db"] is State.READY
    assert fake.replicas == {"web": 3}


async def test_a_service_that_is_not_there_is_said(fake: FakeFleet) -> None:
    fleet = Fleet.attach()
    with pytest.raises(BackstayError, match="there is no service `nothing`"):
        await fleet.restart("nothing")


async def test_following_events_goes_on_through_a_restart_of_the_daemon(daemon: Daemon) -> None:
    fleet = Fleet.load()
    await fleet.up()
    seen = []
    async for event in fleet.events(follow=True):
        seen.append(event.seq)
        if len(seen) == daemon.fleet.last_seq() == 4:
            await asyncio.to_thread(daemon.die)
            await asyncio.to_thread(daemon.start)
            await fleet.stop("db")
        if event.kind == "deploy.finished" and len(seen) > 4:
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_logs_and_metrics_and_calls_need_a_fleet_that_runs(folder: Path) -> None:
    fleet = Fleet.load()
    with pytest.raises(DaemonNotRunning, match="not running"):
        await fleet.metrics()
    with pytest.raises(DaemonNotRunning):
        await fleet.call("web", "x")
    with pytest.raises(DaemonNotRunning):
        _ = [line async for line in fleet.logs()]
    assert not await fleet.running()
    await fleet.down()


async def test_a_tool_is_called_and_its_failure_is_raised(folder: Path) -> None:
    gateway = Gateway(folder / STATE_DIR)
    try:
        fleet = Fleet.load()
        assert (await fleet.call("clock", "now", {"zone": "UTC"})).text == "noon in UTC, 0 later"
        with pytest.raises(CallFailed, match="no battery"):
            await fleet.call("clock", "broken")
        assert (await fleet.call("clock", "broken", raise_on_error=False)).is_error
        assert [tool.name for tool in await fleet.tools("clock")] == ["now", "broken", "slow", "forever"]
    finally:
        await asyncio.to_thread(gateway.close)


def test_a_wrong_stack_file_is_refused_when_it_is_read(folder: Path) -> None:
    (folder / "backstay.yaml").write_text("services: {web: {comand: x}}\n")
    with pytest.raises(ConfigErrors, match="comand"):
        Fleet.load("backstay.yaml")


def test_an_attached_fleet_has_no_stack(folder: Path) -> None:
    with pytest.raises(BackstayError, match="was not read"):
        _ = Fleet.attach(folder).stack


def test_the_blocking_twin_does_the_same_without_await(fake: FakeFleet) -> None:
    with BlockingFleet.load("backstay.yaml") as fleet:
        assert fleet.up().ok
        assert fleet.status().ready
        assert [line.line for line in fleet.logs("web", tail=1)] == [
            "ready \x1b[31mred\x1b[0m \x1b[2Jcleared"
        ]
        kinds = [event.kind for event in fleet.events()]
        assert kinds == ["deploy.started", "service.state", "service.state", "deploy.finished"]


def test_the_blocking_twin_works_from_many_threads_and_in_a_running_loop(fake: FakeFleet) -> None:
    fleet = BlockingFleet.load()
    fleet.up()

    async def inside() -> bool:
        return fleet.status().ready

    assert asyncio.run(inside())
    ready: list[bool] = []
    threads = [threading.Thread(target=lambda: ready.append(fleet.status().ready)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ready == [True] * 8


def test_a_stream_that_is_left_early_is_closed(fake: FakeFleet) -> None:
    fleet = BlockingFleet.load()
    fleet.up()
    events = fleet.events(follow=True)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert fleet.status().ready


def test_every_public_method_has_its_twin() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}

    assert methods(Fleet) - methods(BlockingFleet) == set()
    assert methods(BlockingFleet) - methods(Fleet) == set()
    for name in methods(Fleet) - methods(Described):
        assert inspect.signature(getattr(Fleet, name)) == inspect.signature(getattr(BlockingFleet, name))


def test_types_reach_users_of_both(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from backstay import BlockingFleet, Fleet\n"
        "async def main(fleet: Fleet) -> None:\n"
        "    reveal_type(await fleet.up('web', atomic=True))\n"
        "def twin(fleet: BlockingFleet) -> None:\n"
        "    reveal_type(fleet.up('web', atomic=True))\n"
        "    reveal_type(fleet.logs(follow=True))\n"
        "    fleet.scale('web', 'three')\n"
        "reveal_type(BlockingFleet.load('x'))\n"
    )
    said, _, _ = mypy.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(program)])
    revealed = [
        line.partition("Revealed type is ")[2].strip('"') for line in said.splitlines() if "Revealed" in line
    ]
    assert revealed == [
        "backstay.deploy.status.DeployResult",
        "backstay.deploy.status.DeployResult",
        "typing.Iterator[backstay.deploy.status.LogLine]",
        "backstay.blocking.BlockingFleet",
    ]
    assert 'program.py:7: error: Argument 2 has incompatible type "str"; expected "int"' in said


def test_unknown_services_are_refused_before_anything_starts(fake: FakeFleet) -> None:
    with pytest.raises(BackstayError, match="there is no service `wbe`"):
        BlockingFleet.load().up("wbe")
    assert fake.calls == []
    assert issubclass(UnknownService, BackstayError)
