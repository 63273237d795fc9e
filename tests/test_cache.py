"""The cache from Python: a mapping, its bounds and lifetimes, loading once, files, the garbage collector."""

from __future__ import annotations

import asyncio
import doctest
import gc
import threading
import weakref
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from backstay import Cache
from backstay.errors import BackstayError, SnapshotError, TooLarge
from hypothesis import given, settings
from hypothesis import strategies as st


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def no_loader(key: object) -> Any:
    raise AssertionError(f"{key!r} is there, nobody loads it")


def test_the_guide_says_what_happens() -> None:
    guide = Path(__file__).parents[1] / "docs" / "guide" / "cache.md"
    assert doctest.testfile(str(guide), module_relative=False).failed == 0
    methods = {name for name in dir(Cache) if not name.startswith("_")} - set(dir(MutableMapping))
    named = guide.read_text()
    assert {name for name in methods if f"{name}(" not in named} <= {"aget_or_set", "capacity"}


# As a mapping.


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


# Bounds.


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


# Lifetimes.


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


# Tags.


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


# In batches.


def test_batches_do_what_single_calls_do() -> None:
    cache: Cache[object, int] = Cache(100)
    cache.set_many(["a", 1, (2,)], [10, 20, 30])
    assert cache.get_many(["a", (2,), "no", 1]) == [10, 30, None, 20]
    assert cache.get_many(["no"], 0) == [0]
    assert cache.stats().hits == 3
    with pytest.raises(ValueError, match="2 keys and 1 values"):
        cache.set_many(["a", "b"], [1])


# Loading.


def test_a_miss_loads_and_keeps() -> None:
    cache: Cache[str, str] = Cache(10)
    assert cache.get_or_set("a", str.upper) == "A"
    assert cache.get_or_set("a", no_loader) == "A"


def test_a_failure_is_raised_and_not_kept() -> None:
    cache: Cache[str, int] = Cache(10)

    def fails(key: str) -> int:
        raise OSError(key)

    with pytest.raises(OSError, match="a"):
        cache.get_or_set("a", fails)
    assert "a" not in cache
    assert cache.get_or_set("a", len) == 1


