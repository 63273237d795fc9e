"""What this machine has: the measure of what a stack may reserve."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores, memory and GPUs that this process may use."""

    cpus: float
    memory: int
    gpus: int

    @classmethod
    def here(cls) -> Machine:
        """Measure this machine, by its cgroup's limits where they are tighter."""
        return cls(cpus=_cpus(), memory=_memory(), gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))))


def _cgroup() -> Path:
    """Return the folder of this process's cgroup (version 2)."""
    try:
        match = re.search(r"^0::(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return Path("/sys/fs/cgroup") / (match[1].lstrip("/") if match else "")


def _cgroup_values(name: str) -> list[str]:
    """Return a limit's value in this cgroup and in all above it."""
    folder, values = _cgroup(), []
    while True:
        with suppress(OSError):
            values.append((folder / name).read_text().strip())
        if folder == Path("/sys/fs/cgroup") or folder == folder.parent:
            return values
        folder = folder.parent


def _cpus() -> float:
    cpus = float(len(os.sched_getaffinity(0)))
    for value in _cgroup_values("cpu.max"):
        quota, _, period = value.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            cpus = min(cpus, int(quota) / int(period))
    return cpus


def _memory() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([memory, *(int(value) for value in _cgroup_values("memory.max") if value.isdigit())])
