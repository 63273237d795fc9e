"""From a service to something that starts: pin it, install it once, say how to run it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from backstay.packages import cargo, gate, go, npm, path, pypi, runtime
from backstay.packages.failure import explain_os_error
from backstay.packages.job import Job
from backstay.packages.launch import Launch
from backstay.packages.prune import prune_now_and_then
from backstay.packages.request import Request
from backstay.packages.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from backstay.packages.launch import LockedPackage
    from backstay.packages.lock import Lockfile
    from backstay.packages.request import ServiceLike


class _Installer(Protocol):
    """What each package source's module offers."""

    async def resolve(self, job: Job, previous: LockedPackage | None) -> LockedPackage: ...
    async def runtime_for(self, job: Job, locked: LockedPackage) -> runtime.Runtime: ...
    async def build(
        self, job: Job, locked: LockedPackage, runtime: runtime.Runtime, work: Path
    ) -> dict[str, Any]: ...
    def usable(self, marker: dict[str, Any]) -> bool: ...


_INSTALLERS: Mapping[str, _Installer] = {"npm": npm, "pypi": pypi, "cargo": cargo, "go": go, "path": path}


async def resolve_and_install(
    service: ServiceLike,
    *,
    lock: Lockfile,
    cache: Path,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
    offline: bool = False,
) -> Launch:
    """Make a server ready to start: pinned in `lock`, whole in `cache`.

    What is pinned and installed costs no network and no installer. Installs of one process run side by
    side, as many as the machine bears; installs of the same thing by several processes happen once.

    Args:
        service: the service; of a `command:` or a URL nothing is installed, and the launch is empty.
        lock: the stack's pins; new ones are put in, and the caller saves it.
        cache: from `cache_dir()`.
        environ: the user's environment, of which installers see proxy, certificate and registry settings.
        progress: is told each step, line by line.
        offline: forbid the network: what is missing is an error.

    Returns:
        The program and its environment, without the service's own `args`.

    Raises:
        PackageError: with the step that failed, the end of its output, and what to try.
    """
    request = Request.of(service, lock.base)
    if request is None:
        return Launch((), {}, service.mcp.url or "" if service.mcp else "")
    job = Job(request, environ, Store(cache), progress, lock.base, offline)
    try:
        locked = await _pin(job, lock)
        return await _install(job, locked)
    except OSError as error:
        raise explain_os_error(error, f"install {request}", cache) from error


async def _pin(job: Job, lock: Lockfile) -> LockedPackage:
    """What the lock file says, or what resolving says, which goes to the lock file."""
    key = job.request.key(lock.base)
    async with lock.resolving(key):
        locked = lock.get(key)
        if locked is not None and (job.request.kind != "path" or path.fresh(job, locked)):
            return locked
        async with gate.shared().slot():
            job.progress(f"resolving {job.request}")
            locked = await _INSTALLERS[job.request.kind].resolve(job, locked)
        lock.put(key, locked)
        return locked


async def _install(job: Job, locked: LockedPackage) -> Launch:
    """The launch of what is pinned, installed first if nobody has."""
    request = job.request
    installer = _INSTALLERS[request.kind]
    on = await installer.runtime_for(job, locked)
    facts: dict[str, Any] = {
        "kind": request.kind,
        "name": locked.name,
        "version": locked.version,
        "integrity": locked.integrity,
        "tree": locked.tree,
        "with": request.with_,
        "entry": request.entry,
        "runtime": on.identity,
        "platform": runtime.platform(),
    }
    if request.kind == "path":
        facts |= await path.facts(job)
    entry = job.store.entry(f"{request.kind}-{locked.name}-{locked.version}", facts)

    built = False

    async def build(work: Path) -> dict[str, Any]:
        nonlocal built
        built = True
        async with gate.shared().slot():
            job.progress(f"{request.kind}:{locked.name} {locked.version}")
            return await installer.build(job, locked, on, work)

    existed = entry.is_dir()
    marker = await job.store.ensure(entry, build, usable=installer.usable, progress=job.progress)
    if not existed:
        await asyncio.to_thread(prune_now_and_then, job.store.root)
    return replace(_launch(job, locked, on, entry, marker), installed=built)


def _launch(
    job: Job, locked: LockedPackage, on: runtime.Runtime, entry: Path, marker: Mapping[str, Any]
) -> Launch:
    """Markers say `@/…` for files of their entry and `@node` for today's Node: entries can be moved."""
    argv = tuple(
        str(on.program) if part == "@node" else str(entry / part[2:]) if part.startswith("@/") else part
        for part in marker["argv"]
    )
    env = {}
    if on.fetched:
        env["PATH"] = f"{on.program.parent}{os.pathsep}{job.env['PATH']}"
    return Launch(argv, env, f"{locked.kind}:{locked.name} {locked.version}", locked)
