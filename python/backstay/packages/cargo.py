"""`cargo:` packages: a published crate, built with the dependencies that its own lock file pins.

The crate comes through a project of ours that depends on it: so cargo checks it against the registry's
checksum, and the user's registry, proxy and source replacement settings hold.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from backstay.packages import native, tools
from backstay.packages.executable import choose
from backstay.packages.failure import failure
from backstay.packages.launch import LockedPackage

if TYPE_CHECKING:
    from backstay.packages.job import Job
    from backstay.packages.runtime import Runtime

usable = native.usable
runtime_for = native.runtime_for


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin a crate: the newest that satisfies the request, and its tree where it publishes no lock file."""
    request = job.request
    native.refuse_options(request)
    step = f"resolve {request}"
    async with job.store.scratch() as work:
        version, checksum, source = await _fetch(job, work, request.version or "*", step)
        tree: dict[str, Any] = {}
        if not (source / "Cargo.lock").is_file():
            await _cargo(job, "generate-lockfile", *_at(source), cwd=work, step=step)
            tree = {"lock": (source / "Cargo.lock").read_text().splitlines()}
    return LockedPackage(kind="cargo", name=request.name, version=version, integrity=checksum, tree=tree)


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build a pinned crate; what its marker says."""
    step = f"build cargo:{locked.name} {locked.version}"
    async with job.store.scratch() as scratch:
        _, checksum, source = await _fetch(job, scratch, f"={locked.version}", step)
        if checksum != locked.integrity:
            raise failure(
                step,
                tail=f"the registry's checksum is {checksum}, backstay.lock pins {locked.integrity}",
                hint="find out why it changed before you run `backstay lock --upgrade`",
            )
        if "lock" in locked.tree:
            (source / "Cargo.lock").write_text("\n".join(locked.tree["lock"]) + "\n")
        described = await _cargo(
            job, "metadata", "--no-deps", "--format-version", "1", *_at(source), cwd=scratch, step=step
        )
        crate = json.loads(described)["packages"][0]
        name, _ = choose(binaries(crate), package=locked.name, entry=job.request.entry)
        target = scratch / "target"
        how = ("--release", "--locked", "--bin", name, "--target-dir", str(target), *_at(source))
        await _cargo(job, "build", *how, cwd=scratch, step=step)
        return await native.keep(target / "release" / name, work)


def binaries(crate: dict[str, Any]) -> dict[str, str]:
    """The binary targets of a package, as `cargo metadata` describes it."""
    return {target["name"]: target["src_path"] for target in crate["targets"] if "bin" in target["kind"]}


async def _fetch(job: Job, work: Path, version: str, step: str) -> tuple[str, str | None, Path]:
    """Download a crate: its version, its checksum, and a copy of its source."""
    name = job.request.name
    project = work / "project"  # beside the copy, not above it: cargo would take ours for its workspace
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").touch()
    (project / "Cargo.toml").write_text(
        '[package]\nname = "backstay-install"\nversion = "0.0.0"\nedition = "2021"\n'
        f"[workspace]\n[dependencies]\n{json.dumps(name)} = {json.dumps(version)}\n"
    )
    await _cargo(job, "generate-lockfile", cwd=project, step=step)
    pinned = tomllib.loads((project / "Cargo.lock").read_text())["package"]
    crate = max((p for p in pinned if p["name"] == name), key=lambda p: Version(p["version"]))
    about = await _cargo(job, "-vV", cwd=project, step=step)
    host = next((line.split()[1] for line in about.splitlines() if line.startswith("host:")), None)
    await _cargo(job, "fetch", "--locked", *(("--target", host) if host else ()), cwd=project, step=step)
    fetched = _downloaded(job, f"{name}-{crate['version']}", crate.get("checksum"))
    if fetched is None:  # the user's settings replace the registry: only cargo knows by what
        vendored = work / "vendored"
        how = ("--respect-source-config", "--versioned-dirs", "--locked", str(vendored))
        await _cargo(job, "vendor", *how, cwd=project, step=step)
        fetched = vendored / f"{name}-{crate['version']}"
    source = work / "crate"
    await asyncio.to_thread(shutil.copytree, fetched, source)
    return crate["version"], crate.get("checksum"), source


def _downloaded(job: Job, name: str, checksum: str | None) -> Path | None:
    """Where cargo unpacked a crate, if its archive is the one with this checksum."""
    home = Path(job.env.get("CARGO_HOME") or Path(job.env["HOME"], ".cargo"))
    for archive in home.glob(f"registry/cache/*/{name}.crate"):
        unpacked = home / "registry" / "src" / archive.parent.name / name
        if unpacked.is_dir() and hashlib.sha256(archive.read_bytes()).hexdigest() == checksum:
            return unpacked
    return None


def _at(source: Path) -> tuple[str, str]:
    """A crate named from outside, as `cargo install` does: its rust-toolchain file is its authors' own."""
    return "--manifest-path", str(source / "Cargo.toml")


async def _cargo(job: Job, *arguments: str, cwd: Path, step: str) -> str:
    offline = ("--offline",) if job.offline else ()
    program = str(tools.find("cargo", job.env, step))
    return await job.run([program, *arguments, *offline], step=step, cwd=cwd)
