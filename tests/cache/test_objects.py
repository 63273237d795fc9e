"""Keys and values that are anybody's objects: collected, compared by their own code, shared by threads."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from backstay import Cache


def test_a_cycle_through_the_cache_is_collected() -> None:
    class Node:
        cache: Cache[str, object]

    node = Node()
    node.cache = Cache(10)
    node.cache["self"] = node
    gone, cache_gone = weakref.ref(node), weakref.ref(node.cache)
    del node
    gc.collect()
    assert gone() is None
    assert cache_gone() is None


def test_what_leaves_may_use_the_cache_while_it_goes() -> None:
    cache: Cache[int, object] = Cache(2)

    class Leaves:
        def __del__(self) -> None:
            seen.append(len(cache))

    seen: list[int] = []
    for key in range(4):
        cache[key] = Leaves()
    cache[3] = None
    del cache[2]
    cache.clear()
    assert len(seen) == 4


class Meddler:
    """A key whose comparison changes the cache that compares it."""

    def __init__(self, name: str, cache: Cache[Any, Any]) -> None:
        self.name, self.cache = name, cache

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self.cache.pop(other, None) if self.name == "takes" and self is not other else None
        self.cache["elsewhere"] = len(self.cache)
        return isinstance(other, Meddler) and self.name == other.name


def test_comparisons_may_use_the_cache() -> None:
    cache: Cache[Any, int] = Cache(10)
    keys = [Meddler(name, cache) for name in "abc"]
    for number, key in enumerate(keys):
        cache[key] = number
    assert cache[Meddler("b", cache)] == 1
    assert cache.get(Meddler("no", cache)) is None
    assert cache["elsewhere"] <= 10


def test_an_error_in_a_comparison_is_raised() -> None:
    class Wrong:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    cache: Cache[Any, int] = Cache(10)
    cache[Wrong()] = 1
    with pytest.raises(ZeroDivisionError):
        cache.get(Wrong())
    assert len(cache) == 1


def test_threads_never_see_another_keys_value() -> None:
    cache: Cache[Any, Any] = Cache(200, ttl=3600)
    wrong: list[object] = []

    def work(seed: int) -> None:
        state = seed
        for _ in range(4000):
            state = (state * 1103515245 + 12345) % (1 << 31)
            key = (state >> 8) % 400
            name = (key,) if key % 2 else str(key)
            value = cache.get_or_set(name, lambda asked: ("of", asked))
            if value != ("of", name):
                wrong.append((name, value))
            if key % 50 == 0:
                cache.pop(name, None)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(cache) <= 200
