"""Sizes, durations and other scalars of the stack file.

Each accepts what a person writes (`512M`, `1m30s`) and the plain number it stands for, so that a
resolved stack is read back as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from backstay.config.models.base import kind_of, quoted, refuse, spelling

SIZE: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([kmgtp]?)(i?b?)", re.IGNORECASE)
DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|h|m|s)")
UNIT_SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LARGEST: Final = 2**60
LONGEST: Final = 366 * 86400.0

SIZE_HINT: Final = "write a size such as `512M` or `1.5Gi` (powers of 1024), or a number of bytes"
DURATION_HINT: Final = "write a time such as `500ms`, `30s` or `1m30s`"


def parse_size(value: Any) -> int:
    """Read a size: `512M`, `1Gi`, `64kb` or a number of bytes. Units are powers of 1024.

    >>> parse_size("512M"), parse_size("1.5Gi"), parse_size("64kb"), parse_size(10)
    (536870912, 1610612736, 65536, 10)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(f"expected a size, got {kind_of(value)}", SIZE_HINT)
    match = SIZE.fullmatch(str(value).strip())
    if match is None:
        raise refuse(f"{quoted(spelling(value))} is not a size", SIZE_HINT)
    size = float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " ")
    if size > LARGEST or size != int(size):
        raise refuse(
            f"{quoted(spelling(value))} is not a size", "a size is a whole number of bytes, below 1 EiB"
        )
    return int(size)


def parse_duration(value: Any) -> float:
    """Read a time span: `1m30s`, `500ms`, or a number of seconds.

    >>> parse_duration("1m30s"), parse_duration("500ms"), parse_duration(5)
    (90.0, 0.5, 5.0)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(f"expected a time, got {kind_of(value)}", DURATION_HINT)
    if isinstance(value, str):
        text = value.strip()
        if text == "0":
            return 0.0
        seconds = _seconds(text)
    else:
        seconds = float(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise refuse(f"{quoted(spelling(value))} is not a time", DURATION_HINT)
    if seconds > LONGEST:
        raise refuse(f"{quoted(spelling(value))} is longer than a year", DURATION_HINT)
    return seconds


def _seconds(text: str) -> float | None:
    """Add up the parts of `1m30s`; none where the text is not made of such parts."""
    seconds, end = 0.0, 0
    for part in DURATION.finditer(text):
        if part.start() != end:
            return None
        seconds, end = seconds + float(part[1]) * UNIT_SECONDS[part[2]], part.end()
    return seconds if text and end == len(text) else None


def write_duration(seconds: float) -> str:
    """Spell a time span as the stack file does.

    >>> write_duration(90.0), write_duration(0.5), write_duration(0), write_duration(7200)
    ('1m30s', '500ms', '0s', '2h')
    """
    micros = round(seconds * 1e6)
    parts = []
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)):
        count, micros = divmod(micros, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_cpus(value: Any) -> float:
    """Read a number of cores: `2`, `0.5`, also as text, as Compose has it."""
    hint = "write a number of cores, such as `0.5` or `2`"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(f"expected a number of cores, got {kind_of(value)}", hint)
    try:
        cpus = float(value)
    except ValueError:
        raise refuse(f"{quoted(spelling(value))} is not a number of cores", hint) from None
    if not 0.001 <= cpus <= 100_000:
        raise refuse(f"{quoted(spelling(value))} is not a number of cores", hint + "; the least is 0.001")
    return round(cpus, 3)


def parse_flag(value: Any) -> bool:
    """Read a yes or no in any spelling that YAML has had for it."""
    if isinstance(value, bool):
        return value
    match str(value).lower() if isinstance(value, str) else None:
        case "true" | "yes" | "on":
            return True
        case "false" | "no" | "off":
            return False
    raise refuse(f"expected true or false, got {kind_of(value)}", "write `true` or `false`")


def parse_count(value: Any) -> int:
    """Read a whole number, zero or more."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(f"expected a whole number, got {kind_of(value)}")
    if not 0 <= value <= 10**9:
        raise refuse(f"{value} is out of range", "write a whole number, zero or more")
    return int(value)


def parse_text(value: Any) -> str:
    """Read a text; a number or a yes/no keeps its spelling in the file."""
    if isinstance(value, str) and "\0" in value:
        raise refuse("a text contains a NUL character")
    if isinstance(value, str | int | float):
        return spelling(value)
    hint = "" if isinstance(value, Mapping | list) else 'an empty text is written `""`'
    raise refuse(f"expected a text, got {kind_of(value)}", hint)


def parse_name(value: Any) -> str:
    """Read a text that must not be empty."""
    text = parse_text(value)
    if not text.strip():
        raise refuse("expected a text, got an empty one")
    return text


def _schema(kind: str, pattern: str, description: str) -> WithJsonSchema:
    text = {"type": "string", "pattern": pattern, "description": description}
    return WithJsonSchema({"anyOf": [{"type": kind, "minimum": 0}, text]})


Size = Annotated[
    int, BeforeValidator(parse_size), _schema("integer", r"(?i)^\s*[\d.]+\s*[kmgtp]?i?b?\s*$", SIZE_HINT)
]
"""A number of bytes."""
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _schema("number", r"^(0|([\d.]+(ms|us|µs|h|m|s))+)$", DURATION_HINT),
]
"""A number of seconds."""
Cpus = Annotated[float, BeforeValidator(parse_cpus), _schema("number", r"^[\d.]+$", "a number of cores")]
"""A number of cores."""
Flag = Annotated[bool, BeforeValidator(parse_flag)]
"""True or false."""
Count = Annotated[int, BeforeValidator(parse_count), Field(json_schema_extra={"minimum": 0})]
"""A whole number, zero or more."""
Text = Annotated[str, BeforeValidator(parse_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""A text; numbers and yes/no are kept as they are spelled."""
Name = Annotated[str, BeforeValidator(parse_name), WithJsonSchema({"type": "string", "minLength": 1})]
"""A text that is not empty."""
