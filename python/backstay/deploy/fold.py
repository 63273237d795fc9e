"""What the engine tells, folded into what is known of an instance. What follows from it is `advance`'s."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.actions import Connect, Remove, Restart, Settle, Stop
from backstay.deploy.state import (
    Failure,
    Goal,
    Instance,
    Phase,
    Placement,
    Revision,
    Service,
    Stage,
    owner_of,
)
from backstay.engines.events import (
    Adopted,
    EngineEvent,
    Exited,
    Failed,
    Ready,
    ServerClosed,
    ServerFailed,
    ServerReady,
    Spawned,
    Stopped,
    Unhealthy,
)

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn

__all__ = ["GRACE", "MAX_EXITS", "SETTLE", "SLACK", "adopt", "fatal", "fold", "revive"]

SETTLE = 0.5
"""Seconds for which a service that nothing probes must run before it counts as ready."""
SLACK = 5.0
"""Seconds beyond `start_timeout` in which the gateway or the keeper may say more exactly what is wrong."""
GRACE = 0.5
"""Seconds in which the exit that explains a failed handshake may still arrive."""
MAX_EXITS = 3
"""Exits before it was ever ready after which an instance counts as failed: one may be bad luck."""
_MAX_RETRY = 60.0


def fold(turn: Turn, event: EngineEvent) -> None:
    """Take in one event of an instance; events of strangers are passed over."""
    name: str | None = getattr(event, "instance", None)
    service = turn.services.get(owner_of(name)) if name else None
    instance = service.instances.get(name) if service and name else None
    if service is None or instance is None:
        # While adopting, this may be old news of an instance that was started again since.
        if isinstance(event, Stopped) and not turn.adopting:
            turn.act(Remove(event.instance))
        return
    match event:
        case Stopped():
            _stopped(turn, service, instance)
        case Spawned():
            _spawned(turn, service, instance, event)
        case Exited() | Failed():
            _ended(turn, service, instance, event)
        case Ready():
            _ready(turn, service, replace(instance, probed=True), connect=True)
        case ServerReady(tools=tools):
            spoke = replace(instance, spoke=True, mute_since=None, tools=tools)
            _ready(turn, service, spoke, connect=False)
        case Unhealthy(reason=reason):
            if instance.phase is not Phase.STOPPING:
                trouble = Failure(reason or "its healthcheck fails")
                turn.put_instance(
                    service, replace(instance, phase=Phase.UNHEALTHY, probed=False, trouble=trouble)
                )
        case ServerFailed() | ServerClosed():
            _mute(turn, service, instance, event)
        case _:
            pass


def _stopped(turn: Turn, service: Service, instance: Instance) -> None:
    if instance.phase is Phase.STOPPING:
        turn.act(Remove(instance.name))
        turn.drop_instance(service, instance.name)
    elif instance.spawned and instance.phase.alive:
        # Nobody here asked for it: the gateway begins an isolated server anew, and it will be spawned again.
        again = replace(
            instance,
            phase=Phase.STARTING,
            pid=None,
            spawned=False,
            probed=False,
            spoke=False,
            mute_since=None,
            since=turn.now,
            trouble=Failure("is being started anew"),
        )
        turn.put_instance(service, again)
    # Otherwise it is old news of a former instance of this name.


def _spawned(turn: Turn, service: Service, instance: Instance, event: Spawned) -> None:
    revision = instance.revision
    phase = instance.phase if instance.phase is Phase.STOPPING else Phase.STARTING
    turn.put_instance(
        service,
        replace(
            instance,
            phase=phase,
            pid=event.pid,
            spawned=True,
            probed=False,
            spoke=False,
            mute_since=None,
            restarts=event.restarts,
            started_at=event.started_at,
            since=turn.now,
        ),
    )
    turn.wake(service.name, SETTLE if revision.immediate else revision.start_timeout + SLACK)


def _ready(turn: Turn, service: Service, instance: Instance, *, connect: bool) -> None:
    if connect and instance.revision.http and not instance.spoke and instance.phase is not Phase.STOPPING:
        turn.act(Connect(instance.name))
    turn.put_instance(service, _up_if_all_is_well(instance))


def _up_if_all_is_well(instance: Instance) -> Instance:
    revision = instance.revision
    well = (instance.probed or not revision.probe) and (instance.spoke or not revision.server)
    unasked = revision.immediate or (revision.job and not revision.probe)
    if not well or unasked or instance.phase not in (Phase.STARTING, Phase.UNHEALTHY):
        return instance
    return replace(instance, phase=Phase.READY, trouble=None, retries=0)


def _ended(turn: Turn, service: Service, instance: Instance, event: Exited | Failed) -> None:
    if instance.phase is Phase.STOPPING:
        return
    if isinstance(event, Failed):
        trouble = _trouble(event.reason or "failed", event)
        if instance.trouble and not instance.spawned:  # how it exited says more than that it was given up
            reason = instance.trouble.reason
            trouble = replace(
                instance.trouble, reason=f"{reason}; {event.reason}" if instance.exits else reason
            )
        failed = replace(instance, phase=Phase.FAILED, pid=None, spawned=False, trouble=trouble)
        turn.put_instance(service, failed)
        _over(turn, service.name, trouble)
        return
    ended = replace(instance, pid=None, spawned=False, probed=False, spoke=False, mute_since=None)
    trouble = _trouble(_how(event), event)
    if event.will_restart_in_ms is not None:
        again = replace(
            ended, phase=Phase.STARTING, exits=instance.exits + 1, trouble=trouble, since=turn.now
        )
        turn.put_instance(service, again)
    elif event.code != 0:
        # `Failed` follows. To act before it came would have it told of whatever starts under this name next.
        turn.put_instance(service, replace(ended, phase=Phase.STARTING, trouble=trouble))
    elif instance.revision.server:
        turn.put_instance(service, replace(ended, phase=Phase.FAILED, trouble=trouble))
        _over(turn, service.name, trouble)
    else:
        turn.put_instance(service, replace(ended, phase=Phase.COMPLETED, spawned=True, trouble=None))
        _over(turn, service.name, None)


def _over(turn: Turn, name: str, failure: Failure | None) -> None:
    """An instance has ended for good: at rest, what it held is given back, and a failure is the service's."""
    service = turn.services[name]
    if service.stage is not Stage.SETTLED:
        return
    if failure and not service.alive:
        turn.put(replace(service, failure=failure))
    turn.act(Settle(name))


