"""How this folder measures: peers in turn, round after round, and the median of each.

A busy machine is then busy for all peers alike; quote the ratios. Every line goes to the terminal, and to the
list that `report` writes as JSON for `make bench-report`.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
from timeit import Timer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

ROUNDS = 7


class Inline(NamedTuple):
    """A statement timed where it stands, without a function around it: for what takes tens of nanoseconds."""

    statement: str
    names: dict[str, object]


_lines: list[dict[str, object]] = []


def per_call(call: Callable[[], object] | Inline, calls: int = 20_000) -> float:
    """Nanoseconds a call, the loop's own cost taken off."""
    timer = Timer(call.statement, globals=dict(call.names)) if isinstance(call, Inline) else Timer(call)
    return (timer.timeit(calls) - Timer("pass").timeit(calls)) / calls * 1e9


def compare(
    title: str,
    peers: dict[str, Callable[[], object] | Inline],
    calls: int = 20_000,
    *,
    per: int = 1,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Time the peers in turn and print what each takes in nanoseconds; the first one is ours.

    `per` divides: how many operations one call does.
    """
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            gc.collect()
            times[name].append(per_call(call, calls) / per)
    medians = {name: statistics.median(took) for name, took in times.items()}
    ours = next(iter(medians.values()))
    for name, took in medians.items():
        say(title, name, took, "ns", took / ours)
    return medians


def say(title: str, name: str, value: float, unit: str, ratio: float | None = None) -> None:
    """Print one figure and keep it for the report; `ratio` is against ours."""
    beside = "" if ratio is None else f"{ratio:8.1f}x"
    print(f"{title:38} {name:30} {value:16,.2f} {unit} {beside}", flush=True)
    _lines.append({"title": title, "name": name, "value": value, "unit": unit, "ratio": ratio})


def growth(title: str, name: str, points: Iterable[tuple[int, float]]) -> float:
    """Print the growth exponent of (size, time): the slope of the logarithms. 1 is linear."""
    logs = [(math.log(size), math.log(took)) for size, took in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    say(f"{title}: growth exponent", name, slope, "")
    return slope


def report(file: Path) -> None:
    """Write every line so far as JSON."""
    file.write_text(json.dumps(_lines, indent=1) + "\n")
