"""What the tests of the cache share."""

from __future__ import annotations

from typing import Any


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def no_loader(key: object) -> Any:
    raise AssertionError(f"{key!r} is there, nobody loads it")
