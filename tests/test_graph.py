"""The graph against networkx and rustworkx on random graphs, and on graphs people have."""

from __future__ import annotations

import graphlib
import itertools
import threading
import tomllib
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import rustworkx as rx
from backstay import CycleError, Graph
from backstay.errors import UnknownService
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.integers(0, 14).map(lambda i: f"s{i}")
EDGES = st.lists(st.tuples(NAMES, NAMES), max_size=50)
DAG = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=50).map(
    lambda pairs: [(f"s{max(a, b)}", f"s{min(a, b)}") for a, b in pairs if a != b]
)


def reference(edges: list[tuple[str, str]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(edges)
    return graph


@given(DAG)
def test_order_and_levels_agree_with_networkx_and_rustworkx(edges: list[tuple[str, str]]) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    order = graph.order()
    place = {name: i for i, name in enumerate(order)}
    assert set(order) == set(expected)
    assert all(place[service] > place[on] for service, on in edges)
    assert order == [name for level in graph.levels() for name in level]
    generations = list(nx.topological_generations(expected.reverse()))
    assert [set(level) for level in graph.levels()] == [set(level) for level in generations]
    other: rx.PyDiGraph[str, None] = rx.PyDiGraph()
    indices = {name: other.add_node(name) for name in graph.names()}
    other.add_edges_from_no_data([(indices[on], indices[service]) for service, on in edges])
    assert [{other[i] for i in layer} for layer in rx.topological_generations(other)] == [
        set(level) for level in graph.levels()
    ]


@given(EDGES)
def test_cycles_are_one_per_component_and_shortest(edges: list[tuple[str, str]]) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    components = [
        component
        for component in nx.strongly_connected_components(expected)
        if len(component) > 1 or any(expected.has_edge(name, name) for name in component)
    ]
    cycles = graph.cycles()
    assert len(cycles) == len(components)
    for cycle in cycles:
        (component,) = [component for component in components if cycle[0] in component]
        assert set(cycle) <= component
        assert all(expected.has_edge(a, b) for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True))
        back = min(
            nx.shortest_path_length(expected, name, cycle[0]) + 1
            for name in expected.successors(cycle[0])
            if nx.has_path(expected, name, cycle[0])
        )
        assert len(cycle) == back
        first = next(name for name in graph.names() if name in component)
        assert cycle[0] == first
    if cycles:
        with pytest.raises(CycleError) as caught:
            graph.order()
        assert caught.value.path[0] == caught.value.path[-1]
        assert len(caught.value.path) - 1 == min(len(cycle) for cycle in cycles)


@given(EDGES, NAMES)
def test_impact_and_requirements_agree_with_networkx(edges: list[tuple[str, str]], name: str) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    if name not in graph:
        with pytest.raises(UnknownService, match=f"there is no service `{name}`"):
            graph.impact(name)
        return
    in_circle = any(name in cycle for cycle in nx.strongly_connected_components(expected) if len(cycle) > 1)
    own = {name} if in_circle or expected.has_edge(name, name) else set()
    assert set(graph.impact(name)) == nx.ancestors(expected, name) | own
    assert set(graph.requirements(name)) == nx.descendants(expected, name) | own


@given(DAG, st.dictionaries(NAMES, st.integers(0, 20)))
def test_reduction_and_critical_path_agree_with_networkx(
    edges: list[tuple[str, str]], durations: dict[str, int]
) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    assert set(graph.reduction()) == set(nx.transitive_reduction(expected).edges)
    total, path = graph.critical_path({name: float(seconds) for name, seconds in durations.items()})
    assert total == sum(durations.get(name, 0) for name in path)
    assert all(expected.has_edge(after, before) for before, after in itertools.pairwise(path))
    longest: dict[str, int] = {}
    for name in nx.topological_sort(expected.reverse()):
        before = max((longest[on] for on in expected.successors(name)), default=0)
        longest[name] = before + durations.get(name, 0)
    assert total == max(longest.values(), default=0)


@given(EDGES, st.lists(NAMES, max_size=5))
def test_what_is_taken_out_is_gone_from_every_answer(edges: list[tuple[str, str]], gone: list[str]) -> None:
    graph = Graph.from_edges(edges)
    graph.cycles()
    for name in gone:
        graph.remove(name)
    left = [(a, b) for a, b in edges if a not in gone and b not in gone]
    assert {(a, b) for a, b, _ in graph.edges()} == set(left)
    assert len(graph.cycles()) == len(Graph.from_edges(left).cycles())


def test_names_conditions_and_containers() -> None:
    graph = Graph()
    graph.add("web", {"db": "service_healthy", "migrate": "service_completed_successfully"})
    graph.add("db", ["disk"])
    graph.depend("migrate", "db", "service_started")
    assert graph.dependencies("web") == {
        "db": "service_healthy",
        "migrate": "service_completed_successfully",
    }
    assert graph.dependents("db") == {"web": "service_healthy", "migrate": "service_started"}
    assert list(graph) == graph.names() == ["web", "db", "migrate", "disk"]
    assert (len(graph), "db" in graph, 7 in graph) == (4, True, False)
    assert graph.order(reverse=True) == list(reversed(graph.order()))
    assert graph.levels(reverse=True)[0] == ["web"]
    assert graph.disconnect("db", "disk")
    assert repr(graph) == "<Graph of 4 services, 3 dependencies>"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda g: g.add("a", "bcd"), TypeError),
        (lambda g: g.add("a", [1]), TypeError),
        (lambda g: g.add("a", {"b": "service_happy"}), ValueError),
        (lambda g: g.depend("a", "b", ""), ValueError),
        (lambda g: g.from_edges([("a",)]), (ValueError, TypeError)),
        (lambda g: g.from_edges([("a", 1)]), TypeError),
        (lambda g: g.from_edges(7), TypeError),
        (lambda g: g.critical_path({"a": float("nan")}), ValueError),
    ],
)
def test_nonsense_is_refused(call: Any, error: type[Exception]) -> None:
    graph = Graph()
    graph.add("a")
    with pytest.raises(error):
        call(graph)
    assert graph.names() == ["a"]


