"""`backstay stop`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, deploys, locate
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("stop")
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...", shell_complete=complete.services)
@click.option("--no-wait", is_flag=True, help="Return at once.")
def command(settings: Settings, services: tuple[str, ...], no_wait: bool) -> int:
    """Stop services, and leave them stopped until they are started again."""
    fleet = locate.fleet(settings)
    begins = [partial(fleet.begin, name, "stop") for name in services]
    return deploys.carry_out(settings, fleet, *begins, wait=not no_wait)
