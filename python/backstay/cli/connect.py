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
    from backstay.client.bridge import bridge

    bridge(locate.state_dir(settings), service)
