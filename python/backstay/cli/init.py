"""`backstay init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli import report
from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings

NAME = "backstay.yaml"

STARTER = """\
# A fleet of MCP servers. `backstay check` reads it, `backstay up` brings it up.
services:
  # A server from npm: its tools are called files__… at the fleet's endpoint.
  files:
    mcp: npm:@modelcontextprotocol/server-filesystem
    args: [.]

  # A server from PyPI.
  time:
    mcp: pypi:mcp-server-time

  # A plain service that servers may stand on.
  # redis:
  #   command: redis-server --port {{ ports.main }} --save ""
  #   ports: {main: auto}
  #   healthcheck: {tcp: main}

gateway: {listen: 127.0.0.1:7077}
"""


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
    text = STARTER
    if source is not None:
        from backstay.config.importers import import_file

        imported = import_file(source)
        text = imported.text
        for remark in imported.remarks:
            report.warn(str(remark))
    target.write_text(text)
    click.echo(f"wrote {target}; `backstay check` reads it, `backstay up` brings the fleet up")
