"""When it does not come up: back to what was good, alone or, in an atomic deploy, all together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.actions import TellRollback
from backstay.deploy.ending import obstacles, stop_all, without_dead
from backstay.deploy.state import Failure, Goal, Order, Phase, Rollout, Service, Snapshot, Stage
from backstay.deploy.toward import settle, toward

if TYPE_CHECKING:
    from collections.abc import Collection

    from backstay.deploy.state import Instance, Placement
    from backstay.deploy.turn import Turn

__all__ = ["fail", "revert", "roll_back"]


def fail(turn: Turn, service: Service, failure: Failure) -> None:
    """A service did not reach what was wanted: go back to what was good, or end what is left of it."""
    turn.note_failure(service.name, failure)
    good, target = service.good, service.target
    if turn.deploy and turn.deploy.atomic and not turn.deploy.rolling_back:
        turn.put(replace(service, failure=failure))
        roll_back(turn)
        return
    if good and target and good.key != target.key:
        turn.act(TellRollback(service.name, target.revision.number, good.revision.number, failure))
        turn.note_rollback(service.name)
        failed = service.rollout.failed.keys() if service.rollout else ()
        service = replace(
            service,
            target=good,
            failure=failure,
            refused=target.revision.number,
            restart=False,
            rollout=Rollout(total=0, back=True),
        )
        service = stop_all(turn, turn.put(service), _doomed(service, good, failed))
        turn.enter(service, Stage.REVERTING)
    elif good:
        # There is nothing better to go back to: its restart policy goes on trying.
        service = turn.put(replace(service, failure=failure))
        turn.enter(stop_all(turn, service, obstacles(service, good)), Stage.RETIRING)
    else:
        service = turn.put(replace(service, failure=failure))
        service = stop_all(turn, service, [i for i in service.instances.values() if i.phase.alive])
        turn.enter(service, Stage.REVERTING)


def _doomed(service: Service, good: Placement, failed: Collection[str]) -> list[Instance]:
    """Give what ends at once on the way back: all that failed, or all, where no pace is asked for."""
    doomed = obstacles(service, good)
    pace = good.revision.rollback
    if pace.parallelism == 0 and pace.order is Order.STOP_FIRST:
        return doomed
    return [i for i in doomed if not i.up or i.name in failed]


def roll_back(turn: Turn) -> None:
    """All or nothing, and it cannot be all: every service of the deploy goes back to what it was."""
    deploy = turn.deploy
    assert deploy is not None
    turn.deploy = replace(deploy, rolling_back=True)
    for name in deploy.services:
        _go_back(turn, turn.services[name], deploy.before.get(name))
    turn.relink()
    for name in deploy.services:
        if turn.services[name].stage is not Stage.REVERTING:
            toward(turn, turn.services[name], install=False)


def _go_back(turn: Turn, service: Service, before: Snapshot | None) -> None:
    if before is None or before.target is None:  # it was not there
        turn.put(replace(service, goal=Goal.STOP, leaving=True, restart=False))
        return
    refused = service.target.revision.number if service.target else None
    changed = service.target is None or service.target.key != before.target.key
    service = replace(
        service,
        target=before.target,
        good=before.good,
        goal=before.goal,
        leaving=False,
        restart=False,
        rollout=None,
        after=frozenset(),
    )
    if before.good is None:  # nothing of it ran
        service = turn.put(replace(service, failure=before.failure))
        service = stop_all(turn, service, [i for i in service.instances.values() if i.phase.alive])
        if before.failure:
            turn.enter(service, Stage.REVERTING)
    elif changed:
        turn.note_rollback(service.name)
        service = turn.put(replace(service, refused=refused))
        turn.enter(stop_all(turn, service, obstacles(service, service.target)), Stage.REVERTING)
    else:
        turn.put(service)


def revert(turn: Turn, service: Service) -> None:
    """Go on with the way back once the instances of what failed have ended."""
    if service.good is None:
        if not service.alive:
            settle(turn, without_dead(turn, service))
        return
    if any(i.phase is Phase.STOPPING for i in obstacles(service, service.target)):
        return
    service = without_dead(turn, service)
    if service.as_wanted:
        settle(turn, service)
    else:
        turn.enter(service, Stage.WAITING)
