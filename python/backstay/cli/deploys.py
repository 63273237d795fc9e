"""Follows a deploy to its end and says how it ended; what `up`, `start`, `restart` and their kin share."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from backstay.cli import report
from backstay.cli.progress import board
from backstay.cli.style import plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backstay.api.models import Accepted
    from backstay.cli.options import Settings
    from backstay.cli.progress import Board
    from backstay.deploy.status import DeployResult, FleetStatus
    from backstay.fleet import Fleet


async def follow(fleet: Fleet, accepted: Accepted, shown: Board) -> DeployResult:
    """Show the events of a deploy until it ends."""
    from backstay.deploy.status import DeployResult

    async for event in fleet.events(accepted.after, follow=True):
        given = event.model_extra or {}
        if event.kind.startswith("deploy.") and given.get("deploy") != accepted.deploy:
            continue
        shown.fold(event)
        if event.kind == "deploy.finished":
            fields = {name: value for name, value in given.items() if name in DeployResult.model_fields}
            return DeployResult.model_validate(fields)
    return await fleet.wait(accepted.deploy)


async def take_down(fleet: Fleet, shown: Board) -> None:
    """Bring the fleet down and show how its services stop."""
    seq = await fleet.last_seq()
    stopping = asyncio.create_task(fleet.down())
    showing = asyncio.create_task(_show(fleet, seq, shown))
    try:
        await stopping
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _show(fleet: Fleet, after: int, shown: Board) -> None:
    async for event in fleet.events(after, follow=True):
        shown.fold(event)


def explain(result: DeployResult) -> None:
    """Print which services are not as asked, why, and what to do."""
    if result.failed or result.waiting or result.rolled_back:
        click.echo(err=True)
    for name, failure in result.failed.items():
        hint = failure.hint or f"`backstay logs {name}` shows what it wrote"
        report.say(f"{name}: {plain(failure.reason)}", tail=plain(failure.tail or ""), hint=hint)
    for name, why in result.waiting.items():
        report.warn(f"{name} waits: {plain(why)}")
    for name in result.rolled_back:
        report.warn(f"{name} went back to its last good revision")


def summary(status: FleetStatus) -> str:
    """Say in a line how the fleet is, and where."""
    ready = sum(service.state in ("ready", "completed") for service in status.services)
    url = f" at {status.gateway.url}" if status.gateway.url else ""
    return f"{status.name}: {ready} of {len(status.services)} services ready{url}"


def carry_out(
    settings: Settings, fleet: Fleet, *begins: Callable[[], Awaitable[Accepted]], wait: bool = True
) -> int:
    """Have deploys begun, all at once, follow them to their ends, and return the exit code."""
    return asyncio.run(_carry_out(settings, fleet, begins, wait))


async def _carry_out(
    settings: Settings, fleet: Fleet, begins: tuple[Callable[[], Awaitable[Accepted]], ...], wait: bool
) -> int:
    accepted = [await begin() for begin in begins]
    if not wait:
        if settings.json:
            click.echo(json.dumps([each.deploy for each in accepted]))
        return report.DONE
    with board(color=not settings.no_color) as shown:
        results = [await follow(fleet, each, shown) for each in accepted]
    return conclude(settings, results)


def conclude(settings: Settings, results: list[DeployResult]) -> int:
    """Print how deploys ended and return the exit code."""
    if settings.json:
        shown = [result.model_dump(mode="json") for result in results]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown))
    else:
        for result in results:
            explain(result)
    return report.DONE if all(result.ok for result in results) else report.NOT_AS_ASKED
