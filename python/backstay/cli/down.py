"""`backstay down`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from backstay.cli import deploys, locate, report
from backstay.cli.progress import board
from backstay.cli.root import verb
from backstay.errors import ApiError, DaemonSilent

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.fleet import Fleet


@verb("down")
def command(settings: Settings) -> None:
    """End the fleet: every instance, dependents first, then the daemon and the keeper.

    Nothing of it is left but its state and logs in .backstay. A fleet that does not run is no error.
    """
    ended = asyncio.run(_down(locate.fleet(settings), color=not settings.no_color))
    if settings.json:
        click.echo(json.dumps({"down": True, "was_running": ended}))
    elif not ended:
        click.echo("this fleet is not running", err=True)


async def _down(fleet: Fleet, *, color: bool) -> bool:
    from backstay.client.keeper import keeper_of

    try:
        running = await fleet.running()
    except (ApiError, DaemonSilent) as error:
        report.warn(f"{error}; the keeper ends the fleet without it")
        await fleet.down()
        return True
    if running:
        with board(color=color) as shown:
            await deploys.take_down(fleet, shown)
    elif keeper_of(fleet.state_dir) is not None:
        await fleet.down()
        return True
    return running
