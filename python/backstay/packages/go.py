"""`go:` packages: a module's main package, built inside a module of ours that pins the whole tree.

`go install` would do, but keeps no record of what it chose; our `go.mod` and `go.sum` are that record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backstay.packages import native, tools
from backstay.packages.executable import choose
from backstay.packages.failure import failure, is_missing_version
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.packages.job import Job
    from backstay.packages.runtime import Runtime

usable = native.usable
runtime_for = native.runtime_for

_MAJOR = re.compile(r"/v\d+$")


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin a module: the newest that satisfies the request, its main package, and its whole tree."""
    request = job.request
    native.refuse_options(request)
    step = f"resolve {request}"
    version = request.version or "latest"
    async with job.store.scratch() as work:
        (work / "go.mod").write_text("module backstay.invalid/install\n")
        try:
            await go(job, "get", f"{request.name}@{version}", cwd=work, step=step)
        except CommandFailed as failed:
            versions = await _versions(job, work) if is_missing_version(failed) else ()
            raise job.explain(failed, versions) from failed
        try:
            package = await _main_package(job, work, step)
            await go(job, "get", f"{package}@{version}", cwd=work, step=step)
            shape = "{{.Module.Version}} {{.Module.Sum}}"
            found = (await go(job, "list", "-mod=mod", "-f", shape, package, cwd=work, step=step)).split()
        except CommandFailed as failed:
            raise job.explain(failed) from failed
        tree = {
            "package": package,
            "mod": (work / "go.mod").read_text().splitlines(),
            "sum": sorted((work / "go.sum").read_text().splitlines()),
        }
    return LockedPackage("go", request.name, found[0], found[1] if len(found) > 1 else None, tree)


async def build(job: Job, locked: LockedPackage, runtime: Runtime, work: Path) -> dict[str, Any]:
    """Build a pinned main package; what its marker says."""
    step = f"build go:{locked.name} {locked.version}"
    package = str(locked.tree["package"])
    async with job.store.scratch() as scratch:
        (scratch / "go.mod").write_text("\n".join(locked.tree["mod"]) + "\n")
        (scratch / "go.sum").write_text("\n".join(locked.tree["sum"]) + "\n")
        binary = scratch / short(package)
        try:
            await go(
                job, "build", "-mod=readonly", "-trimpath", "-o", str(binary), package, cwd=scratch, step=step
            )
        except CommandFailed as failed:
            raise job.explain(failed) from failed
        return await native.keep(binary, work)


def short(package: str) -> str:
    """The name that `go install` gives a main package's program."""
    return _MAJOR.sub("", package).rsplit("/", 1)[-1]


async def go(job: Job, *arguments: str, cwd: Path, step: str) -> str:
    """Run go.

    Raises:
        CommandFailed, PackageError: it refused, or is missing.
    """
    env = {**job.env, "GOWORK": "off"}
    if job.offline:
        env["GOPROXY"] = "off"
    return await job.attempt([str(tools.find("go", env, step)), *arguments], step=step, cwd=cwd, env=env)


async def main_packages(job: Job, pattern: str, work: Path, step: str) -> dict[str, str]:
    """The main packages under a pattern, by the name of their program."""
    shape = '{{if eq .Name "main"}}{{.ImportPath}}{{end}}'
    listed = await go(job, "list", "-mod=mod", "-e", "-find", "-f", shape, pattern, cwd=work, step=step)
    return {short(package): package for package in listed.split()}


async def _main_package(job: Job, work: Path, step: str) -> str:
    name = job.request.name
    if job.request.entry is None and name in (await main_packages(job, name, work, step)).values():
        return name
    packages = await main_packages(job, f"{name}/...", work, step)
    _, package = choose(packages, package=_MAJOR.sub("", name), entry=job.request.entry)
    return package


async def _versions(job: Job, work: Path) -> tuple[str, ...]:
    try:
        listed = await go(job, "list", "-m", "-versions", job.request.name, cwd=work, step="list versions")
    except CommandFailed:
        return ()
    return tuple(reversed(listed.split()[1:]))


def refuse_missing_sum(project: Path, step: str) -> None:
    """A project with dependencies and no `go.sum` pins nothing.

    Raises:
        PackageError: it has none.
    """
    if "require" in (project / "go.mod").read_text() and not (project / "go.sum").is_file():
        raise failure(step, tail=f"{project} has no go.sum", hint="run `go mod tidy` there and commit go.sum")
