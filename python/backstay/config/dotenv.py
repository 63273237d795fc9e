"""Files of `NAME=value` lines: `env_file`, and `.env` beside the stack file. Compose's format."""

from __future__ import annotations

import re
from collections import ChainMap
from typing import TYPE_CHECKING, Final

from backstay.config.interpolation import Unset, interpolate
from backstay.config.problems import Place, Problems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST: Final = 1024 * 1024
LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:([=:])[ \t]*(.*))?", re.DOTALL)
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def read_env_file(
    path: Path, shown: str, variables: Mapping[str, str], problems: Problems, *, raw: bool = False
) -> dict[str, str]:
    """Read a file of variables; a name alone takes its value from outside."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        problems.add(f"cannot read `{shown}`: {(error.strerror or str(error)).lower()}", Place(shown, 1, 1))
        return {}
    if len(data) > LARGEST:
        problems.add("the file is larger than 1 MiB", Place(shown, 1, 1))
        return {}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problems.add("the file is not UTF-8", Place(shown, line, 1), hint="save it as UTF-8")
        return {}
    return _Reader(text, shown, variables, problems, raw=raw).read()


class _Reader:
    """Reads line by line; a quoted value may go over several."""

    def __init__(
        self, text: str, shown: str, variables: Mapping[str, str], problems: Problems, *, raw: bool
    ) -> None:
        self.lines = text.replace("\r\n", "\n").split("\n")
        self.shown = shown
        self.outside = dict(variables)
        self.problems = problems
        self.raw = raw
        self.found: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        number = 0
        while number < len(self.lines):
            number += self._line(number)
        return self.found

    def _line(self, number: int) -> int:
        """Read the variable that begins at a line; return how many lines it takes."""
        line = self.lines[number]
        place = Place(self.shown, number + 1, 1)
        if not line.strip() or line.lstrip().startswith("#"):
            return 1
        match = LINE.fullmatch(line)
        if match is None or "\0" in line:
            self.problems.add("this line is not `NAME=value`", place, hint="begin comments with `#`")
            return 1
        name, sign, value = match[1], match[2], match[3]
        if sign is None:
            if name in self.outside:
                self.found[name] = self.outside[name]
            return 1
        if self.raw:
            self.found[name] = value
            return 1
        if value[:1] in ("'", '"'):
            return self._quoted(name, value, number, place)
        plain = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()
        self._set(name, plain, place)
        return 1

    def _quoted(self, name: str, value: str, number: int, place: Place) -> int:
        quote, taken = value[0], 1
        closing = re.compile(
            r"'([^']*)'\s*(?:#.*)?" if quote == "'" else r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', re.DOTALL
        )
        while (
            (match := closing.fullmatch(value)) is None and number + taken < len(self.lines) and taken < 1000
        ):
            if value.count(quote) > 1 and taken == 1 and closing.match(value):
                break
            value += "\n" + self.lines[number + taken]
            taken += 1
        if match is None:
            self.problems.add(f"the value of {name} does not end", place, hint=f"close it with {quote}")
            return 1
        if quote == "'":
            self.found[name] = match[1]
        else:
            self._set(
                name,
                re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), match[1], flags=re.DOTALL),
                place,
            )
        return taken

    def _set(self, name: str, value: str, place: Place) -> None:
        try:
            result = interpolate(value, ChainMap(self.found, self.outside))
        except Unset as error:
            self.problems.add(str(error), place, hint=error.hint)
            return
        for unset in result.unset:
            self.problems.warn(f"{unset} is not set, and is taken as empty", place)
        self.found[name] = result.value
