"""The ledger: reserve and give back, one at a time and in batches."""

from __future__ import annotations

from backstay import Ledger
from compare import compare


def run() -> None:
    """Reserve and give back: by name, with a lease, in a `with` block."""
    books = Ledger(cpus=64, memory="64Gi", storage="1Ti", gpus=8)
    for i in range(1000):
        books.reserve(f"other.{i}", cpus=0.01, memory=1000)

    def by_name() -> None:
        books.reserve("web.1", cpus=0.5, memory=1 << 29)
        books.release("web.1")

    def by_lease() -> None:
        books.reserve("web.1", cpus=0.5, memory=1 << 29).release()

    def in_block() -> None:
        with books.reserve("web.1", cpus=0.5, memory=1 << 29):
            pass

    compare("ledger: reserve + release", {"by lease": by_lease, "by name": by_name, "with block": in_block})
    compare("ledger: read", {"usage()": books.usage})
    wanted = [(f"batch.{i}", 0.01, 1000, 0, 0) for i in range(1000)]

    def batch() -> None:
        for lease in books.reserve_all(wanted):
            lease.release()

    compare("ledger: batch of 1,000", {"reserve_all + release": batch}, calls=50)
