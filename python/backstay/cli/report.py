"""Errors in words: `error:` says what and where, `hint:` what to do. Never a traceback."""

from __future__ import annotations

import os
import sys

import click

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


def say(what: str, *, where: str | None = None, hint: str | None = None) -> None:
    """Print one error, and its hint if there is one."""
    place = f"{where}: " if where else ""
    click.echo(f"{red('error:')} {place}{_sentence(what)}", err=True)
    if hint:
        click.echo(f"{cyan('hint:')} {hint}", err=True)


def warn(what: str) -> None:
    """Print what is wrong without being an error."""
    click.echo(f"{_paint('warning:', '33')} {what}", err=True)


def _sentence(text: str) -> str:
    return text.strip() or "no reason was given"


def report(error: Exception) -> int:
    """Print any error in words and return the exit code it asks for."""
    if isinstance(error, click.ClickException):
        return _report_use(error)
    from backstay.errors import BackstayError

    if isinstance(error, BackstayError):
        return _report_own(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        say(f"{place}{error.strerror or error}", hint=_os_hint(error))
        return NOT_AS_ASKED
    say(
        f"backstay has a bug: {type(error).__name__}: {error}",
        hint="Run it again with --debug and report what it prints.",
    )
    return NOT_AS_ASKED


def _report_use(error: click.ClickException) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "backstay"
    hint = getattr(error, "hint", None) or f"`{path} --help` says how it is used."
    say(_lower(error.format_message()), hint=hint)
    return WRONG_INPUT


def _report_own(error: Exception) -> int:
    from backstay.errors import ConfigError

    problems = getattr(error, "problems", None)
    if problems:
        for problem in problems:
            say(str(problem), hint=getattr(problem, "hint", None))
    else:
        say(str(error), where=getattr(error, "where", None), hint=getattr(error, "hint", None))
    status = getattr(error, "status", None)
    wrong = isinstance(error, ConfigError) or status in (400, 404, 422)
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
        errno.EACCES: "Check who owns it and its permissions.",
        errno.EROFS: "The file system is read-only; the fleet's state needs a place to write.",
        errno.ENOSPC: "The disk is full; free some space and try again.",
        errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    }.get(error.errno or 0)
