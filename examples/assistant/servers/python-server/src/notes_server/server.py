"""The MCP server in front of the notes, over stdio, with the official Python SDK.

`NOTES_FILE` names the file that notes are kept in; without it they live as long as the server.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from notes_server.store import Note, Notes

server = MCPServer(
    "notes-server", title="Notes", version="0.1.0", instructions="Keeps notes between sessions."
)
_file = os.environ.get("NOTES_FILE")
notes = Notes(Path(_file) if _file else None)


def _line(note: Note) -> str:
    tags = f" [{', '.join(note.tags)}]" if note.tags else ""
    return f"{note.id}: {note.title}{tags}"


@server.tool(title="Write a note")
def add_note(
    title: Annotated[
        str, Field(min_length=1, max_length=200, description="What the note is about, in one line")
    ],
    text: Annotated[str, Field(max_length=100_000, description="The note itself")] = "",
    tags: Annotated[list[str], Field(max_length=20, description="Words to find it by")] = [],  # noqa: B006
) -> str:
    """Write a note down and say its number."""
    return f"noted as {notes.add(title, text, tags).id}"


@server.tool(title="Read a note")
def read_note(number: Annotated[int, Field(description="The note's number")]) -> str:
    """The whole text of one note."""
    return _note(number).text


@server.tool(title="Find notes")
def find_notes(
    words: Annotated[str, Field(description="Words that the note must contain; none for all notes")] = "",
    tag: Annotated[str | None, Field(description="A tag that the note must have")] = None,
) -> str:
    """The numbers and titles of notes, newest first."""
    return "\n".join(map(_line, notes.find(words, tag))) or "no note"


@server.tool(title="Delete a note")
def delete_note(number: Annotated[int, Field(description="The note's number")]) -> str:
    """Delete one note."""
    _note(number)
    return f"deleted {_line(notes.delete(number))}"


@server.resource("note://{number}", title="A note", mime_type="application/json")
def note(number: str) -> str:
    """One note with its tags and the time it was written."""
    return json.dumps(asdict(_note(int(number))), ensure_ascii=False)


@server.prompt(title="Review the notes")
def review(tag: str = "") -> str:
    """Ask for a summary of all notes, or of those with a tag."""
    found = "\n\n".join(f"# {note.title}\n{note.text}" for note in notes.find(tag=tag or None))
    return (
        f"Summarise these notes and say which of them contradict one another.\n\n{found or 'There are none.'}"
    )


def _note(number: int) -> Note:
    try:
        return notes.get(number)
    except KeyError:
        raise ToolError(f"there is no note {number}") from None


def main() -> None:
    """Serve over stdio until the client closes it."""
    server.run("stdio")
