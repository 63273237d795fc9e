"""The registry as Python sees it; its rules are tested in rust/registry."""

from __future__ import annotations

import asyncio
import select
import threading
import time

import pytest
from backstay import AlreadyHeld, Registry
from backstay.errors import UnknownService, WatchLagged
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
    assert registry.with_label("zone", "a") == [first] == [registry.get("web.1")]
    assert registry.with_tool("fetch") == registry.services() == ["web"]
    assert (len(registry), "web.2" in registry, "web.3" in registry) == (2, True, False)
    assert repr(first) == "<Instance web.1 of web at 127.0.0.1:30001>"
    assert registry.lookup("nobody") == []
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
