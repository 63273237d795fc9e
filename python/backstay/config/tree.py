"""The tree of a YAML file, with the place of every key and item.

It lies between the bytes ([`reading`][backstay.config.reading]) and the models: files are interpolated and
merged as trees, so that an error found at the very end still knows its file, line and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstay.config.problems import Path, Place


class SpelledInt(int):
    """A whole number that remembers how the file spells it."""

    spelling: str

    def __new__(cls, value: int, spelling: str) -> SpelledInt:
        """Make the number and keep its spelling."""
        number = super().__new__(cls, value)
        number.spelling = spelling
        return number


class SpelledFloat(float):
    """A number that remembers how the file spells it: a version `1.10` is not `1.1`."""

    spelling: str

    def __new__(cls, value: float, spelling: str) -> SpelledFloat:
        """Make the number and keep its spelling."""
        number = super().__new__(cls, value)
        number.spelling = spelling
        return number


@dataclass(slots=True, eq=False)
class Scalar:
    """A text, number, yes/no or nothing.

    `template` differs from `value` where a value came from outside and contains `{{`: there it is escaped, so
    that what the environment holds is never taken for a template.
    """

    value: str | int | float | bool | None
    place: Place
    plain: bool = True
    template: str | None = None
    tag: str = ""


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    items: list[Node]
    place: Place
    tag: str = ""


@dataclass(slots=True, eq=False)
class Entry:
    """A key's place, and what stands beneath the key."""

    place: Place
    node: Node


@dataclass(slots=True, eq=False)
class Mapping:
    """A map, in the order of the file."""

    entries: dict[str, Entry]
    place: Place
    tag: str = ""

    def get(self, key: str) -> Node | None:
        """Return what stands beneath a key."""
        entry = self.entries.get(key)
        return entry.node if entry else None


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class Tree:
    """A whole file, or several merged."""

    root: Mapping

    def place(self, path: Path) -> Place:
        """Return the place of a key: the key's own, or the nearest one above that is written down."""
        node: Node = self.root
        place = self.root.place._replace(path=())
        for depth, step in enumerate(path, start=1):
            found = _step(node, step)
            if found is None:
                break
            place, node = found[0]._replace(path=path[:depth]), found[1]
        return place

    def node(self, path: Path) -> Node | None:
        """Return what stands at a path, if it is written down."""
        node: Node = self.root
        for step in path:
            found = _step(node, step)
            if found is None:
                return None
            node = found[1]
        return node


def _step(node: Node, step: str | int) -> tuple[Place, Node] | None:
    """Go one step down; a name also finds the item `NAME`, `NAME=…` or `{source: NAME}` of a list."""
    if isinstance(node, Mapping):
        entry = node.entries.get(str(step))
        return (entry.place, entry.node) if entry else None
    if isinstance(node, Sequence):
        if isinstance(step, int):
            return (node.items[step].place, node.items[step]) if step < len(node.items) else None
        for item in node.items:
            if isinstance(item, Scalar) and str(item.value).partition("=")[0] == step:
                return item.place, item
    return None


def to_plain(node: Node, *, templates: bool = False) -> Any:
    """Return the plain Python value of a tree; `templates`: as it stands where `{{ }}` are read."""
    if isinstance(node, Mapping):
        return {key: to_plain(entry.node, templates=templates) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [to_plain(item, templates=templates) for item in node.items]
    if templates and node.template is not None:
        return node.template
    return node.value


def scalars(node: Node, path: Path = ()) -> Iterator[tuple[Path, Scalar]]:
    """Yield every scalar beneath a node with its path."""
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield from scalars(entry.node, (*path, key))
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from scalars(item, (*path, index))
    else:
        yield path, node
