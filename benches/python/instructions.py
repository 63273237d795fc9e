"""How many instructions an operation of the core structures takes, against a stored baseline.

    python benches/python/instructions.py [--write] [--profile PROFILE] [WORKLOAD ...]

Instructions do not depend on what else the machine does, so this can fail a build where a time could not.
Each workload of `benches/src/bin/workloads.rs` runs at two lengths under valgrind's callgrind, and the
difference is divided by the difference in length. More than `TOLERANCE` above the baseline fails; as much
below says to store the better figure with `--write`. Another compiler gives other counts: then nothing is
compared, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "benches" / "instructions.json"
TOLERANCE = 0.10
SHORT, LONG = 1_000, 11_000
"""Operations of the two runs: enough for rare work (a table that grows) and for what random seeds make of the
preparation to average out."""
TRIES = 3
"""How often a workload that seems to have become worse is counted before that is believed."""
SLOW = "graph: order"
"""Workloads whose one operation is a thousand times the others'."""


def count(program: Path, workload: str, times: int) -> int:
    """Instructions of a whole run."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*valgrind, program, workload, str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


def per_operation(program: Path, workload: str) -> float:
    """Instructions of one operation."""
    short, long = (2, 12) if workload.startswith(SLOW) else (SHORT, LONG)
    return (count(program, workload, long) - count(program, workload, short)) / (long - short)


def require_valgrind() -> None:
    """Install valgrind from Debian's packages where it is missing and we may."""
    if shutil.which("valgrind"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit("error: valgrind is not installed\nhint: install it with your package manager")
    environ = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environ)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "valgrind"]
    subprocess.run(install, check=True, env=environ)


def build(profile: str) -> Path:
    """Build the program that runs the workloads; returns where it is."""
    command = ["cargo", "build", "-q", "--profile", profile, "-p", "backstay-benches"]
    command += ["--bin", "workloads", "--message-format=json"]
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    messages = (json.loads(line) for line in done.stdout.splitlines())
    return Path(next(filter(None, (message.get("executable") for message in messages))))


def compiler() -> str:
    """The compiler's version, which the counts depend on."""
    done = subprocess.run(["rustc", "--version"], check=True, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split()[1]


def main() -> None:
    """Measure, then compare or write."""
    parser = argparse.ArgumentParser(description="Instructions an operation, against a stored baseline.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only those that begin so")
    parser.add_argument("--write", action="store_true", help="store what is measured as the baseline")
    parser.add_argument(
        "--profile", default="fast", help="the cargo profile the baseline is of (default: fast)"
    )
    options = parser.parse_args()
    require_valgrind()
    program = build(options.profile)
    listed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    chosen = [name for name in listed if name.startswith(tuple(options.workloads) or "")]
    stored = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    known: dict[str, float] = stored.get("instructions", {})
    comparable = stored.get("compiler") == compiler() and stored.get("profile") == options.profile
    if not comparable and not options.write:
        was = f"{stored.get('compiler')}, profile {stored.get('profile')}"
        print(f"the baseline is of rustc {was}, this is {compiler()}, {options.profile}: nothing is compared")
    measured, worse = {}, []
    for name in chosen:
        took = measured[name] = per_operation(program, name)
        was = known.get(name)
        for _ in range(TRIES - 1):
            if was is None or took <= was * (1 + TOLERANCE):
                break
            took = measured[name] = min(took, per_operation(program, name))
        change = "" if was is None else f"{took / was - 1:+8.1%}"
        print(f"{name:48} {took:12,.0f} {change}", flush=True)
        if was is not None and took > was * (1 + TOLERANCE):
            worse.append(f"{name}: {was:,.0f} before, {took:,.0f} now")
    if options.write:
        kept = {name: round(known.get(name, 0.0)) for name in listed} | {
            name: round(took) for name, took in measured.items()
        }
        text = {"compiler": compiler(), "profile": options.profile, "instructions": kept}
        BASELINE.write_text(json.dumps(text, indent=2) + "\n")
    elif comparable and worse:
        sys.exit("more instructions than the baseline allows:\n  " + "\n  ".join(worse))


if __name__ == "__main__":
    main()
