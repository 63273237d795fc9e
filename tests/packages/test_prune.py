"""The cache forgets what nobody starts any more."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from backstay.packages.prune import UNUSED_S, prune, prune_now_and_then
from backstay.packages.store import MARKER, Store

if TYPE_CHECKING:
    from pathlib import Path


async def made(store: Store, number: int, age_s: float) -> Path:
    entry = store.entry(f"thing {number}", {"number": number})

    async def build(work: Path) -> dict[str, object]:
        (work / "file").write_text("x")
        return {"argv": []}

    await store.ensure(entry, build, progress=print)
    when = time.time() - age_s
    os.utime(entry / MARKER, (when, when))
    return entry


async def test_only_what_was_not_asked_for_in_two_months_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = await made(store, 1, UNUSED_S + 60), await made(store, 2, UNUSED_S - 60)
    assert prune(tmp_path, time.time()) == [old.name]
    assert not old.exists()
    assert new.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_what_is_asked_for_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = await made(store, 1, UNUSED_S + 60)
    await store.ensure(entry, lambda _: None, progress=print)  # type: ignore[arg-type, return-value]
    assert prune(tmp_path, time.time()) == []


async def test_what_a_process_runs_from_stays(tmp_path: Path) -> None:
    entry = await made(Store(tmp_path), 1, UNUSED_S + 60)
    program = [sys.executable, "-c", "print('up', flush=True); input()", str(entry / "file")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"  # Popen returns before the kernel shows what it runs
        assert prune(tmp_path, time.time()) == []
        running.communicate(b"\n")
    assert prune(tmp_path, time.time()) == [entry.name]


async def test_what_is_being_installed_stays(tmp_path: Path) -> None:
    entry = await made(Store(tmp_path), 1, UNUSED_S + 60)
    with (tmp_path / "locks" / entry.name).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert prune(tmp_path, time.time()) == []
    assert prune(tmp_path, time.time()) == [entry.name]


async def test_it_is_looked_through_once_a_day(tmp_path: Path) -> None:
    await made(Store(tmp_path), 1, UNUSED_S + 60)
    assert len(prune_now_and_then(tmp_path)) == 1
    await made(Store(tmp_path), 2, UNUSED_S + 60)
    assert prune_now_and_then(tmp_path) == []
    assert len(prune_now_and_then(tmp_path, time.time() + 25 * 3600)) == 1
