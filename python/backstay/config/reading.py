"""Reads one YAML file into a tree, and refuses what no stack file should be.

The parser is ruamel.yaml's, taken at its events: composing the tree here keeps the place of every key,
reports all duplicate keys instead of the first, and counts what aliases expand to without expanding them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from backstay.config.models.base import spelling
from backstay.config.problems import Path, Place, Problems
from backstay.config.tree import Entry, Mapping, Node, Scalar, Sequence, SpelledFloat, SpelledInt
from backstay.config.yaml_errors import QUOTE_TEMPLATE, explain, reader_place

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_FILE: Final = 4 * 1024 * 1024
DEEPEST: Final = 64
MOST_ALIASED: Final = 100_000

INTEGER: Final = re.compile(r"[-+]?[0-9]+")
OTHER_BASE: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
SURROGATE: Final = re.compile("[\ud800-\udfff]")
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
TAG: Final = "tag:yaml.org,2002:"
MERGE_TAGS: Final = frozenset({"!reset", "!override"})


class Unreadable(Exception):
    """The rest of the file cannot be read; the problem is noted already."""


def read(data: bytes, file: str, problems: Problems) -> Mapping | None:
    """Read a file's bytes; none where it is no map that could be a stack. Problems are noted, all of them."""
    start = Place(file, 1, 1)
    try:
        text = _decode(data, start, problems)
        root = _Composer(text, file, problems).document()
    except Unreadable:
        return None
    if root is None or (isinstance(root, Scalar) and root.value is None):
        problems.add("the file is empty", start, hint="write `services:` and beneath it what should run")
    elif not isinstance(root, Mapping):
        problems.add("the file is not a map", root.place, hint="begin with `services:`")
    else:
        return root
    return None


