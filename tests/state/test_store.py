"""The store: what is durable when, who can read it, and what is said when the disk refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from backstay.errors import StateError
from backstay.state import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path):
    store = await Store.open(tmp_path / "state.db")
    yield store
    await store.close()


async def test_what_was_accepted_is_there_after_opening_again(tmp_path: Path):
    store = await Store.open(tmp_path / "state.db")
    await store.accept(
        facts={"stack": "{}"},
        revisions=[("api", 1, '{"name": "api"}', 1.0)],
        services={"api": {"goal": "run"}},
        leases={"api.1": {"ports": {"http": 30000}}},
    )
    await store.set_launch("api", 1, {"argv": ["node"]})
    await store.close()
    again = await Store.open(tmp_path / "state.db")
    assert await again.fact("stack") == "{}"
    assert await again.services() == {"api": {"goal": "run"}}
    assert await again.leases() == {"api.1": {"ports": {"http": 30000}}}
    assert await again.revisions([("api", 1), ("api", 2)]) == {
        ("api", 1): ('{"name": "api"}', {"argv": ["node"]})
    }
    assert await again.last_numbers() == {"api": 1}
    await again.close()


async def test_only_its_owner_can_read_it(store: Store):
    await store.set_facts({"stack": "secret"})
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


async def test_generations_only_grow(tmp_path: Path):
    for expected in (1, 2, 3):
        store = await Store.open(tmp_path / "state.db")
        assert await store.next_generation() == expected
        await store.close()


async def test_accepting_is_all_or_nothing(store: Store):
    await store.accept(facts={"stack": "old"}, services={"api": 1})
    with pytest.raises(TypeError):
        await store.accept(facts={"stack": "new"}, services={"api": object()})
    bad = [("api", None, "{}", 1.0)]
    with pytest.raises(StateError):
        await store.accept(facts={"stack": "new"}, revisions=bad)  # type: ignore[arg-type]
    assert await store.fact("stack") == "old"
    assert await store.services() == {"api": 1}


async def test_events_are_numbered_without_end_and_read_back_in_order(store: Store):
    for place in range(25):
        store.record({"kind": "x", "place": place})
    await store.flush()
    events = await store.events(10)
    assert [event["seq"] for event in events] == list(range(11, 26))
    assert events[0]["place"] == 10


async def test_an_event_number_is_never_given_twice(tmp_path: Path):
    store = await Store.open(tmp_path / "state.db")
    last = store.record({"kind": "told, and lost with the daemon"})["seq"]
    store._pending.clear()  # what a kill does to what is not written yet
    await store.close()
    again = await Store.open(tmp_path / "state.db")
    assert again.record({"kind": "next"})["seq"] > last
    await again.close()


async def test_old_events_go(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backstay.state.store.MAX_EVENTS", 100)
    for _ in range(30):
        for _ in range(20):
            store.record({"kind": "x"})
        await store.flush()
    events = await store.events(0)
    assert len(events) <= 100 + 20
    assert events[-1]["seq"] == store.last_seq


async def test_old_revisions_go_but_not_those_in_use(store: Store):
    revisions = [("api", number, "{}", 0.0) for number in range(1, 41)]
    await store.accept(facts={}, revisions=revisions)
    await store.prune([("api", 3)])
    left = await store.revisions([("api", number) for number in range(1, 41)])
    assert sorted(number for _, number in left) == [3, *range(21, 41)]


async def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StateError, match="is damaged") as caught:
        await Store.open(path)
    assert caught.value.hint


async def test_the_file_of_a_later_version_is_left_alone(tmp_path: Path):
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="format is 99"):
        await Store.open(path)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(StateError, match="cannot be used"):
        await Store.open(tmp_path / "nowhere" / "state.db")


async def test_a_full_disk_is_said_and_what_was_accepted_stays(small_disk: Path):
    store = await Store.open(small_disk / "state.db")
    await store.accept(facts={"stack": "old"})
    filler = small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(b"x" * (1 << 20))
    with pytest.raises(StateError, match="is full"):
        await store.accept(facts={"stack": "x" * 1_000_000})
    assert await store.fact("stack") == "old"
    filler.unlink()
    await store.accept(facts={"stack": "new"})
    assert await store.fact("stack") == "new"
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs a mount")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mounted)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs a mount")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_killed_at_any_moment_it_holds_whole_deploys_only(tmp_path: Path):
    """A writer accepts deploys as fast as it can and is killed; the next reader finds one whole deploy."""
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from backstay.state import Store
        async def main():
            store = await Store.open(Path(sys.argv[1]))
            number = await store.fact("number", 0)
            while True:
                number += 1
                await store.accept(facts={"number": number}, services={f"s{n}": number for n in range(5)})
                print(number, flush=True)
        asyncio.run(main())
    """)
    path = tmp_path / "state.db"
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        told = 0
        for _ in range(3):
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            told = int(line)
        writer.stdout.close()
        writer.wait()

        async def read() -> tuple[int, dict[str, int]]:
            store = await Store.open(path)
            number, services = await store.fact("number"), await store.services()
            await store.close()
            return number, services

        number, services = asyncio.run(read())
        assert number >= told, "what was told to be accepted is there"
        assert set(services.values()) == {number}, "and none of it is of another deploy"
