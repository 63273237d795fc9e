"""Imports the MCP servers of Claude Desktop, Claude Code, Cursor, Windsurf and VS Code.

Their files agree but for the outer key (`mcpServers`, VS Code: `servers`, in its settings beneath `mcp`) and
a few settings of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backstay.config.building import service_name_from
from backstay.config.importers.commands import NotCarried, program
from backstay.config.importers.values import carried, carry, carry_words, variable_name
from backstay.config.tree import Mapping, Node, Scalar, Sequence, to_plain

if TYPE_CHECKING:
    from backstay.config.importers.imported import Draft

TRANSPORTS: Final = {
    "http": "streamable-http",
    "streamable-http": "streamable-http",
    "streamableHttp": "streamable-http",
    "sse": "sse",
}
READ: Final = frozenset(
    {
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "serverUrl",
        "httpUrl",
        "headers",
        "type",
        "transport",
        "disabled",
        "envFile",
    }
)
QUIET: Final = frozenset({"name", "description", "gallery", "version", "$schema", "icon"})
"""Keys that say nothing of how a server runs."""


def servers_of(root: Mapping) -> tuple[tuple[str, ...], Mapping] | None:
    """Return where the servers of a file stand, and what stands there."""
    for path in (("mcpServers",), ("servers",), ("mcp", "servers"), ("mcp.servers",)):
        node: Node | None = root
        for step in path:
            node = node.get(step) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            return path, node
    return None


def import_servers(root: Mapping, draft: Draft) -> None:
    """Carry over every server of the file."""
    found = servers_of(root)
    if found is None:
        return
    path, servers = found
    for key, entry in root.entries.items():
        if key not in (*path, "inputs") and key not in QUIET:
            draft.note(entry.place, "not carried: not about MCP servers")
    _inputs(root.get("inputs"), draft)
    for name, entry in servers.entries.items():
        if not isinstance(entry.node, Mapping):
            draft.note(entry.place, "not carried: it is not a map")
            continue
        _Server(name, entry.node, draft).carry(entry.place)


def _inputs(node: Node | None, draft: Draft) -> None:
    """Say which variables stand for VS Code's questions."""
    for item in node.items if isinstance(node, Sequence) else []:
        asked = to_plain(item)
        if isinstance(asked, dict) and "id" in asked:
            name = variable_name(str(asked["id"]))
            what = f" ({asked['description']})" if asked.get("description") else ""
            draft.note(item.place, f"is not asked for: set {name}{what} in the environment or in `.env`")


class _Server:
    """One server on its way into the draft."""

    def __init__(self, name: str, node: Mapping, draft: Draft) -> None:
        self.written = name
        self.name = service_name_from(name) or "server"
        self.node = node
        self.draft = draft
        self.service: dict[str, Any] = {}

    def carry(self, place: Any) -> None:
        number = 2
        base = self.name
        while self.name in self.draft.services:
            self.name, number = f"{base}-{number}", number + 1
        if self.name != self.written:
            self.draft.note(place, f"is named `{self.name}`")
        try:
            if self._text("url") or self._text("serverUrl") or self._text("httpUrl"):
                self._remote()
            elif self._text("command"):
                self._local()
            else:
                raise NotCarried("it has neither `command` nor `url`")
        except NotCarried as reason:
            self.draft.note(place, f"not carried: {reason}")
            return
        self._rest()
        self.draft.places["services", self.name] = place
        self.draft.services[self.name] = self.service

    def _text(self, key: str) -> str:
        node = self.node.get(key)
        return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""

    def _remote(self) -> None:
        key = next(key for key in ("url", "serverUrl", "httpUrl") if self._text(key))
        place = self.node.entries[key].place
        mcp: dict[str, Any] = {"url": carry(self.draft, self.name, "url", self._text(key), place)}
        kind = self._text("type") or self._text("transport")
        transport = TRANSPORTS.get(kind) or ("sse" if self._text(key).rstrip("/").endswith("/sse") else "")
        if kind and kind not in TRANSPORTS:
            self._note("type" if self._text("type") else "transport", f"not carried: `{kind}` is not known")
        if transport == "sse":
            mcp["transport"] = "sse"
        headers = self._map("headers")
        if headers:
            mcp["headers"] = headers
        self.service["mcp"] = mcp if len(mcp) > 1 else mcp["url"]
        if self.node.get("env") is not None:
            self._note("env", "not carried: a remote server has no environment here")

    def _local(self) -> None:
        args = self.node.get("args")
        nodes: list[Scalar] = []
        for item in args.items if isinstance(args, Sequence) else []:
            if isinstance(item, Scalar):
                nodes.append(item)
            else:
                self.draft.note(item.place, "not carried: it is not a text")
        command = self.node.entries["command"]
        words = [self._text("command"), *(str(getattr(item.value, "spelling", item.value)) for item in nodes)]
        places = [command.place, *(item.place for item in nodes)]
        found = program(words)
        if found is None:
            self.service["command"] = carry_words(self.draft, self.name, words, places)
            self.service["mcp"] = {"transport": "stdio"}
        else:
            mcp = dict(found.mcp)
            if "url" in mcp:
                mcp["url"] = carry(self.draft, self.name, "url", mcp["url"], command.place)
            if found.headers:
                mcp["headers"] = {
                    name: carry(self.draft, self.name, name, value, command.place)
                    for name, value in found.headers.items()
                }
            self.service["mcp"] = next(iter(mcp.values())) if set(mcp) in ({"package"}, {"url"}) else mcp
            rest = carry_words(self.draft, self.name, words[found.taken :], places[found.taken :])
            if rest:
                self.service["args"] = rest
        if not (found and "url" in found.mcp):
            self._surroundings()
        elif self.node.get("env") is not None:
            self._note("env", "not carried: a remote server has no environment here")

    def _surroundings(self) -> None:
        environment = self._map("env", own_names=True)
        if environment:
            self.service["environment"] = environment
        if self._text("cwd"):
            self.service["working_dir"] = carried(self._text("cwd"))
        if self._text("envFile"):
            self.service["env_file"] = carried(self._text("envFile")).replace("{{ fleet.dir }}/", "./")

    def _map(self, key: str, *, own_names: bool = False) -> dict[str, str]:
        node = self.node.get(key)
        found = {}
        for name, entry in node.entries.items() if isinstance(node, Mapping) else []:
            value = entry.node.value if isinstance(entry.node, Scalar) else None
            if value is None:
                self.draft.note(entry.place, "not carried: it is not a text")
                continue
            text = str(value).lower() if isinstance(value, bool) else str(getattr(value, "spelling", value))
            found[name] = carry(self.draft, self.name, name, text, entry.place, own_name=own_names)
        return found

    def _rest(self) -> None:
        disabled = self.node.get("disabled")
        if isinstance(disabled, Scalar) and disabled.value is True:
            self.service["profiles"] = ["disabled"]
            self._note("disabled", "is in the profile `disabled`, which `--profile disabled` enables")
        kind = self._text("type") or "stdio"
        if "command" in self.node.entries and kind != "stdio":
            self._note("type", f"not carried: a command speaks over stdio here, not `{kind}`")
        for key, entry in self.node.entries.items():
            if key not in READ and key not in QUIET:
                self.draft.note(entry.place, "not carried: Backstay has nothing like it")

    def _note(self, key: str, message: str) -> None:
        if key in self.node.entries:
            self.draft.note(self.node.entries[key].place, message)
