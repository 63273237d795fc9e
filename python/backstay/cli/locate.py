"""Finds the stack file and the fleet's state without reading either: `ps` needs no more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backstay.cli.report import WrongUse
from backstay.client.sockets import STATE_DIR

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.client.blocking import Control
    from backstay.fleet import Fleet

NAMES = ("backstay.yaml", "backstay.yml")


def stack_files(settings: Settings) -> list[Path]:
    """Return the stack files: those named by `-f`, or the nearest one here or above.

    Raises:
        WrongUse: there is none.
    """
    if settings.files:
        return settings.files
    here = Path.cwd()
    for directory in (here, *here.parents):
        for name in NAMES:
            if (found := directory / name).is_file():
                return [found]
    raise WrongUse(
        f"there is no {NAMES[0]} in {here} or above",
        hint="write one with `backstay init`, or name one with -f FILE",
    )


def state_dir(settings: Settings) -> Path:
    """Return the directory of the fleet's state, beside the (first) stack file; it need not exist.

    A fleet whose stack file was deleted can still be looked at and ended.

    Raises:
        WrongUse: there is neither stack file nor state here or above.
    """
    if settings.files:
        first = settings.files[0]
        if not first.exists() and not (first.parent / STATE_DIR).is_dir():
            raise WrongUse(f"there is no file `{first}`", hint="`backstay init` writes one")
        return first.resolve().parent / STATE_DIR
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (state := directory / STATE_DIR).is_dir() or any((directory / name).is_file() for name in NAMES):
            return state
    return stack_files(settings)[0].parent / STATE_DIR


def control(settings: Settings, *, timeout: float = 30.0) -> Control:
    """Return the control API of the fleet that the settings mean."""
    from backstay.client.blocking import Control

    return Control(state_dir(settings), timeout=timeout)


def fleet(settings: Settings) -> Fleet:
    """Return the fleet that the settings mean, its stack file unread."""
    from backstay.fleet import Fleet

    return Fleet(state_dir(settings))
