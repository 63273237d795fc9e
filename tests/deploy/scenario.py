"""Words for scenarios: wanted services, and what a simulation did with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backstay.deploy import actions as act
from backstay.deploy.observe import service_state
from backstay.deploy.state import Condition, Order, Pace, Revision
from backstay.deploy.wanted import Wanted
from backstay.engines.simulated import Behaviour

if TYPE_CHECKING:
    from backstay.deploy.simulation import Simulation
    from backstay.deploy.status import State
    from backstay.engines.spec import InstanceSpec


def service(
    name: str,
    depends_on: dict[str, Condition] | None = None,
    *,
    config: str = "a",
    replicas: int = 1,
    follows: tuple[str, ...] = (),
    **facts: object,
) -> Wanted:
    revision = Revision(name, 0, config, depends_on=tuple((depends_on or {}).items()))
    revision = replace(revision, **facts)  # type: ignore[arg-type]
    return Wanted(revision, replicas, frozenset(follows))


def fleet(*services: Wanted) -> dict[str, Wanted]:
    return {want.revision.service: want for want in services}


def states(simulation: Simulation) -> dict[str, State]:
    return {name: service_state(found) for name, found in simulation.fleet.services.items()}


def started(simulation: Simulation) -> list[str]:
    return [action.instance for _, action in simulation.done if isinstance(action, act.Start)]


def stopped(simulation: Simulation) -> list[str]:
    return [action.instance for _, action in simulation.done if isinstance(action, act.Stop)]


def failing(service: str, revision: int | None = None, **behaviour: object):
    """Script one service (at one revision) to behave differently."""

    def script(spec: InstanceSpec, attempt: int) -> Behaviour:
        if spec.service == service and revision in (None, spec.revision):
            return Behaviour(**behaviour)  # type: ignore[arg-type]
        return Behaviour()

    return script


SERVER = {"server": True, "installs": True}
START_FIRST = Pace(order=Order.START_FIRST)


def remembered(simulation: Simulation, without: str = ""):
    """What a new daemon reads from the store: services, without what only events tell."""
    services = {
        name: replace(found, instances={})
        for name, found in simulation.fleet.services.items()
        if name != without
    }
    return replace(simulation.fleet, services=services, adopting=True)
