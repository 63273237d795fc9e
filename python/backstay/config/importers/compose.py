"""Imports a `compose.yaml`: the services that are processes, without their containers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from backstay.config.building import service_name_from
from backstay.config.compose_keys import advice
from backstay.config.models.healthcheck import read_command
from backstay.config.models.service import ServiceFile
from backstay.config.models.stack import STACK_NAME
from backstay.config.templates import escape
from backstay.config.tree import Mapping, Node, Scalar, Sequence, to_plain
from backstay.config.validation import keys_of

if TYPE_CHECKING:
    from backstay.config.importers.imported import Draft
    from backstay.config.problems import Place

LONG_PORT: Final = re.compile(r"(?:.*:)?([0-9]{1,6})(?:-[0-9]+)?(?:/(?:tcp|udp))?")
TEMPLATED: Final = frozenset({"command", "environment", "working_dir", "healthcheck", "args"})


def import_compose(root: Mapping, draft: Draft) -> None:
    """Carry over every service that has a command."""
    name = root.get("name")
    if isinstance(name, Scalar) and isinstance(name.value, str) and STACK_NAME.fullmatch(name.value):
        draft.name = name.value
    for key, entry in root.entries.items():
        if key not in ("name", "services", "secrets") and not key.startswith("x-"):
            draft.note(entry.place, f"not carried: {_advice('StackFile', key)}")
    _secrets(root.get("secrets"), draft)
    services = root.get("services")
    names: dict[str, str] = {}
    for written, entry in services.entries.items() if isinstance(services, Mapping) else []:
        if isinstance(entry.node, Mapping):
            _service(written, entry.place, entry.node, draft, names)
        else:
            draft.note(entry.place, "not carried: it is not a map")
    _dependencies(services, draft, names)


def _service(written: str, place: Place, node: Mapping, draft: Draft, names: dict[str, str]) -> None:
    name = service_name_from(written)
    command = _command(node)
    if not command or not name:
        what = "`image`" if node.get("image") else "`build`" if node.get("build") else "no `command`"
        draft.note(
            place, f"not carried: it has {what} and says no command; {_advice('ServiceFile', 'image')}"
        )
        return
    names[written] = name
    draft.places["services", name] = place
    if name != written:
        draft.note(place, f"is named `{name}`")
    service: dict[str, Any] = {"command": command}
    for key, entry in node.entries.items():
        draft.places["services", name, key] = entry.place
        if key in ("command", "entrypoint", "depends_on") or key.startswith("x-"):
            continue
        if key in ("image", "build"):
            draft.note(entry.place, f"not carried: the program `{command[0]}` must be on this machine")
        elif key == "ports":
            _ports(entry.node, service, draft)
        elif key in keys_of(ServiceFile):
            value = to_plain(entry.node)
            service[key] = _escaped(value) if key in TEMPLATED else value
        else:
            draft.note(entry.place, f"not carried: {_advice('ServiceFile', key)}")
    draft.services[name] = service


def _command(node: Mapping) -> list[str]:
    words: list[str] = []
    for key in ("entrypoint", "command"):
        part = node.get(key)
        if part is not None:
            try:
                words += [escape(word) for word in read_command(to_plain(part))]
            except ValueError:
                return []
    return words


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def _ports(node: Node, service: dict[str, Any], draft: Draft) -> None:
    """Name the ports; the process itself listens, so it is the container's port that counts."""
    found: dict[str, int] = {}
    for item in node.items if isinstance(node, Sequence) else []:
        plain = to_plain(item)
        name, target = (
            ("", str(plain)) if not isinstance(plain, dict) else (plain.get("name"), str(plain.get("target")))
        )
        match = LONG_PORT.fullmatch(target)
        if match is None or not 1 <= int(match[1]) <= 65535:
            draft.note(item.place, "not carried: it is not a port")
            continue
        name = str(name or ("main" if not found else f"p{match[1]}"))
        found[name] = int(match[1])
        draft.note(
            item.place,
            f"is `ports: {{{name}: {match[1]}}}`: the process listens by itself, nothing is mapped",
        )
    if found:
        service["ports"] = found


def _dependencies(services: Node | None, draft: Draft, names: dict[str, str]) -> None:
    """Carry `depends_on` where both ends are carried."""
    for written, name in names.items():
        node = services.entries[written].node if isinstance(services, Mapping) else None
        wanted = node.get("depends_on") if isinstance(node, Mapping) else None
        if wanted is None:
            continue
        plain = to_plain(wanted)
        pairs = plain.items() if isinstance(plain, dict) else [(other, None) for other in plain or []]
        kept: dict[str, Any] = {}
        for other, condition in pairs:
            if other in names:
                kept[names[other]] = condition if condition is not None else {"condition": "service_started"}
            else:
                draft.note(wanted.place, f"`{other}` is not carried, and `{name}` no longer waits for it")
        if kept:
            draft.services[name]["depends_on"] = kept


def _secrets(node: Node | None, draft: Draft) -> None:
    for name, entry in node.entries.items() if isinstance(node, Mapping) else []:
        plain = to_plain(entry.node)
        kept = (
            {key: value for key, value in plain.items() if key in ("file", "environment")}
            if isinstance(plain, dict)
            else {}
        )
        draft.places["secrets", name] = entry.place
        if len(kept) == 1:
            draft.secrets[name] = kept
        else:
            draft.note(entry.place, "not carried: a secret comes from a `file` or from the `environment`")


def _advice(model: str, key: str) -> str:
    text = advice(model, key) or "Backstay has nothing like it"
    return text.removeprefix("delete it: ").removeprefix("delete the line: ")
