"""Where notes are kept: in memory, and in a file if one is named.

The file is a journal of one JSON object a line: a note that was written, or the id of one that was deleted.
It is replayed at the start, so a server that is killed loses nothing that it confirmed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Note:
    """One note."""

    id: int
    title: str
    text: str
    tags: tuple[str, ...]
    written: str


class Notes:
    """All notes, newest last."""

    def __init__(self, journal: Path | None = None) -> None:
        self._notes: dict[int, Note] = {}
        self._next = 1
        self._journal = journal
        if journal is not None and journal.exists():
            self._replay(journal)

    def add(self, title: str, text: str, tags: list[str]) -> Note:
        """Write a note down."""
        written = datetime.now(UTC).isoformat(timespec="seconds")
        note = Note(self._next, title, text, tuple(dict.fromkeys(tags)), written)
        self._record(asdict(note))
        self._take(note)
        return note

    def get(self, number: int) -> Note:
        """One note; `KeyError` if there is none of this number."""
        return self._notes[number]

    def delete(self, number: int) -> Note:
        """Forget a note; `KeyError` if there is none of this number."""
        note = self._notes[number]
        self._record({"deleted": number})
        del self._notes[number]
        return note

    def find(self, words: str = "", tag: str | None = None) -> Iterator[Note]:
        """The notes that have the tag and all of the words, newest first."""
        wanted = words.casefold().split()
        for note in reversed(self._notes.values()):
            if tag is not None and tag not in note.tags:
                continue
            said = f"{note.title}\n{note.text}\n{' '.join(note.tags)}".casefold()
            if all(word in said for word in wanted):
                yield note

    def _take(self, note: Note) -> None:
        self._notes[note.id] = note
        self._next = max(self._next, note.id + 1)

    def _record(self, entry: dict[str, object]) -> None:
        if self._journal is None:
            return
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _replay(self, journal: Path) -> None:
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a server that was killed while it wrote
            if "deleted" in entry:
                self._notes.pop(entry["deleted"], None)
            else:
                self._take(Note(**{**entry, "tags": tuple(entry["tags"])}))
