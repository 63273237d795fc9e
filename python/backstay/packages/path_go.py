"""`path:` with a go.mod: its main package, built with what its own go.sum pins."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages import go, native, project
from backstay.packages.executable import choose
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed

if TYPE_CHECKING:
    from backstay.packages.job import Job
    from backstay.packages.runtime import Runtime

usable = native.usable
runtime_for = native.runtime_for


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Note what the project's own go.mod and go.sum pin."""
    native.refuse_options(job.request)
    root = Path(job.request.name)
    go.refuse_missing_sum(root, f"resolve {job.request}")
    return LockedPackage(kind="path", name=root.name, version="(devel)", integrity=declaration(root, ()))


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build the project's main package; what its marker says."""
    root = Path(job.request.name)
    step = f"build {job.request}"
    async with job.store.scratch() as scratch:
        try:
            packages = await _main_packages(job, root, step)
            module = (await go.go(job, "list", "-m", cwd=root, step=step)).split()[0]
            name, package = choose(packages, package=module, entry=job.request.entry)
            binary = scratch / name
            await go.go(job, "build", "-trimpath", "-o", str(binary), package, cwd=root, step=step)
        except CommandFailed as failed:
            raise job.explain(failed) from failed
        return await native.keep(binary, work)


def declaration(root: Path, with_: tuple[str, ...]) -> str:
    """A digest of what the project says of its dependencies."""
    sha = hashlib.sha256((root / "go.mod").read_bytes())
    if (root / "go.sum").is_file():
        sha.update((root / "go.sum").read_bytes())
    return f"sha256-{sha.hexdigest()}"


def sources(root: Path) -> tuple[list[Path], frozenset[str]]:
    """The project and what its `replace` lines point at; a vendored tree is source."""
    return project.go_roots(root), project.GENERATED


async def _main_packages(job: Job, root: Path, step: str) -> dict[str, str]:
    shape = '{{if eq .Name "main"}}{{.ImportPath}}{{end}}'
    listed = await go.go(job, "list", "-e", "-find", "-f", shape, "./...", cwd=root, step=step)
    return {go.short(package): package for package in listed.split()}
