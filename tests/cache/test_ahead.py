"""Loading before anybody asks: from a file, and by what followed what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backstay import Cache

if TYPE_CHECKING:
    from pathlib import Path


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
