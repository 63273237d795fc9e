"""What the target, link-time optimisation and the allocator each bring.

    python benches/python/targeting.py [--json FILE] [WORKLOAD ...]

Builds the workloads of `benches/src/bin/workloads.rs` once a variant, each in a target folder of its own,
runs them in turn, round after round, and prints each variant's processor time as a ratio to what wheels are
built with. Takes a build from nothing for every variant: some minutes each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "targeting"
ROUNDS = 7
SECONDS = 0.3
"""About how long one run takes."""


class Variant(NamedTuple):
    """One way to build."""

    name: str
    cpu: str = "x86-64-v2"
    lto: str = '"thin"'
    units: int = 4
    features: tuple[str, ...] = ()


VARIANTS = (
    Variant("wheel: x86-64-v2, thin LTO"),
    Variant("x86-64, as compilers default to", cpu="x86-64"),
    Variant("x86-64-v3 (AVX2)", cpu="x86-64-v3"),
    Variant("the machine at hand", cpu="native"),
    Variant("without LTO", lto="false", units=16),
    Variant("fat LTO, one unit", lto='"fat"', units=1),
    Variant("with mimalloc", features=("mimalloc",)),
)


def build(variant: Variant) -> Path:
    """Build the workloads; returns the program."""
    folder = TARGET / variant.name.split(",")[0].replace(" ", "-").replace(":", "")
    settings = (
        f'build.rustflags=["-C", "target-cpu={variant.cpu}"]',
        f"profile.release.lto={variant.lto}",
        f"profile.release.codegen-units={variant.units}",
    )
    command = ["cargo", *(word for setting in settings for word in ("--config", setting))]
    command += ["build", "-q", "--release", "-p", "backstay-benches", "--bin", "workloads"]
    if variant.features:
        command += ["--features", ",".join(variant.features)]
    environ = {key: value for key, value in os.environ.items() if key != "RUSTFLAGS"}
    subprocess.run(command, check=True, cwd=ROOT, env={**environ, "CARGO_TARGET_DIR": str(folder)})
    return folder / "release" / "workloads"


def processor_time(program: Path, workload: str, times: int) -> float:
    """Seconds of processor time that one run takes."""
    process = subprocess.Popen([program, workload, str(times)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} {workload} {times} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def long_enough(program: Path, workload: str) -> int:
    """How many times a workload runs in about `SECONDS`."""
    times = 1
    while (took := processor_time(program, workload, times)) < SECONDS / 10:
        times *= 4
    return max(1, round(times * SECONDS / took))


def main() -> None:
    """Build all, measure all, print."""
    parser = argparse.ArgumentParser(description="What target, LTO and allocator each bring.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only those that begin so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios there too")
    options = parser.parse_args()
    programs = {variant.name: build(variant) for variant in VARIANTS}
    wheel = next(iter(programs.values()))
    listed = subprocess.run([wheel], check=True, capture_output=True, text=True).stdout.splitlines()
    chosen = [name for name in listed if name.startswith(tuple(options.workloads) or "")]
    ratios: dict[str, dict[str, float]] = {name: {} for name in programs}
    for workload in chosen:
        times = long_enough(wheel, workload)
        took: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, program in programs.items():
                took[name].append(processor_time(program, workload, times))
        ours = statistics.median(next(iter(took.values())))
        for name, values in took.items():
            ratios[name][workload] = statistics.median(values) / ours
        print(workload, *(f"{ratios[name][workload]:.2f}" for name in programs), sep=" | ", flush=True)
    print()
    for name, by_workload in ratios.items():
        mean = math.exp(statistics.fmean(math.log(ratio) for ratio in by_workload.values()))
        low, high = min(by_workload.values()), max(by_workload.values())
        print(f"{name:34} {mean:6.2f} of the wheel's time ({low:.2f} to {high:.2f})")
    if options.json:
        options.json.write_text(json.dumps(ratios, indent=1) + "\n")


if __name__ == "__main__":
    main()
