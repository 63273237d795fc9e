"""The registry at several sizes, beside lists under a lock and the scan of old."""

from __future__ import annotations

import threading
from typing import NamedTuple

from backstay import Ports, Registry
from compare import Inline, compare, growth

SIZES = (100, 10_000, 100_000)
CHANGE = 'known.register("new", "new.1"); known.deregister("new.1")'


class Copy(NamedTuple):
    """An instance as the peers have it."""

    service: str
    name: str
    address: str | None = None


class Lists:
    """What one writes first: lists by service, and a dict by name, under one lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.services: dict[str, list[Copy]] = {}
        self.names: dict[str, Copy] = {}

    def register(self, service: str, name: str, address: str | None = None) -> None:
        with self.lock:
            self.names[name] = copy = Copy(service, name, address)
            self.services.setdefault(service, []).append(copy)

    def deregister(self, name: str) -> None:
        with self.lock:
            copy = self.names.pop(name)
            (of_it := self.services[copy.service]).remove(copy)
            if not of_it:
                del self.services[copy.service]

    def lookup(self, service: str) -> list[Copy]:
        with self.lock:
            return list(self.services.get(service, ()))


class Scan:
    """One list of all."""

    def __init__(self) -> None:
        self.all: list[Copy] = []

    def lookup(self, service: str) -> list[Copy]:
        return [copy for copy in self.all if copy.service == service]


def run() -> None:
    """Look up and register at several sizes."""
    released = Ports(30000, 30001).lease("nobody")
    released.release()
    lookups, changes = [], []
    for size in SIZES:
        known, lists, scan = Registry(), Lists(), Scan()
        for i in range(size):
            for one in (known, lists):
                one.register(f"service-{i}", f"service-{i}.1", address="127.0.0.1:1")
            known.set_tools(f"service-{i}", [f"tool-{i}"])
        scan.all = list(lists.names.values())
        label = {"labels": {"zone": "a"}}
        known.register(f"service-{size // 2}", f"service-{size // 2}.1", **label)
        service = f"service-{size // 2}"
        # Equal, but another object each time: as a name is that was read from a request.
        others = [f"service-{size // 2}" for _ in range(1000)]
        names = {
            "known": known,
            "lists": lists,
            "service": service,
            "name": f"{service}.1",
            "tool": f"tool-{size // 2}",
            "released": released,
            "others": others,
        }
        title = f"registry of {size:,}"
        took = compare(
            f"{title}: look-up",
            {
                "by service": Inline("known.lookup(service)", names),
                "by name": Inline("known.get(name)", names),
                "by label": Inline('known.with_label("zone", "a")', names),
                "by tool": Inline("known.with_tool(tool)", names),
                "lists under a lock": Inline("lists.lookup(service)", names),
                "an empty PyO3 method": Inline("released.release()", names),
            },
        )
        lookups.append((size, took["by service"]))
        compare(
            f"{title}: look-up by fresh strings",
            {"by service": Inline("for other in others: known.lookup(other)", names)},
            calls=20,
            per=len(others),
        )
        compare(f"{title}: look-up by scan", {"scan": lambda scan=scan, of=service: scan.lookup(of)}, calls=5)
        took = compare(
            f"{title}: register + deregister",
            {
                "Registry": Inline(CHANGE, names),
                "lists under a lock": Inline(CHANGE.replace("known", "lists"), names),
            },
        )
        changes.append((size, took["Registry"]))
        compare(f"{title}: snapshot", {"snapshot": Inline("known.snapshot()", names)}, calls=5_000)
    growth("registry", "look-up", lookups)
    growth("registry", "register + deregister", changes)
