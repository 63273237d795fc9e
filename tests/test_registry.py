"""The registry as Python sees it; its rules are tested in rust/registry."""

from __future__ import annotations

import asyncio
import doctest
import select
import threading
import time
from pathlib import Path

import pytest
from backstay import AlreadyHeld, Registry
from backstay.errors import RegistryFull, UnknownService, WatchLagged
from backstay.registry import changes


def test_an_instance_is_found_by_service_name_label_and_tool() -> None:
    registry = Registry()
    assert registry.register("web", "web.1", address="127.0.0.1:30001", labels={"zone": "a"}) == 1
    registry.register("web", "web.2", labels={"zone": "b"})
    registry.set_tools("web", ["fetch"])
    first, second = registry.lookup("web")
    assert (first.service, first.name, first.address, first.labels) == (
        "web",
        "web.1",
        "127.0.0.1:30001",
        {"zone": "a"},
    )
    assert second.address is None
    assert registry.with_label("zone", "a") == (first,) == (registry.get("web.1"),)
    assert list(registry.with_tool("fetch")) == registry.services() == ["web"]
    assert (len(registry), "web.2" in registry, "web.3" in registry) == (2, True, False)
    assert repr(first) == "<Instance web.1 of web at 127.0.0.1:30001>"
    assert registry.lookup("nobody") == ()
    assert registry.get("nobody") is None


def test_a_name_belongs_to_one_service() -> None:
    registry = Registry()
    registry.register("web", "one")
    with pytest.raises(AlreadyHeld, match="`one` is an instance of service `web`"):
        registry.register("db", "one")
    assert registry.deregister("one")
    assert not registry.deregister("one")
    with pytest.raises(UnknownService):
        registry.set_tools("web", [])


def test_a_snapshot_and_its_watcher_lose_nothing() -> None:
    registry = Registry()
    registry.register("web", "web.1")
    snapshot, watcher = registry.snapshot_and_watch()
    registry.deregister("web.1")
    registry.register("web", "web.2")
    assert (len(snapshot), "web.1" in snapshot, snapshot.revision) == (1, True, 1)
    assert [instance.name for instance in snapshot.instances()] == ["web.1"]
    heard = [watcher.get(), watcher.get()]
    assert [(c.revision, c.what, c.instance.name) for c in heard if c] == [
        (2, "deregistered", "web.1"),
        (3, "registered", "web.2"),
    ]
    assert watcher.get() is None
    assert watcher.get(timeout=0.01) is None


def test_a_watcher_that_falls_behind_is_told() -> None:
    registry = Registry()
    watcher = registry.watch(queue=2)
    for i in range(5):
        registry.register("web", f"web.{i}")
    with pytest.raises(WatchLagged) as caught:
        watcher.get()
    assert caught.value.missed == 5
    assert watcher.get() is None


def test_a_waiting_watcher_wakes_on_the_change() -> None:
    registry = Registry()
    watcher = registry.watch("web")
    thread = threading.Thread(target=registry.register, args=("web", "web.1"))
    began = time.monotonic()
    thread.start()
    change = watcher.get(timeout=30)
    assert change is not None
    assert change.instance.name == "web.1"
    assert time.monotonic() - began < 20
    thread.join()


def test_a_watchers_descriptor_is_readable_while_changes_wait() -> None:
    registry = Registry()
    watcher = registry.watch()
    registry.register("web", "web.1")
    descriptor = watcher.fileno()
    assert watcher.fileno() == descriptor
    assert select.select([descriptor], [], [], 0)[0]
    watcher.get()
    assert not select.select([descriptor], [], [], 0)[0]
    registry.register("web", "web.2")
    registry.register("web", "web.3")
    watcher.get()
    assert select.select([descriptor], [], [], 0)[0], "one change still waits"


async def test_changes_come_to_a_coroutine() -> None:
    registry = Registry()
    heard: list[str] = []

    async def listen() -> None:
        async for change in changes(registry.watch()):
            heard.append(f"{change.what} {change.instance.name}")
            if change.what == "deregistered":
                return

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    registry.register("web", "web.1")
    await asyncio.to_thread(registry.deregister, "web.1")
    async with asyncio.timeout(30):
        await task
    assert heard == ["registered web.1", "deregistered web.1"]


def fresh(text: str) -> str:
    """An equal string that is another object."""
    return "".join(list(text))


def test_an_answer_is_the_same_object_until_it_changes() -> None:
    registry = Registry()
    registry.register("web", "web.1", labels={"zone": "a"})
    registry.set_tools("web", ["fetch"])

    def answers() -> tuple[object, ...]:
        return (
            registry.lookup(fresh("web")),
            registry.with_label(fresh("zone"), "a"),
            registry.with_tool(fresh("fetch")),
            registry.get(fresh("web.1")),
        )

    before = answers()
    registry.register("db", "db.1", labels={"zone": "b"})
    assert all(new is old for new, old in zip(answers(), before, strict=True))
    registry.register("web", "web.1", address="127.0.0.1:1", labels={"zone": "b"})
    registry.set_tools("web", ["fetch", "store"])
    by_service, by_label, by_tool, by_name = answers()
    assert by_label == ()
    assert by_tool == ("web",)
    assert by_service == (by_name,) != before[0]
    registry.deregister("web.1")
    assert answers() == ((), (), (), None)


def test_more_names_than_are_remembered_are_all_found() -> None:
    registry = Registry()
    for i in range(5_000):
        registry.register(f"service-{i}", f"service-{i}.1")
    for _ in range(2):
        for i in range(5_000):
            (one,) = registry.lookup(f"service-{i}")
            assert one.name == f"service-{i}.1"
            assert registry.get(one.name) == one


def test_a_string_of_another_class_is_found_by_its_text() -> None:
    class Odd(str):
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return True

    registry = Registry()
    registry.register("web", "web.1")
    assert len(registry.lookup("web")) == len(registry.lookup(Odd("web"))) == 1
    assert registry.lookup(Odd("db")) == ()


def test_a_full_registry_says_so() -> None:
    registry = Registry(limit=1)
    registry.register("web", "web.1")
    with pytest.raises(RegistryFull, match="it holds 1 instances; take some out or give it a higher limit"):
        registry.register("web", "web.2")


def test_threads_find_what_they_registered() -> None:
    registry = Registry()
    wrong: list[str] = []

    def work(thread: int) -> None:
        name = f"web.{thread}"
        for _ in range(500):
            registry.register("web", name)
            if name not in {one.name for one in registry.lookup("web")}:
                wrong.append("not found after it was registered")
            registry.deregister(name)
            if registry.get(name) is not None or name in {one.name for one in registry.lookup("web")}:
                wrong.append("found after it was taken out")

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_guide_does_what_it_says() -> None:
    guide = Path(__file__).parents[1] / "docs" / "guide" / "registry.md"
    failed, tried = doctest.testfile(str(guide), module_relative=False)
    assert (failed, tried > 10) == (0, True)
