"""`cargo:` packages: a published crate, built with the dependencies that its own lock file pins.

The crate comes through a project of ours that depends on it: so cargo checks it against the registry's
checksum, and the user's registry, proxy and source replacement settings hold.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    with job.store.scratch() as work:
        crate, checksum = await _fetch(job, work, request.version or "*", step)
        version = str(crate["version"])
        tree: dict[str, Any] = {}
        source = Path(crate["manifest_path"]).parent
        if not (source / "Cargo.lock").is_file():
            copied = work / "crate"
            await asyncio.to_thread(shutil.copytree, source, copied)
            await _cargo(job, "generate-lockfile", *_at(copied), cwd=work, step=step)
            tree = {"lock": (copied / "Cargo.lock").read_text().splitlines()}
    return LockedPackage(kind="cargo", name=request.name, version=version, integrity=checksum, tree=tree)


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build a pinned crate; what its marker says."""
    step = f"build cargo:{locked.name} {locked.version}"
    with job.store.scratch() as scratch:
        crate, checksum = await _fetch(job, scratch, f"={locked.version}", step)
        if checksum != locked.integrity:
            raise failure(
                step,
                tail=f"the registry's checksum is {checksum}, backstay.lock pins {locked.integrity}",
                hint="find out why it changed before you run `backstay lock --upgrade`",
            )
        source = scratch / "crate"
        await asyncio.to_thread(shutil.copytree, Path(crate["manifest_path"]).parent, source)
        if "lock" in locked.tree:
            (source / "Cargo.lock").write_text("\n".join(locked.tree["lock"]) + "\n")
        target = scratch / "target"
        name, _ = choose(binaries(crate), package=locked.name, entry=job.request.entry)
        how = ("--release", "--locked", "--bin", name, "--target-dir", str(target), *_at(source))
        await _cargo(job, "build", *how, cwd=scratch, step=step)
        return native.keep(target / "release" / name, work)


def binaries(crate: dict[str, Any]) -> dict[str, str]:
    """The binary targets of a package, as `cargo metadata` describes it."""
    return {target["name"]: target["src_path"] for target in crate["targets"] if "bin" in target["kind"]}


async def _fetch(job: Job, work: Path, version: str, step: str) -> tuple[dict[str, Any], str | None]:
    """Download a crate; its metadata and its checksum."""
    work /= "project"  # beside the crate, not above it: cargo would take ours for its workspace
    (work / "src").mkdir(parents=True)
    (work / "src" / "lib.rs").touch()
    (work / "Cargo.toml").write_text(
        '[package]\nname = "backstay-install"\nversion = "0.0.0"\nedition = "2021"\n'
        f"[workspace]\n[dependencies]\n{json.dumps(job.request.name)} = {json.dumps(version)}\n"
    )
    described = json.loads(await _cargo(job, "metadata", "--format-version", "1", cwd=work, step=step))
    pinned = tomllib.loads((work / "Cargo.lock").read_text())["package"]
    crates = [crate for crate in described["packages"] if crate["name"] == job.request.name]
    crate = max(crates, key=lambda crate: [int(part) for part in crate["version"].split("-")[0].split(".")])
    checksums = [
        p.get("checksum") for p in pinned if (p["name"], p["version"]) == (crate["name"], crate["version"])
    ]
    return crate, checksums[0] if checksums else None


def _at(source: Path) -> tuple[str, str]:
    """A crate named from outside, as `cargo install` does: its rust-toolchain file is its authors' own."""
    return "--manifest-path", str(source / "Cargo.toml")


async def _cargo(job: Job, *arguments: str, cwd: Path, step: str) -> str:
    offline = ("--offline",) if job.offline else ()
    program = str(tools.find("cargo", job.env, step))
    return await job.run([program, *arguments, *offline], step=step, cwd=cwd)
