"""How a graph reads a list of pairs: objects of every kind, in every place of a block, none held or lost.

Also run under valgrind (`make memcheck`): the pairs are looked at where they stand, uncounted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from backstay import Graph

if TYPE_CHECKING:
    from collections.abc import Callable


class Name(str):
    """Not quite a `str`."""


class Edge(NamedTuple):
    service: str
    on: str


def fresh(number: int) -> str:
    return "".join(("service-", str(number)))


SHAPES: dict[str, Callable[[int], str]] = {
    "fresh": fresh,
    "interned": lambda number: sys.intern(fresh(number)),
    "a kind of its own": lambda number: Name(fresh(number)),
    "short": lambda number: str(number % 7),
    "long": lambda number: f"a service with a name longer than most, {number}",
    "not ASCII": lambda number: f"dienst-{number}-größe",
    "beyond Latin": lambda number: f"служба-{number}",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 63, 64, 65, 96, 1500])
def test_every_pair_is_read_whatever_its_names_are_made_of(shape: str, count: int) -> None:
    name = SHAPES[shape]
    pairs = [(name(i + 1), name(i // 3)) for i in range(count)]
    graph = Graph.from_edges(pairs)
    assert list(graph) == list(dict.fromkeys(str(end) for pair in pairs for end in pair))
    named = {(str(service), str(on)) for service, on in pairs}
    assert {(service, on) for service, on, _ in graph.edges()} == named


def test_pairs_of_a_kind_of_their_own_are_pairs() -> None:
    assert Graph.from_edges([Edge("web", "db"), Edge("db", "disk")]).order() == ["disk", "db", "web"]


@pytest.mark.parametrize("before", [0, 1, 31, 32, 64, 200])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (("a",), ValueError),
        (("a", "b", "c"), ValueError),
        (["a", "b"], TypeError),
        ("ab", TypeError),
        (("a", 1), TypeError),
        ((b"a", "b"), TypeError),
        (("a", "\ud800"), UnicodeEncodeError),
        (None, TypeError),
    ],
)
def test_a_wrong_pair_is_refused_wherever_it_stands(
    before: int, wrong: object, error: type[Exception]
) -> None:
    edges: list[object] = [*((f"s{i + 1}", f"s{i}") for i in range(before)), wrong, ("x", "y")]
    with pytest.raises(error):
        Graph.from_edges(edges)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [True, False])
def test_reading_leaves_each_count_as_it_was(share: bool) -> None:
    names = [fresh(i) for i in range(300)]
    edges = [(names[i], names[i // 2]) if share else (fresh(i), fresh(i // 2)) for i in range(1, 300)]
    objects = [*names, *edges, *(end for edge in edges for end in edge)]
    before = [sys.getrefcount(one) for one in objects]
    graph = Graph.from_edges(edges)
    graph.order()
    del graph
    assert [sys.getrefcount(one) for one in objects] == before
