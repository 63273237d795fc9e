"""Colours, amounts and tables for the terminal, without a library: `ps` must answer at once."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

STATE_COLORS = {
    "ready": GREEN,
    "completed": GREEN,
    "pending": YELLOW,
    "installing": YELLOW,
    "starting": YELLOW,
    "stopping": YELLOW,
    "unhealthy": RED,
    "failed": RED,
    "stopped": DIM,
}

SERVICE_COLORS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
"""Colours that tell services apart in logs."""

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_STEERING = re.compile(
    r"(\x1b\[[0-9;]*m)"  # a colour: kept
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # another control sequence
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # a string for the terminal: a title, the clipboard
    r"|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # any other escape or control character
)


class Pen:
    """Paints text, or leaves it plain."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def paint(self, text: str, code: str) -> str:
        """Give `text` the colour of an ANSI code."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text

    def state(self, state: str) -> str:
        """Give a state its colour."""
        return self.paint(state, STATE_COLORS.get(state, ""))


def width() -> int | None:
    """Return the terminal's width; None where output is not a terminal and may be as wide as it likes."""
    try:
        return os.get_terminal_size(1).columns or None  # 0: a terminal that does not know
    except OSError:
        return int(columns) if (columns := os.environ.get("COLUMNS", "")).isdecimal() else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]], pen: Pen, *, right: Sequence[int] = ()) -> None:
    """Print rows under a head; the columns numbered in `right` are aligned to the right.

    The last column is cut where it would not fit on the terminal.
    """
    widths = [max(map(_length, column)) for column in zip(head, *rows, strict=True)]
    room = width()

    def line(cells: Sequence[str]) -> str:
        padded = []
        for index, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
            gap = " " * (wide - _length(cell))
            padded.append(gap + cell if index in right else cell + gap)
        text = "   ".join(padded).rstrip()
        return text if room is None else cut(text, room)

    click.echo(pen.paint(line(head), BOLD), color=pen.color)
    for row in rows:
        click.echo(line(row), color=pen.color)


def cut(text: str, room: int) -> str:
    """Shorten `text` to `room` columns, an ellipsis at its end; colours take no room."""
    if _length(text) <= room:
        return text
    kept, used = [], 0
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if _ESCAPE.fullmatch(piece):
            kept.append(piece)
        elif used < room - 1:
            piece = piece[: room - 1 - used]
            kept.append(piece)
            used += len(piece)
    ends = "\x1b[0m" if "\x1b[" in text else ""
    return "".join(kept) + "…" + ends


def plain(text: str) -> str:
    """Take out of foreign text what would steer the terminal; colours stay."""
    return _STEERING.sub(lambda found: found[1] or "", text)


def _length(text: str) -> int:
    return len(_ESCAPE.sub("", text))


def size(amount: float | None) -> str:
    """Write bytes: 64M, 1.5G."""
    if amount is None:
        return "-"
    for unit in ("B", "K", "M", "G"):
        if amount < 1000 or unit == "G":
            break
        amount /= 1024
    return f"{amount:.1f}{unit}" if amount < 10 and unit != "B" else f"{amount:.0f}{unit}"


def count(number: int, noun: str) -> str:
    """Write a number of things: 1 server, 2 servers."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(cores: float | None) -> str:
    """Write processor use: one busy core is 100%."""
    return "-" if cores is None else f"{cores * 100:.1f}%"


def span(seconds: float | None) -> str:
    """Write a time span with its two largest units: 1m 30s, 3h 5m, 2d 4h."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")]
    parts = []
    for length, unit in units:
        count, whole = divmod(whole, length)
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(
        f"{count}{unit}" for count, unit in parts[first : first + 2] if count or (unit == "s" and first == 3)
    )


def since(started_at: float | None) -> str:
    """Write how long ago `started_at` (seconds since the epoch) was."""
    return span(None if started_at is None else time.time() - started_at)


def terminal_width() -> int:
    """Return a width to fold text to."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)
