"""The registry: which instances of which service there are, and every change of that in order.

The registry is kept in Rust (`rust/registry`); `changes` is its face for asyncio.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay._core import Change, Instance, Registry, Snapshot, Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Change", "Instance", "Registry", "Snapshot", "Watcher", "changes"]


async def changes(watcher: Watcher) -> AsyncIterator[Change]:
    """Every change that `watcher` hears, without a thread: the loop waits on its file descriptor.

    Raises:
        WatchLagged: changes were dropped because the queue was full: take a new snapshot.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    descriptor = watcher.fileno()
    loop.add_reader(descriptor, ready.set)
    try:
        while True:
            ready.clear()
            while (change := watcher.get()) is not None:
                yield change
            await ready.wait()
    finally:
        loop.remove_reader(descriptor)
