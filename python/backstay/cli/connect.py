"""`backstay connect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backstay.cli import complete, locate
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("connect")
@click.argument("service", required=False, shell_complete=complete.services)
def command(settings: Settings, service: str | None) -> None:
    """Speak MCP on stdin and stdout: the whole fleet, or one server of it.

    For desktop clients that start their servers themselves: give them `backstay` as the command and
    `-f /path/to/backstay.yaml connect` as its arguments. The fleet must be up; when its daemon restarts, the
    connection is made again.
    """
    import signal
    from contextlib import suppress
    from urllib.parse import quote

    from backstay import _core
    from backstay.client import sockets

    gateway = locate.state_dir(settings) / sockets.GATEWAY
    # Said here, where it can be read: later it could only be answered to requests.
    sockets.connect(gateway, timeout=10).close()
    # The bridge is Rust and does not come back to have Python look at signals.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(BrokenPipeError):  # The client is gone, and with it whoever could be told.
        _core.connect_bridge(str(gateway), "/mcp" if service is None else f"/mcp/{quote(service, safe='')}")
