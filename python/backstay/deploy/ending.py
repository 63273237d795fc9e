"""How instances make way: which are in the way, how they are asked to end and forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.actions import Remove, Stop
from backstay.deploy.state import Goal, Instance, Order, Phase, Placement, Service, Stage
from backstay.deploy.toward import settle

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["blockers", "obstacles", "stop", "stop_all", "victims", "without_dead"]


def obstacles(service: Service, keep: Placement | None) -> list[Instance]:
    """Give the instances of which something may run and that `keep` does not have."""
    names = keep.names if keep and service.goal is Goal.RUN else ()
    number = keep.revision.number if keep else -1
    return [
        i
        for i in service.instances.values()
        if i.phase.alive and (i.name not in names or i.revision.number != number or i.phase is Phase.STOPPING)
    ]


def blockers(service: Service) -> list[Instance]:
    """Give the instances that must have ended before the wanted ones can start."""
    if service.restart:
        return [i for i in service.instances.values() if i.phase.alive]
    if service.rollout:
        return victims(service)
    in_the_way = obstacles(service, service.target)
    if service.target and service.target.revision.order is Order.START_FIRST:
        return [i for i in in_the_way if i.name in service.target.names]
    return in_the_way


def victims(service: Service) -> list[Instance]:
    """Give the instances that a rollout's batch replaces, and must see end before it, or after it.

    What shares a name with the batch is always among them. Of the others as many stay as are still to be
    replaced: first go those that do not serve, then those whose names are not wanted any more.
    """
    target, rollout = service.target, service.rollout
    assert target is not None
    assert rollout is not None
    others = obstacles(service, target)
    gone = [i for i in others if i.phase is Phase.STOPPING]
    same_name = [i for i in others if i.name in rollout.batch and i not in gone]
    if rollout.pace(target.revision).order is Order.START_FIRST and rollout.batch:
        return [i for i in gone if i.name in rollout.batch] + same_name
    to_come = [name for name in service.still_to_come(rollout) if name not in rollout.batch]
    rest = [i for i in others if i not in gone and i not in same_name]
    rest.sort(key=lambda i: (i.up, i.name in to_come))
    return gone + same_name + rest[: max(0, len(rest) - len(to_come))]


def stop_all(turn: Turn, service: Service, instances: list[Instance]) -> Service:
    """Ask for instances to be stopped that are not being stopped yet."""
    for instance in instances:
        if instance.phase is not Phase.STOPPING:
            turn.act(Stop(instance.name))
            service = turn.put_instance(service, replace(instance, phase=Phase.STOPPING, mute_since=None))
    return service


def without_dead(turn: Turn, service: Service) -> Service:
    """Forget the instances that ended and stand in the way of a name, or of nothing any more."""
    for instance in tuple(service.instances.values()):
        if instance.phase.alive:
            continue
        if service.of_target(instance.name) and not service.restart:
            passed_over = service.rollout is not None and instance.name in service.rollout.failed
            if instance.phase is Phase.COMPLETED or passed_over:
                continue
        turn.act(Remove(instance.name))
        service = turn.drop_instance(service, instance.name)
    return service


def stop(turn: Turn, service: Service) -> None:
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
