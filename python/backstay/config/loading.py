"""`load`: from files to a `Stack`, or to everything that is wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from backstay.config.checks import Context, check
from backstay.config.dotenv import read_env_file
from backstay.config.interpolation import interpolate_tree
from backstay.config.machine import Machine
from backstay.config.merging import merge, without_resets
from backstay.config.models.base import kind_of, quoted
from backstay.config.models.service import ServiceFile
from backstay.config.models.stack import STACK_NAME, Stack, StackFile, stack_name_from
from backstay.config.problems import Place, Problem, Problems, did_you_mean
from backstay.config.reading import LARGEST_FILE, read
from backstay.config.resolving import Surroundings, resolve_gateway, resolve_secret, resolve_service
from backstay.config.tree import Mapping as MappingNode
from backstay.config.tree import Node, Tree, to_plain
from backstay.config.validation import validate
from backstay.errors import ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FILE_NAMES: Final = ("backstay.yaml", "backstay.yml")
TEMPLATED: Final = ("command", "args", "environment", "working_dir", "healthcheck", "mcp")
SERVICE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
LONGEST_NAME: Final = 48


def find(start: Path) -> Path | None:
    """Return the stack file of a folder, or of the nearest one above it."""
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        for name in FILE_NAMES:
            if (candidate / name).is_file():
                return candidate / name
    return None


def load(
    files: Sequence[Path],
    *,
    environ: Mapping[str, str],
    profiles: Sequence[str] = (),
    project_name: str | None = None,
    machine: Machine | None = None,
    warn: Callable[[Problem], None] | None = None,
) -> Stack:
    """Read, merge, resolve and check one or more stack files.

    Args:
        files: The files, later ones laid over earlier ones. Relative paths in all of them start at the first.
        environ: What `${VAR}` reads. A `.env` beside the first file stands behind it.
        profiles: The profiles to enable; `*` enables all.
        project_name: The stack's name, before the one in the file.
        machine: What reservations are measured against; this machine where not given.
        warn: Called with what is not wrong but seldom meant.

    Raises:
        ConfigErrors: something is wrong; it holds all that is.
    """
    problems = Problems()
    stack = _load(files, dict(environ), tuple(profiles), project_name, machine, problems)
    if warn is not None:
        for warning in problems.warnings:
            warn(warning)
    if problems or stack is None:
        raise ConfigErrors(list(problems))
    return stack


def _load(
    files: Sequence[Path],
    environ: dict[str, str],
    profiles: tuple[str, ...],
    project_name: str | None,
    machine: Machine | None,
    problems: Problems,
) -> Stack | None:
    if not files:
        problems.add("there is no stack file", hint="`backstay init` writes one")
        return None
    folder = files[0].absolute().parent
    dotenv = folder / ".env"
    variables = environ
    if dotenv.is_file():
        variables = {**read_env_file(dotenv, ".env", environ, problems), **environ}
    roots = [_read(file, variables, problems) for file in files]
    if any(root is None for root in roots):
        return None
    merged = MappingNode({}, Place(str(files[0]), 1, 1))
    for root in roots:
        merged = merge(merged, root) if root else merged
    tree = Tree(without_resets(merged))
    around = Surroundings(folder, variables, tree, problems)
    return _build(files, around, profiles, project_name, machine)


def _read(file: Path, variables: dict[str, str], problems: Problems) -> MappingNode | None:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        problems.add(f"there is no file `{file}`", hint=_other_file(file))
        return None
    except (OSError, ValueError) as error:
        problems.add(f"cannot read `{file}`: {(getattr(error, 'strerror', None) or str(error)).lower()}")
        return None
    root = read(data, str(file), problems)
    if root is not None:
        interpolate_tree(root, variables, problems)
    return root


def _other_file(file: Path) -> str:
    try:
        there = [
            entry.name for entry in file.absolute().parent.iterdir() if entry.suffix in (".yaml", ".yml")
        ]
    except OSError:
        there = []
    return did_you_mean(file.name, there, otherwise="`backstay init` writes one")


def _build(
    files: Sequence[Path],
    around: Surroundings,
    profiles: tuple[str, ...],
    project_name: str | None,
    machine: Machine | None,
) -> Stack | None:
    tree, problems = around.tree, around.problems
    plain = {key: to_plain(entry.node) for key, entry in tree.root.entries.items() if key != "services"}
    top = validate(StackFile, plain, (), tree, problems)
    services = _services(tree, problems)
    enabled, disabled = _by_profile(services, profiles, problems)
    resolved = {name: resolve_service(name, file, around, enabled) for name, file in enabled.items()}
    base = top or StackFile()
    stack = Stack(
        name=_name(project_name or base.name, around),
        dir=around.dir,
        files=tuple(file.absolute() for file in files),
        services=resolved,
        gateway=resolve_gateway(base.gateway, around),
        ports=base.ports,
        secrets={name: resolve_secret(secret, around) for name, secret in base.secrets.items()},
        profiles=profiles,
        disabled=disabled,
    )
    written = tree.root.get("services")
    declared = frozenset(written.entries) if isinstance(written, MappingNode) else frozenset[str]()
    check(
        Context(stack, declared, tree, problems, machine or Machine.here(), around.variables, top is not None)
    )
    return stack


def _services(tree: Tree, problems: Problems) -> dict[str, ServiceFile]:
    """Validate each service by itself, so that what is wrong with one hides nothing of another."""
    node = tree.root.get("services")
    place = tree.place(("services",))
    hint = "write `services:` and beneath it what should run"
    if node is None:
        problems.add("the key `services` is missing", place, hint=hint)
        return {}
    if not isinstance(node, MappingNode):
        problems.add(f"expected a map of services, got {kind_of(to_plain(node))}", place, hint=hint)
        return {}
    found = {}
    for name, entry in node.entries.items():
        if name.startswith("x-"):
            continue
        good_name = _check_name(name, tree, problems)
        file = validate(ServiceFile, _plain_service(entry.node), ("services", name), tree, problems)
        if file is not None and good_name:
            found[name] = file
    if not node.entries:
        problems.add("there is no service", place, hint=hint)
    return found


def _plain_service(node: Node) -> Any:
    if not isinstance(node, MappingNode):
        return to_plain(node)
    return {key: to_plain(entry.node, templates=key in TEMPLATED) for key, entry in node.entries.items()}


def _check_name(name: str, tree: Tree, problems: Problems) -> bool:
    if SERVICE_NAME.fullmatch(name) and "__" not in name and len(name) <= LONGEST_NAME:
        return True
    better = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:LONGEST_NAME]
    rule = f"use up to {LONGEST_NAME} letters, digits, `-` and single `_`"
    problems.add(
        f"{quoted(name)} cannot name a service",
        tree.place(("services", name)),
        hint=rule + (f": `{better}`" if better else ""),
    )
    return False


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
    around.problems.add(f"{quoted(name)} cannot name a stack", hint=f"try `{better}`" if better else "")
    return "fleet"