def test_edges_from_a_generator_of_fresh_strings_keep_their_names() -> None:
    # Fresh strings die at once and their addresses are used again.
    graph = Graph.from_edges((f"service-{i}", f"service-{i + 1}") for i in range(2000))
    assert graph.order() == [f"service-{i}" for i in range(2000, -1, -1)]


def test_threads_change_and_ask_at_once() -> None:
    graph, errors = Graph(), []

    def work(offset: int) -> None:
        try:
            for i in range(300):
                graph.depend(f"{offset}.{i}", f"{offset}.{i + 1}")
                graph.order()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(graph.order()) == 4 * 301


def same_answers(edges: list[tuple[str, str]]) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    components = nx.strongly_connected_components(expected)
    loops = {frozenset(c) for c in components if len(c) > 1 or expected.has_edge(*[min(c)] * 2)}
    assert len(graph.cycles()) == len(loops)
    if loops:
        with pytest.raises(graphlib.CycleError):
            list(graphlib.TopologicalSorter(nx.to_dict_of_lists(expected)).static_order())
        return
    generations = nx.topological_generations(expected.reverse())
    assert [set(level) for level in graph.levels()] == [set(level) for level in generations]


def test_debians_installed_packages() -> None:
    status = Path("/var/lib/dpkg/status")
    if not status.exists():
        pytest.skip("no dpkg here")
    edges = []
    package = ""
    for line in status.read_text(errors="replace").splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            package = value
        elif key in ("Depends", "Pre-Depends"):
            edges += [(package, part.split()[0].split(":")[0]) for part in value.split(",")]
    assert len(edges) > 100
    same_answers(edges)


def test_our_own_cargo_lock() -> None:
    lock = tomllib.loads((Path(__file__).parents[1] / "Cargo.lock").read_text())
    edges = [
        (f"{package['name']} {package['version']}", on)
        for package in lock["package"]
        for on in package.get("dependencies", [])
    ]
    assert len(edges) > 100
    same_answers(edges)
