"""`path:` with a pyproject.toml: dependencies pinned, itself built as a wheel, in its own environment."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages import project, pypi, pypi_tree, runtime, tools
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed
from backstay.packages.settings import uv_environment

if TYPE_CHECKING:
    from backstay.packages.job import Job

runtime_for = pypi.runtime_for


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin the project's dependencies: its own uv.lock's, or the newest that fit."""
    root = Path(job.request.name)
    step = f"resolve {job.request}"
    env = uv_environment(job.environ)
    python = await runtime.find_python(await runtime.python(job), job, env)
    described = project.read_toml(root / "pyproject.toml", step).get("project", {})
    try:
        chosen = previous.tree if previous else {}
        exported = (root / "uv.lock").is_file() and not job.request.with_
        if exported:
            export = ("export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate")
            text = await job.attempt(
                [tools.uv(), *export, *pypi_tree.options(job, env)], step=step, cwd=root, env=env
            )
            chosen = pypi_tree.tree_of(text)
        if not exported or not all(chosen.values()):  # a uv.lock of local files holds no hashes
            chosen = await pypi_tree.resolve(
                job,
                job.request.with_,
                python,
                step=step,
                previous=chosen,
                extra=(str(root / "pyproject.toml"),),
            )
    except CommandFailed as failed:
        raise job.explain(failed) from failed
    return LockedPackage(
        kind="path",
        name=root.name,
        version=str(described.get("version", "0")),
        integrity=declaration(root, job.request.with_),
        tree=chosen,
        runtime={"python": ".".join(python.version.split(".")[:2])},
    )


async def build(job: Job, locked: LockedPackage, python: runtime.Runtime, work: Path) -> dict[str, Any]:
    """Install the pinned dependencies and the project itself; what its marker says."""
    root = Path(job.request.name)
    env = uv_environment(job.environ)
    python = await runtime.find_python(python, job, env)
    step = f"install the dependencies of {job.request}"
    interpreter = await pypi_tree.install(job, work, locked.tree, python, step=step)
    source = work / "source"
    await asyncio.to_thread(project.copy, root, source, sources(root)[1])
    await job.run(
        [
            *(tools.uv(), "pip", "install", "--no-deps", "--python", str(interpreter)),
            *pypi_tree.options(job, env),
            str(source),
        ],
        step=f"build {job.request}",
        cwd=work,
        env=env,
    )
    await asyncio.to_thread(shutil.rmtree, source)
    described = project.read_toml(root / "pyproject.toml", step).get("project", {})
    name = str(described.get("name", root.name))
    return {
        "argv": pypi.program(work, interpreter, name, job.request.entry),
        "python": str(interpreter.resolve()),
    }


def declaration(root: Path, with_: tuple[str, ...]) -> str:
    """A digest of what the project says of its dependencies."""
    sha = hashlib.sha256(repr(with_).encode())
    for name in ("pyproject.toml", "uv.lock"):
        if (root / name).is_file():
            sha.update((root / name).read_bytes())
    return f"sha256-{sha.hexdigest()}"


def sources(root: Path) -> tuple[list[Path], frozenset[str]]:
    """The project's directory; `dist` and `build` are written by builds."""
    return [root], project.GENERATED | {"dist", "build"}


def usable(marker: dict[str, Any]) -> bool:
    """Whether the Python it was made with is still there."""
    return "python" not in marker or pypi.usable(marker)
