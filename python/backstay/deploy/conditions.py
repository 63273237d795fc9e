"""Whether a service may start: what it depends on must be far enough, in the words of `depends_on`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.deploy.state import Goal, Phase, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.deploy.state import Condition, Service

__all__ = ["met", "unmet"]

_SERVING = (Stage.SETTLED, Stage.STARTING, Stage.WATCHING, Stage.RETIRING)


def unmet(services: Mapping[str, Service], service: Service) -> str | None:
    """Name what a service has to wait for, with why; None if nothing."""
    for name in sorted(service.after):
        holder = services.get(name)
        if holder and holder.alive:
            return f"`{name}` to end"
    if service.target is None:
        return None
    for name, condition in service.target.revision.depends_on:
        dependency = services.get(name)
        # What a revision that is gone back to stood on may have left the stack: better to try than to wait.
        if service.refused is not None and (dependency is None or dependency.goal is Goal.STOP):
            continue
        if dependency is None:
            return f"`{name}`, which is not there"
        if not met(dependency, condition):
            return _why(dependency, condition)
    return None


def met(dependency: Service, condition: Condition) -> bool:
    """Whether a service is as far as another one waits for."""
    if dependency.goal is Goal.STOP or dependency.target is None:
        return False
    if dependency.stage not in _SERVING or dependency.restart:
        return False
    instances = [dependency.of_target(name) for name in dependency.target.names]
    if not instances:  # scaled to nothing
        return False
    if dependency.target.revision.pool and condition != "service_completed_successfully":
        # Of those that sessions have to themselves some are always on their way.
        return any(i is not None and i.phase is Phase.READY for i in instances)
    if condition == "service_started":
        return all(i is not None and (i.spawned or i.up) for i in instances)
    if condition == "service_completed_successfully":
        return all(i is not None and i.phase is Phase.COMPLETED for i in instances)
    return all(i is not None and i.phase is Phase.READY for i in instances)


def _why(dependency: Service, condition: Condition) -> str:
    name = f"`{dependency.name}`"
    if dependency.goal is Goal.STOP or dependency.target is None:
        return f"{name}, which is stopped"
    if dependency.failure and dependency.refused is None and not dependency.alive:
        return f"{name}, which failed"
    if condition == "service_completed_successfully":
        return f"{name} to complete"
    return f"{name} to start" if condition == "service_started" else f"{name} to be ready"
