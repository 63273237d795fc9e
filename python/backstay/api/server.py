"""Runs the control API on a socket that the keeper bound and passed down."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import uvicorn

from backstay.api.app import create_app

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from backstay.deploy.control import FleetControl

GRACE_S = 5
"""How long streams may go on when the daemon ends."""


class ControlServer(uvicorn.Server):
    """uvicorn, but the daemon's signals stay the daemon's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers as they are."""
        yield

    def stop(self) -> None:
        """End `serve` after the answers under way."""
        self.should_exit = True


def control_server(fleet: FleetControl) -> ControlServer:
    """Make the server of a fleet's control API, to be run with `serve(sockets=[listener])`."""
    return ControlServer(
        uvicorn.Config(
            create_app(fleet),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


async def serve(fleet: FleetControl, listener: socket.socket) -> None:
    """Serve the control API of `fleet` until cancelled."""
    await control_server(fleet).serve(sockets=[listener])
