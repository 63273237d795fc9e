"""The two ends of a service's way: `toward` sets it going to what is wanted of it, `settle` lets it rest.

What lies between is `advance`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.deploy.actions import Settle
from backstay.deploy.state import Goal, Service, Stage

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["settle", "toward"]


def toward(turn: Turn, service: Service, *, install: bool) -> None:
    """Set a service on its way to what is wanted of it now."""
    if service.goal is Goal.STOP or service.target is None:
        turn.enter(service, Stage.STOPPING, waits_for=None)
    elif install and service.target.revision.installs:
        turn.enter(service, Stage.INSTALL_QUEUED)
    elif service.as_wanted and not service.restart and service.good == service.target:
        settle(turn, service)
    else:
        turn.enter(service, Stage.WAITING)


def settle(turn: Turn, service: Service) -> None:
    """A service has come to rest."""
    turn.enter(service, Stage.SETTLED, waits_for=None, after=frozenset(), restart=False, rollout=None)
    deploy = turn.deploy
    if deploy is None or not deploy.atomic:  # an atomic deploy may have to go back: it settles at its end
        turn.act(Settle(service.name))
