"""Rollouts: from one revision to another a batch of instances at a time, each watched before the next begins.

The words are Compose's (`update_config`, `rollback_config`). A rollout is needed only where instances of
another revision run; what merely starts, or is restarted, starts at once. The batch is chosen in
`Stage.QUEUED`, brought up by `starting`, and from then on it is this file's: watched, passed or failed, and
followed by the next one.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from backstay.deploy.actions import TellRollout
from backstay.deploy.ending import obstacles, stop_all, victims, without_dead
from backstay.deploy.failing import fail
from backstay.deploy.fold import fatal, revive
from backstay.deploy.state import Failure, Order, Rollout, Service, Stage
from backstay.deploy.toward import settle

if TYPE_CHECKING:
    from backstay.deploy.state import Instance, Pace
    from backstay.deploy.turn import Turn

__all__ = ["came_up", "check_watch", "go_on", "next_batch", "note_failed", "watch"]


def next_batch(turn: Turn, service: Service) -> Service:
    """Choose what is brought up next; a batch that was begun already, by a former daemon, goes on."""
    rollout = service.rollout
    if service.target is None or service.restart:
        return replace(service, rollout=None)
    if rollout is None:
        if not any(i.revision.number != service.target.revision.number for i in obstacles(service, None)):
            return service
        rollout = Rollout(total=0)
    if rollout.batch:
        return service
    todo = service.still_to_come(rollout)
    if not rollout.done:
        rollout = replace(rollout, total=len(todo))
    size = _pace(service, rollout).parallelism or len(todo)
    rollout = replace(rollout, batch=todo[:size])
    turn.act(_told(service, rollout))
    return replace(service, rollout=rollout)


def watch(turn: Turn, service: Service) -> None:
    """All of the batch is up, or has failed and is passed over: see whether it stays so."""
    rollout = service.rollout
    assert rollout is not None
    fresh = {
        name: replace(i, exits=0) if name in rollout.batch else i for name, i in service.instances.items()
    }
    service = replace(service, instances=MappingProxyType(fresh))
    turn.enter(service, Stage.WATCHING)
    turn.wake(service.name, _pace(service, rollout).monitor)


def check_watch(turn: Turn, service: Service) -> None:
    """See whether the batch has stayed up long enough, or something of it has not."""
    revive(turn, service)
    service = turn.services[service.name]
    rollout = service.rollout
    assert rollout is not None
    well = True
    watched = [name for name in rollout.batch if name not in rollout.failed]
    for name in watched:
        instance = service.of_target(name)
        failure = _relapse(instance, turn.now) if instance else Failure("is gone")
        if failure:
            gone_on = note_failed(turn, service, name, failure)
            if gone_on is None:
                return
            service = gone_on
        elif instance is None or not instance.up:
            well = False  # a server's connection may end a moment before its process is told to have
    rollout = service.rollout
    assert rollout is not None
    left = _pace(service, rollout).monitor - (turn.now - service.since)
    if well and (left <= 0 or rollout.failed.keys() >= set(rollout.batch) or _is_job(service)):
        _pass(turn, service, rollout)


def go_on(turn: Turn, service: Service) -> None:
    """Begin the next batch when the delay is over."""
    assert service.rollout is not None
    if turn.now - service.since >= _pace(service, service.rollout).delay:
        turn.enter(service, Stage.QUEUED)


def note_failed(turn: Turn, service: Service, name: str, failure: Failure) -> Service | None:
    """An instance of the batch failed: pass over it, or do what the pace says; then the rollout has ended."""
    rollout = service.rollout
    assert rollout is not None
    rollout = replace(rollout, failed=MappingProxyType({**rollout.failed, name: failure}))
    service = turn.put(replace(service, rollout=rollout))
    pace = _pace(service, rollout)
    atomic = turn.deploy is not None and turn.deploy.atomic and not turn.deploy.rolling_back
    tolerated = len(rollout.failed) <= pace.max_failure_ratio * rollout.total
    if not atomic and (tolerated or pace.failure_action == "continue"):
        return service
    if atomic or (pace.failure_action == "rollback" and not rollout.back):
        fail(turn, service, failure)
    else:
        _pause(turn, service, rollout, failure)
    return None


def came_up(turn: Turn, service: Service) -> None:
    """All that is wanted is up: it is what is good from now on, and what is left of the former one ends."""
    failure = service.failure if service.refused is not None else None
    rollout = service.rollout
    if rollout and rollout.failed:
        failure = _some_failed(rollout, failure)
        turn.note_failure(service.name, failure)
    service = turn.put(replace(service, good=service.target, failure=failure, rollout=None))
    surplus = obstacles(service, service.target)
    if surplus:
        turn.enter(stop_all(turn, service, surplus), Stage.RETIRING)
    else:
        settle(turn, service if service.failure else without_dead(turn, service))


# One batch


def _pass(turn: Turn, service: Service, rollout: Rollout) -> None:
    """The batch has passed: what it replaces ends, and the next one begins when its time has come."""
    rollout = replace(rollout, done=rollout.done | set(rollout.batch), batch=())
    pace = _pace(service, rollout)
    service = turn.put(replace(service, rollout=rollout))
    turn.act(_told(service, rollout))
    if not service.still_to_come(rollout):
        came_up(turn, service)
        return
    if pace.order is Order.START_FIRST:
        service = stop_all(turn, service, victims(service))
    if pace.delay > 0:
        turn.enter(service, Stage.PAUSING)
        turn.wake(service.name, pace.delay)
    else:
        turn.enter(service, Stage.QUEUED)


def _pause(turn: Turn, service: Service, rollout: Rollout, failure: Failure) -> None:
    """Leave everything as it is, for a person to look at."""
    well = len(rollout.done - rollout.failed.keys())
    if rollout.back and service.failure:
        reason = f"{service.failure.reason}; going back failed as well: {failure.reason}"
    else:
        reason = f"its update is paused after {well} of {rollout.total}: {failure.reason}"
    hint = failure.hint or "Mend it, then `up` again: it goes on from there."
    failure = Failure(reason, hint, failure.tail)
    turn.note_failure(service.name, failure)
    settle(turn, replace(service, failure=failure, paused=True))


def _relapse(instance: Instance, now: float) -> Failure | None:
    """Say why an instance that had come up does not count as good, if so."""
    failure = fatal(instance, now)
    if failure is None and instance.exits > 0:
        failure = instance.trouble or Failure("ended soon after it was ready")
    return failure


def _some_failed(rollout: Rollout, before: Failure | None) -> Failure:
    first = next(iter(rollout.failed.values()))
    reason = f"{len(rollout.failed)} of {rollout.total} instances failed: {first.reason}"
    return Failure(f"{before.reason}; {reason}" if before else reason, first.hint, first.tail)


def _is_job(service: Service) -> bool:
    return service.target is not None and service.target.revision.job


def _pace(service: Service, rollout: Rollout) -> Pace:
    assert service.target is not None
    return rollout.pace(service.target.revision)


def _told(service: Service, rollout: Rollout) -> TellRollout:
    assert service.target is not None
    return TellRollout(
        service.name, service.target.revision.number, rollout.batch, len(rollout.done), rollout.total
    )
