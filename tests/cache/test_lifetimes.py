"""Entries that end: by time, by idleness, by tag."""

from __future__ import annotations

import weakref

import pytest
from backstay import Cache

from tests.cache.made import Clock


def test_an_entry_ends_at_its_time_and_not_before() -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(10, ttl=60, timer=clock)
    cache["a"] = 1
    cache.set("b", 2, ttl=5)
    clock.now += 4.999
    assert cache["b"] == 2
    clock.now += 0.001
    assert cache.get("b") is None
    assert "b" not in cache
    assert dict(cache) == {"a": 1}
    clock.now += 55
    assert len(cache) == 0
    assert cache.pop("a", None) is None
    assert cache.stats().expirations == 2


def test_use_keeps_an_idle_entry() -> None:
    clock = Clock()
    cache: Cache[str, int] = Cache(10, idle=10, timer=clock)
    cache["used"] = cache["unused"] = 1
    for _ in range(3):
        clock.now += 9
        assert cache.get("used") == 1
    assert cache.peek("used") == 1
    assert cache.get("unused") is None
    clock.now += 10
    assert cache.peek("used") is None


def test_what_is_over_leaves_with_other_operations() -> None:
    clock = Clock()
    cache: Cache[int, Clock] = Cache(1000, ttl=10, timer=clock)
    values = [Clock() for _ in range(40)]
    gone = [weakref.ref(value) for value in values]
    for key, value in enumerate(values):
        cache[key] = value
    del values, value
    clock.now += 10
    for other in range(1000, 1010):
        cache.get(other)
    assert not any(ref() for ref in gone)
    assert cache.sweep() == 0


def test_a_tag_takes_out_all_that_bear_it_and_no_others() -> None:
    cache: Cache[int, int] = Cache(100)
    for key in range(30):
        cache.set(key, key, tags=["even" if key % 2 == 0 else "odd", "all"])
    cache.set(0, 0)
    assert cache.invalidate("even") == 14
    assert cache.invalidate("even") == 0
    assert cache.invalidate("nobody") == 0
    assert sorted(cache) == [0, *range(1, 30, 2)]
    with pytest.raises(ValueError, match="17 tags, and one may bear 16"):
        cache.set(1, 1, tags=[str(n) for n in range(17)])
