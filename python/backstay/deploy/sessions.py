"""Instances that sessions have to themselves (`session: isolated` over stdio): as many as wanted, to a cap.

The gateway knows the sessions: it says how many instances there should be, and which one is left over. What
is wanted of a service follows that while the service is at rest; a deploy under way goes first. An instance
that cannot be started is given up again, and the gateway is told why, for a while.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy.actions import Remove, Settle
from backstay.deploy.plan import instance_names
from backstay.deploy.starting import start
from backstay.deploy.state import Goal, Phase, Placement, Service, Stage

if TYPE_CHECKING:
    from backstay.deploy.turn import Turn
    from backstay.engines.events import SessionEnded, SessionSpare, SessionWanted

__all__ = ["CRAMPED_FOR", "ended", "grow", "spare", "wanted"]

CRAMPED_FOR = 5.0
"""Seconds in which no more instances are tried after one could not be started."""


def wanted(turn: Turn, event: SessionWanted) -> None:
    """So many instances there should be: more are started when the service is at rest."""
    service = turn.services.get(event.service)
    if service is not None and service.goal is Goal.RUN:
        turn.put(replace(service, sessions=event.instances))


def spare(turn: Turn, event: SessionSpare) -> None:
    """An instance is left over, and is being ended by the gateway's word."""
    service = turn.services.get(event.service)
    instance = service.instances.get(event.instance) if service else None
    if service is None or instance is None or not instance.phase.alive:
        return
    service = turn.put_instance(service, replace(instance, phase=Phase.STOPPING, mute_since=None))
    if service.stage is Stage.SETTLED:
        service = _without(service, event.instance)
    turn.put(replace(service, sessions=0, cramped=None))
    turn.reroute()


def ended(turn: Turn, event: SessionEnded) -> None:
    """A session ended: what could not be started before may be tried again."""
    service = turn.services.get(event.service)
    if service is not None and service.cramped:
        turn.put(replace(service, cramped=None))
        turn.reroute()


def grow(turn: Turn, service: Service) -> None:
    """At rest: give up what could not be started, and start what sessions want."""
    target = service.target
    if target is None or target.revision.pool is None or service.goal is Goal.STOP or service.paused:
        return
    service = _start_missing(turn, _give_up_failed(turn, service))
    if service.cramped:
        if turn.now - service.since_cramped >= CRAMPED_FOR:
            service = turn.put(replace(service, cramped=None))
            turn.reroute()
        return
    target = service.target
    assert target is not None
    assert target.revision.pool is not None
    count = min(service.sessions, target.revision.pool.most)
    if len(target.names) >= count:
        return
    avoid = frozenset(service.instances) - frozenset(target.names)
    names = instance_names(service.name, count, keep=target.names, avoid=avoid)
    service = turn.put(_with_names(service, names))
    assert service.target is not None
    for name in names:
        if name not in target.names:
            service = start(turn, service, name, service.target)
    turn.act(Settle(service.name))


def _start_missing(turn: Turn, service: Service) -> Service:
    """Start what is wanted and not there: a former daemon died while the gateway began it anew."""
    target, good = service.target, service.good
    if target is None or good is None or good.key != target.key or service.failure:
        return service
    for name in target.names:
        if name not in service.instances:
            service = start(turn, service, name, target)
    return service


def _give_up_failed(turn: Turn, service: Service) -> Service:
    """Forget instances beyond the spare ones that could not be started."""
    target = service.target
    assert target is not None
    assert target.revision.pool is not None
    for name in target.names:
        instance = service.of_target(name)
        if instance is None or instance.phase is not Phase.FAILED:
            continue
        up = sum(i.up for i in service.instances.values())
        if up < min(target.revision.pool.spare, 1):
            continue  # it is not that there are too many: the server itself fails
        turn.act(Remove(name))
        service = turn.drop_instance(_without(service, name), name)
        why = instance.trouble.reason if instance.trouble else "it failed"
        service = turn.put(replace(service, cramped=why, since_cramped=turn.now))
        turn.act(Settle(service.name))
        turn.wake(service.name, CRAMPED_FOR)
    return service


def _without(service: Service, name: str) -> Service:
    names = service.target.names if service.target else ()
    return _with_names(service, tuple(other for other in names if other != name))


def _with_names(service: Service, names: tuple[str, ...]) -> Service:
    """Change which instances there should be; what was good is good with these too."""
    target, good = service.target, service.good
    assert target is not None
    placement = Placement(target.revision, names)
    same = good is not None and good.revision.number == target.revision.number
    return replace(service, target=placement, good=placement if same else good)
