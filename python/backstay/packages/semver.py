"""The version ranges of npm (`^1.2 || >=3`), as far as `engines` and the choice of a Node need them."""

from __future__ import annotations

import re

Version = tuple[int, int, int]

_VERSION = re.compile(r"^[v=\s]*(\d+)(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+\S*)?$")
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*([v\d*xX][^\s]*)")
_END: Version = (1 << 30, 0, 0)


def parse(text: str) -> Version | None:
    """A release's numbers; none for what is no version or a pre-release."""
    match = _VERSION.match(text.strip())
    if match is None or match[4] or not all(part and part.isdigit() for part in match.groups()[:3]):
        return None
    return int(match[1]), int(match[2]), int(match[3])


def satisfies(version: Version, wanted: str) -> bool:
    """Whether a version lies in a range; a range that cannot be read excludes nothing."""
    try:
        return any(
            all(low <= version < high for low, high in _bounds(part)) for part in (wanted or "*").split("||")
        )
    except ValueError:
        return True


def _bounds(part: str) -> list[tuple[Version, Version]]:
    """The intervals, low included and high not, that one part between `||` asks for."""
    part = part.strip()
    if part in ("", "*", "latest", "x", "X"):
        return []
    span = re.split(r"\s+-\s+", part)
    if len(span) == 2:
        return [(_span(span[0])[0], _span(span[1])[1])]
    found: list[tuple[Version, Version]] = []
    position = 0
    for match in _COMPARATOR.finditer(part):
        if part[position : match.start()].strip(" ,"):
            raise ValueError(part)
        position = match.end()
        found.append(_comparator(match[1] or "", match[2]))
    if part[position:].strip(" ,"):
        raise ValueError(part)
    return found


def _comparator(operator: str, text: str) -> tuple[Version, Version]:
    low, high = _span(text)
    if operator == ">=":
        return low, _END
    if operator == ">":
        return high, _END
    if operator == "<":
        return (0, 0, 0), low
    if operator == "<=":
        return (0, 0, 0), high
    if operator.startswith("~"):
        given = len(re.findall(r"\d+", text.split("-")[0]))
        return low, (low[0] + 1, 0, 0) if given == 1 else (low[0], low[1] + 1, 0)
    if operator == "^":
        if low[0] or re.fullmatch(r"v?\d+(\.[xX*].*)?", text):
            return low, (low[0] + 1, 0, 0)
        if low[1] or re.fullmatch(r"v?\d+\.\d+(\.[xX*])?", text):
            return low, (0, low[1] + 1, 0)
        return low, (0, 0, low[2] + 1)
    return low, high


def _span(text: str) -> tuple[Version, Version]:
    """What a possibly partial version covers: `1.2` is 1.2.0 up to 1.3.0."""
    if text.lower() in ("*", "x"):
        return (0, 0, 0), _END
    match = _VERSION.match(text)
    if match is None:
        raise ValueError(text)
    major = int(match[1])
    if match[2] is None or not match[2].isdigit():
        return (major, 0, 0), (major + 1, 0, 0)
    minor = int(match[2])
    if match[3] is None or not match[3].isdigit():
        return (major, minor, 0), (major, minor + 1, 0)
    patch = int(match[3])
    return (major, minor, patch), (major, minor, patch + 1)


def lowest_above(version: Version, wanted: str) -> str | None:
    """The smallest version above `version` with which the range begins; none if there is none."""
    try:
        lows = [low for part in wanted.split("||") for low, _ in _bounds(part) if low > version]
    except ValueError:
        return None
    if not lows:
        return None
    text = ".".join(map(str, min(lows)))
    return text.removesuffix(".0").removesuffix(".0")
