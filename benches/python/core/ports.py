"""Ports, beside a linear search."""

from __future__ import annotations

from backstay import Ports
from compare import Inline, compare, say


def run() -> None:
    """Lease and give back a port at several fills, beside a linear search."""
    for first, last, fill in ((30000, 31999, 0.0), (30000, 31999, 0.99), (1024, 65535, 0.5)):
        pool = Ports(first, last)
        size = last - first + 1
        held = {pool.lease(f"other.{i}").port for i in range(int(size * fill))}

        def linear(held: set[int] = held, first: int = first, last: int = last) -> None:
            for port in range(first, last + 1):
                if port not in held:
                    held.add(port)
                    held.remove(port)
                    return

        title = f"ports: {size:,} at {fill:.0%}"
        ours = Inline("pool.lease('web.1').release()", {"pool": pool})
        took = compare(title, {"Ports": ours}, rounds=5)
        search = compare(title, {"search in a set": linear}, calls=20, rounds=5)
        say(title, "the search is slower by", search["search in a set"] / took["Ports"], "times")
