"""What an importer gives: a stack file's text, and a line on each thing that is not as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backstay.config.problems import Place, printable

if TYPE_CHECKING:
    from backstay.config.problems import Path


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is not carried over, or not as it was."""

    message: str
    place: Place

    def __str__(self) -> str:
        """Return `file:line:column key: what became of it`."""
        return f"{self.place}: {printable(self.message)}"


@dataclass(frozen=True, slots=True)
class Imported:
    """A stack file made of another tool's file."""

    text: str
    """The stack file."""
    notes: tuple[Note, ...]
    """What a person should know of it, in the order of the other file."""
    services: tuple[str, ...]
    """The services that were carried over."""


@dataclass(slots=True)
class Draft:
    """A stack in the making."""

    origin: str
    """The file it is made of, as messages show it."""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    name: str | None = None
    notes: list[Note] = field(default_factory=list)
    places: dict[Path, Place] = field(default_factory=dict)
    """Where the services and their keys stand in the other file."""
    variables: dict[str, str] = field(default_factory=dict)
    """Values that became `${VAR}`, to tell equal names apart. They are never written."""

    def place(self, path: Path) -> Place:
        """Return where something of the draft comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place(self.origin, 1, 1)

    def note(self, place: Place, message: str) -> None:
        """Say what became of something."""
        self.notes.append(Note(message, place))
