"""The YAML parser's complaints in words that help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backstay.config.problems import Place

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

KNOWN: Final = (
    ("mapping values are not allowed", "a `:` stands where no key can be",
     "quote texts that contain `: `, and check the indentation"),
    ("unexpected end of stream", "a quoted text does not end", "close the quotes"),
    ("unexpected document separator", "a quoted text does not end", "close the quotes"),
    ("expected ',' or", "a list or map in brackets does not end",
     "close it, and quote items that contain `,` `[` or `{`"),
    ("<block end>", "this line does not fit into what is above it",
     "check the indentation, and that each key ends with `:`"),
    ("could not find expected ':'", "this line does not fit into what is above it",
     "check the indentation, and that each key ends with `:`"),
    ("unknown escape character", "a `\\` in double quotes stands before a character that it cannot",
     "write `\\\\` for a backslash, or use single quotes"),
    ("expected escape sequence", "a `\\` in double quotes stands before a character that it cannot",
     "write `\\\\` for a backslash, or use single quotes"),
)  # fmt: skip
"""A part of what the parser says, what we say instead, and what to do."""
QUOTE_TEMPLATE: Final = 'put what contains `{{ … }}` in quotes: "{{ ports.http }}"'
SPANNING: Final = ("a quoted text does not end", "a list or map in brackets does not end")
"""What begins at another place than where it is noticed."""


def explain(error: MarkedYAMLError, text: str, file: str) -> tuple[str, tuple[Place, ...], str]:
    """Return what is wrong, where, and what to do."""
    said = str(error.problem or error.context or "it cannot be read")
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    tab = _tab(text, place, said)
    if tab is not None:
        return "a tab indents this line", (tab,), "YAML is indented with spaces only"
    for part, message, hint in KNOWN:
        if part in said:
            places = (*_beginning(error, message, file), place)
            return message, places, QUOTE_TEMPLATE if _unquoted(text, places) else hint
    if "that cannot start any token" in said:
        sign = said.partition("'")[2].partition("'")[0]
        return f"no text begins with `{sign}`", (place,), "put it in quotes"
    return f"this is not YAML: {said}", (place,), ""


def _tab(text: str, place: Place, said: str) -> Place | None:
    """Return the place of the tab that indents the line of an error."""
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" not in indent and "'\\t'" not in said:
        return None
    return place._replace(column=line.find("\t") + 1 or place.column)


def _unquoted(text: str, places: tuple[Place, ...]) -> bool:
    """Whether the lines of an error hold a `{{` before which no quote begins."""
    lines = text.splitlines()
    shown = [lines[place.line - 1] for place in places if place.line <= len(lines)]
    before = [line.partition("{{")[0] for line in shown if "{{" in line]
    return any(part.count('"') % 2 == 0 and part.count("'") % 2 == 0 for part in before)


def _beginning(error: MarkedYAMLError, message: str, file: str) -> tuple[Place, ...]:
    mark = error.context_mark
    if message not in SPANNING or mark is None or mark == error.problem_mark:
        return ()
    return (Place(file, mark.line + 1, mark.column + 1),)


def reader_place(error: Any, text: str, file: str) -> Place:
    """Return the place of a character that the parser's reader refuses."""
    position = getattr(error, "position", 0)
    position = position if isinstance(position, int) else 0
    before = text[:position]
    return Place(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
