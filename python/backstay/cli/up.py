"""`backstay up`: brings the fleet up and, unless told otherwise, stays with it until Ctrl-C."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, deploys, report, stack
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.fleet import Fleet


@verb("up")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete.services)
@click.option("-d", "--detach", is_flag=True, help="Return when all is ready and leave the fleet running.")
@click.option("--no-wait", is_flag=True, help="With -d: return at once, before anything is ready.")
@click.option("--atomic", is_flag=True, help="Go back to what ran before if any service fails.")
def command(settings: Settings, services: tuple[str, ...], detach: bool, no_wait: bool, atomic: bool) -> int:
    """Bring the fleet up, or to what the stack file says now: all of it, or some services.

    Services that did not change are left alone. One that fails goes back to its last good revision, or stays
    stopped; the others run, and the exit code is 1. Without -d their logs follow, and Ctrl-C stops the fleet;
    a second Ctrl-C kills it.
    """
    if no_wait and not detach:
        raise report.WrongUse("--no-wait goes with -d", hint="`backstay up -d --no-wait` returns at once")
    if settings.json and not detach:
        raise report.WrongUse("--json goes with -d", hint="`backstay up -d --json` prints how it ended")
    fleet = stack.fleet(settings)
    check_names(fleet, services)
    if not detach:
        from backstay.cli.attached import attached

        return asyncio.run(attached(settings, fleet, services, atomic=atomic))
    try:
        code = deploys.carry_out(
            settings, fleet, lambda: fleet.begin_up(*services, atomic=atomic), wait=not no_wait
        )
    except KeyboardInterrupt:
        click.echo("\nNo longer waiting; the fleet goes on. `backstay down` ends it.", err=True)
        raise
    if not settings.json and not no_wait:
        click.echo(deploys.summary(asyncio.run(fleet.status())), err=True)
    return code


def check_names(fleet: Fleet, services: tuple[str, ...]) -> None:
    """Refuse services that the stack file does not have.

    Raises:
        UnknownService: it does not.
    """
    if services:
        from backstay.api.selection import closure

        closure(fleet.stack.services, services)
