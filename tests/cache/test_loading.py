"""Loading: once for all who ask, on threads and on event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from backstay import Cache

from tests.cache.made import no_loader


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
