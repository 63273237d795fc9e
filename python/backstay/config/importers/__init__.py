"""`backstay init --from FILE`: a stack file out of another tool's file.

One importer for each form of file. What cannot be carried over is said with its place, and what comes
out passes `backstay check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backstay.config.building import Wish
from backstay.config.importers.claude import import_servers, servers_of
from backstay.config.importers.compose import import_compose
from backstay.config.importers.imported import Draft, Imported, Note
from backstay.config.importers.jsonc import read_json
from backstay.config.loading import load_sources
from backstay.config.machine import Machine
from backstay.config.problems import Place, Problem, Problems
from backstay.config.reading import read
from backstay.config.sources import Source, open_source
from backstay.config.tree import Mapping as MappingNode
from backstay.config.writing import write
from backstay.errors import ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Imported", "Note", "import_file"]

KNOWN = "Claude's, Cursor's or VS Code's JSON with MCP servers, or a compose.yaml"


def import_file(file: Path, *, target: Path, environ: Mapping[str, str]) -> Imported:
    """Read another tool's file and return the stack file that does the same, with notes on what differs.

    Args:
        file: The other tool's file.
        target: Where the stack file will be; its relative paths start in that folder.
        environ: The environment that the result is checked in.

    Raises:
        ConfigErrors: the file cannot be read, is of no known form, or nothing of it can be carried over.
    """
    problems = Problems()
    source = open_source(file, problems)
    draft = _draft(source, problems) if source else None
    if draft is None or problems:
        raise ConfigErrors(list(problems))
    _drop_what_fails(draft, target, environ)
    if not draft.services:
        place = Place(draft.origin, 1, 1)
        message = "\n".join(
            ["nothing in the file can be carried over", *(f"  {note}" for note in draft.notes)]
        )
        problems.add(
            message, *([] if draft.notes else [place]), hint="`backstay init` writes a file to start from"
        )
        raise ConfigErrors(list(problems))
    notes = sorted(draft.notes, key=lambda note: note.place[:3])
    return Imported(_text(draft, notes), tuple(notes), tuple(draft.services))


def _draft(source: Source, problems: Problems) -> Draft | None:
    """Find out what the file is, and carry over what can be."""
    draft = Draft(source.shown)
    if source.data.lstrip()[:1] in (b"{", b"/") or source.shown.endswith((".json", ".jsonc")):
        root = read_json(source.data, source.shown, problems)
        if root is not None and servers_of(root) is not None:
            import_servers(root, draft)
            return draft
    else:
        root = read(source.data, source.shown, problems)
        if root is not None and isinstance(root.get("services"), MappingNode):
            import_compose(root, draft)
            return draft
    if not problems:
        problems.add("the file is of no form that is known", Place(source.shown, 1, 1), hint=f"give {KNOWN}")
    return None


def _drop_what_fails(draft: Draft, target: Path, environ: Mapping[str, str]) -> None:
    """Take out, key by key, what the check of the result refuses, and say so."""
    while draft.services:
        problems = Problems()
        source = Source(draft.origin, write(_data(draft)).encode())
        wish = Wish((target,), ("*",), None, Machine.here())
        load_sources([source], wish, environ, problems)
        if not problems or not any([_drop(draft, problem) for problem in problems]):
            return


def _drop(draft: Draft, problem: Problem) -> bool:
    """Take out what a problem is about; whether something was there to take."""
    path = problem.places[0].path if problem.places else ()
    place = draft.place(path)
    match path:
        case ("services", str(name), "mcp" | "command", *_) | ("services", str(name)) if (
            name in draft.services
        ):
            del draft.services[name]
            draft.note(place, f"`{name}` is not carried: {problem.message}")
        case ("services", str(name), str(key), *_) if key in draft.services.get(name, {}):
            del draft.services[name][key]
            draft.note(place, f"not carried: {problem.message}")
        case ("secrets", str(name), *_) if name in draft.secrets:
            del draft.secrets[name]
            draft.note(place, f"not carried: {problem.message}")
        case _:
            return False
    return True


def _data(draft: Draft) -> dict[str, Any]:
    data: dict[str, Any] = {"name": draft.name} if draft.name else {}
    data["services"] = draft.services
    if draft.secrets:
        data["secrets"] = draft.secrets
    return data


def _text(draft: Draft, notes: list[Note]) -> str:
    head = [f"# Made by `backstay init` from {draft.origin}."]
    if notes:
        head += ["#", "# Not carried over as it was:", *(f"#   {_comment(str(note))}" for note in notes)]
    return "\n".join([*head, write(_data(draft))])


def _comment(text: str) -> str:
    return " ".join(text.split())
