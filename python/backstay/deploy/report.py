"""The fleet as users see it, from what decisions know of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from backstay.deploy.observe import instance_state, reason_of, service_state, serving_number
from backstay.deploy.plan import index_of
from backstay.deploy.status import (
    DaemonStatus,
    FleetStatus,
    GatewayStatus,
    InstanceStatus,
    KeeperStatus,
    ServiceStatus,
    TroubleStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from backstay.config import Stack
    from backstay.deploy.census import Use
    from backstay.deploy.state import Fleet, Instance, Service
    from backstay.engines.spec import Trouble

__all__ = ["fleet_status"]


def fleet_status(
    fleet: Fleet,
    stack: Stack | None,
    used: Mapping[int, Use],
    *,
    ports: Callable[[str], Mapping[str, int]],
    troubles: Iterable[Trouble],
    generation: int,
    started_at: float,
    keeper: int,
    gateway_url: str | None,
) -> FleetStatus:
    """Say how a fleet is."""
    order = {name: place for place, name in enumerate(stack.services)} if stack else {}
    troubled: dict[str, list[TroubleStatus]] = {}
    for trouble in troubles:
        seen = TroubleStatus(kind=trouble.kind, tool=trouble.tool, retry_in=trouble.retry_in_ms / 1000)
        troubled.setdefault(trouble.instance, []).append(seen)
    names = sorted(fleet.services, key=lambda name: (order.get(name, len(order)), name))
    return FleetStatus(
        name=stack.name if stack else "",
        daemon=DaemonStatus(pid=os.getpid(), generation=generation, started_at=started_at),
        keeper=KeeperStatus(pid=keeper),
        gateway=GatewayStatus(url=gateway_url),
        services=[_service(fleet.services[name], used, ports, troubled) for name in names],
        deploy=fleet.deploy.id if fleet.deploy else None,
    )


def _service(
    service: Service,
    used: Mapping[int, Use],
    ports: Callable[[str], Mapping[str, int]],
    troubled: Mapping[str, list[TroubleStatus]],
) -> ServiceStatus:
    instances = sorted(service.instances.values(), key=lambda i: index_of(i.name))
    first = service.target.names[0] if service.target and service.target.names else None
    server = service.target is not None and service.target.revision.server
    return ServiceStatus(
        name=service.name,
        kind="server" if server else "service",
        state=service_state(service),
        revision=serving_number(service),
        ports=dict(ports(first)) if first else {},
        instances=[_instance(instance, used, ports, troubled) for instance in instances],
        reason=reason_of(service),
        hint=service.failure.hint if service.failure else None,
        tools=next((i.tools for i in instances if i.tools is not None), None),
    )


def _instance(
    instance: Instance,
    used: Mapping[int, Use],
    ports: Callable[[str], Mapping[str, int]],
    troubled: Mapping[str, list[TroubleStatus]],
) -> InstanceStatus:
    use = used.get(instance.pid) if instance.pid else None
    return InstanceStatus(
        name=instance.name,
        pid=instance.pid,
        state=instance_state(instance),
        ready=instance.up,
        restarts=instance.restarts,
        started_at=instance.started_at / 1000 if instance.started_at else None,
        cpu=use.cpu if use else None,
        memory=use.memory if use else None,
        reason=instance.trouble.reason if instance.trouble and not instance.up else None,
        revision=instance.revision.number,
        ports=dict(ports(instance.name)),
        troubles=troubled.get(instance.name, []),
    )
