"""A fleet that is called for a long time: its memory must stay flat, and no call fail."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from fleet import Backstay
from running import load, resident

if TYPE_CHECKING:
    from pathlib import Path

TURN = 10.0
"""Seconds of calls by the same sessions; the next turn opens new ones."""
SESSIONS = (1, 32, 256)
GROWTH = 4 << 20
"""Bytes that the daemon may have more at the end than once it was warm; what an allocator keeps varies."""


def soak(folder: Path, server: str, seconds: float) -> bool:
    """Call over HTTP and stdio in turn, sessions opened and ended; prints, and says whether all is well."""
    fleets = []
    for over in ("http", "stdio"):
        place = folder / over
        place.mkdir()
        fleet = Backstay(place, server, over=over)
        fleet.name = over
        fleets.append(fleet.called("--end"))
    sizes: dict[str, list[int]] = {fleet.name: [] for fleet in fleets}
    calls = failed = 0.0
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end or len(sizes["stdio"]) < 2 * len(SESSIONS):
            for sessions in SESSIONS:
                for fleet in fleets:
                    figures = load(fleet, sessions, min(TURN, seconds / 20)).figures
                    calls += figures["calls"]
                    failed += figures["failed"]
                    sizes[fleet.name].append(resident([fleet.daemon]))
    finally:
        for fleet in fleets:
            fleet.close()
    print(f"{calls:,.0f} calls in {seconds:,.0f} s, {failed:.0f} failed")
    flat = True
    for name, found in sizes.items():
        part = max(len(found) // 5, 1)
        warm, last = statistics.median(found[part : 2 * part]), statistics.median(found[-part:])
        flat &= last - warm <= GROWTH
        print(f"{name:<6} {warm / 2**20:6.1f} MiB once warm, {last / 2**20:6.1f} MiB at the end")
    if not flat:
        print(f"the memory grew by more than {GROWTH >> 20} MiB")
    return flat and not failed
