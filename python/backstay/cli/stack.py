"""Reads the stack file for the verbs that need what is in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from backstay.cli import locate, report

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.config import Stack
    from backstay.fleet import Fleet


def load(settings: Settings) -> Stack:
    """Read the stack file, print what is doubtful in it, and return it.

    Raises:
        ConfigErrors: it is wrong.
    """
    from backstay import config

    return config.load(
        locate.stack_files(settings),
        environ=os.environ,
        profiles=settings.profiles,
        project_name=settings.project_name,
        warn=report.problem,
    )


def fleet(settings: Settings) -> Fleet:
    """Return the fleet that the stack file describes; raises as `load` does."""
    from backstay.fleet import Fleet

    read = load(settings)
    return Fleet(read.state_dir, read)
