"""Entries to a file and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backstay import Cache
from backstay.errors import SnapshotError

from tests.cache.made import Clock

if TYPE_CHECKING:
    from pathlib import Path


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
