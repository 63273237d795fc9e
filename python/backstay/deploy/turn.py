"""The draft of one decision: a mutable copy of the fleet, the actions asked for, and what to look at.

It lives for one call of `decide` and is seen by nobody else; what goes in and comes out is frozen.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from backstay.deploy.actions import Action, Route, Tell, Wake
from backstay.deploy.observe import reason_of, service_state, serving_number
from backstay.deploy.state import Deploy, Failure, Fleet, Goal, Instance, Service, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.deploy.status import State

__all__ = ["Turn"]


class Turn:
    """One turn: begun on a fleet at a given time, ended by `done`."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        self.fleet = fleet
        self.now = now
        self.services = dict(fleet.services)
        self.deploy: Deploy | None = fleet.deploy
        self.queue = dict.fromkeys(fleet.queue)
        self.install_queue = dict.fromkeys(fleet.install_queue)
        self.installing = set(fleet.installing)
        self.starting = dict(fleet.starting)
        self.limits = fleet.limits
        self.adopting = fleet.adopting
        self.dependents = fleet.dependents
        self.slot_wake = fleet.slot_wake
        self.busy = fleet.busy
        self.actions: list[Action] = []
        self.dirty: dict[str, None] = {}
        self._was: dict[str, State | None] = {}
        self._reroute = False

    # What there is

    def dependents_of(self, name: str) -> tuple[str, ...]:
        """Give the services that depend on `name`."""
        return self.dependents.get(name, ())

    def relink(self) -> None:
        """Work out anew who depends on whom, by what is wanted of each."""
        dependents: dict[str, list[str]] = {}
        for service in self.services.values():
            if service.target:
                for dependency, _ in service.target.revision.depends_on:
                    dependents.setdefault(dependency, []).append(service.name)
        self.dependents = MappingProxyType({name: tuple(names) for name, names in dependents.items()})

    # Changing it

    def put(self, service: Service) -> Service:
        """Take a service's next state, and look at it and at whoever may be waiting for it."""
        old = self.services.get(service.name)
        self._was.setdefault(service.name, service_state(old) if old else None)
        self.busy += service.moving - (old.moving if old else False)
        self.services[service.name] = service
        self.dirty[service.name] = None
        for name in self.dependents_of(service.name):
            dependent = self.services.get(name)
            if dependent and dependent.stage is Stage.WAITING:
                self.dirty[name] = None
        if service.goal is Goal.STOP and service.target:
            for name, _ in service.target.revision.depends_on:
                dependency = self.services.get(name)
                if dependency and dependency.stage is Stage.STOPPING:
                    self.dirty[name] = None
        return service

    def drop(self, name: str) -> None:
        """Forget a service."""
        self.busy -= self.services.pop(name).moving
        self.dirty.pop(name, None)

    def enter(self, service: Service, stage: Stage, **changes: Any) -> Service:
        """Move a service to a stage; leaves the queues that the stage it was in stands in."""
        self.queue.pop(service.name, None)
        self.install_queue.pop(service.name, None)
        self.installing.discard(service.name)
        if stage is Stage.QUEUED:
            self.queue[service.name] = None
        elif stage is Stage.INSTALL_QUEUED:
            self.install_queue[service.name] = None
        elif stage is Stage.INSTALLING:
            self.installing.add(service.name)
        pooled = service.target is not None and service.target.revision.pool is not None
        if pooled and Stage.SETTLED in (stage, service.stage):
            self.reroute()  # the gateway gives instances up only while their service is at rest
        return self.put(replace(service, stage=stage, since=self.now, **changes))

    def put_instance(self, service: Service, instance: Instance) -> Service:
        """Take an instance's next state."""
        known = service.instances.get(instance.name)
        if known is None or known.phase.alive != instance.phase.alive:
            self.reroute()
        if instance.up or not instance.phase.alive:
            self.starting.pop(instance.name, None)
        return self.put(
            replace(service, instances=MappingProxyType({**service.instances, instance.name: instance}))
        )

    def drop_instance(self, service: Service, name: str) -> Service:
        """Forget an instance: nothing of it runs."""
        self.starting.pop(name, None)
        self.reroute()
        rest = {key: value for key, value in service.instances.items() if key != name}
        return self.put(replace(service, instances=MappingProxyType(rest)))

    # Asking for something

    def act(self, action: Action) -> None:
        """Ask for an action."""
        self.actions.append(action)

    def wake(self, name: str, delay: float) -> None:
        """Ask to look at a service again later."""
        # A little late rather than a rounding error early, when it would not be time yet.
        self.act(Wake(name, max(delay, 0.0) + 0.001))

    def reroute(self) -> None:
        """Ask for the gateway's routes to be given anew, before anything starts or stops."""
        self._reroute = True

    def note_failure(self, name: str, failure: Failure) -> None:
        """Record that a service failed in the deploy under way."""
        if self.deploy:
            failed: Mapping[str, Failure] = {**self.deploy.failed, name: failure}
            self.deploy = replace(self.deploy, failed=MappingProxyType(failed))

    def note_rollback(self, name: str) -> None:
        """Record that a service goes back to its last good revision."""
        if self.deploy and name not in self.deploy.rolled_back:
            self.deploy = replace(self.deploy, rolled_back=(*self.deploy.rolled_back, name))

    # The end

    def done(self) -> tuple[Fleet, tuple[Action, ...]]:
        """Freeze the draft."""
        actions = self.actions
        if self._reroute and not self.adopting:  # while adopting, the table of the former daemon stands
            actions = [Route(), *actions]
        fleet = Fleet(
            services=MappingProxyType(self.services),
            deploy=self.deploy,
            queue=tuple(self.queue),
            install_queue=tuple(self.install_queue),
            starting=MappingProxyType(self.starting),
            limits=self.limits,
            adopting=self.adopting,
            dependents=self.dependents,
            installing=frozenset(self.installing),
            slot_wake=self.slot_wake,
            busy=self.busy,
        )
        return fleet, (*self._tellings(), *actions)

    def _tellings(self) -> list[Tell]:
        """Say which services look different now."""
        told = []
        for name, was in self._was.items():
            service = self.services.get(name)
            if service is None:
                continue
            state = service_state(service)
            if was is not state:
                hint = service.failure.hint if service.failure else None
                number = serving_number(service)
                told.append(Tell(name, was, state, number, reason_of(service), hint))
        return told
