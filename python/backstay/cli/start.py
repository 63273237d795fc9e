"""`backstay start`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, deploys, locate
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("start")
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...", shell_complete=complete.services)
@click.option("--no-wait", is_flag=True, help="Return at once.")
def command(settings: Settings, services: tuple[str, ...], no_wait: bool) -> int:
    """Start services that were stopped or failed, and what they depend on."""
    fleet = locate.fleet(settings)
    begins = [partial(fleet.begin, name, "start") for name in services]
    return deploys.carry_out(settings, fleet, *begins, wait=not no_wait)
