"""Several files as one, merged as Compose merges.

Maps are merged deeply and lists are joined, but for commands and probes, which the later file replaces. Forms
are made alike first: `environment` and `depends_on` in list form become maps. `!reset` removes a key,
`!override` replaces instead of merging. Every key keeps the place it was written at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backstay.config.tree import Entry, Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from backstay.config.problems import Path

REPLACED: Final = frozenset({"command", "args", "test"})
PROBES: Final = frozenset({"tcp", "http", "command", "log", "notify", "test", "disable"})
ORIGINS: Final = frozenset({"package", "url"})
LISTS: Final = frozenset(
    {"env_file", "profiles", "with", "allow", "deny", "allowed_hosts", "allowed_origins", "hosts"}
)
"""Keys whose value may be a text that stands for a list of one."""
SHORT: Final = {"mcp": "package", "gateway": "listen", "http": "port"}
"""Keys whose value may be a scalar that stands for a map with this one key."""


def merge(base: Mapping, over: Mapping, path: Path = ()) -> Mapping:
    """Return the base with the other file laid over it. Neither is changed."""
    entries = dict(base.entries)
    if _is_service_key(path, "healthcheck"):
        _drop(entries, over, PROBES)
    if _is_service_key(path, "mcp"):
        _drop(entries, over, ORIGINS)
    for key, entry in over.entries.items():
        below = (*path, key)
        before = entries.get(key)
        if entry.node.tag == "!reset":
            entries.pop(key, None)
        elif before is None or entry.node.tag == "!override":
            entries[key] = entry
        else:
            entries[key] = _merge_entry(before, entry, below)
    return Mapping(entries, over.place if not base.entries else base.place)


def without_resets(root: Mapping) -> Mapping:
    """Return the tree without what `!reset` takes away from nothing."""
    entries = {
        key: Entry(entry.place, without_resets(entry.node) if isinstance(entry.node, Mapping) else entry.node)
        for key, entry in root.entries.items()
        if entry.node.tag != "!reset"
    }
    return Mapping(entries, root.place)


def _is_service_key(path: Path, key: str) -> bool:
    return len(path) == 3 and path[0] == "services" and path[2] == key


def _drop(entries: dict[str, Entry], over: Mapping, rivals: frozenset[str]) -> None:
    """Of keys that exclude one another, let the later file's choice stand alone."""
    chosen = rivals & over.entries.keys()
    if chosen:
        for key in rivals - chosen:
            entries.pop(key, None)


def _merge_entry(before: Entry, after: Entry, path: Path) -> Entry:
    old, new = _alike(before.node, path), _alike(after.node, path)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return Entry(after.place, merge(old, new, path))
    if isinstance(old, Sequence) and isinstance(new, Sequence) and path[-1] not in REPLACED:
        return Entry(after.place, Sequence(_joined(old, new), old.place))
    if isinstance(new, Scalar) and new.value is None and isinstance(old, Mapping):
        return Entry(after.place, old)
    return Entry(after.place, new)


def _joined(old: Sequence, new: Sequence) -> list[Node]:
    """Join two lists; a text that is there already is not repeated."""
    seen = {item.value for item in old.items if isinstance(item, Scalar)}
    return old.items + [item for item in new.items if not (isinstance(item, Scalar) and item.value in seen)]


def _alike(node: Node, path: Path) -> Node:
    """Turn the short or list form of a part into its map."""
    key = path[-1]
    in_service = len(path) == 3 and path[0] == "services"
    if isinstance(node, Sequence) and in_service and key in ("environment", "depends_on"):
        return _as_map(node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str | int):
        return node
    if key in LISTS:
        return Sequence([node], node.place)
    if in_service and key == "depends_on":
        return _as_map(Sequence([node], node.place))
    if in_service and node.value == "notify":
        return Mapping({"notify": Entry(node.place, Scalar(True, node.place))}, node.place)
    if path[2:-1] == ("depends_on",):
        return Mapping({"condition": Entry(node.place, node)}, node.place)
    has_short = in_service or path == ("gateway",) or path[2:] == ("healthcheck", "http")
    if key in SHORT and has_short:
        return Mapping({SHORT[str(key)]: Entry(node.place, node)}, node.place)
    return node


def _as_map(node: Sequence) -> Node:
    """Turn `[NAME=value]` or `[name]` into a map, unless an item is not a text."""
    entries: dict[str, Entry] = {}
    for item in node.items:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            return node
        name, equals, value = item.value.partition("=")
        template = item.template.partition("=")[2] if item.template is not None else None
        entries[name] = Entry(item.place, Scalar(value if equals else None, item.place, template=template))
    return Mapping(entries, node.place)
