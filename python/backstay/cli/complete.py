"""Service names for the shell's completion: from the running fleet, else from the stack file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backstay.cli import locate
from backstay.cli.options import Settings

if TYPE_CHECKING:
    import click

SECONDS = 1.0
"""Longer than this nobody waits for a completion."""

_KEY = re.compile(r"^(\s+)([A-Za-z0-9][\w.-]*)\s*:")


def services(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a service; knows none where anything is amiss."""
    settings = context.find_object(Settings) or Settings()
    try:
        names = _running(settings) or _written(settings)
    except Exception:
        return []
    return [name for name in names if name.startswith(incomplete)]


def scales(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the first half of `SERVICE=N`."""
    return [f"{name}=" for name in services(context, parameter, incomplete)]


def _running(settings: Settings) -> list[str]:
    from backstay.errors import BackstayError

    try:
        status = locate.control(settings, timeout=SECONDS).get("/api/status")
    except (BackstayError, OSError):
        return []
    return [service["name"] for service in status["services"]]


def _written(settings: Settings) -> list[str]:
    """Read the keys right under `services:`; a whole YAML reader would take too long for a key press."""
    names: list[str] = []
    for file in locate.stack_files(settings):
        inside, depth = False, None
        for line in file.read_text(errors="replace").splitlines():
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not line[0].isspace():
                inside, depth = line.split("#")[0].strip() == "services:", None
            elif inside and (key := _KEY.match(line)):
                depth = depth or key[1]
                if key[1] == depth:
                    names.append(key[2])
    return list(dict.fromkeys(names))
