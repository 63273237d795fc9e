"""Ports, beside a linear search."""

from __future__ import annotations

from backstay import Ports
from compare import compare


def run() -> None:
    """Lease and give back a port at several fills, beside a linear search."""
    for first, last, fill in ((30000, 31999, 0.0), (30000, 31999, 0.99), (1024, 65535, 0.5)):
        pool = Ports(first, last)
        size = last - first + 1
        held = set()
        for i in range(int(size * fill)):
            held.add(pool.lease(f"other.{i}").port)

        def ours(pool: Ports = pool) -> None:
            pool.lease("web.1").release()

        def linear(held: set[int] = held, first: int = first, last: int = last) -> None:
            for port in range(first, last + 1):
                if port not in held:
                    held.add(port)
                    held.remove(port)
                    return

        compare(f"ports: {size:,} at {fill:.0%}", {"Ports": ours, "search in a set": linear}, calls=200)
