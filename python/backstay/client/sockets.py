"""The sockets of a fleet and the way to them, however long the path.

A unix socket's address holds 107 bytes of path; a project can lie deeper. Connecting through
`/proc/self/fd/<directory>` keeps it short, as the keeper does when it binds.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backstay.errors import DaemonNotRunning, DaemonSilent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE_DIR = ".backstay"
CONTROL = "control.sock"
GATEWAY = "run/gateway.sock"


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Give an address for the socket at `path` that fits into `sun_path`, for the length of the block.

    Raises:
        DaemonNotRunning: the socket's directory does not exist.
    """
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise not_running() from None
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connect(path: Path, *, timeout: float) -> socket.socket:
    """Connect to the unix socket at `path`.

    Raises:
        DaemonNotRunning: nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout)
        with short_address(path) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        connection.close()
        raise not_running() from None
    except BaseException:
        connection.close()
        raise
    return connection


def not_running() -> DaemonNotRunning:
    """Make the error that says that nothing listens."""
    return DaemonNotRunning("this fleet is not running", hint="bring it up with `backstay up -d`")


def silent(seconds: float) -> DaemonSilent:
    """Make the error that says that no answer came."""
    return DaemonSilent(
        f"the daemon did not answer in {seconds:g} s",
        hint="`.backstay/logs/daemon.log` says what it does; `backstay down` ends it",
    )
