"""Counting and rendering, beside prometheus_client."""

from __future__ import annotations

import time

import prometheus_client
from backstay.metrics import Counter
from backstay.metrics import Registry as Series
from compare import compare, say


def run() -> None:
    """Count with and without labels, and render, beside prometheus_client."""
    series, theirs = Series(), prometheus_client.CollectorRegistry()
    plain, labelled = Counter("a", "", registry=series), Counter("b", "", ["x", "y"], registry=series)
    plain2 = prometheus_client.Counter("a", "", registry=theirs)
    labelled2 = prometheus_client.Counter("b", "", ["x", "y"], registry=theirs)
    compare("metrics: inc", {"Counter": plain.inc, "prometheus_client": plain2.inc})
    compare(
        "metrics: labels + inc",
        {
            "Counter": lambda: labelled.labels("files", "read").inc(),
            "prometheus_client": lambda: labelled2.labels("files", "read").inc(),
        },
    )
    big = Series()
    wide = Counter("calls", "Calls", ["service", "tool"], registry=big, cap=200_000)
    size, program = 100_000, prometheus_client.CollectorRegistry()
    wide2 = prometheus_client.Counter("calls", "Calls", ["service", "tool"], registry=program)
    for i in range(size):
        wide.labels(f"service-{i % 100}", f"tool-{i}").inc()
        wide2.labels(f"service-{i % 100}", f"tool-{i}").inc()
    text = big.render()
    touched = [wide.labels(f"service-{i % 100}", f"tool-{i}") for i in range(0, size, 64)]

    def changed() -> None:
        for one in touched:
            one.inc()
        big.render()

    compare(
        f"metrics: render {size:,} series",
        {
            "unchanged": big.render,
            "one in 64 changed": changed,
            "memcpy": lambda: bytes(bytearray(text)),
        },
        calls=3,
    )
    began = time.perf_counter_ns()
    prometheus_client.generate_latest(program)
    say(
        f"metrics: render {size:,} series",
        "generate_latest, also _created",
        time.perf_counter_ns() - began,
        "ns",
    )
