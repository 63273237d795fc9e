"""`path:` with a package.json: installed, built (TypeScript or whatever its `build` script does), pruned."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages import npm, npm_tree, project, runtime, tools
from backstay.packages.failure import failure
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed

if TYPE_CHECKING:
    from backstay.packages.job import Job

_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "overrides")

runtime_for = npm.runtime_for


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin the project's dependencies, unless its own lock file does."""
    root = Path(job.request.name)
    step = f"resolve {job.request}"
    described = _described(root, step)
    if job.request.with_:
        raise failure(
            step, tail="`with:` is for published packages", hint="put it in the project's package.json"
        )
    node = await runtime.node(job, {})
    npm.check_engine(str(described.get("name", root.name)), described.get("engines"), node, step)
    tree: dict[str, Any] = {}
    if not any((root / name).is_file() for name in _LOCKS):
        wanted = {key: described[key] for key in _DEPENDENCIES if key in described}
        try:
            tree = await npm_tree.resolve(job, wanted, step=step, env=npm.with_node(job, node))
        except CommandFailed as failed:
            raise job.explain(failed) from failed
    return LockedPackage(
        kind="path",
        name=root.name,
        version=str(described.get("version", "0.0.0")),
        integrity=declaration(root, job.request.with_),
        tree=tree,
        runtime=node.pinned or {},
    )


async def build(job: Job, locked: LockedPackage, node: runtime.Runtime, work: Path) -> dict[str, Any]:
    """Build the project from a copy; what its marker says."""
    root = Path(job.request.name)
    app = work / "app"
    await asyncio.to_thread(project.copy, root, app, sources(root)[1])
    described = _described(app, f"build {job.request}")
    env = npm.with_node(job, node)
    if not any((app / name).is_file() for name in _LOCKS):
        lock = {
            "name": described.get("name"),
            "lockfileVersion": 3,
            "packages": {"": described, **locked.tree},
        }
        (app / "package-lock.json").write_text(json.dumps(lock))
    await npm_tree.ci(
        job, app, step=f"install the dependencies of {job.request}", env=env, extra=("--include=dev",)
    )
    scripts = described.get("scripts", {})
    command = tools.npm(env, f"build {job.request}")
    if "build" in scripts and not _built(app, job):
        await job.run([*command, "run", "build"], step=f"build {job.request}", cwd=app, env=env)
    if described.get("devDependencies"):
        step = f"remove the build dependencies of {job.request}"
        prune = ("prune", "--omit=dev", "--ignore-scripts", "--offline", "--no-audit", "--no-fund")
        await job.run([*command, *prune], step=step, cwd=app, env=env)
    return {"argv": npm.program(work, app, job.request)}


def declaration(root: Path, with_: tuple[str, ...]) -> str:
    """A digest of what the project says of its dependencies."""
    described = _described(root, f"read {root}")
    parts: list[Any] = [{key: described.get(key) for key in (*_DEPENDENCIES, "engines", "version")}]
    parts += [(root / name).read_text(encoding="utf-8") for name in _LOCKS if (root / name).is_file()]
    return "sha256-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sources(root: Path) -> tuple[list[Path], frozenset[str]]:
    """The project's directory; what its build writes is not source."""
    has_build = "build" in _described(root, f"read {root}").get("scripts", {})
    return [root], project.GENERATED | ({"dist"} if has_build else frozenset())


def usable(marker: dict[str, Any]) -> bool:
    """Node is found anew at each start."""
    return True


def _built(app: Path, job: Job) -> bool:
    """Whether a `prepare` script has built it already."""
    from backstay.errors import PackageError

    try:
        npm.program(app, app, job.request)
    except PackageError:
        return False
    return True


def _described(root: Path, step: str) -> dict[str, Any]:
    try:
        described = json.loads((root / "package.json").read_bytes())
    except (OSError, ValueError) as error:
        raise failure(step, tail=f"{root / 'package.json'}: {error}", hint="correct package.json") from error
    return described if isinstance(described, dict) else {}
