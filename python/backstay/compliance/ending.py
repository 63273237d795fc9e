"""Checks of a process's end: by the end of its input, by a signal, and what it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay.compliance.rules import finding

if TYPE_CHECKING:
    from backstay.compliance.findings import Finding
    from backstay.compliance.process import Process

GRACE = 5.0


async def by_eof(process: Process) -> tuple[Finding, float | None]:
    """Close its stdin and wait."""
    process.look()
    process.close_stdin()
    took = await process.ended(GRACE)
    if took is None:
        return finding("stop.eof", "warned", f"it still runs {GRACE:g} s after its stdin was closed"), None
    return finding("stop.eof", "passed", f"it ended after {_shown(took)}"), took


async def by_term(process: Process) -> tuple[Finding, float | None]:
    """Send the signal and wait."""
    if process.code is not None:
        return finding("stop.term", "skipped", f"it had ended: it {process.ended_as()}"), None
    process.look()
    process.terminate()
    took = await process.ended(GRACE)
    signal = process.program.stop_signal
    if took is None:
        return finding("stop.term", "failed", f"it still runs {GRACE:g} s after {signal}"), None
    return finding("stop.term", "passed", f"it ended {_shown(took)} after {signal}"), took


async def children(process: Process) -> Finding:
    """Look for what it left, after its end; what is about to end gets the time to."""
    if process.code is None:
        return finding("stop.children", "skipped", "it did not end by itself")
    left: dict[int, str] = {}
    for _ in range(10):
        left = process.survivors()
        if not left:
            return finding("stop.children", "passed")
        await asyncio.sleep(0.1)
    names = ", ".join(f"{name} ({pid})" for pid, name in sorted(left.items())[:5])
    return finding("stop.children", "failed", f"it left {names}")


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
