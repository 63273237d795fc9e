"""Run the comparisons and rewrite the tables of benches/README.md: `make bench-report`.

    python benches/python/report.py [--reuse]

The prose of the page stays; what stands between `<!-- begin NAME -->` and `<!-- end -->` is replaced: the
machine, the Rust tables (criterion's medians) and the Python tables. `--reuse` takes the figures of the last
run instead of measuring anew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "benches" / "README.md"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "native"
CRITERION = TARGET / "criterion"
FIGURES = TARGET / "python-figures.json"
BENCHES = ("core", "mcp")


def measure() -> None:
    """Run both halves; what they print goes to the terminal."""
    subprocess.run(["rm", "-rf", CRITERION], check=True)
    benches = [word for bench in BENCHES for word in ("--bench", bench)]
    subprocess.run([*native_cargo(), "bench", *benches], check=True, cwd=ROOT)
    TARGET.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, ROOT / "benches" / "python" / "core", "--json", FIGURES]
    subprocess.run(command, check=True, cwd=ROOT)


def native_cargo() -> list[str]:
    """Cargo as `make bench` calls it: for the machine at hand, in a target folder of its own."""
    flags = ["-C", "target-cpu=native"]
    return ["env", f"CARGO_TARGET_DIR={TARGET}", "cargo", "--config", f"build.rustflags={json.dumps(flags)}"]


def machine() -> str:
    """Say where and when."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    rustc = version.stdout.split()[1]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    date = datetime.datetime.now(tz=datetime.UTC).date()
    return (
        f"{date}, {model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, "
        f"load {load} at the end; rustc {rustc}, profile `bench` for the machine at hand; "
        f"{platform.python_implementation()} {platform.python_version()}, "
        "the extension as `make build PROFILE=release` makes it."
    )


def rust_tables() -> str:
    """One table a group: a row a function, a column a size."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for file in sorted(CRITERION.glob("**/new/benchmark.json")):
        about = json.loads(file.read_text())
        median = json.loads((file.parent / "estimates.json").read_text())["median"]["point_estimate"]
        functions = groups.setdefault(about["group_id"], {})
        functions.setdefault(about["function_id"] or "", {})[about["value_str"] or ""] = median
    parts = []
    for group, functions in sorted(groups.items()):
        sizes = sorted({size for values in functions.values() for size in values}, key=natural)
        head = [group, *(grouped(size) or "time" for size in sizes)]
        rows = [
            [function, *(time(values[size]) if size in values else "" for size in sizes)]
            for function, values in functions.items()
        ]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def python_tables() -> str:
    """One table: what was asked, who answered, and how many times ours that is."""
    lines: list[dict[str, Any]] = json.loads(FIGURES.read_text())
    rows = []
    for title, of_title in groupby(lines, key=lambda line: line["title"]):
        for first, line in zip((True, *[False] * len(lines)), of_title, strict=False):
            plain = f"{line['value']:,.2f} {line['unit']}".strip()
            value = time(line["value"]) if line["unit"] == "ns" else plain
            ratio = "" if line["ratio"] is None else f"{line['ratio']:,.1f}x"
            rows.append([title if first else "", line["name"], value, ratio])
    return table(["", "", "median", "of ours"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def natural(size: str) -> tuple[int, str]:
    """Sort numbers as numbers."""
    return (int(size), "") if size.isdigit() else (0, size)


def grouped(size: str) -> str:
    """Write a number with its thousands apart."""
    return f"{int(size):,}" if size.isdigit() else size


def time(nanoseconds: float) -> str:
    """Write a time with three digits and the unit that fits."""
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= factor:
            return f"{nanoseconds / factor:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def rewrite(sections: dict[str, str]) -> None:
    """Put the sections into the page, which is replaced at once."""
    text = PAGE.read_text()
    for name, body in sections.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text)
        if found != 1:
            sys.exit(f"{PAGE.name} has no `<!-- begin {name} -->` … `<!-- end -->`")
    fresh = PAGE.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(PAGE)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Rewrite the tables of benches/README.md.")
    parser.add_argument("--reuse", action="store_true", help="take the last run's figures")
    if not parser.parse_args().reuse:
        measure()
    rewrite({"machine": machine(), "rust": rust_tables(), "python": python_tables()})


if __name__ == "__main__":
    main()
