"""`path:` with a Cargo.toml: built in a target directory of ours, so that a change rebuilds little."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages import native, project, tools
from backstay.packages.cargo import binaries
from backstay.packages.executable import choose
from backstay.packages.launch import LockedPackage

if TYPE_CHECKING:
    from backstay.packages.job import Job
    from backstay.packages.runtime import Runtime

usable = native.usable
runtime_for = native.runtime_for


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Note what the project's own Cargo.lock pins; write one if it has none, as any build would."""
    native.refuse_options(job.request)
    root = Path(job.request.name)
    step = f"resolve {job.request}"
    crate = await _crate(job, root, step)
    return LockedPackage(
        kind="path", name=root.name, version=str(crate["version"]), integrity=declaration(root, ())
    )


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build the project; what its marker says."""
    root = Path(job.request.name)
    step = f"build {job.request}"
    crate = await _crate(job, root, step)
    name, _ = choose(binaries(crate), package=str(crate["name"]), entry=job.request.entry)
    target = job.store.builds(root)
    await _cargo(
        job, "build", "--release", "--locked", "--bin", name, "--target-dir", str(target), cwd=root, step=step
    )
    return await native.keep(target / "release" / name, work)


def declaration(root: Path, with_: tuple[str, ...]) -> str:
    """A digest of what the project says of its dependencies."""
    sha = hashlib.sha256((root / "Cargo.toml").read_bytes())
    for directory in (root, *root.parents):
        if (directory / "Cargo.lock").is_file():
            sha.update((directory / "Cargo.lock").read_bytes())
            break
    return f"sha256-{sha.hexdigest()}"


def sources(root: Path) -> tuple[list[Path], frozenset[str]]:
    """The project, its path dependencies, and its workspace's manifest and lock file."""
    return project.rust_roots(root, f"read {root}"), project.GENERATED


async def _crate(job: Job, root: Path, step: str) -> dict[str, Any]:
    described = json.loads(await _cargo(job, "metadata", "--format-version", "1", cwd=root, step=step))
    manifest = root.resolve() / "Cargo.toml"
    crates: list[dict[str, Any]] = described["packages"]
    return next((c for c in crates if Path(c["manifest_path"]).resolve() == manifest), crates[0])


async def _cargo(job: Job, *arguments: str, cwd: Path, step: str) -> str:
    offline = ("--offline",) if job.offline else ()
    return await job.run([str(tools.find("cargo", job.env, step)), *arguments, *offline], step=step, cwd=cwd)
