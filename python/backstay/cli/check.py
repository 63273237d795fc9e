"""`backstay check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import locate, report
from backstay.cli.root import verb
from backstay.cli.style import count

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.config import Stack
    from backstay.config.problems import Problem


@verb("check")
def command(settings: Settings) -> int:
    """Say all that is wrong with the stack file, and what would be right.

    Nothing is started or installed. The exit code is 2 if something is wrong.
    """
    import os

    from backstay import config
    from backstay.errors import ConfigErrors

    files = locate.stack_files(settings)
    found: list[Problem] = []
    try:
        stack = config.load(
            files,
            environ=os.environ,
            profiles=settings.profiles,
            project_name=settings.project_name,
            warn=found.append,
        )
    except ConfigErrors as errors:
        stack = None
        found += errors.problems
    if settings.json:
        click.echo(json.dumps({"ok": stack is not None, "problems": [_as_json(each) for each in found]}))
    else:
        for each in found:
            report.problem(each)
    if stack is None:
        return report.WRONG_INPUT
    if not settings.json:
        click.echo(f"{', '.join(map(_nearby, files))}: {_contents(stack)}; nothing is wrong")
        for name, profiles in stack.disabled.items():
            click.echo(f"{name} is left out; `--profile {profiles[0]}` enables it")
    return report.DONE


def _nearby(file: Path) -> str:
    """Write a path as short as it can be: from the working directory, if the file is in or below it."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _contents(stack: Stack) -> str:
    servers = len(stack.servers)
    return f"{count(servers, 'server')} and {count(len(stack.services) - servers, 'service')}"


def _as_json(found: Problem) -> dict[str, Any]:
    return {
        "level": "warning" if found.warning else "error",
        "message": found.message,
        "hint": found.hint or None,
        "places": [
            {"file": place.file, "line": place.line, "column": place.column, "path": list(place.path)}
            for place in found.places
        ],
    }
