"""Processes of the bench: built, pinned to a core, their processor time read, the load generator called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer import Peer

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BACKSTAY = Path(sys.executable).parent / "backstay"
CORES = sorted(os.sched_getaffinity(0))
MIDDLE, OTHERS = {CORES[0]}, set(CORES[1:2] or CORES)
"""One core for what is measured, another one for all else."""
TICK = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What one turn came to."""

    figures: dict[str, float]


def build() -> None:
    """Build the load generator, the server, the bare proxy, and the gateway as users get it."""
    bins = [word for name in ("load", "echo", "proxy") for word in ("--bin", name)]
    cargo = ["cargo", "build", "-q", "--release", "-p", "backstay-benches", *bins]
    subprocess.run(cargo, check=True, cwd=ROOT)
    subprocess.run(["make", "-s", "build", "PROFILE=release"], check=True, cwd=ROOT)


def start(command: Sequence[str | Path], cores: set[int], **options: Any) -> subprocess.Popen[str]:
    """Start a program on these cores; its standard output is a pipe."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=options.pop("stderr", subprocess.DEVNULL),
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        **options,
    )


def stop(process: subprocess.Popen[str]) -> None:
    """End a program that `start` started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Move every thread of these processes to these cores."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    found, waiting = set(), [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            waiting += map(int, children.read_text().split())
    return found


def processor_time(pids: Iterable[int]) -> float:
    """Seconds of processor time of these processes, to the kernel's accuracy of their threads."""
    total = 0.0
    for pid in pids:
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(schedstat.read_text().split()[0]) / 1e9
    return total


def resident(pids: Iterable[int]) -> int:
    """Bytes of memory that these processes have to themselves and share."""
    pages = 0
    for pid in pids:
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def load(peer: Peer, sessions: int, seconds: float, rate: float | None = None) -> Load:
    """Let the load generator call through a peer for a while."""
    command: list[str | Path] = [TARGET / "load", peer.url, peer.tool, "--sessions", str(sessions)]
    command += ["--seconds", str(seconds), "--warmup", "0", *peer.options]
    if rate is not None:
        command += ["--rate", str(rate)]
    if peer.token:
        command += ["--token", peer.token]
    process = start(command, OTHERS, stderr=subprocess.PIPE)
    assert process.stdout is not None
    opened = process.stdout.readline()
    before = processor_time(peer.pids())
    said, errors = process.communicate(timeout=seconds + 120)
    spent = processor_time(peer.pids()) - before
    if process.returncode != 0:
        raise RuntimeError(f"{peer.name}: {errors}")
    figures = json.loads(said)
    figures["refused"] = json.loads(opened)["refused"]
    figures["failed"] += figures["refused"]
    figures["cpu_us"] = spent / max(figures["calls"], 1) * 1e6
    return Load(figures)
