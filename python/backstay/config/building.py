"""From the merged tree to a checked `Stack`: each part validated by itself, then resolved, then checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backstay.config.checks import Context, check
from backstay.config.models.base import kind_of, quoted
from backstay.config.models.service import ServiceFile
from backstay.config.models.stack import STACK_NAME, Stack, StackFile, stack_name_from
from backstay.config.problems import Problems, did_you_mean
from backstay.config.resolving import Surroundings, resolve_gateway, resolve_secret, resolve_service
from backstay.config.tree import Mapping, Node, Tree, to_plain
from backstay.config.validation import validate

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.config.machine import Machine

TEMPLATED: Final = ("command", "args", "environment", "working_dir", "healthcheck", "mcp")
"""Keys of a service in which `{{ }}` is read."""
SERVICE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
LONGEST_NAME: Final = 48
HINT: Final = "write `services:` and beneath it what should run"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for beside what the files say."""

    files: tuple[Path, ...]
    profiles: tuple[str, ...]
    project_name: str | None
    machine: Machine


def build(tree: Tree, wish: Wish, around: Surroundings) -> Stack:
    """Validate, resolve and check a tree.

    The stack holds what is sound of it; it is whole where no problem was noted.
    """
    problems = around.problems
    plain = {key: to_plain(entry.node) for key, entry in tree.root.entries.items() if key != "services"}
    top = validate(StackFile, plain, (), tree, problems)
    base = top or StackFile()
    written = _written(tree, problems)
    enabled, disabled = _by_profile(_services(written, tree, problems), wish.profiles, problems)
    stack = Stack(
        name=_name(wish.project_name or base.name, around),
        dir=around.dir,
        files=tuple(file.absolute() for file in wish.files),
        services={name: resolve_service(name, file, around, enabled) for name, file in enabled.items()},
        gateway=resolve_gateway(base.gateway, around),
        ports=base.ports,
        secrets={name: resolve_secret(secret, around) for name, secret in base.secrets.items()},
        profiles=wish.profiles,
        disabled=disabled,
    )
    if disabled and not enabled and not problems:
        profile = next(iter(disabled.values()))[0]
        places = tree.place(("services",))
        problems.warn(
            "no profile is enabled, and every service has one", places, hint=f"add `--profile {profile}`"
        )
    check(Context(stack, frozenset(written), tree, problems, wish.machine, around.variables, top is not None))
    return stack


def _written(tree: Tree, problems: Problems) -> dict[str, Node]:
    """Return what stands beneath each service's name."""
    node = tree.root.get("services")
    if node is None:
        problems.add("the key `services` is missing", tree.place(("services",)), hint=HINT)
    elif not isinstance(node, Mapping):
        got = kind_of(to_plain(node))
        problems.add(f"expected a map of services, got {got}", tree.place(("services",)), hint=HINT)
    else:
        if not node.entries:
            problems.add("there is no service", tree.place(("services",)), hint=HINT)
        return {name: entry.node for name, entry in node.entries.items()}
    return {}


def _services(written: dict[str, Node], tree: Tree, problems: Problems) -> dict[str, ServiceFile]:
    """Validate each service by itself, so that what is wrong with one hides nothing of another."""
    found = {}
    for name, node in written.items():
        named = _check_name(name, tree, problems)
        file = validate(ServiceFile, _plain_service(node), ("services", name), tree, problems)
        if file is not None and named:
            found[name] = file
    return found


def _plain_service(node: Node) -> Any:
    if not isinstance(node, Mapping):
        return to_plain(node)
    return {key: to_plain(entry.node, templates=key in TEMPLATED) for key, entry in node.entries.items()}


def _check_name(name: str, tree: Tree, problems: Problems) -> bool:
    if SERVICE_NAME.fullmatch(name) and "__" not in name and len(name) <= LONGEST_NAME:
        return True
    better = service_name_from(name)
    rule = f"use up to {LONGEST_NAME} letters, digits, `-` and single `_`"
    problems.add(
        f"{quoted(name)} cannot name a service",
        tree.place(("services", name)),
        hint=rule + (f": `{better}`" if better else ""),
    )
    return False


def service_name_from(text: str) -> str:
    """Make a service's name out of any text.

    >>> service_name_from("Brave Search (web)"), service_name_from("my__server")
    ('Brave-Search-web', 'my_server')
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", re.sub(r"_{2,}", "_", text))
    return name[:LONGEST_NAME].strip("-_")


def _by_profile(
    services: dict[str, ServiceFile], profiles: tuple[str, ...], problems: Problems
) -> tuple[dict[str, ServiceFile], dict[str, tuple[str, ...]]]:
    """Part the services into those that run and those whose profiles are not enabled."""
    known = {profile for file in services.values() for profile in file.profiles}
    for profile in profiles:
        if profile not in known and profile != "*" and not problems:
            problems.add(f"no service has the profile {quoted(profile)}", hint=did_you_mean(profile, known))
    enabled, disabled = {}, {}
    for name, file in services.items():
        if not file.profiles or "*" in profiles or set(file.profiles) & set(profiles):
            enabled[name] = file
        else:
            disabled[name] = file.profiles
    return enabled, disabled


def _name(name: str | None, around: Surroundings) -> str:
    if name is None:
        return stack_name_from(around.dir.name) or "fleet"
    if STACK_NAME.fullmatch(name):
        return name
    better = stack_name_from(name)
    hint = f"try `{better}`" if better else "use lower-case letters, digits, `-` and `_`"
    around.problems.add(f"{quoted(name)} cannot name a stack", hint=hint)
    return "fleet"
