"""The plan: what differs between what runs and what is wanted, as ordered steps with reasons.

Pure: `changes` says what is wanted of each service from now on (the input of `decide`), `describe` what
`backstay plan` prints of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from backstay.deploy.inputs import Change
from backstay.deploy.state import Fleet, Goal, Order, Phase, Placement, Service, owner_of
from backstay.deploy.status import FleetPlan, PlannedRollout, PlanStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.deploy.wanted import Wanted

__all__ = ["Planned", "changes", "describe", "index_of", "instance_names"]

Action = Literal["start", "replace", "scale", "stop", "keep"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to happen to one service, and why."""

    action: Action
    reason: str
    change: Change


def index_of(instance: str) -> int:
    """Give the number in an instance's name."""
    return int(instance.rpartition(".")[2])


def instance_names(
    service: str, count: int, *, keep: tuple[str, ...] = (), avoid: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Name `count` instances: those of `keep` first, then the lowest numbers that are free."""
    names = sorted(keep, key=index_of)[:count]
    taken = {*names, *avoid}
    number = 1
    while len(names) < count:
        name = f"{service}.{number}"
        if name not in taken:
            names.append(name)
        number += 1
    return tuple(sorted(names, key=index_of))


def changes(
    fleet: Fleet, wanted: Mapping[str, Wanted], last_numbers: Mapping[str, int]
) -> dict[str, Planned]:
    """Compare what runs with what is wanted.

    `last_numbers` are the highest revision numbers ever given, of services that left the fleet too.
    """
    planned = {
        name: _one(name, want, fleet.services.get(name), last_numbers.get(name, 0))
        for name, want in wanted.items()
    }
    for name, _service in fleet.services.items():
        if name not in wanted:
            change = Change(goal=Goal.STOP, leaving=True)
            planned[name] = Planned("stop", "no longer in the stack file", change)
    _follow(planned, wanted)
    return planned


def _one(name: str, want: Wanted, service: Service | None, last_number: int) -> Planned:
    last_number = max(last_number, service.last_number if service else 0)
    current = _current(service)
    if service is None or current is None:
        revision = replace(want.revision, number=last_number + 1)
        placement = Placement(revision, instance_names(name, want.replicas))
        return Planned("start", "new", Change(placement, install=revision.installs))
    if current.revision.fingerprint != want.revision.fingerprint:
        revision = replace(want.revision, number=last_number + 1)
        placement = Placement(revision, _replacing(service, current, revision.order, _count(want, service)))
        action: Action = "replace" if service.alive else "start"
        return Planned(action, _what_changed(current, want), Change(placement, install=revision.installs))
    replicas = _count(want, service)
    # The same revision: what can change under running processes is taken on.
    revision = replace(
        want.revision,
        number=current.revision.number,
        launch=current.revision.launch,
        fingerprint=current.revision.fingerprint,
    )
    names = instance_names(name, replicas, keep=current.names)
    change = Change(Placement(revision, names), install=revision.installs)
    if not service.alive and not _completed(service):
        why = "failed before" if service.failure else "stopped"
        return Planned("start", why, change)
    if service.paused:
        return Planned("replace", "its paused update goes on", change)
    if len(names) != len(current.names):
        return Planned("scale", f"{len(current.names)} → {len(names)} instances", change)
    if any(i.phase is Phase.FAILED for i in service.instances.values()):
        return Planned("start", "an instance failed", change)
    return Planned("keep", "unchanged", change)


def _count(want: Wanted, service: Service) -> int:
    """Say how many instances there are to be: what a session has to itself is not taken away."""
    pool = want.revision.pool
    if pool is None or not service.alive or service.target is None:
        return want.replicas
    return max(want.replicas, min(len(service.target.names), pool.most))


def _current(service: Service | None) -> Placement | None:
    """Give what a service runs, or last tried to."""
    if service is None:
        return None
    return service.target


def _completed(service: Service) -> bool:
    instances = service.instances.values()
    return bool(instances) and all(i.phase is Phase.COMPLETED for i in instances)


def _replacing(service: Service, current: Placement, order: Order, replicas: int) -> tuple[str, ...]:
    if order is Order.STOP_FIRST:
        return instance_names(service.name, replicas, keep=current.names)
    running = frozenset(name for name, i in service.instances.items() if i.phase.alive)
    return instance_names(service.name, replicas, avoid=running)


def _what_changed(current: Placement, want: Wanted) -> str:
    before, after = dict(current.revision.parts), dict(want.revision.parts)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return f"{', '.join(sorted(changed)) or 'configuration'} changed"


def _follow(planned: dict[str, Planned], wanted: Mapping[str, Wanted]) -> None:
    """What asks to be restarted with a dependency that is replaced is restarted too, and so on."""
    followers: dict[str, list[str]] = {}
    for name, want in wanted.items():
        for dependency in want.follows:
            followers.setdefault(dependency, []).append(name)
    queue = [name for name, plan in planned.items() if plan.action == "replace"]
    while queue:
        moved = queue.pop()
        for name in followers.get(moved, ()):
            plan = planned[name]
            if plan.action in ("keep", "scale") and not plan.change.restart:
                change = replace(plan.change, restart=True)
                planned[name] = Planned("replace", f"follows `{moved}`", change)
                queue.append(name)


def describe(
    planned: Mapping[str, Planned],
    levels: list[list[str]],
    ports: Mapping[str, Mapping[str, int]],
) -> FleetPlan:
    """Write a plan down for people: what leaves first, then what comes, in the order of the graph.

    `ports` are those each instance holds or would get.
    """
    steps = []
    leaving = [name for name, plan in planned.items() if plan.change.leaving]
    steps += [_step(name, planned[name], 0, planned, ports) for name in sorted(leaving)]
    for level, names in enumerate(levels):
        steps += [
            _step(name, planned[name], level, planned, ports) for name in sorted(names) if name in planned
        ]
    placements = [p.change.target for p in planned.values() if p.change.target and not p.change.leaving]
    needs = [(placement.revision.need, len(placement.names)) for placement in placements]
    return FleetPlan(
        steps=steps,
        cpus=sum(need.milli_cpus * count for need, count in needs) / 1000,
        memory=sum(need.memory * count for need, count in needs),
        storage=sum(need.storage * count for need, count in needs),
        gpus=sum(need.milli_gpus * count for need, count in needs) / 1000,
    )


def _step(
    name: str,
    plan: Planned,
    level: int,
    planned: Mapping[str, Planned],
    ports: Mapping[str, Mapping[str, int]],
) -> PlanStep:
    target = plan.change.target
    if target is None:
        return PlanStep(action=plan.action, service=name, reason=plan.reason)
    revision, count = target.revision, len(target.names)
    after = [dependency for dependency, _ in revision.depends_on if dependency in planned]
    return PlanStep(
        action=plan.action,
        service=name,
        reason=plan.reason,
        after=after,
        level=level,
        revision=revision.number,
        rollout=_rollout(target) if plan.action == "replace" and not plan.change.restart else None,
        instances=list(target.names),
        cpus=revision.need.milli_cpus * count / 1000,
        memory=revision.need.memory * count,
        storage=revision.need.storage * count,
        gpus=revision.need.milli_gpus * count / 1000,
        ports={i: dict(held) for i, held in ports.items() if owner_of(i) == name and i in target.names},
    )


def _rollout(target: Placement) -> PlannedRollout:
    pace, count = target.revision.update, len(target.names)
    return PlannedRollout(
        order=pace.order.value,
        at_a_time=min(pace.parallelism or count, count),
        apart=pace.delay,
        watched=pace.monitor,
        on_failure=pace.failure_action,
        may_fail=pace.max_failure_ratio,
    )