def _decode(data: bytes, start: Place, problems: Problems) -> str:
    if len(data) > LARGEST_FILE:
        problems.add(f"the file has {len(data)} bytes", start, hint="a stack file has at most 4 MiB")
        raise Unreadable
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        problems.add(
            "the file is not UTF-8", start._replace(line=line, column=column), hint="save it as UTF-8"
        )
        raise Unreadable from None


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar stands for, by YAML 1.2: `yes`, `on` and `22:22` are texts.

    >>> resolve("yes"), resolve("true"), resolve("10"), resolve("~")
    ('yes', True, 10, None)
    """
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if len(text) > 40:
        return text
    if INTEGER.fullmatch(text):
        return SpelledInt(int(text), text)
    if OTHER_BASE.fullmatch(text):
        return SpelledInt(int(text, 0), text)
    if FLOAT.fullmatch(text) or NOT_FINITE.fullmatch(text):
        return SpelledFloat(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")), text)
    return text


class _Composer:
    """Builds the tree of one file out of the parser's events."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.anchors: dict[str, Node | None] = {}
        self.sizes: dict[int, tuple[int, int, int]] = {}
        self.unquoted: set[int] = set()
        """Lines where a `{{` without quotes was noted: what the parser says of them only confuses."""
        self.events = self._parse(text)

    def document(self) -> Node | None:
        """Return the one document of the file."""
        from ruamel.yaml.events import DocumentEndEvent, DocumentStartEvent, StreamEndEvent, StreamStartEvent

        root: Node | None = None
        seen = 0
        for event in self.events:
            if isinstance(event, StreamStartEvent | StreamEndEvent | DocumentEndEvent):
                continue
            if isinstance(event, DocumentStartEvent):
                seen += 1
                if seen > 1:
                    hint = "remove the `---`, or give each stack a file of its own"
                    self._refuse("the file has more than one document", self._place(event), hint)
                continue
            root = self._node(event, (), 1)
        return root

    def _parse(self, text: str) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            yield from YAML(typ="safe", pure=True).parse(text)
        except MarkedYAMLError as error:
            message, places, hint = explain(error, text, self.file)
            if self.unquoted.isdisjoint(place.line for place in places):
                self.problems.add(message, *places, hint=hint)
            raise Unreadable from None
        except YAMLError as error:
            place = reader_place(error, text, self.file)
            self._refuse("the file contains a character that YAML does not allow", place, "remove it")
        except (ValueError, AssertionError, IndexError, AttributeError, TypeError, NotImplementedError):
            self._refuse("the file is not YAML", Place(self.file, 1, 1), "")

    def _refuse(self, message: str, place: Place, hint: str) -> None:
        self.problems.add(message, place, hint=hint)
        raise Unreadable

    def _place(self, event: Any, path: Path = ()) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1, path)

    def _node(self, event: Any, path: Path, depth: int) -> Node:
        from ruamel.yaml.events import AliasEvent, MappingStartEvent, SequenceStartEvent

        place = self._place(event, path)
        if isinstance(event, AliasEvent):
            return self._alias(str(event.anchor), place)
        if depth > DEEPEST:
            self._refuse(f"the file is nested deeper than {DEEPEST}", place._replace(path=place.path[:2]), "")
        anchor = event.anchor
        if anchor:
            self.anchors[anchor] = None
        node: Node
        if isinstance(event, MappingStartEvent):
            node = self._mapping(event, place, depth)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, place, depth)
        else:
            node = self._scalar(event, place)
            self.sizes[id(node)] = (1, 0, 1)
        if anchor:
            self.anchors[anchor] = node
        return node

    def _alias(self, anchor: str, place: Place) -> Node:
        node = self.anchors.get(anchor)
        if node is None:
            message = f"`*{anchor}` stands inside of what it names"
            if anchor not in self.anchors:
                message = f"`*{anchor}` names nothing above"
            self._refuse(message, place, f"write `&{anchor}` before what is to be repeated")
            raise Unreadable
        return node

    def _sequence(self, event: Any, place: Place, depth: int) -> Sequence:
        from ruamel.yaml.events import AliasEvent, SequenceEndEvent

        node = Sequence([], place, self._tag(event, "seq", place))
        size = _Size(self, place)
        for inner in self.events:
            if isinstance(inner, SequenceEndEvent):
                break
            item = self._node(inner, (*place.path, len(node.items)), depth + 1)
            size.add(item, aliased=isinstance(inner, AliasEvent))
            node.items.append(item)
        self.sizes[id(node)] = size.result()
        return node

    def _mapping(self, event: Any, place: Place, depth: int) -> Node:
        from ruamel.yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent

        node = Mapping({}, place, self._tag(event, "map", place))
        unquoted = False
        merged: list[Node] = []
        size = _Size(self, place)
        for inner in self.events:
            if isinstance(inner, MappingEndEvent):
                break
            key_place = self._place(inner, place.path)
            if event.flow_style and isinstance(inner, MappingStartEvent) and inner.flow_style:
                unquoted = True
                self._note_unquoted(place)
            key = self._node(inner, place.path, depth + 1)
            name = self._key(key, key_place, node, quiet=unquoted)
            key_place = key_place._replace(path=(*place.path, name))
            inner = next(self.events)
            value = self._node(inner, key_place.path, depth + 1)
            size.add(value, aliased=isinstance(inner, AliasEvent))
            if name == "<<" and isinstance(key, Scalar) and key.plain:
                merged += self._merged(value, key_place)
            elif name in node.entries:
                self.problems.add(
                    f"the key `{name}` is there twice",
                    node.entries[name].place,
                    key_place,
                    hint="keep one of them",
                )
            else:
                node.entries[name] = Entry(key_place, value)
        for other in merged:
            if isinstance(other, Mapping):
                for name, entry in other.entries.items():
                    node.entries.setdefault(name, entry)
        done: Node = Scalar("1", place, plain=False) if unquoted else node
        self.sizes[id(done)] = size.result()
        return done

    def _note_unquoted(self, place: Place) -> None:
        """Note a `{{ … }}` that YAML takes for a map whose key is a map."""
        self.unquoted.add(place.line)
        self.problems.add("a `{{` without quotes is a map to YAML", place, hint=QUOTE_TEMPLATE)

    def _key(self, key: Node, place: Place, node: Mapping, *, quiet: bool) -> str:
        if isinstance(key, Scalar):
            return "null" if key.value is None else spelling(key.value)
        if not quiet:
            hint = "a key is a text; quote it where it begins with `{` or `[`"
            self.problems.add("a key is a list or a map", place, hint=hint)
        return f"<{len(node.entries)}>"

    def _merged(self, value: Node, place: Place) -> list[Node]:
        maps: list[Node] = value.items if isinstance(value, Sequence) else [value]
        if not all(isinstance(item, Mapping) for item in maps):
            self.problems.add("`<<` takes a map, or a list of maps", place, hint="write `<<: *name`")
        return maps

    def _scalar(self, event: Any, place: Place) -> Scalar:
        text = str(event.value)
        if not text.isprintable() and SURROGATE.search(text):
            self._refuse(
                "a text contains half a character (a surrogate)", place, "write the character itself"
            )
        plain = event.style is None or event.style == ""
        tag = self._tag(event, "", place)
        value: Any = text
        if tag in MERGE_TAGS:
            value = resolve(text) if plain else text
        elif tag:
            value = self._tagged(tag, text, place)
            tag = ""
        elif plain:
            value = resolve(text)
        return Scalar(value, place, plain, tag=tag)

    def _tagged(self, tag: str, text: str, place: Place) -> Any:
        value = resolve(text)
        kinds: dict[str, type | tuple[type, ...]] = {
            "int": int,
            "float": (int, float),
            "bool": bool,
            "null": type(None),
        }
        if tag == "str":
            return text
        if isinstance(value, kinds[tag]) and (tag == "bool" or not isinstance(value, bool)):
            return value
        self.problems.add(f"`{text}` is not what its tag `!!{tag}` says", place)
        return text

    def _tag(self, event: Any, collection: str, place: Place) -> str:
        """Return `!reset` or `!override`, or for scalars the short name of a standard tag; refuse others."""
        tag = str(event.tag or "")
        short = tag.removeprefix(TAG) if tag.startswith(TAG) else ""
        if tag in ("", "!") or (collection and short == collection):
            return "str" if tag == "!" and not collection else ""
        if tag in MERGE_TAGS:
            return tag
        if not collection and short in ("str", "int", "float", "bool", "null"):
            return short
        self.problems.add(
            f"the tag `{(short and '!!' + short) or tag}` means nothing here",
            place,
            hint="remove it; only `!reset` and `!override` are known",
        )
        return ""


class _Size:
    """Counts a collection's nodes, those that aliases stand for, and its depth, as it is built."""

    def __init__(self, composer: _Composer, place: Place) -> None:
        self.composer = composer
        self.place = place
        self.nodes, self.aliased, self.depth = 1, 0, 0

    def add(self, node: Node, *, aliased: bool) -> None:
        """Count a child; refuse the file as soon as aliases stand for too much."""
        nodes, inner, depth = self.composer.sizes[id(node)]
        self.nodes += nodes
        self.aliased += nodes if aliased else inner
        self.depth = max(self.depth, depth)
        if self.aliased > MOST_ALIASED:
            self.composer._refuse(
                f"aliases (`*name`) expand to more than {MOST_ALIASED} nodes",
                node.place if not aliased else self.place,
                "",
            )
        if len(self.place.path) + 1 + self.depth > DEEPEST:
            self.composer._refuse(f"the file is nested deeper than {DEEPEST}", self.place, "")

    def result(self) -> tuple[int, int, int]:
        """Return nodes, aliased nodes and depth."""
        return self.nodes, self.aliased, self.depth + 1
