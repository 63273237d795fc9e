#!/usr/bin/env python3
"""Feed what reads others' bytes with libFuzzer's: tools/fuzz.py SECONDS [TARGET ...].

Two at a time, each for so many seconds, beginning from `fuzz/seeds/TARGET`. With `SEED=N` in the environment
a run begins with that seed from these alone and keeps nothing, so that runs differ little from one another;
without, it goes on from what earlier runs found (`target/fuzz/corpus/TARGET`) and takes a way of its own. Any
stable Rust does: the compiler's own coverage pass needs no nightly, so neither cargo-fuzz nor another
toolchain is installed; where they are, `cargo fuzz run TARGET` works too. With `SANITIZER=address` in the
environment, under that sanitizer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "fuzz"
AT_ONCE = 2
# What cargo-fuzz passes.
COVERAGE = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
]


def build(targets: list[str]) -> Path:
    """Build all of them for this machine; says where they are."""
    told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = told.split("host: ")[1].split()[0]
    flags, environment = list(COVERAGE), dict(os.environ)
    if sanitizer := environment.get("SANITIZER"):
        flags.append(f"-Zsanitizer={sanitizer}")
        environment["RUSTC_BOOTSTRAP"] = "1"
    environment |= {"RUSTFLAGS": " ".join(flags), "CARGO_TARGET_DIR": str(BUILT / (sanitizer or "plain"))}
    # With a named target the flags do not reach build scripts and macros.
    command = ["cargo", "build", "-q", "--release", "--locked", "--target", host]
    command += ["--manifest-path", str(ROOT / "fuzz/Cargo.toml")]
    command += [argument for target in targets for argument in ("--bin", target)]
    subprocess.run(command, check=True, env=environment)
    return Path(environment["CARGO_TARGET_DIR"]) / host / "release"


def run(program: Path, seconds: int) -> str | None:
    """Run one target; says what to print of a failure."""
    seed = os.environ.get("SEED")
    corpus = BUILT / ("once" if seed else "corpus") / program.name
    if seed:
        shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True, exist_ok=True)
    found = BUILT / "found" / program.name
    found.mkdir(parents=True, exist_ok=True)
    command = [str(program), str(corpus), f"-max_total_time={seconds}", f"-artifact_prefix={found}/"]
    command += ["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-print_final_stats=1", "-verbosity=1"]
    command += [f"-seed={seed}"] if seed else []
    seeds = ROOT / "fuzz/seeds" / program.name
    command += [str(seeds)] if seeds.is_dir() else []
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        return f"{program.name} failed; run it again with: {program} FILE, of {found}/\n{done.stderr[-3000:]}"
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    reached = covered[-1] if covered else "?"
    print(f"{program.name:10} {int(runs[1]) if runs else 0:>12,} runs, {reached} places reached")
    return None


def main() -> int:
    """Build, run, and say what failed."""
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    known = sorted(path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs"))
    targets = sys.argv[2:] or known
    if unknown := set(targets) - set(known):
        print(
            f"error: no target {', '.join(sorted(unknown))}\nhint: there are {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    built = build(targets)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda name: run(built / name, int(sys.argv[1])), targets))
    failures = [outcome for outcome in outcomes if outcome]
    print("\n".join(failures), end="", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
