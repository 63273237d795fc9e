"""What every engine must do, shown on the simulated one and on real processes under a real keeper."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from backstay.engines.simulated import Behaviour, SimulatedEngine
from backstay.engines.spec import InstanceSpec, Probe, Restart, Routes, ServerRoute, StopPolicy, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from backstay.engines.base import Engine

KEEPER = Path(sys.modules["backstay"].__file__).parent / "bin" / "backstay-keeper"

SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "echo", "version": "1"}}
    elif message.get("method") == "tools/list":
        result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""

PROGRAMS: dict[str, tuple[str, ...]] = {
    "lives": ("sleep", "1000"),
    "completes": ("true",),
    "fails": ("sh", "-c", "echo last words; exit 3"),
    "is not there": ("no-such-program",),
    "speaks": (sys.executable, "-c", SERVER),
    "babbles": ("sh", "-c", "while read line; do echo hello; done"),
}
BEHAVIOURS = {
    "lives": Behaviour(ready_after=0.0),
    "completes": Behaviour(ready_after=None, exits_after=0.01, exit_code=0),
    "fails": Behaviour(ready_after=None, exits_after=0.01, exit_code=3),
    "is not there": Behaviour(spawns=False),
    "speaks": Behaviour(ready_after=0.0, speaks_after=0.05),
    "babbles": Behaviour(ready_after=0.0, speaks_after=None),
}


class Case(Protocol):
    """An engine under test, and how to wait for what it tells."""

    engine: Engine
    events: list[dict[str, Any]]

    async def until(self, condition: Callable[[], bool]) -> None: ...

    async def again(self) -> None:
        """Let go of the engine and take it up anew, as another daemon would."""
        ...

    async def close(self) -> None: ...


class Simulated:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.engine = SimulatedEngine(lambda spec, attempt: BEHAVIOURS[spec.env["PLAYS"]])
        self.engine.subscribe(self.events.extend)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.engine.step(), f"nothing more happens; told were {self.events}"

    async def again(self) -> None:
        self.engine.close()
        self.events.clear()
        self.engine.subscribe(self.events.extend)

    async def close(self) -> None:
        self.engine.shut_down()


class Local:
    """A real keeper without a daemon; we are the daemon."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="backstay-engine-"))
        command = [str(KEEPER), "--state-dir", str(self.folder)]
        self.keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.keeper.stdout is not None
        assert json.loads(self.keeper.stdout.readline())["ready"]
        self.events: list[dict[str, Any]] = []
        self.generation = 0
        self._news = asyncio.Event()
        self._attach()

    def _attach(self) -> None:
        from backstay._core import Daemon
        from backstay.engines.local import LocalEngine

        self.generation += 1
        config = {"state_dir": str(self.folder), "generation": self.generation}
        core = Daemon(json.dumps(config).encode())
        self.engine = LocalEngine(core, self.folder / "run" / "keeper.sock")
        if self.generation > 1:  # a daemon gives the routes it remembers before it takes over
            self.engine.set_routes(ROUTES)
        self.engine.subscribe(self._deliver)

    def _deliver(self, events: list[dict[str, Any]]) -> None:
        self.events += events
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await self._news.wait()
                self._news.clear()

    async def again(self) -> None:
        await asyncio.to_thread(self.engine.close)
        self.events.clear()
        self._attach()

    async def close(self) -> None:
        await asyncio.to_thread(self.engine.shut_down)
        await asyncio.to_thread(self.keeper.wait, 30)
        await asyncio.to_thread(self.engine.close)
        assert self.keeper.stdout is not None
        self.keeper.stdout.close()
        shutil.rmtree(self.folder)


@pytest.fixture(params=[Simulated, pytest.param(Local, marks=pytest.mark.fleet)])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    case: Case = request.param()
    try:
        yield case
    finally:
        await case.close()


def spec(plays: str, name: str = "it.1", **changes: Any) -> InstanceSpec:
    made = InstanceSpec(
        name=name,
        service=name.rpartition(".")[0],
        revision=7,
        argv=PROGRAMS[plays],
        env={"PATH": os.environ["PATH"], "PLAYS": plays},
        working_dir=Path("/"),
        stdio="mcp" if plays in ("speaks", "babbles") else "logs",
        restart=Restart("no"),
        stop=StopPolicy(eof=True, grace_ms=5_000, eof_grace_ms=200),
    )
    return replace(made, **changes)


ROUTES = Routes((ServerRoute("it", "it", "stdio", "shared", (Upstream("it.1"),)),))


def told(case: Case, kind: str, name: str = "it.1") -> list[dict[str, Any]]:
    return [event for event in case.events if event["kind"] == kind and event.get("instance", name) == name]


async def test_nothing_runs_at_first(case: Case):
    await case.until(lambda: bool(told(case, "keeper.adopted_all")))
    assert [event["kind"] for event in case.events] == ["keeper.adopted_all"]


async def test_what_is_started_is_told_with_its_revision_and_is_ready(case: Case):
    case.engine.start(spec("lives"))
    await case.until(lambda: bool(told(case, "instance.ready")))
    spawned = told(case, "instance.spawned")[0]
    assert spawned["revision"] == 7
    assert spawned["service"] == "it"
    assert spawned["restarts"] == 0
    assert spawned["pid"] > 0


