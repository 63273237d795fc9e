"""`path:` packages: a project on disk, of whichever language its project file is.

A project is built from a copy (Rust and Go: in a target directory of ours), so that a build leaves nothing
in it, and again whenever something in it changes.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backstay.packages import path_cargo, path_go, path_npm, path_pypi, project
from backstay.packages.failure import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.packages.job import Job
    from backstay.packages.launch import LockedPackage
    from backstay.packages.runtime import Runtime


class _Project(Protocol):
    """What each language's module offers."""

    async def resolve(self, job: Job, previous: LockedPackage | None) -> LockedPackage: ...
    async def runtime_for(self, job: Job, locked: LockedPackage) -> Runtime: ...
    async def build(
        self, job: Job, locked: LockedPackage, runtime: Runtime, work: Path
    ) -> dict[str, Any]: ...
    def declaration(self, root: Path, with_: tuple[str, ...]) -> str: ...
    def sources(self, root: Path) -> tuple[list[Path], frozenset[str]]: ...
    def usable(self, marker: dict[str, Any]) -> bool: ...


_PROJECTS: Mapping[str, _Project] = {
    "pyproject.toml": path_pypi,
    "package.json": path_npm,
    "Cargo.toml": path_cargo,
    "go.mod": path_go,
}


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin a project's dependencies; those of before stay where they still fit."""
    return await _project(job).resolve(job, previous)


async def runtime_for(job: Job, locked: LockedPackage) -> Runtime:
    """The Python or Node that a project runs on."""
    return await _project(job).runtime_for(job, locked)


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build a project into an empty directory; what its marker says."""
    return await _project(job).build(job, locked, runtime, work)


usable = path_pypi.usable


async def facts(job: Job) -> dict[str, Any]:
    """What an installation depends on beside its pins: the project's own source."""
    language = _project(job)
    roots, skip = language.sources(Path(job.request.name))
    return {"source": await asyncio.to_thread(project.digest, roots, skip)}


def fresh(job: Job, locked: LockedPackage) -> bool:
    """Whether the pins are still those of what the project declares."""
    return locked.integrity == _project(job).declaration(Path(job.request.name), job.request.with_)


def _project(job: Job) -> _Project:
    root = Path(job.request.name)
    step = f"read {job.request}"
    if not root.is_dir():
        raise failure(step, tail=f"{root} is not a directory", hint=_siblings(root))
    found = [name for name in _PROJECTS if (root / name).is_file()]
    if not found:
        raise failure(
            step,
            tail=f"{root} holds none of {', '.join(_PROJECTS)}",
            hint="point `path:` at the directory that holds the server's project file",
        )
    for name in (
        found
    ):  # several: the first that declares something to run (a Python project may have a package.json)
        if _declares_executable(root / name, step):
            return _PROJECTS[name]
    return _PROJECTS[found[0]]


def _declares_executable(file: Path, step: str) -> bool:
    if file.name == "pyproject.toml":
        return bool(project.read_toml(file, step).get("project", {}).get("scripts"))
    if file.name == "package.json":
        try:
            return bool(json.loads(file.read_bytes()).get("bin"))
        except ValueError as error:
            raise failure(step, tail=f"{file}: {error}", hint=f"correct {file.name}") from error
    return True


def _siblings(root: Path) -> str:
    import difflib

    names = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
    near = difflib.get_close_matches(root.name, names, n=1)
    return f"did you mean {root.parent / near[0]}?" if near else "`path:` is relative to the stack file"
