"""The sockets that the keeper hands over, by the convention of systemd: from descriptor 3, named in order."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from backstay.errors import KeeperError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["address_of", "inherited_sockets"]

FIRST = 3


def inherited_sockets(environ: Mapping[str, str]) -> dict[str, socket.socket]:
    """Give the listening sockets by name.

    Raises:
        KeeperError: none were handed over; this is not a daemon that a keeper has started.
    """
    names = [name for name in environ.get("LISTEN_FDNAMES", "").split(":") if name]
    count = int(environ.get("LISTEN_FDS", "0") or 0)
    if not names or len(names) != count or environ.get("LISTEN_PID", str(os.getpid())) != str(os.getpid()):
        raise KeeperError(
            "the daemon was handed no sockets", hint="It is started by the keeper: use `backstay up`."
        )
    sockets = {}
    for descriptor, name in enumerate(names, FIRST):
        os.set_inheritable(descriptor, False)
        sockets[name] = socket.socket(fileno=descriptor)
    return sockets


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Give the address and the port at which a TCP socket listens."""
    host, port = listener.getsockname()[:2]
    return str(host), int(port)


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Give the address of the gateway as clients write it."""
    scheme = "https" if tls else "http"
    host, port = address_of(listener)
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
