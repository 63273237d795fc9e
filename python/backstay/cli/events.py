"""`backstay events`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import locate
from backstay.cli.root import verb
from backstay.cli.style import DIM, GREEN, RED, YELLOW, Pen, cut, plain

if TYPE_CHECKING:
    from backstay.cli.options import Settings

QUIET = {"seq", "at", "kind", "service", "instance", "tail", "started_at"}
"""What is shown in a column of its own, or is too long for a line."""

LONGEST_VALUE = 60

COLORS = {
    "failed": RED,
    "unhealthy": RED,
    "lost": RED,
    "exited": YELLOW,
    "rolled_back": YELLOW,
    "opened": RED,
    "ejected": RED,
    "returned": GREEN,
    "ready": GREEN,
}


@verb("events")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Begin after this event.")
def command(settings: Settings, follow: bool, after: int) -> None:
    """Print what happened in the fleet, oldest first.

    After this verb, -f follows; name a stack file with --file, or with -f before the verb.
    """
    pen = Pen(settings.color)
    api = locate.control(settings)
    for event in api.stream(f"/api/events?after={after}" + ("&follow=1" if follow else "")):
        click.echo(json.dumps(event) if settings.json else sentence(event, pen), color=settings.color)


def sentence(event: dict[str, Any], pen: Pen) -> str:
    """Write an event as one line: when, who, what, and its particulars."""
    at = time.strftime("%H:%M:%S", time.localtime(event["at"] / 1000))
    kind = event["kind"]
    who = event.get("instance") or event.get("service") or "fleet"
    particulars = "  ".join(
        f"{name}={_value(value)}"
        for name, value in event.items()
        if name not in QUIET and value not in (None, False, "", {}, [])
    )
    painted = pen.paint(f"{kind:<20}", COLORS.get(kind.rpartition(".")[2], ""))
    return f"{pen.paint(at, DIM)}  {who:<16} {painted} {particulars}".rstrip()


def _value(value: object) -> str:
    """Write a value in a line's room: of what is nested its plain values or else its names."""
    if isinstance(value, dict):
        plain_values = [each for each in value.values() if isinstance(each, str | int)]
        value = plain_values if len(plain_values) == len(value) else list(value)
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return plain(cut(" ".join(text.split()), LONGEST_VALUE))
