"""From string names to an order, beside what one would otherwise take."""

from __future__ import annotations

import random

from backstay import Graph
from compare import compare, growth


def run() -> None:
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
        growth("graph", name, points)