class Loader:
    """Loads when it is let, and counts; tells when it was asked."""

    def __init__(self, result: object) -> None:
        self.result = result
        self.asked = threading.Event()
        self.let = threading.Event()
        self.loads = 0

    def __call__(self, key: object) -> Any:
        self.loads += 1
        self.asked.set()
        assert self.let.wait(60)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def ask_at_once(cache: Cache[str, Any], loader: Loader, threads: int) -> list[object]:
    """What each thread got, or what was raised to it."""
    got: list[object] = []

    def ask() -> None:
        try:
            got.append(cache.get_or_set("key", loader))
        except BaseException as error:
            got.append(error)

    first = threading.Thread(target=ask)
    first.start()
    assert loader.asked.wait(60)
    others = [threading.Thread(target=ask) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    # They are counted as misses before they wait.
    while cache.stats().misses < threads:
        loader.asked.wait(0)
    loader.let.set()
    for thread in [first, *others]:
        thread.join()
    return got


def test_however_many_threads_ask_one_loads() -> None:
    loader = Loader(7)
    assert ask_at_once(Cache(10), loader, 8) == [7] * 8
    assert loader.loads == 1


def test_a_failure_reaches_every_thread_that_waits() -> None:
    loader, cache = Loader(OSError("no")), Cache[str, Any](10)
    got = ask_at_once(cache, loader, 4)
    # A thread that was counted and had not begun to wait when the loader failed loads by itself.
    assert got == [loader.result] * 4
    assert loader.loads <= 4
    assert "key" not in cache


def test_an_interrupted_loader_leaves_the_loading_to_another() -> None:
    cache: Cache[str, Any] = Cache(10)
    loader = Loader(None)

    def interrupted(key: str) -> Any:
        if loader.loads == 0:
            loader(key)
            raise KeyboardInterrupt
        return "loaded"

    got: list[object] = []

    def ask() -> None:
        try:
            got.append(cache.get_or_set("key", interrupted))
        except KeyboardInterrupt:
            got.append("interrupted")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert loader.asked.wait(60)
    threads[1].start()
    while cache.stats().misses < 2:
        loader.asked.wait(0)
    loader.let.set()
    for thread in threads:
        thread.join()
    assert sorted(map(str, got)) == ["interrupted", "loaded"]


def test_a_loader_that_waits_for_itself_is_told_so() -> None:
    cache: Cache[str, Any] = Cache(10)
    with pytest.raises(RuntimeError, match="'a' waits for itself"):
        cache.get_or_set("a", lambda key: cache.get_or_set(key, no_loader))
    assert cache.get_or_set("a", lambda _: 1) == 1


def test_loaders_that_wait_for_one_another_are_told_so() -> None:
    cache: Cache[str, Any] = Cache(10)
    both = threading.Barrier(2)
    got: list[object] = []

    def ask(key: str, other: str) -> None:
        def loader(_: str) -> Any:
            both.wait(60)
            return cache.get_or_set(other, lambda _: "alone")

        try:
            got.append(cache.get_or_set(key, loader))
        except RuntimeError as error:
            got.append(str(error))

    threads = [threading.Thread(target=ask, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert any("waits for itself" in str(one) for one in got)


async def test_of_tasks_too_one_loads() -> None:
    cache: Cache[str, int] = Cache(10)
    loads, let = 0, asyncio.Event()

    async def loader(_: str) -> int:
        nonlocal loads
        loads += 1
        await let.wait()
        return 7

    tasks = [asyncio.create_task(cache.aget_or_set("a", loader)) for _ in range(5)]
    await asyncio.sleep(0)
    let.set()
    assert await asyncio.gather(*tasks) == [7] * 5
    assert loads == 1
    assert cache["a"] == 7


async def test_a_cancelled_task_takes_nobody_with_it() -> None:
    cache: Cache[str, int] = Cache(10)
    asked, let = asyncio.Event(), asyncio.Event()

    async def loader(_: str) -> int:
        asked.set()
        await let.wait()
        return 7

    first = asyncio.create_task(cache.aget_or_set("a", loader))
    await asked.wait()
    second = asyncio.create_task(cache.aget_or_set("a", no_loader))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    let.set()
    assert await second == 7


async def test_a_loading_that_nobody_waits_for_is_cancelled_and_begins_anew() -> None:
    cache: Cache[str, int] = Cache(10)
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(_: str) -> int:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    async def loader(_: str) -> int:
        return 7

    task = asyncio.create_task(cache.aget_or_set("a", forever))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await cache.aget_or_set("a", loader) == 7
    await cancelled.wait()
    assert cache["a"] == 7


async def test_a_failure_reaches_every_task_that_waits() -> None:
    cache: Cache[str, int] = Cache(10)

    async def loader(_: str) -> int:
        await asyncio.sleep(0)
        raise OSError("no")

    got = await asyncio.gather(
        *(cache.aget_or_set("a", loader) for _ in range(3)),
        return_exceptions=True,
    )
    assert [str(one) for one in got] == ["no"] * 3
    assert "a" not in cache


# Warming.


def test_a_file_of_keys_warms_it(tmp_path: Path) -> None:
    cache: Cache[str, str] = Cache(10)
    cache["b"] = "there already"
    file = tmp_path / "keys"
    file.write_text("a\nb\n\nc\n")
    assert cache.warm(file, str.upper) == 2
    assert dict(cache) == {"a": "A", "b": "there already", "c": "C"}
    assert cache.warm(["d"], str.upper) == 1


def test_what_followed_is_loaded_ahead() -> None:
    cache: Cache[str, str] = Cache(100, ahead=2)
    loads: list[str] = []

    def loader(key: str) -> str:
        loads.append(key)
        return key.upper()

    for key in "abcdef":
        cache.get_or_set(key, loader)
    cache.clear()
    loads.clear()
    assert cache.get_or_set("a", loader) == "A"
    assert loads == ["a", "b", "c"]
    # The first use of what was loaded ahead loads on.
    assert cache.get_or_set("b", loader) == "B"
    assert loads == ["a", "b", "c", "d"]
    assert cache.get_or_set("b", loader) == "B"
    assert loads == ["a", "b", "c", "d"]


def test_a_failure_ahead_is_for_whoever_asks() -> None:
    cache: Cache[str, str] = Cache(100, ahead=1)
    for key in "ab":
        cache.get_or_set(key, str.upper)
    cache.clear()

    def fails_at_b(key: str) -> str:
        if key == "b":
            raise OSError("no b")
        return key

    assert cache.get_or_set("a", fails_at_b) == "a"
    with pytest.raises(OSError, match="no b"):
        cache.get_or_set("b", fails_at_b)


async def test_tasks_load_ahead_too() -> None:
    cache: Cache[str, str] = Cache(100, ahead=1)

    async def loader(key: str) -> str:
        return key.upper()

    for key in "abc":
        await cache.aget_or_set(key, loader)
    cache.clear()
    await cache.aget_or_set("a", loader)
    assert dict(cache) == {"a": "A", "b": "B"}


# Files.


def test_a_snapshot_brings_back_entries_tags_and_what_is_left_of_lifetimes(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "cache"
    cache: Cache[object, Any] = Cache(100, timer=clock)
    cache.set(("a", 1), {"x": [1, 2]}, ttl=1e6, tags=["one"])
    cache.set("b", None)
    cache.set("over", 1, ttl=1)
    clock.now += 1
    assert cache.save(file) == 2
    again: Cache[object, Any] = Cache(100, timer=clock)
    assert again.load(file) == 2
    assert dict(again) == {("a", 1): {"x": [1, 2]}, "b": None}
    clock.now += 1e6
    assert dict(again) == {"b": None}
    fresh: Cache[object, Any] = Cache(100, timer=clock)
    fresh.load(file)
    assert fresh.invalidate("one") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_damaged_snapshot_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "cache"
    cache: Cache[int, int] = Cache(100)
    cache.set_many(list(range(50)), list(range(50)))
    cache.save(file)
    whole = file.read_bytes()
    fresh: Cache[int, int] = Cache(100)
    for damage in (
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:99] + b"?" + whole[100:],
        b"",
        b"something else",
    ):
        file.write_bytes(damage)
        with pytest.raises(SnapshotError, match="nothing was loaded"):
            fresh.load(file)
        assert len(fresh) == 0
    with pytest.raises(FileNotFoundError, match="missing"):
        fresh.load(tmp_path / "missing")


def test_a_value_that_cannot_be_read_leaves_the_cache_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "cache"
    cache: Cache[str, str] = Cache(100)
    cache["a"] = "b"
    cache.save(file, dumps=str.encode)
    fresh: Cache[str, str] = Cache(100)
    with pytest.raises(ZeroDivisionError):
        fresh.load(file, loads=lambda _: str(1 // 0))
    assert len(fresh) == 0
    assert fresh.load(file, loads=bytes.decode) == 1
    assert fresh["a"] == "b"


# The garbage collector, and foreign code.


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


# Against a model.

KEYS = st.integers(0, 20) | st.text("ab", max_size=2) | st.tuples(st.integers(0, 3))
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, st.none() | st.integers(1, 30), st.none() | st.sampled_from("xy"))
    | st.tuples(st.sampled_from(["get", "pop", "load"]), KEYS)
    | st.tuples(st.just("invalidate"), st.sampled_from("xy"))
    | st.tuples(st.just("pass"), st.integers(1, 20)),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(capacity=st.integers(1, 12), steps=STEPS)
def test_a_cache_gives_only_what_was_set_last_and_is_not_over(capacity: int, steps: list[Any]) -> None:
    clock = Clock()
    cache: Cache[Any, int] = Cache(capacity, timer=clock)
    model: dict[Any, tuple[int, float, str | None]] = {}
    for number, (what, *rest) in enumerate(steps):
        if what == "set":
            key, ttl, tag = rest
            cache.set(key, number, ttl=ttl, tags=[tag] if tag else [])
            model[key] = (number, clock.now + (ttl or 1e9), tag)
            assert cache.peek(key) == number
        elif what == "invalidate":
            bearers = {key for key, (_, _, tag) in model.items() if tag == rest[0]}
            held = set(cache)
            cache.invalidate(rest[0])
            assert held - set(cache) == held & bearers
            model = {key: known for key, known in model.items() if key not in bearers}
        elif what == "pass":
            clock.now += rest[0]
        else:
            key = rest[0]
            value, over, _ = model.get(key, (None, 0.0, None))
            if what == "load":
                got = cache.get_or_set(key, lambda _, number=number: number)  # type: ignore[misc]
                if got == number:
                    model[key] = (number, clock.now + 1e9, None)
                    continue
            else:
                got = cache.get(key) if what == "get" else cache.pop(key, None)
            assert got is None or (got == value and clock.now < over)
            if what == "pop":
                model.pop(key, None)
        assert len(cache) <= capacity
