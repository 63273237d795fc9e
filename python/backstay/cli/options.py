"""The options that stand before or after every verb, and what they amount to."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass
class Settings:
    """What the common options say."""

    files: list[Path] = field(default_factory=list)
    project_name: str | None = None
    profiles: list[str] = field(default_factory=list)
    json: bool = False
    debug: bool = False
    no_color: bool = False

    @property
    def color(self) -> bool:
        """Whether to print in colour: on a terminal, unless that is not wanted."""
        return not self.no_color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()


def _keep(store: Callable[[Settings, Any], None]) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Make a callback that puts an option's value into the settings, whichever side of the verb it is on."""

    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, False, ()):
            store(context.ensure_object(Settings), value)

    return callback


def _add_files(settings: Settings, value: Iterable[str]) -> None:
    settings.files += map(Path, value)


def _add_profiles(settings: Settings, value: Iterable[str]) -> None:
    settings.profiles += value


def _set(name: str) -> Callable[[Settings, Any], None]:
    return lambda settings, value: setattr(settings, name, value)


def common_options(taken: Iterable[str] = ()) -> list[click.Option]:
    """Return the common options, without the spellings in `taken` (`logs -f` follows)."""
    taken = set(taken)

    def option(*names: str, store: Callable[[Settings, Any], None], **attributes: Any) -> click.Option:
        spellings = [name for name in names if name not in taken]
        return click.Option(
            spellings,
            callback=_keep(store),
            expose_value=False,
            is_eager=True,
            **{"default": None, **attributes},
        )

    return [
        option(
            "-f",
            "--file",
            store=_add_files,
            multiple=True,
            type=click.Path(),
            metavar="FILE",
            help="Stack file; several are merged in order. Default: backstay.yaml here or above.",
        ),
        option("--project-name", store=_set("project_name"), metavar="NAME", help="Name of the fleet."),
        option(
            "--profile",
            store=_add_profiles,
            multiple=True,
            metavar="NAME",
            help="Profile to enable; may be repeated.",
        ),
        option("--json", store=_set("json"), is_flag=True, help="Print data as JSON."),
        option("--no-color", store=_set("no_color"), is_flag=True, help="Print without colour."),
        option("--debug", store=_set("debug"), is_flag=True, help="Show tracebacks of errors."),
    ]
