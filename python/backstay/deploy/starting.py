"""Starting instances: as many at once as the machine bears, and whether they came up."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from backstay.deploy.actions import Connect, Install, Start
from backstay.deploy.conditions import unmet
from backstay.deploy.ending import blockers, stop_all, without_dead
from backstay.deploy.failing import fail
from backstay.deploy.fold import SLACK, fatal
from backstay.deploy.rollout import came_up, next_batch, note_failed, watch
from backstay.deploy.state import Instance, Placement, Service, Stage

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["SLOT", "check_start", "fill", "start"]

SLOT = 3.0
"""Seconds after which a start leaves its slot: what it still costs shows in the pressure."""


def fill(turn: Turn) -> None:
    """Start as much as the machine bears, and install likewise."""
    if turn.adopting:
        return
    while turn.install_queue and len(turn.installing) < max(1, turn.limits.installs):
        service = turn.services[next(iter(turn.install_queue))]
        assert service.target is not None
        turn.enter(service, Stage.INSTALLING)
        turn.act(Install(service.name, service.target.revision))
    if not turn.queue:
        return
    for name, since in tuple(turn.starting.items()):
        if turn.now - since >= SLOT:
            del turn.starting[name]
    for name in tuple(turn.queue):
        free = max(1, turn.limits.starts) - len(turn.starting)
        if free <= 0:
            break
        service = turn.services[name]
        if unmet(turn.services, service) is None:
            _begin(turn, service, free)
        else:  # what it depends on has failed since
            turn.enter(service, Stage.WAITING)
    if turn.queue and turn.starting and turn.slot_wake <= turn.now:
        turn.slot_wake = min(turn.starting.values()) + SLOT
        turn.wake(next(iter(turn.queue)), turn.slot_wake - turn.now)


def _begin(turn: Turn, service: Service, free: int) -> None:
    """Start what is missing of a service, at most `free` instances now."""
    target = service.target
    assert target is not None
    if service.stage is Stage.QUEUED:
        service = turn.put(next_batch(turn, service))
        blocking = blockers(service)
        if blocking:
            service = stop_all(turn, service, blocking)
            turn.enter(service, Stage.REPLACING)
            return
    service = without_dead(turn, service) if service.stage is Stage.QUEUED else service
    if service.restart:
        service = turn.put(replace(service, restart=False))
    if service.stage is Stage.QUEUED:
        # What is being restarted gets its whole time from here.
        fresh = {
            name: i if i.up else replace(i, exits=0, since=turn.now) for name, i in service.instances.items()
        }
        service = turn.put(replace(service, instances=MappingProxyType(fresh)))
        turn.wake(service.name, target.revision.start_timeout + SLACK)
    missing = [name for name in service.coming if name not in service.instances]
    for name in missing[:free]:
        service = start(turn, service, name, target)
    if service.stage is Stage.QUEUED:
        was_queued = len(missing) > free
        service = turn.enter(service, Stage.STARTING)
        if was_queued:
            turn.queue[service.name] = None
    elif len(missing) <= free:
        turn.queue.pop(service.name, None)


def start(turn: Turn, service: Service, name: str, target: Placement) -> Service:
    """Start one instance."""
    revision = target.revision
    turn.starting[name] = turn.now
    instance = Instance(name, revision, since=turn.now, spawned=not revision.process)
    turn.act(Start(name, revision))
    if not revision.process:
        turn.act(Connect(name))
    turn.wake(service.name, revision.start_timeout + SLACK)
    return turn.put_instance(service, instance)


def check_start(turn: Turn, service: Service) -> None:
    """See whether all that was started is up, or one of it will not be."""
    complete = True
    for name in service.coming:
        instance = service.of_target(name)
        if service.rollout and name in service.rollout.failed:
            continue
        failure = fatal(instance, turn.now) if instance else None
        if failure and service.rollout:
            gone_on = note_failed(turn, service, name, failure)
            if gone_on is None:
                return
            service = gone_on
        elif failure:
            fail(turn, service, failure)
            return
        elif instance is None or not instance.up:
            complete = False
    if complete and service.rollout:
        watch(turn, service)
    elif complete:
        came_up(turn, service)
