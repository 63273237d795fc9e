"""Waiting for a condition, with a deadline and without guessing how long it takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(condition: Callable[[], T], deadline: float = 30) -> T:
    """The first true value of `condition`, asked again until then; fails after `deadline` seconds."""
    until = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"still {value!r} after {deadline} s"
        threading.Event().wait(0.02)


def gone(pid: int) -> bool:
    """Whether no process (a zombie is none) has this id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
