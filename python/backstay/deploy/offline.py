"""The plan of a fleet that does not run: what `up` would do, made without a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.deploy.admission import LeaseBook
from backstay.deploy.prepare import prepare
from backstay.deploy.state import Fleet
from backstay.ledger import Ledger, Ports, capacity

if TYPE_CHECKING:
    from backstay.config import Stack
    from backstay.deploy.status import FleetPlan

__all__ = ["plan_from_nothing"]


def plan_from_nothing(stack: Stack) -> FleetPlan:
    """Say what bringing up a stack would do where nothing of it runs.

    Raises:
        CycleError: services depend on one another in a circle.
        ResourceError: it does not fit this machine.
    """
    book = LeaseBook(Ledger(**capacity(stack.dir)), Ports(stack.ports.first, stack.ports.last))
    return prepare(stack, Fleet(), book, {}).plan
