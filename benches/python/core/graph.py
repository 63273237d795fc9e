"""From string names to an order, and changes after it, beside what one would otherwise take."""

from __future__ import annotations

import gc
import random
from array import array
from collections import defaultdict
from collections.abc import Callable
from itertools import count

from backstay import Graph
from compare import Inline, compare, growth

Edges = list[tuple[str, str]]
Order = Callable[[Edges], list[str]]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DEGREE = 5


def ours(edges: Edges) -> list[str]:
    return Graph.from_edges(edges).order()


def with_rustworkx(edges: Edges) -> list[str]:
    """As quick as it goes: numbers from a dict that counts by itself, nodes and edges in one call each."""
    import rustworkx as rx

    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    pairs = [(numbers[on], numbers[service]) for service, on in edges]
    graph: rx.PyDiGraph[str, None] = rx.PyDiGraph(node_count_hint=len(numbers), edge_count_hint=len(pairs))
    names = list(numbers)
    graph.add_nodes_from(names)
    graph.add_edges_from_no_data(pairs)
    return [names[i] for i in rx.topological_sort(graph)]


def with_graphlib(edges: Edges) -> list[str]:
    import graphlib

    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for service, on in edges:
        sorter.add(service, on)
    return list(sorter.static_order())


def with_networkx(edges: Edges) -> list[str]:
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((on, service) for service, on in edges)
    return list(nx.topological_sort(graph))


PEERS: dict[str, tuple[Order, int]] = {
    "Graph": (ours, 1_000_000),
    "rustworkx": (with_rustworkx, 1_000_000),
    "graphlib": (with_graphlib, 1_000_000),
    "networkx": (with_networkx, 100_000),
}
"""With the largest graph each is put through: networkx takes minutes and tens of GiB for the last."""


def pairs_of(size: int) -> list[tuple[int, int]]:
    rng = random.Random(7)
    return [(i, rng.randrange(i)) for i in range(1, size) for _ in range(DEGREE)]


def order(
    title: str, size: int, edges: Edges, peers: dict[str, Callable[[Edges], list[str]]]
) -> dict[str, float]:
    calls = max(1, 5_000 // size)
    bound = {name: Inline("order(edges)", {"order": peer, "edges": edges}) for name, peer in peers.items()}
    return compare(f"graph: order of {size:,}, {title}", bound, calls, rounds=3 if size > 100_000 else 7)


def parts(size: int, edges: Edges) -> None:
    """Where the time goes: what is neither reading the edges nor handing out the names is sorting."""
    graph = Graph.from_edges(edges)
    graph.order()
    names: dict[str, object] = {"Graph": Graph, "edges": edges, "graph": graph}
    peers = {
        "names to an order": Inline("Graph.from_edges(edges).order()", names),
        "from_edges": Inline("Graph.from_edges(edges)", names),
        "order, once more": Inline("graph.order()", names),
        "only looking at each name": Inline("for service, on in edges: pass", names),
    }
    compare(f"graph: parts of {size:,}", peers, max(1, 20_000 // size), rounds=3 if size > 100_000 else 7)


def batch(size: int, pairs: list[tuple[int, int]]) -> None:
    """What is left when only numbers cross: names once, pairs packed."""
    names = [f"service-{i}" for i in range(size)]
    packed = array("I", [end for pair in pairs for end in pair])
    edges = [(names[i], names[j]) for i, j in pairs]
    peers = {
        "from_edges": Inline("Graph.from_edges(edges)", {"Graph": Graph, "edges": edges}),
        "from_indices": Inline(
            "Graph.from_indices(names, packed)", {"Graph": Graph, "names": names, "packed": packed}
        ),
    }
    compare(f"graph: {size:,} built", peers, 1)


def changes(size: int, edges: Edges) -> None:
    """One change and its undoing, in a graph that has been sorted, beside sorting again."""
    graph = Graph.from_edges(edges)
    graph.order()
    graph.depend("new", "service-0")
    graph.remove("new")
    service, on = edges[-1]
    names: dict[str, object] = {"graph": graph, "service": service, "on": on}
    names["few"] = [edge[1] for edge in edges[-5:]]
    each = {
        "depend, disconnect": "graph.depend(service, 'service-7'); graph.disconnect(service, 'service-7')",
        "add of 5, remove": "graph.add('new', few); graph.remove('new')",
        "the same, with a question": "graph.add('new', few); graph.order(among=few); graph.remove('new')",
    }
    for title, statement in each.items():
        compare(f"graph: a change of {size:,}", {title: Inline(statement, names)}, 2_000)


def run() -> None:
    """From string names to an order, five edges a node, beside what one would otherwise take."""
    times: dict[str, list[tuple[int, float]]] = {}
    for size in SIZES:
        pairs = pairs_of(size)
        edges = [(f"service-{i}", f"service-{j}") for i, j in pairs]
        peers = {name: peer for name, (peer, most) in PEERS.items() if size <= most}
        for name, took in order("a str for each edge", size, edges, peers).items():
            times.setdefault(name, []).append((size, took))
        if size in (1_000, 1_000_000):
            changes(size, edges)
        parts(size, edges)
        if size == 100_000:
            random.Random(11).shuffle(edges)
            order("the edges shuffled", size, edges, peers)
        names = [f"service-{i}" for i in range(size)]
        shared = [(names[i], names[j]) for i, j in pairs]
        del edges
        gc.collect()
        few = {name: peer for name, peer in peers.items() if name in ("Graph", "rustworkx")}
        order("a str for each service", size, shared, few)
        if size == 100_000:
            batch(size, pairs)
    for name, points in times.items():
        growth("graph", name, points)