async def test_what_is_stopped_is_told_once_nothing_of_it_runs(case: Case):
    case.engine.start(spec("lives"))
    await case.until(lambda: bool(told(case, "instance.spawned")))
    case.engine.stop("it.1")
    await case.until(lambda: bool(told(case, "instance.stopped")))
    assert not told(case, "instance.failed")


async def test_a_stopped_name_can_be_removed_and_started_again(case: Case):
    case.engine.start(spec("lives"))
    await case.until(lambda: bool(told(case, "instance.ready")))
    case.engine.stop("it.1")
    await case.until(lambda: bool(told(case, "instance.stopped")))
    case.engine.remove("it.1")
    case.engine.start(spec("lives", revision=8))
    await case.until(lambda: len(told(case, "instance.ready")) == 2)
    assert [event["revision"] for event in told(case, "instance.spawned")] == [7, 8]


async def test_a_restart_gives_another_process(case: Case):
    case.engine.start(spec("lives"))
    await case.until(lambda: bool(told(case, "instance.ready")))
    case.engine.restart("it.1")
    await case.until(lambda: len(told(case, "instance.ready")) == 2)
    first, second = told(case, "instance.spawned")
    assert first["pid"] != second["pid"]


async def test_a_program_that_is_not_there_fails(case: Case):
    case.engine.start(spec("is not there"))
    await case.until(lambda: bool(told(case, "instance.failed")))
    assert "no" in told(case, "instance.failed")[0]["reason"]


async def test_a_job_that_ends_well_is_told_with_code_0(case: Case):
    case.engine.start(spec("completes"))
    await case.until(lambda: bool(told(case, "instance.exited")))
    exited = told(case, "instance.exited")[0]
    assert exited["code"] == 0
    assert exited.get("will_restart_in_ms") is None


async def test_the_end_of_a_job_comes_with_its_last_words(case: Case):
    case.engine.start(spec("fails"))
    await case.until(lambda: bool(told(case, "instance.failed")))
    exited = told(case, "instance.exited")[0]
    assert exited["code"] == 3
    assert "last words" in exited["tail"]


async def test_the_first_restart_is_at_once_and_giving_up_is_told(case: Case):
    case.engine.start(spec("fails", restart=Restart("on-failure", max_attempts=2, delay_ms=10)))
    await case.until(lambda: bool(told(case, "instance.failed")))
    assert [event["restarts"] for event in told(case, "instance.spawned")] == [0, 1, 2]
    waits = [event.get("will_restart_in_ms") for event in told(case, "instance.exited")]
    assert waits[0] == 0
    assert waits[1] > 0
    assert waits[2] is None


async def test_a_server_is_ready_after_its_handshake(case: Case):
    case.engine.set_routes(ROUTES)
    case.engine.start(spec("speaks"))
    await case.until(lambda: bool(told(case, "server.ready")))
    assert told(case, "server.ready")[0]["tools"] == 1


async def test_a_server_that_babbles_fails(case: Case):
    route = replace(ROUTES.servers[0], start_timeout_ms=1_000)
    case.engine.set_routes(Routes((route,)))
    case.engine.start(spec("babbles"))
    await case.until(lambda: bool(told(case, "server.failed")))
    assert told(case, "server.failed")[0]["reason"]


async def test_a_server_that_nothing_listens_for_cannot_be_connected(case: Case):
    if isinstance(case, Simulated):
        case.engine._remote = lambda instance: False
    remote = Upstream("it.1", url="http://127.0.0.1:9/mcp")
    case.engine.set_routes(Routes((ServerRoute("it", "it", "streamable-http", "shared", (remote,)),)))
    case.engine.connect("it.1")
    await case.until(lambda: bool(told(case, "server.failed")))


async def test_what_runs_is_told_to_the_next_daemon_with_the_same_process(case: Case):
    case.engine.set_routes(ROUTES)
    case.engine.start(spec("speaks"))
    case.engine.start(spec("lives", "other.1"))
    await case.until(lambda: bool(told(case, "server.ready") and told(case, "instance.ready", "other.1")))
    pids = {e["instance"]: e["pid"] for e in case.events if e["kind"] == "instance.spawned"}
    await case.again()
    await case.until(lambda: bool(told(case, "keeper.adopted_all") and told(case, "server.ready")))
    adopted = {e["instance"]: e["pid"] for e in case.events if e["kind"] == "instance.adopted"}
    assert adopted == pids
    assert told(case, "server.ready")[0]["resumed"] is True
    kinds = [event["kind"] for event in case.events if not event.get("replayed")]
    assert "instance.spawned" not in kinds


async def test_a_probe_decides_when_it_is_ready(case: Case):
    probe = Probe({"command": {"argv": ["true"]}})
    case.engine.start(spec("lives", probe=probe))
    await case.until(lambda: bool(told(case, "instance.ready")))
    kinds = [event["kind"] for event in case.events if event.get("instance") == "it.1"]
    assert kinds.index("instance.spawned") < kinds.index("instance.ready")