def _trouble(reason: str, event: Exited | Failed | ServerFailed) -> Failure:
    return Failure(reason, event.hint, event.tail or None)


def _how(event: Exited) -> str:
    if event.signal:
        return f"ended by {event.signal}"
    if event.code is None:
        return event.tail.strip() or "could not be started"
    return f"exited with code {event.code}"


def _mute(turn: Turn, service: Service, instance: Instance, event: ServerFailed | ServerClosed) -> None:
    """A server does not speak. Most often its process has just ended: give that news time to arrive."""
    if instance.phase is Phase.STOPPING or not instance.phase.alive:
        return
    if isinstance(event, ServerFailed):
        trouble = _trouble(event.reason or "the handshake failed", event)
    else:
        trouble = Failure(event.reason or "the connection ended")
    if not instance.spawned and instance.trouble:
        trouble = instance.trouble  # it has ended already, and how is the better reason
    mute_since = turn.now if instance.spawned else None
    phase = Phase.STARTING if instance.phase is Phase.READY else instance.phase
    turn.put_instance(
        service, replace(instance, phase=phase, spoke=False, mute_since=mute_since, trouble=trouble)
    )
    turn.wake(service.name, GRACE)


def revive(turn: Turn, service: Service) -> None:
    """End the wait of what nothing probes, and bring servers back that stopped speaking while at rest."""
    for instance in tuple(service.instances.values()):
        service = turn.services[service.name]
        if _has_run_long_enough(instance, turn.now):
            turn.put_instance(service, replace(instance, phase=Phase.READY, trouble=None))
        elif instance.mute_since is not None and service.stage is Stage.SETTLED:
            due = instance.mute_since + min(GRACE * 2**instance.retries, _MAX_RETRY)
            if turn.now < due:
                turn.wake(service.name, due - turn.now)
                continue
            turn.act(Connect(instance.name) if instance.revision.http else Restart(instance.name))
            turn.put_instance(
                service,
                replace(
                    instance,
                    spawned=instance.spawned and instance.revision.http,
                    exits=0,
                    mute_since=None,
                    retries=instance.retries + 1,
                    since=turn.now,
                ),
            )


def _index(instance: str) -> int:
    return int(instance.rpartition(".")[2])


def fatal(instance: Instance, now: float) -> Failure | None:
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


def _has_run_long_enough(instance: Instance, now: float) -> bool:
    starting = instance.phase is Phase.STARTING and instance.spawned
    return instance.revision.immediate and starting and now - instance.since >= SETTLE


def adopt(turn: Turn, event: Adopted) -> None:
    """Take over an instance of a former daemon, or stop it if nobody knows it."""
    service = turn.services.get(event.service)
    if service is None:
        turn.act(Stop(event.instance))
        return
    known = next(
        (
            placement.revision
            for placement in (service.target, service.good)
            if placement and placement.revision.number == event.revision and event.instance in placement.names
        ),
        None,
    )
    if event.state == "stopped":
        turn.act(Remove(event.instance))
        return
    target = service.target
    if known is None and target and target.revision.pool and target.revision.number == event.revision:
        # It was started for a session, and the former daemon had no time to write that down.
        known = target.revision
        names = tuple(sorted((*target.names, event.instance), key=_index))
        service = turn.put(replace(service, target=Placement(known, names)))
        if service.good and service.good.revision.number == known.number:
            service = turn.put(replace(service, good=service.target))
    revision = known or Revision(event.service, event.revision, fingerprint="")
    instance = Instance(
        name=event.instance,
        revision=revision,
        phase=_ADOPTED.get(event.state, Phase.STARTING),
        pid=event.pid,
        spawned=event.pid is not None or event.state == "completed",
        probed=event.state == "ready",
        restarts=event.restarts,
        started_at=event.started_at,
        since=turn.now,
    )
    if revision.immediate and event.state == "ready":
        instance = replace(instance, phase=Phase.READY)
    if (known is None or service.goal is Goal.STOP) and instance.phase.alive:
        if instance.phase is not Phase.STOPPING:
            turn.act(Stop(event.instance))
        instance = replace(instance, phase=Phase.STOPPING)
    turn.put_instance(service, _up_if_all_is_well(instance))
    if revision.http and instance.probed and instance.phase is Phase.STARTING:
        turn.act(Connect(event.instance))
    if instance.phase is Phase.STARTING:
        turn.wake(service.name, SETTLE if revision.immediate else revision.start_timeout + SLACK)


_ADOPTED = {
    "unhealthy": Phase.UNHEALTHY,
    "stopping": Phase.STOPPING,
    "failed": Phase.FAILED,
    "completed": Phase.COMPLETED,
}
