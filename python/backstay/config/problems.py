"""What is wrong with a stack file: a message, the places it is at, and what would be right."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MANY: Final = 500
"""Among more names than this only those with the same first letter are compared: each comparison costs."""

Path = tuple[str | int, ...]
"""The way to a key: `("services", "redis", "ports")`."""


class Place(NamedTuple):
    """A place in a file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: Path = ()

    def __str__(self) -> str:
        """Return `backstay.yaml:12:5 services.redis.ports`."""
        where = f"{self.file}:{self.line}:{self.column}"
        return printable(f"{where} {spell_path(self.path)}" if self.path else where)


def printable(text: str) -> str:
    r"""Return a text with what would steer a terminal made visible; lines stay lines.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def spell_path(path: Path) -> str:
    """Spell the way to a key.

    >>> spell_path(("services", "redis", "command", 2))
    'services.redis.command[2]'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or with `warning` one that may be."""

    message: str
    places: tuple[Place, ...] = ()
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """Return what is wrong, and each place on a line of its own."""
        return "\n".join([self.message, *(f"  {place}" for place in self.places)])

    def report(self) -> str:
        """Return the lines that a person sees: the problem, its places, and the hint."""
        text = f"{'warning' if self.warning else 'error'}: {self}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


def first_place(problem: Problem) -> list[tuple[str, int, int]]:
    """Return what problems are sorted by."""
    return [place[:3] for place in problem.places[:1]]


@dataclass(slots=True)
class Problems:
    """The problems found so far, errors and warnings apart. Each is kept once."""

    errors: dict[Problem, None] = field(default_factory=dict)
    warnings: dict[Problem, None] = field(default_factory=dict)

    def add(self, message: str, *places: Place, hint: str = "") -> None:
        """Note an error."""
        self.errors[Problem(printable(message), places, printable(hint))] = None

    def warn(self, message: str, *places: Place, hint: str = "") -> None:
        """Note something that may be meant but seldom is."""
        self.warnings[Problem(printable(message), places, printable(hint), warning=True)] = None

    def __iter__(self) -> Iterator[Problem]:
        """Yield the errors in the order of their places."""
        return iter(sorted(self.errors, key=first_place))

    def __bool__(self) -> bool:
        """Whether there is an error."""
        return bool(self.errors)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, if one is near.

    >>> nearest("comand", ["command", "args"])
    'command'
    """
    words = {name.lower(): name for name in sorted(known, reverse=True)}
    if len(words) > MANY:
        words = {name: words[name] for name in words if name[:1] == word[:1].lower()}
    holding = [name for name in words if len(word) > 2 and word.lower() in name]
    if len(holding) == 1:
        return words[holding[0]]
    close = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return words[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return the hint for a word that is not known: the nearest one, or else what there is."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"did you mean `{near}`?"
    if otherwise or not names:
        return otherwise
    shown = ", ".join(f"`{name}`" for name in names[:12])
    return f"there is {shown}" + (" …" if len(names) > 12 else "")
