"""`npm:` packages: a pinned tree, and the script that the package declares, run by Node itself."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from backstay.packages import npm_tree, runtime, semver, tools
from backstay.packages.executable import choose
from backstay.packages.failure import failure, is_missing_version
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.packages.job import Job
    from backstay.packages.request import Request

_SHEBANG = re.compile(rb"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S*)([^\n]*)")
_WITH = re.compile(r"(@?[^@\s<>=^~]+)\s*@?\s*(.*)")


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin a package: the newest that satisfies the request, and its whole tree."""
    request = job.request
    step = f"resolve {request}"
    node = await runtime.node(job, {})
    try:
        tree = await npm_tree.resolve(
            job, dependencies(request, request.version), step=step, env=with_node(job, node)
        )
    except CommandFailed as failed:
        versions = await _versions(job) if is_missing_version(failed) else ()
        raise job.explain(failed, versions) from failed
    facts = tree.get(f"node_modules/{request.name}", {})
    check_engine(f"{request.name} {facts.get('version')}", facts.get("engines"), node, step)
    return LockedPackage(
        kind="npm",
        name=request.name,
        version=str(facts.get("version", "")),
        integrity=facts.get("integrity"),
        tree=tree,
        runtime=node.pinned or {},
    )


async def runtime_for(job: Job, locked: LockedPackage) -> runtime.Runtime:
    """The Node that a pinned package runs on."""
    return await runtime.node(job, locked.runtime)


def usable(marker: dict[str, Any]) -> bool:
    """Node is found anew at each start."""
    return True


async def build(job: Job, locked: LockedPackage, node: runtime.Runtime, work: Path) -> dict[str, Any]:
    """Install a pinned package into an empty directory; what its marker says."""
    request = job.request
    step = f"install {request.kind}:{locked.name} {locked.version}"
    env = with_node(job, node)
    await npm_tree.install(job, work, dependencies(request, locked.version), locked.tree, step=step, env=env)
    return {"argv": program(work, work / "node_modules" / request.name, request)}


def dependencies(request: Request, version: str) -> dict[str, Any]:
    """The request as keys of `package.json`: `with:` holds for the whole tree, not only for its top."""
    wanted = {request.name: version or "latest"}
    overrides = {}
    for constraint in request.with_:
        match = _WITH.fullmatch(constraint.strip())
        if match is None:
            raise failure(
                f"resolve {request}", tail=f"with: {constraint}", hint='write `with: ["zod@^3"]`, as npm does'
            )
        wanted[match[1]] = match[2] or "*"
        overrides[match[1]] = f"${match[1]}"
    return {"dependencies": wanted, "overrides": overrides} if overrides else {"dependencies": wanted}


def with_node(job: Job, node: runtime.Runtime) -> Mapping[str, str]:
    """The environment in which scripts of an install find the Node that the server will run on."""
    if not node.fetched:
        return job.env
    return {**job.env, "PATH": f"{node.program.parent}{os.pathsep}{job.env['PATH']}"}


def check_engine(what: str, engines: Any, node: runtime.Runtime, step: str) -> None:
    """Refuse a package that says it cannot run on this Node.

    Raises:
        PackageError: it says so.
    """
    wanted = engines.get("node") if isinstance(engines, dict) else None
    version = semver.parse(node.version)
    if not isinstance(wanted, str) or version is None or semver.satisfies(version, wanted):
        return
    lowest = semver.lowest_above(version, wanted)
    newer = (
        f"add `runtime: node>={lowest}` to the server's mcp block"
        if lowest
        else "ask for an older version of it"
    )
    raise failure(step, tail=f"{what} needs Node {wanted}; {node.program} is {node.version}", hint=newer)


def program(root: Path, package: Path, request: Request) -> list[str]:
    """The command of a package's executable, relative to `root`.

    Raises:
        PackageError: the package has none, or the file it names is not there.
    """
    described = json.loads((package / "package.json").read_bytes())
    declared = described.get("bin") or {}
    if isinstance(declared, str):
        declared = {str(described.get("name", request.name)).rsplit("/", 1)[-1]: declared}
    entry = request.entry
    if entry is not None and entry not in declared and (package / entry).is_file():
        declared = {entry: entry}  # a script of the package that it does not declare
    _, script = choose(declared, package=str(described.get("name", request.name)), entry=entry)
    path = (package / script).resolve()
    if not path.is_file() or not path.is_relative_to(root.resolve()):
        raise failure(
            f"find the executable of {request}",
            tail=f"package.json names {script}, which is not there",
            hint="the package was published (or built) without it: try another version",
        )
    relative = f"@/{path.relative_to(root.resolve())}"
    with path.open("rb") as file:
        head = file.read(256)
    shebang = _SHEBANG.match(head)
    if shebang is None and path.suffix in (".js", ".mjs", ".cjs"):
        return ["@node", relative]
    if shebang and shebang[1].rsplit(b"/", 1)[-1] == b"node":
        return ["@node", *shebang[2].decode().split(), relative]
    path.chmod(path.stat().st_mode | 0o111)
    return [relative]


async def _versions(job: Job) -> tuple[str, ...]:
    """The versions that exist, newest first; none if the registry does not say."""
    step = f"list the versions of {job.request.name}"
    try:
        listed = await job.attempt(
            [*tools.npm(job.env, step), "view", job.request.name, "versions", "--json"],
            step=step,
            cwd=job.base,
        )
        versions = json.loads(listed)
    except (CommandFailed, ValueError):
        return ()
    found = [text for text in (versions if isinstance(versions, list) else [versions]) if semver.parse(text)]
    return tuple(sorted(found, key=lambda text: semver.parse(text) or (0, 0, 0), reverse=True))
