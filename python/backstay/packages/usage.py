"""What the package cache holds: how many environments, and how much of the disk they take.

A whole entry never changes, so its size is measured once, when it is sealed, and kept in its marker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backstay.packages.store import Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CacheUse", "cache_use"]


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How full the cache is."""

    environments: int
    bytes: int


def cache_use(root: Path) -> CacheUse:
    """Count what is installed under a cache directory; blocking: it reads a small file for each."""
    store = Store(root)
    environments = taken = 0
    for entry in entries(root):
        marker = store.read(entry)
        if marker is None:
            continue
        environments += 1
        size = marker.get("bytes")
        taken += size if isinstance(size, int) else 0
    return CacheUse(environments, taken)


def entries(root: Path) -> list[Path]:
    """Give the directories of entries; none where there is no cache yet."""
    try:
        with os.scandir(root / "packages") as found:
            return [root / "packages" / entry.name for entry in found]
    except OSError:
        return []
