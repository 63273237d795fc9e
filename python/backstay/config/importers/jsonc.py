"""JSON as editors write it, with comments and trailing commas, read into a tree that keeps places."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final

from backstay.config.problems import Path, Place, Problems
from backstay.config.reading import DEEPEST, LARGEST_FILE, Unreadable
from backstay.config.tree import Entry, Mapping, Node, Scalar, Sequence, SpelledFloat, SpelledInt

BLANK: Final = re.compile(r"(?:[ \t\r\n\ufeff]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
STRINGS: Final = JSONDecoder(strict=False)
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}


def read_json(data: bytes, file: str, problems: Problems) -> Mapping | None:
    """Read a JSON file whose top is a map; none where it is not, with the problem noted."""
    start = Place(file, 1, 1)
    if len(data) > LARGEST_FILE:
        problems.add("the file is larger than 4 MiB", start)
        return None
    try:
        reader = _Reader(data.decode("utf-8-sig"), file, problems)
    except UnicodeDecodeError:
        problems.add("the file is not UTF-8", start, hint="save it as UTF-8")
        return None
    try:
        root = reader.whole()
    except Unreadable:
        return None
    if not isinstance(root, Mapping):
        problems.add("the file is not a JSON object", start)
        return None
    return root


class _Reader:
    """Reads one value after the other, never looking back."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self.text = text
        self.file = file
        self.problems = problems
        self.at = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def whole(self) -> Node:
        node = self._value((), 1)
        self._blank()
        if self.at < len(self.text):
            self._refuse("something follows after the end")
        return node

    def _blank(self) -> None:
        match = BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _place(self, path: Path = ()) -> Place:
        line = bisect_right(self.lines, self.at)
        return Place(self.file, line, self.at - self.lines[line - 1] + 1, path)

    def _refuse(self, message: str) -> Unreadable:
        self.problems.add(f"this is not JSON: {message}", self._place())
        raise Unreadable

    def _next(self, expected: str) -> str:
        self._blank()
        found = self.text[self.at : self.at + 1]
        if not found or (expected and found not in expected):
            self._refuse(f"expected {' or '.join(f'`{sign}`' for sign in expected) or 'a value'}")
        return found

    def _value(self, path: Path, depth: int) -> Node:
        if depth > DEEPEST:
            self._refuse(f"it is nested deeper than {DEEPEST}")
        sign = self._next("")
        place = self._place(path)
        if sign == "{":
            return self._object(place, depth)
        if sign == "[":
            return self._array(place, depth)
        if sign == '"':
            return Scalar(self._string(), place, plain=False)
        for word, value in WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return Scalar(value, place)
        match = NUMBER.match(self.text, self.at)
        if match is None:
            raise self._refuse("expected a value")
        self.at = match.end()
        whole = match[1] is None and match[2] is None
        return Scalar(
            SpelledInt(int(match[0]), match[0]) if whole else SpelledFloat(float(match[0]), match[0]), place
        )

    def _string(self) -> str:
        try:
            text, self.at = STRINGS.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            raise self._refuse(error.msg.lower()) from None
        return str(text).encode("utf-8", "replace").decode("utf-8")

    def _object(self, place: Place, depth: int) -> Mapping:
        node = Mapping({}, place)
        self.at += 1
        while self._next('"}') == '"':
            key_place = self._place()
            name = self._string()
            key_place = key_place._replace(path=(*place.path, name))
            self._next(":")
            self.at += 1
            node.entries[name] = Entry(key_place, self._value(key_place.path, depth + 1))
            if self._next(",}") == ",":
                self.at += 1
        self.at += 1
        return node

    def _array(self, place: Place, depth: int) -> Sequence:
        node = Sequence([], place)
        self.at += 1
        while self._next("") != "]":
            node.items.append(self._value((*place.path, len(node.items)), depth + 1))
            if self._next(",]") == ",":
                self.at += 1
        self.at += 1
        return node
