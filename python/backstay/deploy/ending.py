"""How instances make way: which are in the way, how they are asked to end and forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.actions import Remove, Stop
from backstay.deploy.state import Goal, Instance, Order, Phase, Placement, Service, Stage
from backstay.deploy.toward import settle

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["blockers", "obstacles", "stop", "stop_all", "without_dead"]


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


def without_dead(turn: Turn, service: Service) -> Service:
    """Forget the instances that ended and stand in the way of a name, or of nothing any more."""
    for instance in tuple(service.instances.values()):
        if instance.phase.alive:
            continue
        if instance.phase is Phase.COMPLETED and service.of_target(instance.name) and not service.restart:
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
