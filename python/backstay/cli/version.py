"""`backstay version`."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import click

from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings


@verb("version")
def command(settings: Settings) -> None:
    """Print the versions of backstay and of what it uses."""
    from backstay import __version__

    versions = {"backstay": __version__, "python": platform.python_version(), "system": platform.platform()}
    if settings.json:
        click.echo(json.dumps(versions))
        return
    for name, version in versions.items():
        click.echo(f"{name:<9} {version}")
