"""`backstay init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli import report
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings

NAME = "backstay.yaml"


@verb("init")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Make it from this: the MCP servers of Claude Desktop, Cursor or VS Code (JSON), or a compose.yaml.",
)
@click.option("--force", is_flag=True, help="Write over a stack file that is there.")
def command(settings: Settings, source: Path | None, force: bool) -> None:
    """Write a first backstay.yaml here (or at -f FILE), or make one from another tool's file.

    What cannot be carried over is said line by line.
    """
    target = settings.files[0] if settings.files else Path(NAME)
    if target.exists() and not force:
        raise report.WrongUse(
            f"{target} exists already", hint="--force writes over it; -f FILE writes another"
        )
    if source is not None:
        from backstay.config.importers import import_file

        imported = import_file(source, target=target, environ=os.environ)
        text = imported.text
        for note in imported.notes:
            report.warn(note.message, where=[str(note.place)])
    else:
        from backstay.config.starter import starter

        text = starter(target.absolute().parent.name)
    target.write_text(text)
    click.echo(f"wrote {target}; `backstay check` reads it, `backstay up` brings the fleet up")
