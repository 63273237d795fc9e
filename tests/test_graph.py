"""The graph against networkx and rustworkx on random graphs, and on graphs people have."""

from __future__ import annotations

import doctest
import gc
import graphlib
import itertools
import json
import random
import threading
import tomllib
from array import array
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


def check_cycles(graph: Graph, expected: nx.DiGraph[str]) -> None:
    """One for every cyclic component, shortest through its first-named member."""
    components = [
        component
        for component in nx.strongly_connected_components(expected)
        if len(component) > 1 or any(expected.has_edge(name, name) for name in component)
    ]
    cycles = graph.cycles()
    place = {name: at for at, name in enumerate(graph.names())}
    firsts = {min(component, key=place.__getitem__): component for component in components}
    assert [cycle[0] for cycle in cycles] == sorted(firsts, key=place.__getitem__)
    for cycle in cycles:
        component = firsts[cycle[0]]
        assert set(cycle) <= component
        assert all(expected.has_edge(a, b) for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True))
        back = nx.single_target_shortest_path_length(expected.subgraph(component), cycle[0])
        lengths = dict(back)
        assert len(cycle) == 1 + min(lengths[on] for on in expected.successors(cycle[0]) if on in lengths)
    if cycles:
        with pytest.raises(CycleError) as caught:
            graph.order()
        assert caught.value.path[0] == caught.value.path[-1]
        assert len(caught.value.path) - 1 == min(len(cycle) for cycle in cycles)


@given(EDGES)
def test_cycles_are_one_per_component_and_shortest(edges: list[tuple[str, str]]) -> None:
    check_cycles(Graph.from_edges(edges), reference(edges))


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


