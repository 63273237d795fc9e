"""`backstay scale`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, deploys, locate
from backstay.cli.report import WrongUse
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("scale")
@click.argument("scales", nargs=-1, required=True, metavar="SERVICE=N...", shell_complete=complete.scales)
@click.option("--no-wait", is_flag=True, help="Return at once.")
def command(settings: Settings, scales: tuple[str, ...], no_wait: bool) -> int:
    """Set how many instances services have, until the next `up` with other words in the stack file.

    Example: backstay scale web=3 worker=0
    """
    wanted = [read_scale(text) for text in scales]
    fleet = locate.fleet(settings)
    begins = [partial(fleet.begin, name, "scale", {"replicas": replicas}) for name, replicas in wanted]
    return deploys.carry_out(settings, fleet, *begins, wait=not no_wait)


def read_scale(text: str) -> tuple[str, int]:
    """Read `web=3`.

    Raises:
        WrongUse: it is not that.
    """
    name, equals, number = text.partition("=")
    if not name or not equals or not (number.isascii() and number.isdecimal()):
        raise WrongUse(
            f"`{text}` is not SERVICE=N", hint="`backstay scale web=3` gives `web` three instances"
        )
    return name, int(number)
