"""Counting and rendering, beside prometheus_client."""

from __future__ import annotations

import time

import prometheus_client
from backstay import Ports
from backstay.metrics import Counter, Histogram, LogLinear
from backstay.metrics import Registry as Series
from compare import Inline, compare, say

SIZE = 100_000


def run() -> None:
    """Count with and without labels, and render, beside prometheus_client."""
    count()
    render()


def count() -> None:
    """Write to a series that is at hand, and to one that is found by its labels."""
    series, theirs = Series(), prometheus_client.CollectorRegistry()
    released = Ports(30000, 30001).lease("nobody")
    released.release()
    names: dict[str, object] = {
        "released": released,
        "plain": Counter("a", "", registry=series),
        "labelled": Counter("b", "", ["x", "y"], registry=series),
        "seconds": Histogram("c", "", registry=series),
        "fine": Histogram("d", "", buckets=LogLinear(1e-6, 3600), registry=series),
        "plain2": prometheus_client.Counter("a", "", registry=theirs),
        "labelled2": prometheus_client.Counter("b", "", ["x", "y"], registry=theirs),
        "seconds2": prometheus_client.Histogram("c", "", registry=theirs),
    }
    compare(
        "metrics: inc",
        {
            "Counter": Inline("plain.inc()", names),
            "prometheus_client": Inline("plain2.inc()", names),
            "an empty PyO3 method": Inline("released.release()", names),
        },
    )
    compare(
        "metrics: labels + inc",
        {
            "Counter": Inline('labelled.labels("files", "read").inc()', names),
            "prometheus_client": Inline('labelled2.labels("files", "read").inc()', names),
            "two empty PyO3 methods": Inline("released.release(); released.release()", names),
        },
    )
    compare(
        "metrics: observe",
        {
            "Histogram": Inline("seconds.observe(0.017)", names),
            "Histogram, log-linear": Inline("fine.observe(0.017)", names),
            "prometheus_client": Inline("seconds2.observe(0.017)", names),
        },
    )


def render() -> None:
    """A hundred thousand series, as they were, with some changed, with all changed."""
    big, program = Series(), prometheus_client.CollectorRegistry()
    labels = ["service", "tool"]
    wide = Counter("calls", "Calls", labels, registry=big, cap=2 * SIZE)
    wide2 = prometheus_client.Counter("calls", "Calls", labels, registry=program)
    all_of_it = []
    for i in range(SIZE):
        values = (f"service-{i % 100}", f"tool-{i}")
        all_of_it.append(wide.labels(*values))
        wide2.labels(*values).inc()
        all_of_it[-1].inc(10)
    text = memoryview(big.render())
    title = f"metrics: render {SIZE:,} series"

    def changed(step: int) -> float:
        for one in all_of_it[::step]:
            one.inc()
        began = time.perf_counter_ns()
        big.render()
        return time.perf_counter_ns() - began

    # The counting is not part of it; two digits stay two digits.
    some = sorted(changed(64) for _ in range(15))[7]
    every = sorted(changed(1) for _ in range(15))[7]
    took = compare(
        title, {"unchanged": big.render, "memcpy": Inline("bytes(text)", {"text": text})}, calls=3, rounds=15
    )
    unchanged = took["unchanged"]
    say(title, "one in 64 changed", some, "ns", some / unchanged)
    say(title, "all changed", every, "ns", every / unchanged)
    began = time.perf_counter_ns()
    lines = prometheus_client.generate_latest(program).count(b"\n")
    whole = time.perf_counter_ns() - began
    # It also writes _created: compared by the line.
    alike = whole * bytes(text).count(b"\n") / lines
    say(title, "generate_latest, equal lines", alike, "ns", alike / unchanged)
