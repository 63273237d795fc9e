"""Installations and the package cache on /metrics."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from backstay.deploy.measured import InstallSeries
from backstay.engines.simulated import SimulatedEngine
from backstay.packages.store import Store
from backstay.packages.usage import CacheUse, cache_use

if TYPE_CHECKING:
    from pathlib import Path


async def fill(root: Path, name: str, size: int) -> None:
    store = Store(root)

    async def build(work: Path) -> dict[str, object]:
        (work / "file").write_bytes(b"x" * size)
        (work / "again").hardlink_to(work / "file")
        return {"argv": [name]}

    await store.ensure(store.entry(name, {}), build, progress=lambda line: None)


async def test_the_cache_says_how_many_environments_it_holds_and_how_large_they_are(tmp_path: Path):
    assert cache_use(tmp_path) == CacheUse(0, 0)
    await fill(tmp_path, "one", 100_000)
    one = cache_use(tmp_path)
    assert one.environments == 1
    assert 100_000 <= one.bytes < 150_000, "a file with two names counts once"
    await fill(tmp_path, "two", 200_000)
    assert cache_use(tmp_path).environments == 2
    assert cache_use(tmp_path).bytes >= 300_000
    (tmp_path / "packages" / "half").mkdir()
    assert cache_use(tmp_path).environments == 2, "what is not whole is none"


async def test_an_entry_of_an_older_version_has_no_size(tmp_path: Path):
    old = tmp_path / "packages" / "old"
    old.mkdir(parents=True)
    (old / ".backstay.json").write_text(json.dumps({"argv": []}))
    assert cache_use(tmp_path) == CacheUse(1, 0)


async def test_every_installation_is_counted_and_timed_by_what_came_of_it(tmp_path: Path):
    engine = SimulatedEngine()
    series = InstallSeries(engine, tmp_path)
    assert engine.counts == {
        ("backstay_package_installs", result): 0.0 for result in ("installed", "present", "failed")
    }
    async with series.measure() as outcome:
        await fill(tmp_path, "one", 1)
        outcome.done(installed=True)
    async with series.measure() as outcome:
        outcome.done(installed=False)
    with pytest.raises(OSError, match="full"):
        async with series.measure():
            raise OSError("the disk is full")
    with pytest.raises(asyncio.CancelledError):
        async with series.measure():
            raise asyncio.CancelledError
    assert set(engine.counts.values()) == {1.0}
    assert {of: len(seconds) for (_, of), seconds in engine.observed.items()} == {
        "installed": 1,
        "present": 1,
        "failed": 1,
    }
    assert engine.gauges["backstay_package_environments", ""] == 1
