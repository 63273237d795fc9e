"""The ledger: reserve and give back, one at a time and in batches, beside one lock around a dict."""

from __future__ import annotations

from threading import Lock

from backstay import Ledger, Resources
from compare import Inline, compare, growth

OTHERS = 1000


class Locked:
    """What one would write first: every holder in one dict behind one lock."""

    def __init__(self, free: tuple[int, int, int, int]) -> None:
        self.lock = Lock()
        self.free = free
        self.held: dict[str, tuple[int, int, int, int]] = {}

    def reserve(self, holder: str, want: tuple[int, int, int, int]) -> None:
        """Take all of it, or raise."""
        with self.lock:
            left = tuple(free - amount for free, amount in zip(self.free, want, strict=True))
            if min(left) < 0 or holder in self.held:
                raise ValueError(holder)
            self.free = left  # type: ignore[assignment]
            self.held[holder] = want

    def release(self, holder: str) -> None:
        """Give it back."""
        with self.lock:
            want = self.held.pop(holder)
            self.free = tuple(free + amount for free, amount in zip(self.free, want, strict=True))  # type: ignore[assignment]


def run() -> None:
    """Reserve and give back in every way there is, read, and ask who holds what."""
    books = Ledger(cpus=64, memory="64Gi", storage="1Ti", gpus=8)
    locked = Locked((64_000, 64 << 30, 1 << 40, 8_000))
    for i in range(OTHERS):
        books.reserve(f"other.{i}", cpus=0.01, memory=1000)
        locked.reserve(f"other.{i}", (10, 1000, 0, 0))
    want = Resources(cpus=0.5, memory=1 << 29)
    names: dict[str, object] = {
        "books": books,
        "locked": locked,
        "want": want,
        "parts": (500, 1 << 29, 0, 0),
        "claim": books.claim("web.3", want),
    }
    ways = {
        "claim: reserve, release": "claim.reserve(); claim.release()",
        "hold, release by name": "books.hold('web.1', want); books.release('web.1')",
        "lease of Resources": "books.reserve('web.1', want).release()",
        "lease, kept until the next": "lease = books.reserve('web.2', want); lease.release()",
        "lease by keywords": "books.reserve('web.1', cpus=0.5, memory=536870912).release()",
        "lease, '512Mi'": "books.reserve('web.1', cpus=0.5, memory='512Mi').release()",
        "lease in a with block": "with books.reserve('web.1', want): pass",
        "a Lock around a dict": "locked.reserve('web.1', parts); locked.release('web.1')",
    }
    compare("ledger: reserve + release", {way: Inline(text, names) for way, text in ways.items()})
    compare("ledger: read", {"usage()": Inline("books.usage()", names)})

    batch = books.batch("crawler")
    packed = bytes(Resources(cpus=0.001, memory=1000)) * 1000
    wanted = [(f"batch.{i}", 0.01, 1000, 0, 0) for i in range(1000)]

    def named() -> None:
        for lease in books.reserve_all(wanted):
            lease.release()

    peers = {"packed": lambda: batch.release(batch.reserve(packed)), "reserve_all + release": named}
    compare("ledger: batch of 1,000, each", peers, calls=50, per=1000)

    points = []
    for size in (100, 1_000, 10_000, 100_000):
        asked = Ledger(cpus=64)
        for i in range(100_000):
            asked.hold(f"holder.{i}", Resources())
        for i in range(size, 100_000):
            asked.release(f"holder.{i}")
        title = f"ledger: {size:,} holders of 100,000 before"
        took = compare(title, {"holders()": asked.holders}, calls=max(1, 20_000 // size), rounds=5)
        points.append((size, took["holders()"]))
    growth("ledger: who holds what", "holders()", points)
