"""`backstay config`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from backstay.cli import stack
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("config")
@click.option("--services", is_flag=True, help="Print the names of the services only.")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of stack files, for editors; no file is read."
)
def command(settings: Settings, services: bool, schema: bool) -> None:
    """Print the stack file as it is understood: merged, with variables and defaults filled in.

    Values that are only known when the fleet runs stay as they are written, in {{ }}.
    """
    if schema:
        from backstay.config.schema import FILE

        click.echo(FILE.read_text(encoding="utf-8"), nl=False)
        return
    read = stack.load(settings)
    if services:
        for name in read.services:
            click.echo(name)
        return
    from backstay.config.resolved import resolved

    if settings.json:
        click.echo(json.dumps(resolved(read)))
    else:
        from backstay.config.writing import write

        click.echo(write(resolved(read)), nl=False)
