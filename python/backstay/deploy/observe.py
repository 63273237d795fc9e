"""From the richer state of decisions to the one word that users see."""

from __future__ import annotations

from backstay.deploy.state import Goal, Instance, Phase, Service, Stage
from backstay.deploy.status import State

__all__ = ["instance_state", "reason_of", "service_state", "serving_number"]

_PHASES = {
    Phase.STARTING: State.STARTING,
    Phase.READY: State.READY,
    Phase.UNHEALTHY: State.UNHEALTHY,
    Phase.STOPPING: State.STOPPING,
    Phase.COMPLETED: State.COMPLETED,
    Phase.FAILED: State.FAILED,
}


def instance_state(instance: Instance) -> State:
    """Say how an instance is."""
    return _PHASES[instance.phase]


def service_state(service: Service) -> State:
    """Say how a service is: by its instances where it has any, else by what it waits for."""
    alive = [i for i in service.instances.values() if i.phase.alive]
    if service.goal is Goal.STOP or service.target is None:
        if alive:
            return State.STOPPING
        return State.FAILED if service.failure else State.STOPPED
    if alive:
        phases = {i.phase for i in alive}
        # While a replacement starts beside them, the instances that serve say how the service is.
        if service.good and service.good.key != service.target.key:
            serving = {i.phase for i in alive if i.revision.number == service.good.revision.number} & {
                Phase.READY,
                Phase.UNHEALTHY,
            }
            phases = serving or phases
        pooled = service.target.revision.pool is not None and service.stage is Stage.SETTLED
        if pooled and Phase.READY in phases:
            return State.READY  # the others come and go with the sessions
        for phase in (Phase.UNHEALTHY, Phase.STARTING, Phase.STOPPING):
            if phase in phases:
                return State.STARTING if phase is Phase.STOPPING else _PHASES[phase]
        if any(i.phase is Phase.FAILED for i in service.instances.values()):
            return State.UNHEALTHY
        return State.READY
    return _at_rest(service)


def _at_rest(service: Service) -> State:
    """Say how a service is that should run and of which nothing does."""
    if service.stage is Stage.INSTALLING:
        return State.INSTALLING
    if service.stage in (Stage.INSTALL_QUEUED, Stage.WAITING, Stage.QUEUED):
        return State.PENDING
    if service.failure or any(i.phase is Phase.FAILED for i in service.instances.values()):
        return State.FAILED
    if service.stage is Stage.SETTLED:
        if service.instances and all(i.phase is Phase.COMPLETED for i in service.instances.values()):
            return State.COMPLETED
        return State.STOPPED if not service.wanted_names else State.PENDING
    return State.STARTING


def serving_number(service: Service) -> int | None:
    """Give the number of the revision that runs, or of the one being started where none does."""
    running = [i.revision.number for i in service.instances.values() if i.phase.alive]
    if service.good and service.good.revision.number in running:
        return service.good.revision.number
    if running:
        return max(running)
    return service.target.revision.number if service.target else None


def reason_of(service: Service) -> str | None:
    """Say why a service is not ready, or what it would not become."""
    if service.waits_for and service.stage is Stage.WAITING:
        return f"waits for {service.waits_for}"
    if service.failure:
        if service.refused is not None:
            return f"revision {service.refused} failed: {service.failure.reason}"
        return service.failure.reason
    for instance in service.instances.values():
        if instance.trouble and not instance.up:
            return instance.trouble.reason
    return None
