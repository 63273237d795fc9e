"""A pinned `node_modules` tree: resolved by npm, kept in the lock file, installed with `npm ci`.

npm's registry, proxy, certificate and token settings are the user's own (`.npmrc`, `npm_config_…`). The
tree names no registry, so a lock file made behind one mirror installs from another.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from backstay.packages import tools
from backstay.packages.runner import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.packages.job import Job

_QUIET = (
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
    "--omit-lockfile-registry-resolved",
)
#: What installs depend on; licences, funding and notices are left out of the lock file.
_KEPT = frozenset(
    [
        "version",
        "resolved",
        "integrity",
        "dependencies",
        "optionalDependencies",
        "peerDependencies",
        "peerDependenciesMeta",
        "bin",
        "engines",
        "os",
        "cpu",
        "libc",
        "optional",
        "devOptional",
        "peer",
        "dev",
        "hasInstallScript",
        "link",
        "inBundle",
        "bundleDependencies",
        "name",
        "extraneous",
    ]
)


def manifest(dependencies: Mapping[str, Any]) -> dict[str, Any]:
    """The `package.json` of an installation."""
    return {"name": "backstay-install", "version": "0.0.0", "private": True, **dependencies}


async def resolve(
    job: Job, dependencies: Mapping[str, Any], *, step: str, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Let npm choose every version of a tree.

    Args:
        job: the request.
        dependencies: the keys of `package.json` that name what is wanted.
        step: what this is, for the message if it fails.
        env: the environment, where it is not the job's.

    Returns:
        npm's `packages` table, path to facts.

    Raises:
        CommandFailed, PackageError: npm refused, or is missing.
    """
    async with job.store.scratch() as work:
        (work / "package.json").write_text(json.dumps(manifest(dependencies)))
        offline = ("--offline",) if job.offline else ()
        await job.attempt(
            [
                *tools.npm(job.env, step),
                "install",
                "--package-lock-only",
                "--ignore-scripts",
                *_QUIET,
                *offline,
            ],
            step=step,
            cwd=work,
            env=env,
        )
        return tree_of(json.loads((work / "package-lock.json").read_bytes()))


def tree_of(lock: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a `package-lock.json`, without its root and without what no install needs."""
    packages = lock.get("packages", {})
    tree = {
        path: {key: value for key, value in facts.items() if key in _KEPT}
        for path, facts in packages.items()
        if path
    }
    for path, facts in tree.items():
        if "integrity" in facts and "/-/" in facts.get("resolved", ""):
            del facts["resolved"]  # an npm too old to leave it out itself: the hash says what it is
        optional = facts.get("optionalDependencies")
        if optional:
            # An optional package that could not be had (published for some machines only, or not at all) is
            # left out of the tree, and `npm ci` refuses a tree in which somebody asks for it.
            facts["optionalDependencies"] = {
                name: wanted for name, wanted in optional.items() if _is_in(tree, path, name)
            }
    return tree


def _is_in(tree: Mapping[str, Any], path: str, name: str) -> bool:
    """Whether Node would find `name` from a package at `path`: in its own directory, or in one above."""
    while True:
        if f"{path}/node_modules/{name}".lstrip("/") in tree:
            return True
        if not path:
            return False
        path = path.rpartition("node_modules/")[0].rstrip("/")


async def install(
    job: Job,
    work: Path,
    dependencies: Mapping[str, Any],
    tree: Mapping[str, Any],
    *,
    step: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Install a pinned tree into `work`, scripts included.

    Raises:
        PackageError: npm refused, or is missing.
    """
    package = manifest(dependencies)
    optional = package.get("optionalDependencies", {})
    package["optionalDependencies"] = {n: v for n, v in optional.items() if _is_in(tree, "", n)}
    lock = {
        "name": package["name"],
        "version": package["version"],
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": package, **tree},
    }
    (work / "package.json").write_text(json.dumps(package))
    (work / "package-lock.json").write_text(json.dumps(lock))
    await ci(job, work, step=step, env=env)


async def ci(
    job: Job,
    work: Path,
    *,
    step: str,
    env: Mapping[str, str] | None = None,
    extra: tuple[str, ...] = ("--omit=dev",),
) -> None:
    """`npm ci` in a directory that has a lock file.

    Raises:
        PackageError: npm refused, or is missing.
    """
    command = [*tools.npm(job.env, step), "ci", *_QUIET, *extra]
    network = "--offline" if job.offline else "--prefer-offline"
    try:
        await job.attempt([*command, network], step=step, cwd=work, env=env)
    except CommandFailed as failed:
        # What npm remembers of a package may be older than the version that we pinned a moment ago.
        if job.offline or not re.search(r"ETARGET|E404|ENOTCACHED", failed.tail):
            raise job.explain(failed) from failed
        await job.run(command, step=step, cwd=work, env=env)
