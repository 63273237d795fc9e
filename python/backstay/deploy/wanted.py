"""From the stack file's words to the facts that decisions need.

A service's fingerprint is made of those parts of its configuration that a running process cannot take on,
and of the seals of its secrets: a change of any of them is a new revision. What the gateway applies by itself
(tools, prefix, traffic), how many instances there are, and what it depends on can change under running
processes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backstay.config.templates import references
from backstay.deploy.seals import NO_SEALS
from backstay.deploy.state import Condition, Need, Order, Pace, Pool, Revision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backstay.config import Service, Stack
    from backstay.config.models import RollbackConfig, UpdateConfig
    from backstay.deploy.seals import Seals

__all__ = ["PortTable", "Wanted", "port_references", "wanted_of"]

NOT_OF_THE_PROCESS: Final = {
    *("name", "depends_on", "profiles", "deploy", "mcp", "env_file"),
    *("publish", "traffic", "cache"),
}
NOT_OF_THE_SERVER: Final = {"tools", "prefix", "session", "call_timeout", "start_timeout", "max_sessions"}
DIGITS: Final = 12

PortTable = dict[str, dict[str, int]]
"""By service, the ports of its first instance by name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service of a stack, as decisions see it; its revision has no number yet."""

    revision: Revision
    replicas: int
    follows: frozenset[str]
    """Dependencies whose replacement restarts it."""


def wanted_of(
    service: Service,
    stack: Stack,
    ports: PortTable,
    *,
    all_gpus: int,
    pinned: bool = False,
    job: bool = False,
    seals: Mapping[str, str] | None = None,
) -> Wanted:
    """Take the facts of a service out of its configuration.

    `pinned`: its ports are others' business too, and the same from one revision to the next.
    """
    parts = _parts(service, ports, str(stack.dir), seals or {})
    mcp = service.mcp
    remote = mcp is not None and mcp.url is not None
    probe = service.healthcheck.probe if service.healthcheck else None
    depends_on: tuple[tuple[str, Condition], ...] = tuple(
        (name, dependency.condition)
        for name, dependency in service.depends_on.items()
        if dependency.required or name in stack.services
    )
    http = mcp is not None and mcp.transport != "stdio"
    revision = Revision(
        service=service.name,
        number=0,
        fingerprint=_digest(parts),
        parts=parts,
        server=mcp is not None,
        process=not remote,
        installs=mcp is not None and mcp.package is not None,
        probe=not remote and (probe is not None or http),
        http=http,
        job=job,
        depends_on=depends_on,
        update=_pace(service.deploy.update_config, pinned=pinned),
        rollback=_pace(service.deploy.rollback_config, pinned=pinned),
        pool=_pool(service),
        start_timeout=_start_timeout(service),
        need=_need(service, all_gpus) if not remote else Need(),
    )
    follows = frozenset(name for name, dependency in service.depends_on.items() if dependency.restart)
    return Wanted(revision, service.deploy.replicas, follows)


def port_references(service: Service) -> Iterator[tuple[str, str]]:
    """Give the ports of other services that a service's configuration names, as (service, port)."""
    for text in _texts(_process_part(service)):
        for reference in references(text):
            match reference.name:
                case ("services", other, "ports", port) if other != service.name:
                    yield other, port
                case _:
                    pass


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _process_part(service: Service) -> dict[str, Any]:
    config = service.model_dump(mode="json", exclude_none=True)
    part = {key: value for key, value in config.items() if key not in NOT_OF_THE_PROCESS}
    resources = config.get("deploy", {}).get("resources")
    if resources:
        part["resources"] = resources
    restart_policy = config.get("deploy", {}).get("restart_policy")
    if restart_policy:
        part["restart"] = restart_policy
    if "mcp" in config:
        part["mcp"] = {key: value for key, value in config["mcp"].items() if key not in NOT_OF_THE_SERVER}
    return part


def _parts(
    service: Service, ports: PortTable, folder: str, seals: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    part = _process_part(service)
    parts = [(key, _digest(value)) for key, value in sorted(part.items())]
    for other, port in sorted(set(port_references(service))):
        parts.append((f"the port of `{other}`", str(ports.get(other, {}).get(port, "?"))))
    parts += [(f"the secret `{name}`", seal) for name, seal in sorted(seals.items())]
    if any(reference.name[0] == "fleet" for text in _texts(part) for reference in references(text)):
        parts.append(("the fleet's folder", folder))
    return tuple(parts)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _start_timeout(service: Service) -> float:
    if service.mcp is not None:
        return float(service.mcp.start_timeout)
    check = service.healthcheck
    if check is None or check.probe is None:
        return 60.0
    return max(60.0, check.start_period + check.retries * (check.interval + check.timeout))


def _pool(service: Service) -> Pool | None:
    mcp = service.mcp
    if mcp is None or not mcp.pooled or mcp.max_sessions is None:
        return None
    return Pool(spare=service.deploy.replicas, most=mcp.max_sessions)


def _need(service: Service, all_gpus: int) -> Need:
    reserved = service.deploy.resources.reservations
    gpus = reserved.gpus
    return Need(
        milli_cpus=round((reserved.cpus or 0.0) * 1000),
        memory=reserved.memory or 0,
        milli_gpus=(all_gpus if gpus == "all" else gpus) * 1000,
    )


def _pace(config: UpdateConfig | RollbackConfig, *, pinned: bool) -> Pace:
    """Take over how fast a replacement goes. A port that must stay the same can be held by one only."""
    return Pace(
        parallelism=config.parallelism,
        delay=config.delay,
        monitor=config.monitor,
        failure_action=config.failure_action,
        max_failure_ratio=config.max_failure_ratio,
        order=Order.STOP_FIRST if pinned else Order(config.order),
    )


def wanted_stack(
    stack: Stack,
    ports: PortTable,
    referenced: frozenset[str],
    *,
    all_gpus: int,
    seals: Seals = NO_SEALS,
) -> Mapping[str, Wanted]:
    """Take the facts of every service of a stack."""
    jobs = {
        name
        for service in stack.services.values()
        for name, dependency in service.depends_on.items()
        if dependency.condition == "service_completed_successfully"
    }
    return {
        name: wanted_of(
            service,
            stack,
            ports,
            all_gpus=all_gpus,
            pinned=name in referenced or any(port != "auto" for port in service.ports.values()),
            job=name in jobs,
            seals=seals.get(name),
        )
        for name, service in stack.services.items()
    }
