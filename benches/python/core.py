"""What the Rust structures cost from Python, beside what one would otherwise take.

    python benches/python/core.py [ledger|ports|registry|metrics|graph] ...

Each line is the median of interleaved rounds, so that a busy machine is busy for all peers alike. Built with
`make build PROFILE=release`.
"""

from __future__ import annotations

import gc
import math
import platform
import random
import statistics
import sys
import time
from collections import deque
from importlib.metadata import version
from itertools import repeat
from typing import TYPE_CHECKING

from backstay import Graph, Ledger, Ports, Registry
from backstay.metrics import Counter
from backstay.metrics import Registry as Series

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7


def per_call(call: Callable[[], object], calls: int = 20_000) -> float:
    """Nanoseconds a call, the loop's own cost taken off."""
    began = time.perf_counter_ns()
    for _ in repeat(None, calls):
        call()
    took = time.perf_counter_ns() - began
    began = time.perf_counter_ns()
    for _ in repeat(None, calls):
        pass
    return (took - (time.perf_counter_ns() - began)) / calls


def compare(title: str, peers: dict[str, Callable[[], object]], calls: int = 20_000) -> dict[str, float]:
    """Print what each peer takes; the first one is ours."""
    rounds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, call in peers.items():
            gc.collect()
            rounds[name].append(per_call(call, calls))
    medians = {name: statistics.median(times) for name, times in rounds.items()}
    ours = next(iter(medians.values()))
    for name, took in medians.items():
        print(f"{title:34} {name:28} {took:14,.1f} ns {took / ours:8.1f}x", flush=True)
    return medians


def ledger() -> None:
    """Reserve and give back: by name, with a lease, in a `with` block."""
    books = Ledger(cpus=64, memory="64Gi", storage="1Ti", gpus=8)
    for i in range(1000):
        books.reserve(f"other.{i}", cpus=0.01, memory=1000)

    def by_name() -> None:
        books.reserve("web.1", cpus=0.5, memory=1 << 29)
        books.release("web.1")

    def by_lease() -> None:
        books.reserve("web.1", cpus=0.5, memory=1 << 29).release()

    def in_block() -> None:
        with books.reserve("web.1", cpus=0.5, memory=1 << 29):
            pass

    compare("ledger: reserve + release", {"by lease": by_lease, "by name": by_name, "with block": in_block})
    compare("ledger: read", {"usage()": books.usage})
    wanted = [(f"batch.{i}", 0.01, 1000, 0, 0) for i in range(1000)]

    def batch() -> None:
        for lease in books.reserve_all(wanted):
            lease.release()

    compare("ledger: batch of 1,000", {"reserve_all + release": batch}, calls=50)


def ports() -> None:
    """Lease and give back a port at several fills, beside a linear search."""
    for first, last, fill in ((30000, 31999, 0.0), (30000, 31999, 0.99), (1024, 65535, 0.5)):
        pool = Ports(first, last)
        size = last - first + 1
        held = set()
        for i in range(int(size * fill)):
            held.add(pool.lease(f"other.{i}").port)

        def ours(pool: Ports = pool) -> None:
            pool.lease("web.1").release()

        def linear(held: set[int] = held, first: int = first, last: int = last) -> None:
            for port in range(first, last + 1):
                if port not in held:
                    held.add(port)
                    held.remove(port)
                    return

        compare(f"ports: {size:,} at {fill:.0%}", {"Ports": ours, "search in a set": linear}, calls=200)


def registry() -> None:
    """Look up and register at several sizes."""
    for size in (100, 10_000, 100_000):
        known = Registry()
        for i in range(size):
            known.register(f"service-{i}", f"service-{i}.1", address="127.0.0.1:1")
        name = f"service-{size // 2}"

        def change(known: Registry = known) -> None:
            known.register("new", "new.1")
            known.deregister("new.1")

        def find(known: Registry = known, name: str = name) -> None:
            known.lookup(name)

        def get(known: Registry = known, name: str = f"{name}.1") -> None:
            known.get(name)

        compare(
            f"registry of {size:,}",
            {"lookup": find, "get": get, "register + deregister": change, "snapshot": known.snapshot},
        )


def metrics() -> None:
    """Count with and without labels, and render, beside prometheus_client."""
    import prometheus_client

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
    print(f"{'':34} generate_latest (also _created) {(time.perf_counter_ns() - began):14,.1f} ns")


def graph() -> None:
    """From string names to an order, five edges a node, beside what one would otherwise take."""
    import graphlib

    import networkx as nx
    import rustworkx as rx

    times: dict[str, list[tuple[int, float]]] = {}
    for size in (1_000, 10_000, 100_000):
        rng = random.Random(7)
        edges = [(f"service-{i}", f"service-{rng.randrange(i)}") for i in range(1, size) for _ in range(5)]

        def ours(edges: list[tuple[str, str]] = edges) -> list[str]:
            return Graph.from_edges(edges).order()

        def rust(edges: list[tuple[str, str]] = edges) -> list[str]:
            indices: dict[str, int] = {}
            other: rx.PyDiGraph[str, None] = rx.PyDiGraph()
            pairs = []
            for a, b in edges:
                if (i := indices.get(a)) is None:
                    i = indices[a] = other.add_node(a)
                if (j := indices.get(b)) is None:
                    j = indices[b] = other.add_node(b)
                pairs.append((j, i))
            other.add_edges_from_no_data(pairs)
            return [other[i] for i in rx.topological_sort(other)]

        def standard(edges: list[tuple[str, str]] = edges) -> list[str]:
            sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
            for a, b in edges:
                sorter.add(a, b)
            return list(sorter.static_order())

        def network(edges: list[tuple[str, str]] = edges) -> list[str]:
            other: nx.DiGraph[str] = nx.DiGraph()
            other.add_edges_from((b, a) for a, b in edges)
            return list(nx.topological_sort(other))

        peers = {"Graph": ours, "rustworkx": rust, "graphlib": standard, "networkx": network}
        for name, took in compare(f"graph: order of {size:,}", peers, calls=1).items():
            times.setdefault(name, []).append((size, took))
    for name, points in times.items():
        (first, t0), (last, t1) = points[0], points[-1]
        print(f"{'graph: growth exponent':34} {name:28} {math.log(t1 / t0) / math.log(last / first):14.2f}")


GROUPS = {"ledger": ledger, "ports": ports, "registry": registry, "metrics": metrics, "graph": graph}


def main() -> None:
    """Run the groups named on the command line, or all."""
    peers = ", ".join(f"{name} {version(name)}" for name in ("prometheus-client", "rustworkx", "networkx"))
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}; {peers}")
    deque((GROUPS[name]() for name in sys.argv[1:] or GROUPS), maxlen=0)


if __name__ == "__main__":
    main()
