"""From a stack to a deploy that is admitted: ports leased, the plan made, resources reserved.

All of it or nothing: what is refused leaves the books as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backstay.deploy.admission import LeaseBook, Wish, needs_of, wish_of
from backstay.deploy.plan import Planned, changes, describe, instance_names
from backstay.deploy.seals import NO_SEALS
from backstay.deploy.wanted import PortTable, port_references, wanted_stack
from backstay.errors import ResourceError
from backstay.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config import Service, Stack
    from backstay.deploy.seals import Seals
    from backstay.deploy.state import Fleet, Placement
    from backstay.deploy.status import FleetPlan

__all__ = ["Prepared", "prepare", "wishes_of"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `up` is about to do."""

    planned: Mapping[str, Planned]
    plan: FleetPlan


def prepare(
    stack: Stack,
    fleet: Fleet,
    book: LeaseBook,
    last_numbers: Mapping[str, int],
    *,
    atomic: bool = False,
    seals: Seals = NO_SEALS,
) -> Prepared:
    """Plan a stack and take what it needs; `seals` tell whether its secrets have changed.

    Raises:
        CycleError: services depend on one another in a circle.
        ResourceError: it does not fit; says what and who holds it.
    """
    graph = Graph()
    for name, service in stack.services.items():
        graph.add(name, [other for other in service.depends_on if other in stack.services])
    levels = graph.levels()
    with book.attempt():
        table, referenced = _ports_that_others_name(stack, fleet, book)
        all_gpus = int(book.ledger.usage().capacity.gpus)
        wanted = wanted_stack(stack, table, referenced, all_gpus=all_gpus, seals=seals)
        planned = changes(fleet, wanted, last_numbers)
        planned = _admit(stack, fleet, book, planned, atomic=atomic)
        return Prepared(planned, describe(planned, levels, book.all_ports()))


def wishes_of(service: Service, placement: Placement) -> dict[str, Wish]:
    """Say what the instances of a placement ask for."""
    wish = wish_of(service, placement.revision)
    return dict.fromkeys(placement.names, wish)


def _ports_that_others_name(stack: Stack, fleet: Fleet, book: LeaseBook) -> tuple[PortTable, frozenset[str]]:
    """Lease what `{{ services.….ports.… }}` names, so that what refers to it can be compared and written."""
    referenced = {
        other for service in stack.services.values() for other, _ in port_references(service)
    } & set(stack.services)
    table: PortTable = {}
    for name in sorted(referenced):
        current = fleet.services.get(name)
        names = current.target.names if current and current.target and current.target.names else ()
        first = names[0] if names else instance_names(name, 1)[0]
        ports = {p: None if n == "auto" else int(n) for p, n in stack.services[name].ports.items()}
        fresh = {p: number for p, number in ports.items() if p not in book.ports(first)}
        book.admit({first: Wish(ports=fresh)})
        table[name] = {p: ports[p] or book.ports(first)[p] for p in ports}
    return table, frozenset(referenced)


def _admit(
    stack: Stack, fleet: Fleet, book: LeaseBook, planned: dict[str, Planned], *, atomic: bool
) -> dict[str, Planned]:
    wishes: dict[str, Wish] = {}
    for name, plan in planned.items():
        target = plan.change.target
        if target is not None and not plan.change.leaving:
            wishes |= wishes_of(stack.services[name], target)
        if atomic or not plan.change.leaving:
            for instance, need in needs_of(target, fleet.services.get(name)).items():
                ports = wishes[instance].ports if instance in wishes else {}
                wishes[instance] = Wish(need, ports)
    leaving = frozenset(name for name, plan in planned.items() if plan.change.leaving)
    try:
        book.admit(wishes)
    except ResourceError:
        if not leaving or atomic:
            raise
    else:
        return planned
    # What leaves makes room: what starts waits until it has ended.
    for name in leaving:
        for instance in book.held_by(name):
            book.release(instance)
    book.admit(wishes)
    return {
        name: plan
        if plan.change.leaving or plan.action == "keep"
        else replace(plan, change=replace(plan.change, after=leaving))
        for name, plan in planned.items()
    }
