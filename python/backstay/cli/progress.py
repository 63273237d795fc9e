"""The progress of a deploy: a table that moves on a terminal, plain lines elsewhere.

It goes to stderr: it is no data.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from backstay.cli.style import count, plain, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from backstay.api.models import Event

DONE = ("ready", "completed", "failed", "stopped")
MARKS = {
    "ready": ("✓", "green"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "stopped": ("■", "dim"),
}


@dataclass
class Row:
    """What is known of one service."""

    state: str = "pending"
    detail: str = ""
    began: float = field(default_factory=time.monotonic)
    took: float | None = None

    @property
    def done(self) -> bool:
        """Whether it came to rest."""
        return self.state in DONE


class Board:
    """Folds the events of a deploy into a row a service, and prints a line for each change."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.width = 0

    def fold(self, event: Event) -> None:
        """Take in an event."""
        given = event.model_extra or {}
        if event.kind == "deploy.started":
            for name in given.get("services", ()):
                self._row(name)
        elif event.kind == "deploy.waiting":
            self.note("waiting for another deploy to end")
        elif event.kind == "service.state" and event.service:
            self._state(event.service, given)
        elif event.kind == "service.rollout" and event.service and not given.get("batch"):
            self._rolled_out(event.service, int(given.get("done", 0)), int(given.get("total", 0)))
        elif event.kind == "service.installing" and event.service:
            row = self._row(event.service)
            if (line := _line(given.get("line", ""))) != row.detail:
                row.detail = line
                self.changed(event.service, row)
        elif event.kind == "server.ready" and event.service and (tools := given.get("tools")) is not None:
            self._row(event.service).detail = count(int(tools), "tool")

    def _rolled_out(self, name: str, done: int, total: int) -> None:
        if total > 1:
            row = self._row(name)
            row.detail = f"{done} of {total} updated"
            self.changed(name, row)

    def _row(self, name: str) -> Row:
        self.width = max(self.width, len(name))
        return self.rows.setdefault(name, Row())

    def _state(self, name: str, given: dict[str, Any]) -> None:
        row = self._row(name)
        state = str(given.get("state", row.state))
        if state == row.state and not given.get("reason"):
            return
        if row.done and state not in DONE:
            row.began, row.took = time.monotonic(), None
        if state not in ("ready", "completed") or row.state == "installing":
            row.detail = ""
        row.state = state
        if given.get("reason"):
            row.detail = _line(given["reason"])
        if row.done:
            row.took = time.monotonic() - row.began
        self.changed(name, row)

    def changed(self, name: str, row: Row) -> None:
        """Print that a row changed."""
        took = f" after {_duration(row.took)}" if row.took is not None and row.state != "stopped" else ""
        detail = f": {row.detail}" if row.detail else ""
        click.echo(f"{name}: {row.state}{took}{detail}", err=True)

    def note(self, text: str) -> None:
        """Print something of the whole deploy."""
        click.echo(text, err=True)


class LiveBoard(Board):
    """The same as a table that is drawn again ten times a second."""

    def __init__(self) -> None:
        from rich.spinner import Spinner

        super().__init__()
        self._remark = ""
        self._spinner = Spinner("dots", style="yellow")

    def changed(self, name: str, row: Row) -> None:
        """Leave it to the next drawing."""

    def note(self, text: str) -> None:
        """Show it under the table."""
        self._remark = text

    def __rich__(self) -> RenderableType:
        """Draw the table; what is under way comes first where not all fits."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        rows = list(self.rows.items())
        room = max(4, shutil.get_terminal_size().lines - 3)
        if len(rows) > room:
            rows.sort(key=lambda item: item[1].done)
        for name, row in rows[:room]:
            mark, color = MARKS.get(row.state, ("", "yellow"))
            took = row.took if row.took is not None else time.monotonic() - row.began
            table.add_row(
                Text(mark, color) if mark else self._spinner,
                Text(name, "bold"),
                Text(row.state, color),
                Text(_duration(took), "dim"),
                Text(
                    row.detail, "red" if row.state == "failed" else "dim", no_wrap=True, overflow="ellipsis"
                ),
            )
        if len(rows) > room:
            table.add_row("", Text(f"and {len(rows) - room} more", "dim"))
        if self._remark:
            table.add_row("", Text(self._remark, "dim"))
        return table


@contextmanager
def board(*, color: bool) -> Iterator[Board]:
    """Show progress for the length of the block: moving on a terminal, line by line elsewhere."""
    if not sys.stderr.isatty():
        yield Board()
        return
    from rich.console import Console
    from rich.live import Live

    live = LiveBoard()
    with Live(live, console=Console(stderr=True, no_color=not color), refresh_per_second=10):
        yield live


def _line(text: object) -> str:
    """Write foreign text in one line."""
    return plain(" ".join(str(text).split()))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else span(seconds)
