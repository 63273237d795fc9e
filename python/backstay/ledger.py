"""The resource ledger: who holds how much CPU, memory, storage and GPU, and which port.

The books are kept in Rust (`rust/ledger`); these names are the Rust classes themselves, so that a reservation
costs tens of nanoseconds. `machine()` is the one thing here that looks at the machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TypedDict

from backstay._core import (
    Batch,
    Claim,
    Lease,
    Ledger,
    PortLease,
    Ports,
    Resources,
    Usage,
    format_size,
    parse_size,
    port_is_free,
)

__all__ = [
    "Batch",
    "Capacity",
    "Claim",
    "Lease",
    "Ledger",
    "PortLease",
    "Ports",
    "Resources",
    "Usage",
    "capacity",
    "format_size",
    "parse_size",
    "port_is_free",
]

_CGROUP = Path("/sys/fs/cgroup")


class Capacity(TypedDict):
    """What a machine has, in the words of `Ledger(...)`."""

    cpus: float
    memory: int
    storage: int
    gpus: float


def capacity(directory: str | os.PathLike[str] = ".", *, cgroup: Path = _CGROUP) -> Capacity:
    """What this process may use of the machine: `Ledger(**capacity())`.

    A limit of the cgroup (a container's) counts where it is lower than what the machine has. Storage is what
    is free on the disk of `directory`. GPUs are those whose NVIDIA device files are there.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cpus = min(cpus, int(quota) / int(period))
    limit = _read(cgroup / "memory.max")
    if limit.isdigit():
        memory = min(memory, int(limit))
    gpus = sum(1 for device in Path("/dev").glob("nvidia[0-9]*") if device.name[6:].isdigit())
    return Capacity(cpus=cpus, memory=memory, storage=shutil.disk_usage(directory).free, gpus=float(gpus))


def _read(path: Path) -> str:
    """A small file's text, empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
