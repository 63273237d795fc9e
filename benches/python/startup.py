"""What starting costs: `import backstay`, `backstay --help`, `backstay ps`, beside bare Python.

    python benches/python/startup.py [--rounds N] [--json]

Whole processes, in turns, so that a busy machine slows all alike; each with a warm file cache. `ps` answers
from a daemon that this script runs in memory: its time is the command's own. Bare Python is the same
interpreter doing nothing; click alone is what any command line built on it pays. What is promised is held
against the processor time, which the machine's other work does not lengthen, and against the best wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from backstay.api.server import control_server  # noqa: E402

from tests.fake_fleet import FakeFleet  # noqa: E402

BUDGET_MS = {"import backstay": 30.0, "backstay --help": 200.0, "backstay ps": 200.0}
"""What DESIGN and the issue promise; for the import over bare Python, for the commands in all."""


def cases() -> dict[str, list[str]]:
    """What is timed."""
    python = [sys.executable]
    return {
        "python": [*python, "-c", "pass"],
        "import click": [*python, "-c", "import click"],
        "import backstay": [*python, "-c", "import backstay"],
        "import backstay.Fleet": [*python, "-c", "from backstay import Fleet"],
        "backstay --help": [*python, "-m", "backstay.cli", "--help"],
        "backstay ps": [*python, "-m", "backstay.cli", "ps"],
    }


def serve(folder: Path) -> None:
    """Answer as the daemon of a fleet of fifteen servers, for as long as this process lives."""
    from backstay.deploy.status import State

    fleet = FakeFleet()
    fleet.states = {f"server-{number}": State.READY for number in range(15)}
    (folder / "backstay.yaml").write_text("services: {}\n")
    (folder / ".backstay").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / ".backstay" / "control.sock"))
    listener.listen()
    server = control_server(fleet)
    threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),), daemon=True).start()


class Run(NamedTuple):
    """One process: how long it took, and how long it computed, in milliseconds."""

    wall: float
    cpu: float


def once(command: list[str], folder: Path) -> Run:
    """Run a command to its end."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return Run(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)


def measure(rounds: int) -> dict[str, list[Run]]:
    """Time every case `rounds` times, in turns, after one run that fills the caches."""
    runs: dict[str, list[Run]] = {name: [] for name in cases()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        serve(folder)
        for number in range(rounds + 1):
            for case, command in cases().items():
                run = once(command, folder)
                if number:
                    runs[case].append(run)
    return runs


def main() -> int:
    """Print the table; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = measure(options.rounds)
    rows = {
        name: {
            "cpu_ms": statistics.median(run.cpu for run in each),
            "wall_ms": statistics.median(run.wall for run in each),
            "best_ms": min(run.wall for run in each),
        }
        for name, each in runs.items()
    }
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows)
    broken = broken_promises(rows)
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    bare = rows["python"]["cpu_ms"]
    print(f"{'':22}{'cpu':>10}{'over bare':>12}{'ratio':>7}{'wall':>11}{'best wall':>12}")
    for name, row in rows.items():
        over, ratio = row["cpu_ms"] - bare, row["cpu_ms"] / bare
        walls = f"{row['wall_ms']:>8.1f} ms{row['best_ms']:>9.1f} ms"
        print(f"{name:22}{row['cpu_ms']:>7.1f} ms{over:>9.1f} ms{ratio:>6.1f}x{walls}")


def broken_promises(rows: dict[str, dict[str, float]]) -> list[str]:
    """Say which promises do not hold."""
    broken = []
    for name, budget in BUDGET_MS.items():
        bare = rows["python"] if name.startswith("import") else {"cpu_ms": 0.0, "best_ms": 0.0}
        cost = min(rows[name][kind] - bare[kind] for kind in ("cpu_ms", "best_ms"))
        if cost > budget:
            broken.append(f"{name} costs {cost:.0f} ms, more than {budget:.0f}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
