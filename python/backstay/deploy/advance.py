"""One service, one step: from the stage it is in to the next, as soon as what it waits for is there."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from backstay.deploy.actions import (
    Connect,
    Install,
    Remove,
    Settle,
    Start,
    Stop,
    TellRollback,
)
from backstay.deploy.conditions import unmet
from backstay.deploy.fold import GRACE, SLACK, revive
from backstay.deploy.state import (
    Failure,
    Goal,
    Instance,
    Order,
    Phase,
    Placement,
    Service,
    Snapshot,
    Stage,
)

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["MAX_EXITS", "SLOT", "advance", "fail", "fill", "obstacles", "toward"]

MAX_EXITS = 3
"""Exits before it was ever ready after which an instance counts as failed: one may be bad luck."""
SLOT = 3.0
"""Seconds after which a start leaves its slot: what it still costs shows in the pressure."""


def advance(turn: Turn, name: str) -> None:
    """Move a service on if it can be."""
    service = turn.services.get(name)
    if service is None or turn.adopting:
        return
    match service.stage:
        case Stage.SETTLED:
            revive(turn, service)
        case Stage.WAITING:
            _wait(turn, service)
        case Stage.REPLACING:
            if not _blockers(service):
                turn.enter(_without_dead(turn, service), Stage.QUEUED)
        case Stage.STARTING:
            revive(turn, service)
            _check_start(turn, turn.services[name])
        case Stage.RETIRING:
            if not obstacles(service, service.target):
                settle(turn, service if service.failure else _without_dead(turn, service))
        case Stage.REVERTING:
            _revert(turn, service)
        case Stage.STOPPING:
            _stop(turn, service)
        case Stage.INSTALL_QUEUED | Stage.INSTALLING | Stage.QUEUED:
            pass


# Where to


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
    turn.enter(service, Stage.SETTLED, waits_for=None, after=frozenset(), restart=False)
    deploy = turn.deploy
    if deploy is None or not deploy.atomic:  # an atomic deploy may have to go back: it settles at its end
        turn.act(Settle(service.name))


# Waiting


def _wait(turn: Turn, service: Service) -> None:
    waits_for = unmet(turn.services, service)
    if waits_for is None:
        turn.enter(service, Stage.QUEUED, waits_for=None)
    elif waits_for != service.waits_for:
        turn.put(replace(service, waits_for=waits_for))


# Starting


def obstacles(service: Service, keep: Placement | None) -> list[Instance]:
    """Give the instances of which something may run and that `keep` does not have."""
    names = keep.names if keep and service.goal is Goal.RUN else ()
    number = keep.revision.number if keep else -1
    return [
        i
        for i in service.instances.values()
        if i.phase.alive and (i.name not in names or i.revision.number != number or i.phase is Phase.STOPPING)
    ]


def _blockers(service: Service) -> list[Instance]:
    """Give the instances that must have ended before the wanted ones can start."""
    if service.restart:
        return [i for i in service.instances.values() if i.phase.alive]
    in_the_way = obstacles(service, service.target)
    if service.target and service.target.revision.order is Order.START_FIRST:
        return [i for i in in_the_way if i.name in service.target.names]
    return in_the_way


def stop_all(turn: Turn, service: Service, instances: list[Instance]) -> Service:
    """Ask for instances to be stopped that are not being stopped yet."""
    for instance in instances:
        if instance.phase is not Phase.STOPPING:
            turn.act(Stop(instance.name))
            service = turn.put_instance(service, replace(instance, phase=Phase.STOPPING, mute_since=None))
    return service


def _without_dead(turn: Turn, service: Service) -> Service:
    """Forget the instances that ended and stand in the way of a name, or of nothing any more."""
    for instance in tuple(service.instances.values()):
        if instance.phase.alive:
            continue
        if instance.phase is Phase.COMPLETED and service.of_target(instance.name) and not service.restart:
            continue
        turn.act(Remove(instance.name))
        service = turn.drop_instance(service, instance.name)
    return service


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
        blocking = _blockers(service)
        if blocking:
            service = stop_all(turn, service, blocking)
            turn.enter(service, Stage.REPLACING)
            return
    service = _without_dead(turn, service) if service.stage is Stage.QUEUED else service
    if service.restart:
        service = turn.put(replace(service, restart=False))
    if service.stage is Stage.QUEUED:
        # What is being restarted gets its whole time from here.
        fresh = {
            name: i if i.up else replace(i, exits=0, since=turn.now) for name, i in service.instances.items()
        }
        service = turn.put(replace(service, instances=MappingProxyType(fresh)))
        turn.wake(service.name, target.revision.start_timeout + SLACK)
    missing = [name for name in target.names if name not in service.instances]
    for name in missing[:free]:
        service = _start(turn, service, name, target)
    if service.stage is Stage.QUEUED:
        was_queued = len(missing) > free
        service = turn.enter(service, Stage.STARTING)
        if was_queued:
            turn.queue[service.name] = None
    elif len(missing) <= free:
        turn.queue.pop(service.name, None)


def _start(turn: Turn, service: Service, name: str, target: Placement) -> Service:
    revision = target.revision
    turn.starting[name] = turn.now
    instance = Instance(name, revision, since=turn.now, spawned=not revision.process)
    turn.act(Start(name, revision))
    if not revision.process:
        turn.act(Connect(name))
    turn.wake(service.name, revision.start_timeout + SLACK)
    return turn.put_instance(service, instance)


def _check_start(turn: Turn, service: Service) -> None:
    """See whether all that was started is up, or one of it will not be."""
    assert service.target is not None
    complete = True
    for name in service.target.names:
        instance = service.of_target(name)
        if instance is None or not instance.up:
            complete = False
        failure = _fatal(instance, turn.now) if instance else None
        if failure:
            fail(turn, service, failure)
            return
    if not complete:
        return
    failure = service.failure if service.refused is not None else None
    service = turn.put(replace(service, good=service.target, failure=failure))
    surplus = obstacles(service, service.target)
    if surplus:
        turn.enter(stop_all(turn, service, surplus), Stage.RETIRING)
    else:
        settle(turn, _without_dead(turn, service))


def _fatal(instance: Instance, now: float) -> Failure | None:
    """Say why an instance that is being started will not come up, if so."""
    trouble = instance.trouble
    if instance.phase is Phase.FAILED or instance.exits >= MAX_EXITS:
        return trouble or Failure("could not be started")
    if instance.phase is Phase.UNHEALTHY:
        return trouble or Failure("its healthcheck fails")
    if instance.mute_since is not None and now - instance.mute_since >= GRACE:
        return trouble or Failure("the handshake failed")
    limit = instance.revision.start_timeout
    if not instance.up and not instance.revision.job and now - instance.since >= limit + SLACK:
        return trouble or Failure(
            f"was not ready within {limit:g} s", "raise its start timeout if it needs longer"
        )
    return None


# Failing


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
        service = replace(
            service, target=good, failure=failure, refused=target.revision.number, restart=False
        )
        service = stop_all(turn, turn.put(service), obstacles(service, good))
        turn.enter(service, Stage.REVERTING)
    elif good:
        # There is nothing better to go back to: its restart policy goes on trying.
        service = turn.put(replace(service, failure=failure))
        turn.enter(stop_all(turn, service, obstacles(service, good)), Stage.RETIRING)
    else:
        service = turn.put(replace(service, failure=failure))
        service = stop_all(turn, service, [i for i in service.instances.values() if i.phase.alive])
        turn.enter(service, Stage.REVERTING)


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


def _revert(turn: Turn, service: Service) -> None:
    if service.good is None:
        if not service.alive:
            settle(turn, _without_dead(turn, service))
        return
    if obstacles(service, service.target):
        return
    service = _without_dead(turn, service)
    if service.as_wanted:
        settle(turn, service)
    else:
        turn.enter(service, Stage.WAITING)


# Stopping


def _stop(turn: Turn, service: Service) -> None:
    """Stop a service after those of its dependents that stop too."""
    if not service.alive:
        atomic = turn.deploy is not None and turn.deploy.atomic
        for name, instance in tuple(service.instances.items()):
            if service.leaving and atomic and instance.phase is Phase.COMPLETED:
                continue  # should it have to come back, it has completed still
            turn.act(Remove(name))
            service = turn.drop_instance(service, name)
        settle(turn, service)
        return
    for name in turn.dependents_of(service.name):
        dependent = turn.services.get(name)
        if dependent and dependent.stage is Stage.STOPPING and dependent.alive:
            return
    stop_all(turn, service, [i for i in service.instances.values() if i.phase.alive])
