"""What the daemon adds to /metrics."""

from __future__ import annotations

from backstay.deploy.admission import LeaseBook
from backstay.deploy.gauges import series
from backstay.deploy.state import Fleet
from backstay.ledger import Ledger, Ports


def test_the_books_and_the_states_are_shown() -> None:
    book = LeaseBook(Ledger(cpus=4, memory="8Gi"), Ports(30000, 30009))
    with book.ledger.reserve("web.1", cpus=0.5, memory="512Mi"), book.pool.lease("web.1"):
        shown = {(row.name, row.of): row.value for row in series(Fleet(), book)}
    assert shown["backstay_ledger_capacity", "cpus"] == 4
    assert shown["backstay_ledger_reserved", "cpus"] == 0.5
    assert shown["backstay_ledger_reserved", "memory_bytes"] == 512 * 1024**2
    assert shown["backstay_ports", "leased"] == 1
    assert shown["backstay_ports", "free"] == 9
    assert shown["backstay_services", "ready"] == 0
