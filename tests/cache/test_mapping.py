"""The cache as a mapping: what it has in common with a dict, and how much it holds."""

from __future__ import annotations

import doctest
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from backstay import Cache
from backstay.errors import BackstayError, TooLarge

from tests.cache.made import no_loader


def test_the_guide_says_what_happens() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guide" / "cache.md"
    assert doctest.testfile(str(guide), module_relative=False).failed == 0
    methods = {name for name in dir(Cache) if not name.startswith("_")} - set(dir(MutableMapping))
    named = guide.read_text()
    assert {name for name in methods if f"{name}(" not in named} <= {"aget_or_set", "capacity"}


def test_it_is_a_mutable_mapping() -> None:
    cache: Cache[str, int] = Cache(10)
    assert isinstance(cache, MutableMapping)
    cache["a"] = 1
    cache.update({"b": 2}, c=3)
    assert dict(cache) == {"a": 1, "b": 2, "c": 3} == cache
    assert sorted(cache.keys()) == ["a", "b", "c"]
    assert sorted(cache.values()) == [1, 2, 3]
    assert ("b", 2) in cache.items()
    assert cache.setdefault("a", 9) == 1
    assert cache.setdefault("d", 4) == 4
    assert cache.pop("d") == 4
    assert cache.pop("d", None) is None
    assert len(cache) == 3
    del cache["a"]
    assert "a" not in cache
    cache.clear()
    assert not cache


def test_what_is_not_there_says_so_as_a_dict_does() -> None:
    cache: Cache[object, int] = Cache(10)
    for use in (lambda: cache["no"], lambda: cache.pop("no"), lambda: cache.__delitem__("no")):
        with pytest.raises(KeyError, match="no"):
            use()
    with pytest.raises(KeyError):
        cache.popitem()
    with pytest.raises(TypeError, match="unhashable"):
        cache[[]] = 1
    assert cache.get("no") is None
    assert cache.get("no", 7) == 7


def test_none_is_a_value() -> None:
    cache: Cache[str, None] = Cache(10)
    cache["a"] = None
    assert "a" in cache
    assert cache.get_or_set("a", no_loader) is None
    assert cache.pop("a", 5) is None
    assert "a" not in cache


def test_keys_are_the_same_as_in_a_dict() -> None:
    cache: Cache[object, str] = Cache(100)
    cache[1] = "one"
    cache[1.0] = "still one"
    cache[True] = "and again"
    assert list(cache.items()) == [(1, "and again")]
    assert [type(key) for key in cache] == [int], "the first of equal keys stays"
    for key in [(1, "a"), frozenset({1}), None, "text", b"bytes", 1 << 100, 2.5, (1, (2, 3))]:
        cache[key] = repr(key)
    assert cache[(1, "a")] == repr((1, "a"))
    assert cache[frozenset({1})] == repr(frozenset({1}))
    assert cache[int("1" + "0" * 3) * 0 + (1 << 100)] == repr(1 << 100)


def test_iteration_is_over_the_keys_as_they_were() -> None:
    cache: Cache[int, int] = Cache(10)
    cache.update(zip(range(5), range(5), strict=True))
    for key in cache:
        del cache[key]
    assert len(cache) == 0


def test_a_cache_says_what_it_is() -> None:
    cache: Cache[str, int] = Cache(10)
    cache["a"] = 1
    assert cache.get("a") == 1
    assert repr(cache) == "<Cache of 1/10: 1 entries, 100.0% of 1 look-ups hit>"
    assert repr(cache.stats()) == "<CacheStats 1 hits, 0 misses, 1 entries, 0 evictions, by recency>"
    with pytest.raises(TypeError, match="unhashable"):
        hash(cache)


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": 0},
        {"capacity": 5, "ttl": -1},
        {"capacity": 5, "ttl": float("nan")},
        {"capacity": 5, "idle": float("inf")},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"capacity|seconds"):
        Cache(**wrong)


def test_it_never_holds_more_than_its_capacity() -> None:
    cache: Cache[int, int] = Cache(100)
    for key in range(1000):
        cache[key] = key
        assert cache[key] == key
        assert len(cache) <= 100
    assert cache.stats().evictions == 900
    cache.resize(10)
    assert len(cache) == 10
    assert cache.capacity == 10


def test_cost_bounds_it_instead_of_entries() -> None:
    cache: Cache[str, bytes] = Cache(100, cost=lambda _, value: len(value))
    cache["a"] = bytes(60)
    cache["b"] = bytes(30)
    cache["c"] = bytes(40)
    assert cache.stats().cost <= 100
    assert "c" in cache
    with pytest.raises(TooLarge, match="costs 101, and at most 100 fits") as caught:
        cache["d"] = bytes(101)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BackstayError)
    assert cache.get_or_set("d", lambda _: bytes(200)) == bytes(200)
    assert "d" not in cache


def test_a_scan_does_not_push_out_what_is_used_often() -> None:
    cache: Cache[int, int] = Cache(1000)
    hits = 0
    for turn in range(60_000):
        key = turn * 7919 % 500 if turn % 3 == 0 else 10_000 + turn
        if key < 500 and turn > 40_000:
            hits += key in cache
        cache.get_or_set(key, int)
    assert hits > 0.95 * 20_000 / 3


def test_batches_do_what_single_calls_do() -> None:
    cache: Cache[object, int] = Cache(100)
    cache.set_many(["a", 1, (2,)], [10, 20, 30])
    assert cache.get_many(["a", (2,), "no", 1]) == [10, 30, None, 20]
    assert cache.get_many(["no"], 0) == [0]
    assert cache.stats().hits == 3
    with pytest.raises(ValueError, match="2 keys and 1 values"):
        cache.set_many(["a", "b"], [1])
