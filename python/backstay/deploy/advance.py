"""One service, one step: from the stage it is in to the next, as soon as what it waits for is there.

What happens in a stage is in `starting`, `rollout`, `ending` and `failing`; where it leads to, in `toward`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.conditions import unmet
from backstay.deploy.ending import blockers, obstacles, stop, without_dead
from backstay.deploy.failing import revert
from backstay.deploy.fold import revive
from backstay.deploy.rollout import check_watch, go_on
from backstay.deploy.sessions import grow
from backstay.deploy.starting import check_start
from backstay.deploy.state import Service, Stage
from backstay.deploy.toward import settle

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["advance"]


def advance(turn: Turn, name: str) -> None:
    """Move a service on if it can be."""
    service = turn.services.get(name)
    if service is None or turn.adopting:
        return
    match service.stage:
        case Stage.SETTLED:
            revive(turn, service)
            grow(turn, turn.services[name])
        case Stage.WAITING:
            _wait(turn, service)
        case Stage.REPLACING:
            if not blockers(service):
                turn.enter(without_dead(turn, service), Stage.QUEUED)
        case Stage.STARTING:
            revive(turn, service)
            check_start(turn, turn.services[name])
        case Stage.WATCHING:
            check_watch(turn, service)
        case Stage.PAUSING:
            go_on(turn, service)
        case Stage.RETIRING:
            if not obstacles(service, service.target):
                settle(turn, service if service.failure else without_dead(turn, service))
        case Stage.REVERTING:
            revert(turn, service)
        case Stage.STOPPING:
            stop(turn, service)
        case Stage.INSTALL_QUEUED | Stage.INSTALLING | Stage.QUEUED:
            pass


def _wait(turn: Turn, service: Service) -> None:
    waits_for = unmet(turn.services, service)
    if waits_for is None:
        turn.enter(service, Stage.QUEUED, waits_for=None)
    elif waits_for != service.waits_for:
        turn.put(replace(service, waits_for=waits_for))
