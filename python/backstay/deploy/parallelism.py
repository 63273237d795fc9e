"""How much may start at once: as much as the machine bears, by what it says of itself.

`limits` is pure: a reading gives a number. `read` takes the reading.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from backstay.deploy.state import Limits

__all__ = ["Reading", "limits", "read"]

PRESSURE = Path("/proc/pressure/cpu")
CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine says of its processors."""

    cpus: float
    """Processors that this process may use: its affinity, and its group's quota."""
    load: float
    """Tasks that ran or waited to, averaged over the last minute."""
    pressure: float | None
    """Percent of the last ten seconds in which some task waited for a processor; none where not told."""
    own: int = 0
    """Starts of our own under way: their load is not the machine's."""


def limits(reading: Reading) -> Limits:
    """Say how many starts and installations the machine bears at once.

    A start keeps about one processor busy for some tenths of a second and waits in between, so an idle
    machine bears twice its processors. What is busy with other things is taken off, at most down to half.
    Pressure says how the machine really does: below a tenth of the time it is welcome (the processors are
    used, nobody waits long), above it the number falls in proportion, down to one at a time.

    Example:
        >>> limits(Reading(cpus=8, load=0.0, pressure=0.0)).starts
        16
        >>> limits(Reading(cpus=8, load=0.0, pressure=80.0)).starts
        3
    """
    cpus = max(1.0, reading.cpus)
    foreign = max(0.0, reading.load - reading.own)
    idle = max(cpus / 2, cpus - foreign)
    pressure = 0.0 if reading.pressure is None else min(100.0, max(0.0, reading.pressure))
    ease = 1.0 if pressure <= 10.0 else 1.0 - (pressure - 10.0) / 90.0
    starts = max(1, int(2 * idle * ease))
    # Installations wait for the network and disks most of the time.
    installs = max(2, int(2 * cpus * max(ease, 0.25)))
    return Limits(starts=starts, installs=installs)


def read(own: int = 0) -> Reading:
    """Ask the machine; a few microseconds."""
    return Reading(cpus=_cpus(), load=os.getloadavg()[0], pressure=_pressure(), own=own)


def _cpus() -> float:
    cpus = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = CGROUP_CPU.read_text().split()
        if quota != "max":
            cpus = min(cpus, int(quota) / int(period))
    except (OSError, ValueError):
        pass
    return cpus


def _pressure() -> float | None:
    try:
        line = PRESSURE.read_text().splitlines()[0]
        return float(line.split("avg10=", 1)[1].split()[0])
    except (OSError, ValueError, IndexError):
        return None
