"""The decisions: (fleet, input, now) → (fleet, actions).

A pure function. It reads no clock and touches no process: `now` is given, and what should happen is answered
as actions. The acting side (`fleet`) carries them out and feeds back what comes of them, so that a simulated
engine can drive it by the thousand. A turn folds the input in, then moves every service concerned as far as
it can go.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, assert_never

from backstay.deploy import sessions
from backstay.deploy.actions import Finish, Forget, Remove, Settle
from backstay.deploy.advance import advance
from backstay.deploy.failing import fail, roll_back
from backstay.deploy.fold import adopt, fold
from backstay.deploy.inputs import Begin, Change, Input, Installed, InstallFailed, Load, Tick
from backstay.deploy.starting import fill
from backstay.deploy.state import Deploy, Failure, Fleet, Goal, Service, Snapshot, Stage
from backstay.deploy.status import DeployResult, ServiceFailure
from backstay.deploy.toward import settle, toward
from backstay.deploy.turn import Turn
from backstay.engines.events import (
    Adopted,
    AdoptedAll,
    Exited,
    Failed,
    KeeperLost,
    Other,
    Ready,
    ServerClosed,
    ServerFailed,
    ServerReady,
    SessionEnded,
    SessionSpare,
    SessionWanted,
    Spawned,
    Stopped,
    Unhealthy,
)

if TYPE_CHECKING:
    from backstay.deploy.actions import Action

__all__ = ["PATIENCE", "decide"]

PATIENCE = 60.0
"""Seconds for which a deploy waits for a service at rest that is being restarted by its policy."""


def decide(fleet: Fleet, event: Input, now: float) -> tuple[Fleet, tuple[Action, ...]]:
    """Say what follows from an input, at a time."""
    turn = Turn(fleet, now)
    _take(turn, event)
    _run(turn)
    return turn.done()


def _run(turn: Turn) -> None:
    while True:
        while turn.dirty:
            name = next(iter(turn.dirty))
            del turn.dirty[name]
            advance(turn, name)
        fill(turn)
        if not turn.dirty:
            _conclude(turn)
        if not turn.dirty:
            return


def _take(turn: Turn, event: Input) -> None:
    match event:
        case Begin():
            _begin(turn, event)
        case Installed():
            _installed(turn, event)
        case InstallFailed(service=name, number=number, failure=failure):
            service = _installing(turn, name, number)
            if service is None:
                return
            # What runs goes on where the same package was only looked at again.
            if service.as_wanted and not service.restart:
                settle(turn, service)
            else:
                fail(turn, service, failure)
        case Load(limits=limits):
            turn.limits = limits
        case Tick(service=name):
            if name in turn.services:
                turn.dirty[name] = None
        case Adopted():
            adopt(turn, event)
        case AdoptedAll():
            _adopted_all(turn)
        case SessionWanted():
            sessions.wanted(turn, event)
        case SessionSpare():
            sessions.spare(turn, event)
        case SessionEnded():
            sessions.ended(turn, event)
        case KeeperLost() | Other():
            pass
        case (
            Spawned()
            | Ready()
            | Unhealthy()
            | Exited()
            | Stopped()
            | Failed()
            | ServerReady()
            | ServerFailed()
            | ServerClosed()
        ):
            fold(turn, event)
        case _:
            assert_never(event)


# A deploy begins


def _begin(turn: Turn, begin: Begin) -> None:
    if turn.deploy:
        _finish(turn, ended_by=begin.deploy)
    before = {}
    for name in begin.changes:
        service = turn.services.get(name)
        if service:
            before[name] = Snapshot(service.target, service.good, service.goal, service.failure)
    turn.deploy = Deploy(
        begin.deploy,
        begin.verb,
        begin.atomic,
        tuple(begin.changes),
        MappingProxyType(before),
    )
    for name, change in begin.changes.items():
        turn.put(_changed(turn.services.get(name) or Service(name), change))
    turn.relink()
    for name, change in begin.changes.items():
        toward(turn, turn.services[name], install=change.install)
    # What only the gateway takes from the stack file (tools, a prefix, a published path) changes no instance.
    turn.reroute()


def _changed(service: Service, change: Change) -> Service:
    target = change.target or service.target
    return replace(
        service,
        target=target,
        goal=change.goal,
        leaving=change.leaving,
        restart=change.restart,
        after=change.after,
        failure=None,
        refused=None,
        rollout=None,
        sessions=service.sessions if change.goal is Goal.RUN else 0,
        cramped=None,
        paused=False,
        waits_for=None,
        last_number=max(service.last_number, target.revision.number if target else 0),
    )


# Installations


def _installing(turn: Turn, name: str, number: int) -> Service | None:
    service = turn.services.get(name)
    if service is None or service.stage is not Stage.INSTALLING or service.target is None:
        return None
    return service if service.target.revision.number == number else None


def _installed(turn: Turn, event: Installed) -> None:
    service = _installing(turn, event.service, event.number)
    if service is None or service.target is None:
        return
    target = service.target
    if event.placement:
        target = event.placement
    elif target.revision.launch != event.launch:
        target = replace(target, revision=replace(target.revision, launch=event.launch))
    good = service.good
    if good and good.revision.number == target.revision.number:
        good = replace(good, revision=target.revision)
    number = max(service.last_number, target.revision.number)
    service = turn.put(replace(service, target=target, good=good, last_number=number))
    toward(turn, service, install=False)


# A new daemon takes over


def _adopted_all(turn: Turn) -> None:
    turn.adopting = False
    turn.relink()
    begun = []
    for name, service in tuple(turn.services.items()):
        if service.goal is Goal.STOP or service.target is None:
            if service.alive:
                toward(turn, service, install=False)
                begun.append(name)
        elif service.failure and service.refused is None and not service.alive:
            continue  # it failed under the former daemon, and was said to have
        elif service.paused and service.alive:
            continue
        elif not service.as_wanted or service.good != service.target:
            install = not service.target.revision.launch
            toward(turn, service, install=install)
            begun.append(name)
    if turn.deploy is None and begun:
        turn.deploy = Deploy("recovery", "recover", services=tuple(begun))
    turn.reroute()


# A deploy ends


def _conclude(turn: Turn) -> None:
    """End the deploy if nothing of it can go on by itself."""
    deploy = turn.deploy
    if deploy is None or turn.busy or turn.adopting:
        return
    waiting = [
        service
        for name in deploy.services
        if (service := turn.services.get(name)) and service.stage is Stage.WAITING
    ]
    for service in waiting:
        left = PATIENCE - (turn.now - service.since)
        if left > 0 and _may_recover(turn, service):
            turn.wake(service.name, left)
            return
    if deploy.atomic and not deploy.rolling_back:
        for service in waiting:
            turn.note_failure(service.name, Failure(f"waited for {service.waits_for}"))
        lost = [service for name in deploy.services if (service := _no_more_ready(turn, name))]
        for service in lost:
            turn.note_failure(service.name, _trouble_of(service))
        if waiting or lost:
            roll_back(turn)
            return
    _finish(turn)


def _no_more_ready(turn: Turn, name: str) -> Service | None:
    """Give a service of the deploy that had come up, and is not up any more."""
    service = turn.services.get(name)
    return service if service and service.stage is Stage.SETTLED and not service.as_wanted else None


def _trouble_of(service: Service) -> Failure:
    troubles = (i.trouble for i in service.instances.values() if i.trouble)
    return next(troubles, Failure("is not ready any more"))


def _may_recover(turn: Turn, service: Service) -> bool:
    """Whether something at rest that a service waits for is being restarted by its policy."""
    assert service.target is not None
    for name, _ in service.target.revision.depends_on:
        dependency = turn.services.get(name)
        if dependency is None or dependency.failure or dependency.stage is not Stage.SETTLED:
            continue
        if any(i.phase.alive and not i.up for i in dependency.instances.values()):
            return True
    return False


def _finish(turn: Turn, ended_by: str | None = None) -> None:
    deploy = turn.deploy
    assert deploy is not None
    failed = {name: _published(failure) for name, failure in deploy.failed.items()}
    waiting = {}
    for name in deploy.services:
        service = turn.services.get(name)
        if service is None:
            continue
        if ended_by and service.stage is not Stage.SETTLED:
            failed.setdefault(name, ServiceFailure(reason=f"given up for deploy {ended_by}"))
        elif service.stage is Stage.WAITING:
            waiting[name] = service.waits_for or "nothing"
        elif name not in failed and not ended_by and _no_more_ready(turn, name):
            failed[name] = _published(_trouble_of(service))
        if deploy.atomic:
            turn.act(Settle(name))
        if service.leaving and not service.alive and not ended_by:
            for instance in service.instances:
                turn.act(Remove(instance))
            turn.drop(name)
            turn.act(Forget(name))
    rolled_back = sorted(deploy.rolled_back)
    ok = not failed and not waiting
    turn.deploy = None
    turn.act(
        Finish(DeployResult(deploy=deploy.id, ok=ok, failed=failed, waiting=waiting, rolled_back=rolled_back))
    )


def _published(failure: Failure) -> ServiceFailure:
    return ServiceFailure(reason=failure.reason, hint=failure.hint, tail=failure.tail)
