"""The registry at several sizes."""

from __future__ import annotations

from backstay import Registry
from compare import compare


def run() -> None:
    """Look up and register at several sizes."""
    for size in (100, 10_000, 100_000):
        known = Registry()
        for i in range(size):
            known.register(f"service-{i}", f"service-{i}.1", address="127.0.0.1:1")
        name = f"service-{size // 2}"

        def change(known: Registry = known) -> None:
            known.register("new", "new.1")
            known.deregister("new.1")

        def find(known: Registry = known, name: str = name) -> None:
            known.lookup(name)

        def get(known: Registry = known, name: str = f"{name}.1") -> None:
            known.get(name)

        compare(
            f"registry of {size:,}",
            {"lookup": find, "get": get, "register + deregister": change, "snapshot": known.snapshot},
        )
