"""A real fleet under a real keeper and daemon: it comes up, changes, and survives the death of its parts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.daemon.launch import ensure_keeper
from backstay.deploy.status import FleetStatus, State
from backstay.errors import BackstayError, DaemonNotRunning, DeployFailed, KeeperError, StateError
from backstay.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.fleet

COUNTER = '''
"""A server that counts its calls: what it knows, it knows by having lived on."""
import json, os, sys
count = 0
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "counter", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": [{"name": "count", "inputSchema": {"type": "object"}},
                            {"name": "environment", "inputSchema": {"type": "object"}}]}
    elif message["method"] == "tools/call" and message["params"]["name"] == "count":
        count += 1
        result = {"content": [{"type": "text", "text": str(count)}]}
    elif message["method"] == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]}
    else:
        result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
'''


class Town:
    """A folder with a stack file, and the fleet it describes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "counter.py").write_text(COUNTER)

    def fleet(self, services: str, *, more: str = "") -> Fleet:
        """Write the stack file anew and read it."""
        text = services.replace("PYTHON", sys.executable).replace("COUNTER", str(self.folder / "counter.py"))
        gateway = f"gateway: {{listen: 127.0.0.1:{self.port}}}\n"
        path = self.folder / "backstay.yaml"
        path.write_text(f"name: town\nports: 24000-24100\n{gateway}{more}services:\n{text}")
        return Fleet.load(path)


BOTH = """
  db:
    command: PYTHON -m http.server --bind 127.0.0.1 {{ ports.main }}
    ports: {main: auto}
    healthcheck: {tcp: main}
  counter:
    command: PYTHON COUNTER
    depends_on: [db]
    mcp: {transport: stdio}
"""
SLOW = """
  slow:
    command: sh -c 'sleep 2; touch ready; exec sleep 1000'
    healthcheck: {command: test -e ready}
"""


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path)
    yield town
    await Fleet.attach(tmp_path).down()
    assert leftovers(tmp_path) == []
    assert not (tmp_path / ".backstay" / "control.sock").exists()
    assert not (tmp_path / ".backstay" / "run" / "environ.json").exists()


def leftovers(folder: Path) -> list[str]:
    """Give the command lines of processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


def state_of(pid: int | None) -> str:
    """Give the letter of a process's state; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition that also holds across the death of daemons, of which nothing tells."""
    async with asyncio.timeout(60):
        while True:
            try:
                if await condition():
                    return
            except (BackstayError, ConnectionError):
                pass
            await asyncio.sleep(0.05)


async def all_ready(fleet: Fleet) -> bool:
    return (await fleet.status()).ready


def pids(status: FleetStatus) -> dict[str, int | None]:
    return {i.name: i.pid for service in status.services for i in service.instances}


def states(status: FleetStatus) -> dict[str, State]:
    return {service.name: service.state for service in status.services}


async def events(fleet: Fleet, kind: str) -> list[dict[str, Any]]:
    return [event.model_dump() async for event in fleet.events() if event.kind == kind]


async def test_a_fleet_comes_up_serves_and_goes(town: Town):
    fleet = town.fleet(BOTH)
    result = await fleet.up()
    assert result.ok
    status = await fleet.status()
    assert states(status) == {"db": State.READY, "counter": State.READY}
    assert status.services[0].ports["main"] in range(24000, 24101)
    assert (await fleet.call("counter", "count")).text == "1"
    await fleet.down()
    assert not await fleet.running()


