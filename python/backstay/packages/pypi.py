"""`pypi:` packages: an environment of their own, and the console script that the package declares."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages import pypi_tree, runtime
from backstay.packages.executable import choose
from backstay.packages.failure import failure, is_missing_version
from backstay.packages.launch import LockedPackage
from backstay.packages.runner import CommandFailed
from backstay.packages.settings import uv_environment

if TYPE_CHECKING:
    from backstay.packages.job import Job


async def resolve(job: Job, previous: LockedPackage | None) -> LockedPackage:
    """Pin a package: the newest that satisfies the request, and its whole tree."""
    request = job.request
    step = f"resolve {request}"
    python = await runtime.find_python(await runtime.python(job), job, uv_environment(job.environ))
    try:
        tree = await pypi_tree.resolve(job, [request.requirement, *request.with_], python, step=step)
    except CommandFailed as failed:
        versions = await _versions(job, python) if is_missing_version(failed) else ()
        raise job.explain(failed, versions) from failed
    return LockedPackage(
        kind="pypi",
        name=request.name,
        version=pypi_tree.version_of(tree, request.name),
        tree=tree,
        runtime={"python": ".".join(python.version.split(".")[:2])},
    )


async def runtime_for(job: Job, locked: LockedPackage) -> runtime.Runtime:
    """The Python that a pinned package runs on."""
    return await runtime.python(job, locked.runtime.get("python"))


async def build(job: Job, locked: LockedPackage, python: runtime.Runtime, work: Path) -> dict[str, Any]:
    """Install a pinned package into an empty directory; what its marker says."""
    step = f"install pypi:{locked.name} {locked.version}"
    python = await runtime.find_python(python, job, uv_environment(job.environ))
    interpreter = await pypi_tree.install(job, work, locked.tree, python, step=step)
    return {
        "argv": program(work, interpreter, job.request.name, job.request.entry),
        "python": str(interpreter.resolve()),
    }


def usable(marker: dict[str, Any]) -> bool:
    """Whether the Python that an environment was made with is still there."""
    return Path(str(marker.get("python"))).exists()


def program(work: Path, interpreter: Path, name: str, entry: str | None) -> list[str]:
    """The command of a package's console script: the environment's Python with the script itself.

    Raises:
        PackageError: the package has none.
    """
    environment = interpreter.parent.parent
    scripts = _scripts(environment, name)
    module = next(
        iter(environment.glob(f"lib/python*/site-packages/{name.replace('-', '_')}/__main__.py")), None
    )
    if not scripts and entry is None and module is not None:
        return [f"@/{interpreter.relative_to(work)}", "-m", module.parent.name]
    script, _ = choose(scripts, package=name, entry=entry)
    path = interpreter.parent / script
    if not path.is_file():
        raise failure(
            f"find the executable of {name}",
            tail=f"its script `{script}` was not installed",
            hint="it may need an extra: `pypi:name[extra]`",
        )
    return [f"@/{interpreter.relative_to(work)}", f"@/{path.relative_to(work)}"]


def _scripts(environment: Path, name: str) -> dict[str, str]:
    """The console scripts that an installed package declares."""
    wanted = pypi_tree.normalised(name)
    for info in environment.glob("lib/python*/site-packages/*.dist-info"):
        if pypi_tree.normalised(info.name.removesuffix(".dist-info").rsplit("-", 1)[0]) != wanted:
            continue
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
        parser.read(info / "entry_points.txt", encoding="utf-8")
        return dict(parser.items("console_scripts")) if parser.has_section("console_scripts") else {}
    return {}


async def _versions(job: Job, python: runtime.Runtime) -> tuple[str, ...]:
    """The newest and the oldest version that resolve: uv lists no others."""
    found: list[str] = []
    for strategy in ("highest", "lowest-direct"):
        try:
            tree = await pypi_tree.resolve(
                job,
                [job.request.name],
                python,
                step="list versions",
                extra=("--no-deps", "--resolution", strategy),
            )
        except CommandFailed:
            return tuple(found)
        found.append(pypi_tree.version_of(tree, job.request.name))
    return tuple(dict.fromkeys(found))
