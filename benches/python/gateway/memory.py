"""What the gateway and its sessions take of memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from fleet import Backstay
from running import TARGET, resident

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (100, 1000, 10_000)
ALONE = "import backstay.daemon.__main__, sys; print(flush=True); sys.stdin.read()"
"""The daemon's Python with all that it imports, and nothing done."""


def memory(folder: Path) -> None:
    """Print the resident memory of the daemon, and what each session adds with and without its connection."""
    with subprocess.Popen(
        [sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as python:
        assert python.stdout is not None
        python.stdout.readline()
        imported = resident([python.pid])
        python.communicate("")
    fleet = Backstay(folder, "", over="stdio")
    try:
        idle = resident([fleet.daemon])
        print(f"the daemon, idle, one server: {idle / 2**20:.1f} MiB resident, ", end="")
        print(f"of which Python with its modules {imported / 2**20:.1f}")
        print(f"{'sessions':>9}{'connected, KiB each':>22}{'not connected, KiB each':>26}")
        for sessions in SIZES:
            before = resident([fleet.daemon])
            connected = opened(fleet, sessions)
            after = resident([fleet.daemon])
            each = [(value - before) / sessions / 1024 for value in (connected, after)]
            print(f"{sessions:>9,}{each[0]:>22.1f}{each[1]:>26.1f}")
    finally:
        fleet.close()


def opened(fleet: Backstay, sessions: int) -> int:
    """Open so many sessions; the daemon's memory while all are connected."""
    command = [
        TARGET / "load",
        fleet.url,
        fleet.tool,
        "--sessions",
        str(sessions),
        "--token",
        fleet.token or "",
    ]
    command += ["--seconds", "0", "--warmup", "0", "--hold"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        connected = resident([fleet.daemon])
        load.communicate("")
    return connected