async def test_a_second_up_leaves_every_process_alone(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    before = pids(await fleet.status())
    assert (await fleet.up()).ok
    assert pids(await fleet.status()) == before


async def test_one_changed_service_is_the_only_one_replaced(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    before = pids(await fleet.status())
    changed = town.fleet(BOTH.replace("mcp:", "environment: {X: '1'}\n    mcp:"))
    assert (await changed.up()).ok
    after = pids(await fleet.status())
    assert after["db.1"] == before["db.1"]
    assert after["counter.1"] != before["counter.1"]


async def test_a_killed_daemon_is_replaced_and_servers_keep_their_memory(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    before = await fleet.status()
    for expected in ("1", "2", "3"):
        assert (await fleet.call("counter", "count")).text == expected
        daemon = (await fleet.status()).daemon.pid
        os.kill(daemon, signal.SIGKILL)

        async def another(daemon: int = daemon) -> bool:
            status = await fleet.status()
            return status.daemon.pid != daemon and status.ready

        await until(another)
    after = await fleet.status()
    assert pids(after) == pids(before)
    assert after.services[0].ports == before.services[0].ports
    assert after.daemon.generation == before.daemon.generation + 3
    assert after.keeper == before.keeper


async def test_a_deploy_goes_on_under_the_next_daemon(town: Town):
    fleet = town.fleet(f"{SLOW}  after: {{command: sleep 1000, depends_on: [slow]}}")
    accepted = await fleet.begin_up()
    os.kill((await fleet.status()).daemon.pid, signal.SIGKILL)
    result = await fleet.wait(accepted.deploy)
    assert result.ok
    assert states(await fleet.status()) == {"slow": State.READY, "after": State.READY}


async def test_a_killed_keeper_leaves_nothing_behind_and_the_fleet_comes_back(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    before = await fleet.status()
    assert before.keeper.pid is not None
    os.kill(before.keeper.pid, signal.SIGKILL)

    async def another() -> bool:
        status = await fleet.status()
        return status.keeper.pid != before.keeper.pid and status.ready

    await until(another)
    after = await fleet.status()
    assert set(pids(before).values()).isdisjoint(pids(after).values())
    for pid in pids(before).values():
        assert state_of(pid) in ("", "Z"), "a zombie only waits for its new parent to notice"
    assert after.services[0].ports == before.services[0].ports
    assert await events(fleet, "keeper.replaced")
    ended = {event["instance"] for event in await events(fleet, "keeper.leftover")}
    assert "db.1" in ended, "a server may have ended by itself, when its stdin did"
    assert (await fleet.call("counter", "count")).text == "1"


async def test_a_crashed_server_is_restarted_and_serves(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    pid = pids(await fleet.status())["counter.1"]
    assert pid
    os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        status = await fleet.status()
        return status.ready and pids(status)["counter.1"] != pid

    await until(back)
    assert (await fleet.call("counter", "count")).text == "1"


async def test_one_bad_service_is_named_and_the_rest_runs(town: Town):
    services = """
  bad: {command: sh -c 'echo no luck >&2; exit 3', mcp: {transport: stdio}}
  after: {command: sleep 1000, depends_on: {bad: service_healthy}}
  good: {command: sleep 1000}
"""
    fleet = town.fleet(services)
    with pytest.raises(DeployFailed) as caught:
        await fleet.up()
    result = caught.value.result
    assert result is not None
    assert result.failed["bad"].reason == "exited with code 3"
    assert "no luck" in (result.failed["bad"].tail or "")
    assert result.waiting == {"after": "`bad`, which failed"}
    assert states(await fleet.status()) == {
        "bad": State.FAILED,
        "after": State.PENDING,
        "good": State.READY,
    }


async def test_a_bad_revision_goes_back_to_the_good_one(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    broken = town.fleet(BOTH.replace("PYTHON COUNTER", "no-such-program"))
    with pytest.raises(DeployFailed) as caught:
        await broken.up()
    assert caught.value.result is not None
    assert caught.value.result.rolled_back == ["counter"]
    status = await fleet.status()
    assert status.ready
    counter = next(service for service in status.services if service.name == "counter")
    assert counter.revision == 1
    assert counter.reason is not None
    assert "no-such-program" in counter.reason
    assert (await fleet.call("counter", "count")).text == "1"


async def test_a_revision_that_exits_goes_back_too(town: Town):
    fleet = town.fleet("  a: {command: sleep 1000}")
    await fleet.up()
    with pytest.raises(DeployFailed) as caught:
        await town.fleet("  a: {command: sh -c 'echo oh; exit 3'}").up()
    assert caught.value.result is not None
    assert caught.value.result.rolled_back == ["a"]
    assert caught.value.result.failed["a"].reason == "exited with code 3"
    status = await fleet.status()
    assert states(status) == {"a": State.READY}
    told = [event["state"] for event in await events(fleet, "service.state")]
    assert "failed" not in told, "what it went back to never failed"


async def test_atomic_brings_everything_back(town: Town):
    fleet = town.fleet(BOTH)
    await fleet.up()
    services = BOTH.replace("PYTHON COUNTER", "no-such-program") + "  new: {command: sleep 1000}\n"
    with pytest.raises(DeployFailed):
        await town.fleet(services).up(atomic=True)
    status = await fleet.status()
    assert states(status) == {"db": State.READY, "counter": State.READY}


async def test_what_does_not_fit_is_refused_before_anything_starts(town: Town):
    fleet = town.fleet("  a: {command: sleep 1000, ports: {x: 24050}}")
    await fleet.up()
    held = "  a: {command: sleep 1000, ports: {x: 24050}}\n  b: {command: sleep 1001, ports: {y: 24050}}"
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 24051))
        stranger.listen()
        with pytest.raises(BackstayError, match="24051"):
            await town.fleet(held.replace("y: 24050", "y: 24051")).up()
    assert list(pids(await fleet.status())) == ["a.1"]


async def test_instances_see_a_clean_environment(town: Town, monkeypatch: pytest.MonkeyPatch):
    import json

    monkeypatch.setenv("A_SECRET_OF_MINE", "x")
    fleet = town.fleet(BOTH.replace("mcp:", "ports: {web-ui: auto}\n    environment: {GIVEN: '1'}\n    mcp:"))
    await fleet.up()
    seen = json.loads((await fleet.call("counter", "environment")).text)
    assert "A_SECRET_OF_MINE" not in seen
    assert seen["GIVEN"] == "1"
    assert seen["PORT"] == seen["PORT_WEB_UI"]
    assert seen["PATH"] == os.environ["PATH"]
    assert not [name for name in seen if name.startswith("LISTEN_")]


KEYED = """
  counter:
    command: PYTHON COUNTER
    mcp: {transport: stdio}
    environment: {KEY: "{{ secrets.key }}"}
    secrets: [key]
"""


def files_with(folder: Path, text: str) -> dict[str, int]:
    """Give the files below a folder that hold a text, with who may read them."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and text.encode() in path.read_bytes():
            found[str(path.relative_to(folder))] = path.stat().st_mode & 0o777
    return found


async def test_a_changed_secret_is_another_revision_and_outlives_the_daemon(
    town: Town, monkeypatch: pytest.MonkeyPatch
):
    import hashlib
    import json

    secrets = "secrets: {key: {environment: TOWN_KEY}}\n"
    monkeypatch.setenv("TOWN_KEY", "correct-horse")
    await town.fleet(KEYED, more=secrets).up()
    monkeypatch.setenv("TOWN_KEY", "battery-staple")
    fleet = town.fleet(KEYED, more=secrets)
    assert [step.reason for step in (await fleet.plan()).steps] == ["the secret `key` changed"]
    await fleet.up()
    assert (await fleet.status()).services[0].revision == 2
    assert [step.action for step in (await fleet.plan()).steps] == ["keep"]

    daemon = (await fleet.status()).daemon.pid
    os.kill(daemon, signal.SIGKILL)

    async def another() -> bool:
        status = await fleet.status()
        return status.daemon.pid != daemon and status.ready

    await until(another)
    await fleet.restart("counter")
    seen = json.loads((await fleet.call("counter", "environment")).text)
    assert seen["KEY"] == "battery-staple", "a daemon that nobody handed anything knows it"
    state = town.folder / ".backstay"
    assert files_with(state, "battery-staple") == {"run/environ.json": 0o600}
    assert files_with(state, hashlib.sha256(b"battery-staple").hexdigest()[:12]) == {}
    assert (state / "seal.key").stat().st_mode & 0o777 == 0o600


async def test_a_secret_whose_file_changed_is_another_revision(town: Town):
    import json

    (town.folder / "key.txt").write_text("correct-horse")
    secrets = "secrets: {key: {file: ./key.txt}}\n"
    fleet = town.fleet(KEYED, more=secrets)
    await fleet.up()
    before = pids(await fleet.status())
    await fleet.up()
    assert pids(await fleet.status()) == before
    (town.folder / "key.txt").write_text("battery-staple")
    await fleet.up()
    seen = json.loads((await fleet.call("counter", "environment")).text)
    assert seen["KEY"] == "battery-staple"
    assert files_with(town.folder / ".backstay", "battery-staple") == {}


async def test_stop_start_scale_and_restart(town: Town):
    fleet = town.fleet(BOTH + "  idle: {command: sleep 1000}\n")
    await fleet.up()
    await fleet.stop("db")
    assert states(await fleet.status())["db"] is State.STOPPED
    await fleet.start("db")
    await fleet.scale("idle", 3)
    status = await fleet.status()
    assert status.ready
    assert {"idle.1", "idle.2", "idle.3"} <= set(pids(status))
    before = pids(status)["counter.1"]
    await fleet.restart("counter")
    assert pids(await fleet.status())["counter.1"] != before


async def test_what_was_stopped_stays_stopped_under_the_next_daemon(town: Town):
    fleet = town.fleet("  a: {command: sleep 1000}\n  b: {command: sleep 1000}")
    await fleet.up()
    await fleet.stop("a")
    daemon = (await fleet.status()).daemon.pid
    os.kill(daemon, signal.SIGKILL)

    async def another() -> bool:
        return (await fleet.status()).daemon.pid != daemon

    await until(another)
    assert states(await fleet.status()) == {"a": State.STOPPED, "b": State.READY}


async def test_a_second_up_at_once_waits_for_the_first(town: Town):
    first = town.fleet(SLOW)
    accepted = await first.begin_up()
    second = town.fleet(SLOW + "  more: {command: sleep 1000}")
    assert (await second.up()).ok
    assert (await first.wait(accepted.deploy)).ok
    assert await events(first, "deploy.waiting")


async def test_logs_are_followed(town: Town):
    fleet = town.fleet("  talker: {command: sh -c 'echo one; sleep 1; echo two; exec sleep 1000'}")
    await fleet.up()
    lines = []
    async with asyncio.timeout(20):
        async for line in fleet.logs("talker", follow=True):
            lines.append(line.line)
            if len(lines) == 2:
                break
    assert lines == ["one", "two"]


async def test_a_taken_port_is_said_with_who_holds_it(town: Town):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", town.port))
        stranger.listen()
        fleet = town.fleet("  a: {command: sleep 1000}")
        with pytest.raises(KeeperError, match=f"{town.port} is taken by .*{os.getpid()}"):
            await fleet.up()
    with pytest.raises(DaemonNotRunning):
        await fleet.status()


async def test_another_address_needs_another_keeper(town: Town):
    fleet = town.fleet("  a: {command: sleep 1000}")
    await fleet.up()
    was, town.port = town.port, town.port + 1
    with pytest.raises(BackstayError, match=f"listens at 127.0.0.1:{was}"):
        await town.fleet("  a: {command: sleep 1000}").up()


def test_a_state_directory_that_cannot_be_written_is_said(tmp_path: Path):
    town = Town(tmp_path)
    fleet = town.fleet("  a: {command: sleep 1000}")
    (tmp_path / ".backstay").write_text("a file is in the way")
    with pytest.raises(StateError, match="cannot be written"):
        ensure_keeper(fleet.stack)
    assert leftovers(tmp_path) == []


async def test_a_damaged_state_is_said_and_can_still_be_brought_down(town: Town):
    fleet = town.fleet("  a: {command: sleep 1000}")
    await fleet.up()
    await fleet.down()
    state = town.folder / ".backstay" / "state.db"
    state.write_bytes(b"not a database at all " * 1000)
    with pytest.raises(BackstayError, match="is damaged") as caught:
        await fleet.up()
    assert "move the file away" in (caught.value.hint or "")
    # The fixture brings it down: that needs no state.
