"""`up` without `-d`: the fleet lives in this terminal; Ctrl-C stops it, a second one kills it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from backstay.cli import deploys, report
from backstay.cli.logs import Writer
from backstay.cli.progress import board
from backstay.cli.style import Pen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.api.models import Accepted
    from backstay.cli.options import Settings
    from backstay.fleet import Fleet

TAIL = 100
"""How many lines of each instance are shown, at most, of what it wrote while it started."""


LIVE = ("pending", "installing", "starting", "ready", "unhealthy", "stopping")


class Interrupts:
    """Counts what asks this process to end, and wakes who waits for it."""

    def __init__(self) -> None:
        self._wanted: asyncio.Queue[None] = asyncio.Queue()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._wanted.put_nowait, None)

    async def next(self) -> None:
        """Wait for the next one."""
        await self._wanted.get()


async def attached(settings: Settings, fleet: Fleet, services: Sequence[str], *, atomic: bool) -> int:
    """Bring the fleet up, print its logs until it ends or is interrupted, and stop it then."""
    interrupts = Interrupts()
    interrupted = asyncio.create_task(interrupts.next())
    beginning = asyncio.create_task(fleet.begin_up(*services, atomic=atomic))
    running = asyncio.create_task(_run(settings, fleet, services, beginning))
    await asyncio.wait({interrupted, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        interrupted.cancel()
        return await running
    running.cancel()
    # What was asked for has to be accepted before it can be undone.
    await asyncio.gather(running, beginning, return_exceptions=True)
    return await _stop(settings, fleet, interrupts)


async def _run(
    settings: Settings, fleet: Fleet, services: Sequence[str], beginning: asyncio.Task[Accepted]
) -> int:
    began = time.time()
    with board(color=not settings.no_color) as shown:
        result = await deploys.follow(fleet, await asyncio.shield(beginning), shown)
    deploys.explain(result)
    status = await fleet.status()
    if not any(service.state in LIVE for service in status.services):
        await fleet.down()
        click.echo("nothing runs, so the fleet is down again", err=True)
        return report.NOT_AS_ASKED if not result.ok else report.DONE
    click.echo(f"{deploys.summary(status)}; Ctrl-C stops it", err=True)
    writer = Writer(Pen(settings.color))
    async for line in fleet.logs(*services, follow=True, tail=TAIL):
        if line.at is not None and line.at < began:
            continue  # of a former run
        click.echo(writer.line(line.model_dump()), color=settings.color)
    return report.DONE if result.ok else report.NOT_AS_ASKED


async def _stop(settings: Settings, fleet: Fleet, interrupts: Interrupts) -> int:
    """Stop the fleet gracefully; kill it at the next interrupt."""
    click.echo("\nStopping the fleet; Ctrl-C again kills it.", err=True)
    again = asyncio.create_task(interrupts.next())
    with board(color=not settings.no_color) as shown:
        stopping = asyncio.create_task(deploys.take_down(fleet, shown))
        await asyncio.wait({again, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if again.done() and not stopping.done():
            shown.note("killing")
            await kill(fleet)
        again.cancel()
        await stopping
    return report.DONE


async def kill(fleet: Fleet) -> None:
    """Kill every instance with all its processes; each leads a process group of its own."""
    for service in (await fleet.status()).services:
        for instance in service.instances:
            if instance.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(instance.pid, signal.SIGKILL)
