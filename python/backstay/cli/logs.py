"""`backstay logs`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import complete, locate
from backstay.cli.root import verb
from backstay.cli.style import SERVICE_COLORS, Pen, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstay.cli.options import Settings


@verb("logs")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete.services)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print only the last N lines of each instance.",
)
def command(settings: Settings, services: tuple[str, ...], follow: bool, tail: int | None) -> None:
    """Print what services wrote: all of them, or those named.

    After this verb, -f follows; name a stack file with --file, or with -f before the verb.
    """
    writer = Writer(Pen(settings.color))
    for line in locate.control(settings).stream(target(services, follow=follow, tail=tail)):
        click.echo(json.dumps(line) if settings.json else writer.line(line), color=settings.color)


def target(services: Iterable[str], *, follow: bool = False, tail: int | None = None) -> str:
    """Return the path of the control API that gives these logs."""
    from urllib.parse import urlencode

    query: list[tuple[str, str]] = [("service", name) for name in services]
    if follow:
        query.append(("follow", "1"))
    if tail is not None:
        query.append(("tail", str(tail)))
    return f"/api/logs?{urlencode(query)}" if query else "/api/logs"


class Writer:
    """Writes log lines under the names of their instances, each service in its colour."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._colors: dict[str, str] = {}
        self._width = 0

    def line(self, line: dict[str, Any]) -> str:
        """Return one line as it is printed."""
        instance = line["instance"]
        service = line.get("service") or instance.rpartition(".")[0]
        color = self._colors.setdefault(service, SERVICE_COLORS[len(self._colors) % len(SERVICE_COLORS)])
        self._width = max(self._width, len(instance))
        text = plain(line["line"])
        return f"{self._pen.paint(f'{instance:<{self._width}} |', color)} {text}"
