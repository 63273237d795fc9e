"""`Fleet` on real processes: keeper, daemon, gateway and a small server over stdio."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backstay import BlockingFleet, Fleet
from backstay.deploy.status import State
from backstay.errors import DeployFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fleet

SERVER = """
import json, sys

count = 0
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, params, result = message["method"], message.get("params", {}), {}
    if method == "initialize":
        result = {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "counter", "version": "1"},
        }
    elif method == "tools/list":
        result = {"tools": [{"name": "count", "description": "Count.", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        count += 1
        print("counted", count, file=sys.stderr, flush=True)
        result = {"content": [{"type": "text", "text": str(count)}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""

STACK = """\
name: real
services:
  counter: {{command: [{python}, {server}], mcp: {{transport: stdio}}, depends_on: [base]}}
  base: {{command: sleep 1000}}
  broken:
    command: [{python}, -c, "import sys; sys.exit('no luck')"]
    mcp: {{transport: stdio}}
    profiles: [broken]
gateway: {{listen: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stack = STACK.format(python=sys.executable, server=server, port=port)
    (tmp_path / "backstay.yaml").write_text(stack)
    yield tmp_path
    BlockingFleet.attach(tmp_path).down()


async def test_a_fleet_comes_up_answers_and_is_gone_after_the_block(folder: Path) -> None:
    async with Fleet.load(folder / "backstay.yaml") as fleet:
        assert (await fleet.up()).ok
        assert [(await fleet.call("counter", "count")).text for _ in range(3)] == ["1", "2", "3"]
        assert [tool.name for tool in await fleet.tools()] == ["counter__count"]
        status = await fleet.status()
        assert {service.name: service.state for service in status.services} == {
            "counter": State.READY,
            "base": State.READY,
        }
        pids = [instance.pid for service in status.services for instance in service.instances]
        pids += [status.daemon.pid, status.keeper.pid]
        assert "counted 3" in [line.line async for line in fleet.logs("counter")]
        assert "backstay_" in await fleet.metrics()
        report = await fleet.examine("counter")
        assert report.server == "counter"
        assert report.checks
    assert not await fleet.running()
    assert not [pid for pid in pids if pid is not None and _lives(pid)]
    assert not list((folder / ".backstay").rglob("*.sock"))


async def test_a_death_of_the_daemon_leaves_servers_and_followers_as_they_are(folder: Path) -> None:
    fleet = Fleet.load(folder / "backstay.yaml")
    await fleet.up()
    await fleet.call("counter", "count")
    before = await fleet.status()
    following = asyncio.create_task(_until(fleet, "daemon.started", await fleet.last_seq()))
    os.kill(before.daemon.pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        assert await following > before.daemon.generation - 1
    assert (await fleet.call("counter", "count")).text == "2"
    after = await fleet.status()
    assert after.daemon.pid != before.daemon.pid
    assert _pids(after) == _pids(before)


async def test_some_services_come_up_alone_and_a_stopped_one_stays_stopped(folder: Path) -> None:
    fleet = Fleet.load(folder / "backstay.yaml")
    assert [step.service for step in (await fleet.plan("base")).steps] == ["base"]
    await fleet.up("base")
    assert [service.name for service in (await fleet.status()).services] == ["base"]
    await fleet.up("counter")
    await fleet.stop("counter")
    await fleet.up("base")
    states = {service.name: service.state for service in (await fleet.status()).services}
    assert states == {"base": State.READY, "counter": State.STOPPED}
    await fleet.start("counter")
    assert (await fleet.status()).ready


async def test_a_service_that_fails_is_named_and_the_others_run(folder: Path) -> None:
    fleet = Fleet.load(folder / "backstay.yaml", profiles=["broken"])
    with pytest.raises(DeployFailed, match="broken") as raised:
        await fleet.up()
    result = raised.value.result
    assert result is not None
    assert list(result.failed) == ["broken"]
    assert "no luck" in (result.failed["broken"].tail or "")
    assert (await fleet.call("counter", "count")).text == "1"


def test_the_blocking_twin_scales_and_restarts(folder: Path) -> None:
    with BlockingFleet.load(folder / "backstay.yaml") as fleet:
        fleet.up("base")
        fleet.scale("base", 3)
        instances = fleet.status().services[0].instances
        assert [instance.name for instance in instances] == ["base.1", "base.2", "base.3"]
        fleet.restart("base")
        again = fleet.status().services[0].instances
        assert {each.pid for each in again}.isdisjoint(each.pid for each in instances)


async def test_down_ends_a_fleet_whose_daemon_does_not_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backstay.fleet.ANSWER_S", 1.0)
    fleet = Fleet.load(folder / "backstay.yaml")
    await fleet.up()
    status = await fleet.status()
    os.kill(status.daemon.pid, signal.SIGSTOP)
    await fleet.down()
    pids = [*_pids(status).values(), status.daemon.pid, status.keeper.pid]
    assert not [pid for pid in pids if pid is not None and _lives(pid)]


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _until(fleet: Fleet, kind: str, after: int) -> int:
    async for event in fleet.events(after, follow=True):
        if event.kind == kind:
            return int((event.model_extra or {})["generation"])
    return -1


def _pids(status: object) -> dict[str, int | None]:
    return {each.name: each.pid for service in status.services for each in service.instances}  # type: ignore[attr-defined]
