"""`{{ … }}` in texts: what the fleet knows only when it runs, such as leased ports.

The language is a dotted name, or a quoted text (`{{ '{{' }}` is two braces). It is no programming language
and shall not become one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

EXPRESSION: Final = re.compile(
    r"""\{\{\s*(?:'([^']*)'|"([^"]*)"|([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*))\s*\}\}"""
)
ROOTS: Final = ("ports", "services", "fleet", "service", "instance", "secrets", "gateway")
EXAMPLES: Final = "`{{ ports.http }}`, `{{ services.redis.ports.main }}` or `{{ fleet.dir }}`"


class TemplateError(ValueError):
    """A text whose `{{ … }}` cannot be read, or names nothing."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Reference:
    """One `{{ name }}`."""

    name: tuple[str, ...]

    def __str__(self) -> str:
        """Spell it as the file does."""
        return f"{{{{ {'.'.join(self.name)} }}}}"


def parse(text: str) -> list[str | Reference]:
    """Split a text into what stands there and what it refers to.

    >>> parse("--port {{ ports.main }}")
    ['--port ', Reference(name=('ports', 'main'))]

    Raises:
        TemplateError: a `{{` does not end, or holds no name.
    """
    parts: list[str | Reference] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        part, position = _expression(text, start)
        parts.append(part)
    if position < len(text):
        parts.append(text[position:])
    return parts


def _expression(text: str, start: int) -> tuple[str | Reference, int]:
    match = EXPRESSION.match(text, start)
    if match is None:
        close = text.find("}}", start)
        if close < 0:
            raise TemplateError(
                "a `{{` does not end", "close it with `}}`, or write `{{ '{{' }}` for two braces"
            )
        what = text[start + 2 : close].strip()
        raise TemplateError(f"`{{{{ {what} }}}}` is not a name of the fleet", f"write {EXAMPLES}")
    single, double, name = match.groups()
    if name is not None:
        return Reference(tuple(name.split("."))), match.end()
    return (double if single is None else single), match.end()


def references(text: str) -> list[Reference]:
    """Return what a text refers to."""
    return [part for part in parse(text) if isinstance(part, Reference)] if "{{" in text else []


def escape(text: str) -> str:
    """Return the template that renders as this very text."""
    return text.replace("{{", "{{ '{{' }}") if "{{" in text else text
