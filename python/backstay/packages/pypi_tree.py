"""A pinned Python environment: resolved by uv with hashes, kept in the lock file, installed by its hashes.

The resolution is universal: one tree for every platform and every Python from the one it was made with.
uv's index, proxy and certificate settings are the user's own; pip's are translated (`settings.py`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backstay.packages import tools
from backstay.packages.settings import uv_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from backstay.packages.job import Job
    from backstay.packages.runtime import Runtime

_HASH = re.compile(r"--hash=(\S+)")


def options(job: Job, env: Mapping[str, str]) -> list[str]:
    """The options of every uv command that has to do with packages."""
    found = []
    if job.offline:
        found.append("--offline")
    if env.get("UV_NO_INDEX", "").lower() in ("1", "true", "yes"):
        found.append("--no-index")
    return found


async def resolve(
    job: Job,
    requirements: Sequence[str],
    python: Runtime,
    *,
    step: str,
    previous: Mapping[str, Any] | None = None,
    extra: Sequence[str] = (),
) -> dict[str, Any]:
    """Let uv choose every version of a tree.

    Args:
        job: the request.
        requirements: what is wanted, as requirement lines.
        python: what it is for.
        step: what this is, for the message if it fails.
        previous: an older tree whose versions are kept where they still fit.
        extra: further arguments for uv (a project file to read).

    Returns:
        Requirement line to hashes.

    Raises:
        CommandFailed, PackageError: uv refused.
    """
    env = uv_environment(job.environ)
    minor = ".".join(python.version.split(".")[:2])
    async with job.store.scratch() as work:
        wanted = work / "requirements.in"
        wanted.write_text("".join(f"{line}\n" for line in requirements))
        pinned = work / "requirements.txt"
        if previous:
            pinned.write_text(text_of(previous))
        await job.attempt(
            [
                *(tools.uv(), "pip", "compile", str(wanted), *extra, "--output-file", str(pinned), "--quiet"),
                *("--universal", "--generate-hashes", "--no-header", "--no-annotate"),
                *("--python", str(python.program), "--python-version", minor, *options(job, env)),
            ],
            step=step,
            cwd=work,
            env=env,
        )
        return tree_of(pinned.read_text())


def tree_of(text: str) -> dict[str, Any]:
    """A requirements file with hashes as a table: requirement to its hashes."""
    tree: dict[str, Any] = {}
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line or line.startswith(("#", "--")):
            continue
        requirement = line.split(" --hash=", 1)[0].strip()
        tree[requirement] = sorted(_HASH.findall(line))
    return tree


def text_of(tree: Mapping[str, Any]) -> str:
    """The table as a requirements file."""
    return "".join(
        " \\\n    ".join([requirement, *(f"--hash={digest}" for digest in hashes)]) + "\n"
        for requirement, hashes in sorted(tree.items())
    )


def version_of(tree: Mapping[str, Any], name: str) -> str:
    """The version of a package in a tree; empty if it is not in it."""
    wanted = normalised(name)
    for requirement in tree:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", requirement)
        if match and normalised(match[1]) == wanted:
            return match[2]
    return ""


def normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


async def install(job: Job, work: Path, tree: Mapping[str, Any], python: Runtime, *, step: str) -> Path:
    """Make a virtual environment in `work` that can be moved, with exactly this tree in it.

    Returns:
        Its interpreter.

    Raises:
        PackageError: uv refused.
    """
    env = uv_environment(job.environ)
    venv = work / "venv"
    await job.run(
        [
            *(
                tools.uv(),
                "venv",
                "--relocatable",
                "--no-project",
                "--quiet",
                "--python",
                str(python.program),
            ),
            *([] if not job.offline else ["--offline"]),
            str(venv),
        ],
        step=step,
        cwd=work,
        env=env,
    )
    pinned = work / "requirements.txt"
    pinned.write_text(text_of(tree))
    interpreter = venv / "bin" / "python"
    if tree:
        await job.run(
            [
                *(
                    tools.uv(),
                    "pip",
                    "install",
                    "--require-hashes",
                    "--no-deps",
                    "--requirements",
                    str(pinned),
                ),
                *("--python", str(interpreter), *options(job, env)),
            ],
            step=step,
            cwd=work,
            env=env,
        )
    return interpreter