CHANGES = st.one_of(
    st.tuples(st.just("depend"), NAMES, NAMES),
    st.tuples(st.just("depend"), NAMES, NAMES).map(lambda c: (c[0], max(c[1:]), min(c[1:]))),
    st.tuples(st.just("disconnect"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("add"), NAMES),
)


@given(EDGES, st.lists(CHANGES, max_size=30))
def test_a_changed_graph_agrees_with_networkx_at_every_step(
    edges: list[tuple[str, str]], changes: list[tuple[str, ...]]
) -> None:
    graph, expected = Graph.from_edges(edges), reference(edges)
    for verb, *names in changes:
        getattr(graph, verb)(*names)
        if verb == "depend":
            expected.add_edge(*names)
        elif verb == "add":
            expected.add_node(*names)
        elif verb == "remove":
            expected.remove_nodes_from(names)
        else:
            expected.remove_edges_from([names])
        assert {(service, on) for service, on, _ in graph.edges()} == set(expected.edges)
        if nx.is_directed_acyclic_graph(expected):
            generations = nx.topological_generations(expected.reverse())
            assert [set(level) for level in graph.levels()] == [set(level) for level in generations]
            assert graph.order() == [name for level in graph.levels() for name in level]
        else:
            with pytest.raises(CycleError):
                graph.order()


@given(DAG, st.sets(NAMES))
def test_a_few_are_ordered_as_in_the_whole(edges: list[tuple[str, str]], few: set[str]) -> None:
    graph = Graph.from_edges(edges)
    known = [name for name in few if name in graph]
    assert graph.order(among=known) == [name for name in graph.order() if name in few]
    assert graph.order(among=known, reverse=True) == graph.order(among=known)[::-1]
    if len(known) < len(few):
        with pytest.raises(UnknownService):
            graph.order(among=few)


@given(EDGES, st.booleans())
def test_indices_say_the_same_as_names(edges: list[tuple[str, str]], packed: bool) -> None:
    names = sorted({name for edge in edges for name in edge})
    pairs = array("I", [names.index(name) for edge in edges for name in edge])
    graph = Graph.from_indices(names, pairs.tobytes() if packed else pairs)
    assert graph.names() == names
    assert {(service, on) for service, on, _ in graph.edges()} == set(edges)


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
        (lambda g: g.from_edges([("a", "b"), ("a", "\ud800")]), UnicodeEncodeError),
        (lambda g: g.add("\ud800"), UnicodeEncodeError),
        (lambda g: g.add("b", ["\ud800"]), UnicodeEncodeError),
        (lambda g: g.depend("b", "\ud800"), UnicodeEncodeError),
        (lambda g: g.order(among="a"), TypeError),
        (lambda g: g.order(among=[1]), TypeError),
        (lambda g: g.from_indices(["a", "a"], array("I")), ValueError),
        (lambda g: g.from_indices(["a"], array("I", [0, 1])), ValueError),
        (lambda g: g.from_indices(["a"], array("I", [0])), ValueError),
        (lambda g: g.from_indices(["a"], b"1234567"), ValueError),
        (lambda g: g.from_indices(["a"], array("d", [0.0])), TypeError),
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


def test_answers_are_the_objects_that_came_in() -> None:
    web, db = "".join(["w", "eb"]), "".join(["d", "b"])
    graph = Graph.from_edges([(web, db)])
    graph.depend("job", "d" + "b"[:])
    for answer in (graph.names(), graph.order(), graph.impact("db"), graph.levels()[1]):
        assert all(any(name is own for own in (web, db, "job")) for name in answer)


def test_a_name_of_a_kind_of_its_own_comes_back_as_a_plain_one() -> None:
    class Name(str):
        """A str that can hold a reference to the graph that holds it."""

    graph = Graph.from_edges([(Name("web"), Name("db"))])
    graph.add(Name("job"))
    assert [type(name) for name in graph.order()] == [str, str, str]


@pytest.mark.parametrize("share", [True, False], ids=["shared objects", "an object for each edge"])
def test_many_edges_have_the_nodes_they_name(share: bool) -> None:
    names = [f"service-{i}" for i in range(20_000)]
    rng = random.Random(7)
    pairs = [(i, rng.randrange(i)) for i in range(1, 20_000) for _ in range(2)]
    edges = [(names[i], names[j]) if share else (f"service-{i}", f"service-{j}") for i, j in pairs]
    graph = Graph.from_edges(edges)
    assert {(a, b) for a, b, _ in graph.edges()} == set(edges)


def test_services_that_come_and_go_keep_their_names() -> None:
    graph = Graph.from_edges([("web", "db")])
    for i in range(5000):
        graph.depend(f"job-{i}", "db")
        assert graph.remove(f"job-{i - 3}") == (i >= 3)
    assert graph.order() == ["db", "web", "job-4997", "job-4998", "job-4999"]


def test_a_finalizer_may_ask_the_graph_while_it_answers() -> None:
    graph = Graph.from_edges([(f"service-{i}", "db") for i in range(2000)])

    class Asks:
        def __init__(self) -> None:
            self.circle = self

        def __del__(self) -> None:
            graph.add("from a finalizer")

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            Asks()
            assert len(graph.levels()) == 2
            graph.edges()
    finally:
        gc.set_threshold(*before)
    assert "from a finalizer" in graph


def test_a_picture_of_too_many_is_refused() -> None:
    graph = Graph.from_edges([(f"service-{i}", "db") for i in range(2000)])
    with pytest.raises(ValueError, match="2001 services is too large for this; the most is 2000"):
        graph.reduction()


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
    """Every answer against networkx's and rustworkx's."""
    graph, expected = Graph.from_edges(edges), reference(edges)
    check_cycles(graph, expected)
    other: rx.PyDiGraph[str, None] = rx.PyDiGraph()
    indices = {name: other.add_node(name) for name in graph.names()}
    other.add_edges_from_no_data([(indices[on], indices[service]) for service, on in edges])
    assert bool(graph.cycles()) == (not rx.is_directed_acyclic_graph(other))
    for name in graph.names()[::7]:
        ours = set(graph.impact(name)) - {name}
        assert ours == nx.ancestors(expected, name)
        assert ours == {other[i] for i in rx.descendants(other, indices[name])}
        assert set(graph.requirements(name)) - {name} == nx.descendants(expected, name)
    # What a circle keeps from starting is taken out, one of each circle at a time, and put to the test again.
    while cycles := graph.cycles():
        with pytest.raises(graphlib.CycleError):
            list(graphlib.TopologicalSorter(nx.to_dict_of_lists(expected)).static_order())
        for cycle in cycles:
            graph.disconnect(cycle[-1], cycle[0])
            expected.remove_edge(cycle[-1], cycle[0])
        check_cycles(graph, expected)
    generations = nx.topological_generations(expected.reverse())
    assert [set(level) for level in graph.levels()] == [set(level) for level in generations]
    assert set(graph.reduction()) == set(nx.transitive_reduction(expected).edges)
    path = nx.dag_longest_path(expected, default_weight=1)
    assert graph.critical_path(dict.fromkeys(graph, 1.0))[0] == len(path)


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


def test_the_guide_shows_what_happens() -> None:
    guide = Path(__file__).parents[1] / "docs" / "guide" / "graph.md"
    failed, tried = doctest.testfile(str(guide), module_relative=False)
    assert failed == 0
    assert tried > 20


def test_an_npm_lock_file() -> None:
    lock = json.loads((Path(__file__).parent / "package-lock.json").read_text())
    edges = [
        (place, name)
        for place, package in lock["packages"].items()
        for name in {**package.get("dependencies", {}), **package.get("optionalDependencies", {})}
    ]
    places = set(lock["packages"])

    def found(place: str, name: str) -> str | None:
        """Where Node finds a package: beside its dependant or in any folder above."""
        while True:
            if (at := f"{place}/node_modules/{name}".lstrip("/")) in places:
                return at
            if not place:
                return None
            place = place.rpartition("node_modules/")[0].rstrip("/")

    edges = [(place or "tests", at) for place, name in edges if (at := found(place, name))]
    assert len(edges) > 100
    same_answers(edges)
