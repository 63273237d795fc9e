"""The cache: entries are whole or not there, whoever installs them and however that ends."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from backstay.packages.store import Store, cache_dir

PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from backstay.packages.store import Store

root, label = Path(sys.argv[1]), sys.argv[2]
store = Store(root)

async def build(work):
    (work / "half").write_text("half")
    with (root / "builds.log").open("a") as log:
        log.write("began\\n")
    print("building", flush=True)
    sys.stdin.readline()
    (work / "whole").write_text("whole")
    return {"argv": ["@/whole"]}

async def main():
    await store.ensure(store.entry("thing", {"n": 1}), build, progress=lambda line: print(line, flush=True))
    print("done", flush=True)

asyncio.run(main())
"""


def start(root: Path, label: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(root), label],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def nothing(work: Path) -> dict[str, Any]:
    (work / "file").write_text("x")
    return {"argv": []}


def entry_of(store: Store) -> Path:
    return store.entry("thing", {"n": 1})


def test_two_processes_that_want_the_same_thing_install_it_once(tmp_path: Path) -> None:
    (tmp_path / "builds.log").touch()
    with start(tmp_path, "first") as first:
        assert read(first) == "building"
        with start(tmp_path, "second") as second:
            assert read(second) == "it is being installed already; waiting"
            let(first)
            assert read(first) == "done"
            assert read(second) == "done"
    assert (tmp_path / "builds.log").read_text() == "began\n"


def test_what_a_killed_process_left_is_never_used_and_is_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with start(tmp_path, "first") as first:
        assert read(first) == "building"
        first.send_signal(signal.SIGKILL)
    assert store.read(entry_of(store)) is None
    assert [path.name for path in (tmp_path / "tmp").iterdir()] != []
    with start(tmp_path, "second") as second:
        assert read(second) == "building"
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        let(second)
        assert read(second) == "done"
    assert list((tmp_path / "tmp").iterdir()) == []
    assert (entry_of(store) / "whole").read_text() == "whole"


def test_a_process_that_waits_goes_on_when_the_other_is_killed(tmp_path: Path) -> None:
    with start(tmp_path, "first") as first:
        assert read(first) == "building"
        with start(tmp_path, "second") as second:
            assert read(second) == "it is being installed already; waiting"
            first.send_signal(signal.SIGKILL)
            assert read(second) == "building"
            let(second)
            assert read(second) == "done"


def test_installers_that_a_killed_process_left_are_ended(tmp_path: Path) -> None:
    orphaning = PROGRAM.replace(
        'print("building", flush=True)',
        "import os\n"
        "    child = await asyncio.create_subprocess_exec('sleep', '60', cwd=work, start_new_session=True)\n"
        "    print('building', child.pid, flush=True)",
    )
    with subprocess.Popen(
        [sys.executable, "-c", orphaning, str(tmp_path), "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        orphan = os.pidfd_open(int(read(first).split()[1]))
        first.kill()
    with start(tmp_path, "second") as second:
        assert read(second) == "building"
        assert select.select([orphan], [], [], 10)[0] == [orphan]
        let(second)
        assert read(second) == "done"
    os.close(orphan)


async def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    async def fail(work: Path) -> dict[str, Any]:
        (work / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.ensure(entry_of(store), fail, progress=print)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert (await store.ensure(entry_of(store), nothing, progress=print))["argv"] == []


async def test_a_cancelled_wait_does_not_hold_the_lock_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(work: Path) -> dict[str, Any]:
        begun.set()
        await go_on.wait()
        return {"argv": []}

    first = asyncio.create_task(store.ensure(entry_of(store), slow, progress=print))
    await begun.wait()
    waiting = asyncio.Event()
    second = asyncio.create_task(store.ensure(entry_of(store), nothing, progress=lambda _: waiting.set()))
    await waiting.wait()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    other = store.entry("thing", {"n": 1})
    usable = iter([False, False])
    await asyncio.wait_for(
        store.ensure(other, nothing, usable=lambda _: next(usable, True), progress=print), timeout=10
    )


async def test_an_entry_that_cannot_be_started_any_more_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.ensure(entry_of(store), nothing, progress=print)
    (entry_of(store) / "old").touch()
    await store.ensure(entry_of(store), nothing, usable=lambda _: False, progress=print)
    assert not (entry_of(store) / "old").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_read_only_cache_serves_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    await store.ensure(entry_of(store), nothing, progress=print)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "open", refuse)
    assert (await store.ensure(entry_of(store), nothing, progress=print))["argv"] == []


def test_every_fact_changes_the_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entries = {
        store.entry("npm:@a/b 1", {"with": w, "runtime": r}) for w in ("", "mcp<2") for r in ("a", "b")
    }
    assert len(entries) == 4
    assert all(entry.name.startswith("npm-a-b-1-") for entry in entries)


def test_the_cache_is_where_xdg_says() -> None:
    assert cache_dir({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/backstay")
    assert cache_dir({"XDG_CACHE_HOME": "not/absolute", "HOME": "/h"}) == Path("/h/.cache/backstay")
    assert cache_dir({"HOME": "/h"}) == Path("/h/.cache/backstay")


async def test_a_scratch_directory_lives_as_long_as_its_process(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from backstay.packages.store import Store\n"
        "async def main():\n"
        "    async with Store(Path(sys.argv[1])).scratch() as work:\n"
        "        print(work, flush=True)\n"
        "        sys.stdin.readline()\n"
        "asyncio.run(main())\n"
    )
    store = Store(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        theirs = Path(read(other))
        async with store.scratch() as ours:
            assert ours.is_dir()
            assert theirs.is_dir()
        assert not ours.exists()
        other.kill()
        other.wait()
        assert theirs.is_dir()
        async with store.scratch():
            assert not theirs.exists()
