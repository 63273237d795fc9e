"""How a command line brings a fleet's two processes up: it starts the keeper, which starts the daemon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.client.sockets import CONTROL, GATEWAY, STATE_DIR, connect
from backstay.errors import DaemonNotRunning, KeeperError, StateError

if TYPE_CHECKING:
    from backstay.config import Stack
    from backstay.config.models import Gateway

__all__ = ["ensure_keeper", "keeper_command", "start_keeper"]

START_TIMEOUT = 30.0
"""Seconds in which a keeper has to say that it is there, or why not. It ends what a dead one left first."""
_PROBE = b"\0" * 65_536


def ensure_keeper(stack: Stack) -> None:
    """See to it that a keeper holds this fleet; one that is there already is left alone.

    Raises:
        StateError: the state directory cannot be written.
        KeeperError: the keeper does not start; says why, such as who holds the gateway's port.
    """
    state_dir = stack.dir / STATE_DIR
    if _answers(state_dir):
        return
    _make_state_dir(state_dir)
    try:
        start_keeper(keeper_command(state_dir, stack.gateway))
    except _AlreadyRunning:  # another `up` was quicker by a moment, or the keeper is about to end
        _wait_until_it_answers(state_dir)


def keeper_command(state_dir: Path, gateway: Gateway) -> list[str]:
    """Write the command line of a keeper."""
    keeper = Path(__file__).parent.parent / "bin" / "backstay-keeper"
    if not os.access(keeper, os.X_OK):
        raise KeeperError(f"there is no keeper at {keeper}", hint="The installation is not whole: repeat it.")
    return [
        str(keeper),
        *("--state-dir", str(state_dir)),
        *("--listen", f"gateway={_address(gateway)}"),
        *("--unix", f"control={CONTROL}"),
        *("--unix", f"gateway-local={GATEWAY}"),
        "--",
        *(sys.executable, "-m", "backstay.daemon"),
        *("--state-dir", str(state_dir)),
        *("--gateway", gateway.model_dump_json()),
    ]


def start_keeper(command: list[str], environ: dict[str, str] | None = None) -> dict[str, Any]:
    """Start a keeper and wait for what it says: its first line.

    It leads a session of its own, so that neither a closed terminal nor Ctrl-C reaches it.

    Raises:
        KeeperError: it does not start.
    """
    try:
        keeper = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environ,
            cwd="/",
        )
    except OSError as error:
        raise KeeperError(f"the keeper cannot be started: {error}") from error
    said = _first_line(keeper)
    if said.get("ready"):
        # It outlives us: it is no child that anybody waits for.
        keeper.returncode = 0
        return said
    keeper.wait()
    if said.get("code") == "already_running":
        raise _AlreadyRunning(said["error"], hint=said.get("hint"))
    raise KeeperError(said.get("error", "the keeper ended without a word"), hint=said.get("hint"))


class _AlreadyRunning(KeeperError):
    """Another keeper holds the state directory."""


def _first_line(keeper: subprocess.Popen[bytes]) -> dict[str, Any]:
    import select

    assert keeper.stdout is not None
    line = b""
    deadline = time.monotonic() + START_TIMEOUT
    with keeper.stdout as stdout:
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                keeper.kill()
                keeper.wait()
                raise KeeperError(
                    f"the keeper did not answer in {START_TIMEOUT:g} s",
                    hint="`.backstay/logs/keeper.log` may say why.",
                )
            part = os.read(stdout.fileno(), 65_536)
            if not part:
                break
            line += part
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return said


def _answers(state_dir: Path) -> bool:
    """Whether somebody listens: the keeper holds the socket also while a daemon is replaced."""
    try:
        connect(state_dir / CONTROL, timeout=5.0).close()
    except (DaemonNotRunning, TimeoutError):
        return False
    return True


def _wait_until_it_answers(state_dir: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(state_dir):
        if time.monotonic() > deadline:
            raise KeeperError(
                f"a keeper holds {state_dir} and nothing answers there",
                hint="`.backstay/logs/keeper.log` may say why.",
            )
        time.sleep(0.02)  # nothing tells of a socket that begins to listen


def _make_state_dir(state_dir: Path) -> None:
    """Make the state directory and see whether it can be written: daemon and keeper could only log that."""
    probe = state_dir / f".probe-{os.getpid()}"
    try:
        state_dir.mkdir(mode=0o700, exist_ok=True)
        state_dir.chmod(0o700)
        try:
            with probe.open("wb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == 28:
            message, hint = f"the disk of {state_dir.parent} is full", "Make room there, then try again."
        else:
            message = f"{state_dir} cannot be written: {error.strerror}"
            hint = "The folder of the stack file must be writable for you: the fleet's state is kept there."
        raise StateError(message, hint=hint) from error


def _address(gateway: Gateway) -> str:
    """Give the address to bind, as numbers."""
    host = gateway.host
    if host == "localhost":
        host = str(socket.getaddrinfo(host, gateway.port, type=socket.SOCK_STREAM)[0][4][0])
    return f"[{host}]:{gateway.port}" if ":" in host else f"{host}:{gateway.port}"
