"""Errors in words: `error:` says what and where, `hint:` what to do. Never a traceback."""

from __future__ import annotations

import difflib
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstay.config.problems import Problem
    from backstay.errors import BackstayError

DONE, NOT_AS_ASKED, WRONG_INPUT = 0, 1, 2


class WrongUse(click.UsageError):
    """The command line is wrong, and this is what to do instead."""

    def __init__(self, message: str, *, hint: str | None = None, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def red(text: str) -> str:
    """Colour `text` as an error where stderr is a terminal that wants colour."""
    return _paint(text, "1;31")


def cyan(text: str) -> str:
    """Colour `text` as a hint where stderr is a terminal that wants colour."""
    return _paint(text, "36")


def _paint(text: str, code: str) -> str:
    plain = os.environ.get("NO_COLOR") or "--no-color" in sys.argv or not sys.stderr.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def say(what: str, *, where: Iterable[str] = (), tail: str | None = None, hint: str | None = None) -> None:
    """Print one error: what, the places it is at, the last lines of what failed, and what to do."""
    _say(red("error:"), what, where, tail, hint)


def warn(what: str, *, where: Iterable[str] = (), hint: str | None = None) -> None:
    """Print what is wrong without being an error."""
    _say(_paint("warning:", "33"), what, where, None, hint)


def _say(head: str, what: str, where: Iterable[str], tail: str | None, hint: str | None) -> None:
    click.echo(f"{head} {what.strip() or 'no reason was given'}", err=True)
    for place in where:
        click.echo(f"  {place}", err=True)
    for line in (tail or "").rstrip().splitlines():
        click.echo(_paint(f"  | {line}", "2"), err=True)
    if hint:
        click.echo(f"{cyan('hint:')} {hint}", err=True)


def problem(found: Problem) -> None:
    """Print a problem of the stack file."""
    show = warn if found.warning else say
    show(found.message, where=map(str, found.places), hint=found.hint)


def report(error: Exception) -> int:
    """Print any error in words and return the exit code it asks for."""
    if isinstance(error, click.ClickException):
        return _report_use(error)
    from backstay.errors import BackstayError

    if isinstance(error, BackstayError):
        return _report_own(error)
    if isinstance(error, OSError):
        place = [str(error.filename)] if error.filename else []
        say((error.strerror or str(error)).lower(), where=place, hint=_os_hint(error))
        return NOT_AS_ASKED
    say(
        f"backstay has a bug: {type(error).__name__}: {error}",
        hint="run it again with --debug and report what it prints",
    )
    return NOT_AS_ASKED


def _report_use(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG_INPUT
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = getattr(error, "hint", None)
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option `{error.option_name}`"
        names = {name.lstrip("-"): name for name in error.possibilities or ()}
        near = difflib.get_close_matches(error.option_name.lstrip("-"), names, n=1)
        hint = f"did you mean `{names[near[0]]}`?" if near else None
    path = context.command_path if context is not None else "backstay"
    say(_lower(message), hint=hint or f"`{path} --help` says how it is used")
    return WRONG_INPUT


def _report_own(error: BackstayError) -> int:
    from backstay.errors import ConfigError, ConfigErrors, UnknownService

    if isinstance(error, ConfigErrors):
        for found in error.problems:
            problem(found)
        return WRONG_INPUT
    where = getattr(error, "where", None)
    say(str(error), where=[where] if where else (), tail=getattr(error, "tail", None), hint=error.hint)
    wrong = isinstance(error, ConfigError | UnknownService) or getattr(error, "status", None) in (404, 422)
    return WRONG_INPUT if wrong else NOT_AS_ASKED


def _lower(message: str) -> str:
    """Start a message of click's as ours start, and end it without a full stop."""
    message = message.strip()
    if message[:2].istitle() or (message[:1].isupper() and message[1:2].islower()):
        message = message[0].lower() + message[1:]
    return message.removesuffix(".")


def _os_hint(error: OSError) -> str | None:
    import errno

    return {
        errno.EACCES: "check who owns it and its permissions",
        errno.EROFS: "the file system is read-only; a fleet's state needs a place to write",
        errno.ENOSPC: "the disk is full; free some space and try again",
        errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    }.get(error.errno or 0)
