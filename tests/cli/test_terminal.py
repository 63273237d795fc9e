"""`backstay` in a terminal: colour, and a fleet that lives as long as its `up` does."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest
from backstay.deploy.status import ServiceFailure, State

from tests.fake_fleet import FakeFleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN = (
    "import sys, types; "
    "sys.modules['backstay.daemon.launch'] = types.SimpleNamespace(ensure_keeper=lambda *_: None); "
    "from backstay.cli import main; main()"
)
SECONDS = 30


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *args: str, **environ: str) -> None:
        self.seen = ""
        self.screen, inner = pty.openpty()
        termios.tcsetwinsize(inner, (24, 80))
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *args],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **environ},
            start_new_session=True,
        )
        os.close(inner)

    def read_until(self, pattern: str) -> str:
        """Wait until the terminal shows something."""
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.screen], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} was never shown, but {self.seen!r}")
            self._read()
        return self.seen

    def _read(self) -> bool:
        try:
            data = os.read(self.screen, 65536)
        except OSError:  # The other end is closed.
            return False
        self.seen += data.decode()
        return bool(data)

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return self.process.wait(SECONDS)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)


@pytest.fixture
def terminal(folder: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*args: str, **environ: str) -> Terminal:
        opened.append(Terminal(*args, **environ))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait()
        os.close(each.screen)


def test_ps_is_coloured_in_a_terminal_unless_that_is_not_wanted(
    terminal: Callable[..., Terminal], fleet: FakeFleet
) -> None:
    fleet.states = {"web": State.READY}
    coloured = terminal("ps")
    assert coloured.end() == 0
    assert "\x1b[32mready\x1b[0m" in coloured.seen
    for plain in (terminal("ps", "--no-color"), terminal("ps", NO_COLOR="1")):
        assert plain.end() == 0
        assert "\x1b" not in plain.seen


def test_a_wide_table_is_cut_to_the_terminal(terminal: Callable[..., Terminal], fleet: FakeFleet) -> None:
    fleet.states = {f"a-service-with-a-long-name-{n}": State.READY for n in range(3)}
    narrow = terminal("ps", "--no-color")
    assert narrow.end() == 0
    assert "…" in narrow.seen


def test_up_shows_progress_then_logs_and_ctrl_c_stops_the_fleet(
    terminal: Callable[..., Terminal], fleet: FakeFleet
) -> None:
    up = terminal("up")
    up.read_until(r"web.*ready")
    up.read_until(r"Ctrl-C stops it")
    up.read_until(r"db.1 +\|.* listening")
    up.interrupt()
    assert up.end() == 0
    assert "Stopping the fleet; Ctrl-C again kills it." in up.seen
    assert fleet.calls[-1] == ("down",)


def test_up_stays_although_one_service_failed_and_exits_with_0_when_it_is_stopped(
    terminal: Callable[..., Terminal], serve: Callable[[FakeFleet], FakeFleet]
) -> None:
    fleet = serve(FakeFleet({"db": ServiceFailure(reason="exited with code 3")}))
    up = terminal("up", "--no-color")
    up.read_until(r"error: db: exited with code 3")
    up.read_until(r"1 of 2 services ready")
    up.interrupt()
    assert up.end() == 0
    assert fleet.calls[-1] == ("down",)


def test_up_ends_with_1_and_leaves_nothing_when_nothing_runs(
    terminal: Callable[..., Terminal], serve: Callable[[FakeFleet], FakeFleet]
) -> None:
    broken = ServiceFailure(reason="exited with code 3")
    fleet = serve(FakeFleet({"db": broken, "web": broken}))
    up = terminal("up", "--no-color")
    assert up.end() == 1
    assert "nothing runs, so the fleet is down again" in up.seen
    assert fleet.calls[-1] == ("down",)


def test_a_second_ctrl_c_kills_what_does_not_stop(
    terminal: Callable[..., Terminal], serve: Callable[[FakeFleet], FakeFleet]
) -> None:
    stubborn = subprocess.Popen(["sleep", "1000"], start_new_session=True)

    class Stubborn(FakeFleet):
        async def status(self):  # type: ignore[no-untyped-def]
            status = await super().status()
            web = status.services[0]
            mine = web.instances[0].model_copy(update={"pid": stubborn.pid})
            web = web.model_copy(update={"instances": [mine]})
            return status.model_copy(update={"services": [web]})

        async def down(self) -> None:
            await asyncio.to_thread(stubborn.wait)
            await super().down()

    serve(Stubborn())
    try:
        up = terminal("up", "web")
        up.read_until(r"Ctrl-C stops it")
        up.interrupt()
        up.read_until(r"Ctrl-C again kills it")
        assert stubborn.poll() is None
        up.interrupt()
        assert up.end() == 0
        assert stubborn.wait(SECONDS) == -signal.SIGKILL
    finally:
        stubborn.kill()


def test_ctrl_c_while_up_d_waits_leaves_the_fleet_alone(
    terminal: Callable[..., Terminal], serve: Callable[[FakeFleet], FakeFleet]
) -> None:
    class Slow(FakeFleet):
        async def _deploy(self, verb, services, state):  # type: ignore[no-untyped-def]
            await self.emit("deploy.started", deploy="d1", verb=verb, services=list(services))
            await self.emit("service.state", service="web", state="starting", was="pending")
            return "d1"

    fleet = serve(Slow())
    up = terminal("up", "-d")
    up.read_until(r"web.*starting")
    up.interrupt()
    assert up.end() == 130
    assert "the fleet goes on" in up.seen
    assert "Traceback" not in up.seen
    assert ("down",) not in fleet.calls
