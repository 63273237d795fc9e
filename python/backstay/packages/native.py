"""What Rust and Go servers share: a compiled program, which needs nothing else to run."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages.failure import failure
from backstay.packages.runtime import Runtime

if TYPE_CHECKING:
    from backstay.packages.job import Job
    from backstay.packages.launch import LockedPackage
    from backstay.packages.request import Request


async def runtime_for(job: Job, locked: LockedPackage) -> Runtime:
    """A compiled program runs by itself."""
    return Runtime(Path(), "", "native")


def usable(marker: dict[str, Any]) -> bool:
    """A compiled program depends on nothing that could go away."""
    return True


async def keep(binary: Path, work: Path) -> dict[str, Any]:
    """Copy a built program into the entry; what the marker says of it."""
    (work / "bin").mkdir()
    await asyncio.to_thread(shutil.copy2, binary, work / "bin" / binary.name)
    (work / "bin" / binary.name).chmod(0o755)
    return {"argv": [f"@/bin/{binary.name}"]}


def refuse_options(request: Request) -> None:
    """`with:` and `runtime:` say nothing about a compiled program.

    Raises:
        PackageError: one of them is given.
    """
    if request.with_:
        raise failure(f"resolve {request}", tail="`with:` is for npm and Python packages", hint="remove it")
    if request.runtime:
        raise failure(
            f"resolve {request}",
            tail=f"`runtime: {request.runtime}` is for npm and Python packages",
            hint="remove it",
        )
