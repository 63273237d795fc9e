"""The gateway's routes, from what runs: which instances serve each server, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.config.models import Traffic
from backstay.deploy.build import server_url
from backstay.deploy.state import Fleet, Goal, Instance, Phase, Stage
from backstay.deploy.traffic import traffic
from backstay.engines.spec import Cache, Pool, Published, Routes, ServerRoute, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backstay.config import Service, Stack
    from backstay.config.models import Publish
    from backstay.deploy.state import Service as Found

__all__ = ["RouteTable"]


class RouteTable:
    """The routes by service, each made anew only when its service has changed.

    An instance is in it from before it starts, so that the gateway shakes hands as soon as it can, until
    before it is asked to end. How it is reached is as its revision says (`config`); how the server is shown
    to clients is as the stack file says now, whichever revision runs. `second` is where answers are kept
    besides.
    """

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._made: dict[str, _Made] = {}

    def of(
        self,
        fleet: Fleet,
        stack: Stack | None,
        config: Callable[[str, int], Service | None],
        ports: Callable[[str], Mapping[str, int]],
        headers: Callable[[Service, str], dict[str, str]],
        era: Callable[[Service, int], str | None],
        second: str | None = None,
    ) -> Routes:
        """Give the whole table. What has not changed is the same object as before."""
        if stack is not self._stack:
            self._stack, self._made = stack, {}
        made, self._made = self._made, {}
        for name, found in fleet.services.items():
            known = made.get(name)
            if known is None or known.found is not found or known.names_others:
                known = self._make(found, config, ports, headers, era)
            self._made[name] = known
        return Routes(
            tuple(made.server for made in self._made.values() if made.server),
            tuple(made.published for made in self._made.values() if made.published),
            _kept(stack, second) if stack else None,
            fleet=stack.name if stack else "",
        )

    def _make(
        self,
        found: Found,
        config: Callable[[str, int], Service | None],
        ports: Callable[[str], Mapping[str, int]],
        headers: Callable[[Service, str], dict[str, str]],
        era: Callable[[Service, int], str | None],
    ) -> _Made:
        if found.target is None or found.goal is Goal.STOP:
            return _Made(found)
        stack = self._stack
        serving = [i for i in found.instances.values() if i.phase.alive and i.phase is not Phase.STOPPING]
        shown = stack.services.get(found.name) if stack else None
        published = None
        if shown is not None and shown.publish is not None:
            published = _published(shown, shown.publish, serving, stack, config, ports)
        server = None
        if found.target.revision.server:
            server = _route(found, serving, stack, config, ports, headers, era)
        headed = server is not None and any(instance.headers for instance in server.instances)
        return _Made(found, server, published, headed)


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of a service as it was `found`."""

    found: Found
    server: ServerRoute | None = None
    published: Published | None = None
    names_others: bool = False
    """Whether it may change with other services: headers may name their ports."""


def _published(
    service: Service,
    publish: Publish,
    serving: list[Instance],
    stack: Stack | None,
    config: Callable[[str, int], Service | None],
    ports: Callable[[str], Mapping[str, int]],
) -> Published:
    instances = []
    for instance in sorted(serving, key=lambda i: i.name):
        # A revision that is on its way out may not have the port under this name.
        of = config(service.name, instance.revision.number) or service
        port = ports(instance.name).get(publish.port or "") if publish.port in of.ports else None
        if port is not None:
            instances.append({"name": instance.name, "address": f"127.0.0.1:{port}"})
    return Published(
        service=service.name,
        instances=tuple(instances),
        path=publish.path,
        hosts=publish.hosts,
        strip=publish.strip,
        listen=publish.listen,
        tls=publish.tls.model_dump() if publish.tls else None,
        public=publish.public,
        protocol=publish.protocol,
        timeout_ms=round(publish.timeout * 1000),
        traffic=traffic(service.traffic.over(stack.gateway.traffic if stack else Traffic())),
    )


def _pool(found: Found) -> Pool | None:
    """Say how many instances sessions may have, and whether nothing else is being done with them."""
    pool = found.target.revision.pool if found.target else None
    if pool is None:
        return None
    return Pool(pool.spare, pool.most, found.stage is Stage.SETTLED and not found.paused, found.cramped)


def _kept(stack: Stack, second: str | None) -> dict[str, Any]:
    """Say what the answers that are kept have in common."""
    cache = stack.gateway.cache
    kept: dict[str, Any] = {"memory": cache.memory}
    if cache.second is not None and second is not None:
        kept["second"] = {
            "url": second,
            "ca": cache.second.ca,
            "fleet": stack.name,
            "through": cache.second.write == "through",
            "timeout_ms": round(cache.second.timeout * 1000),
        }
    return kept


def _cache(found: Found, service: Service, stack: Stack | None) -> Cache | None:
    """Say which of a server's answers are kept."""
    kept = service.cache
    if kept is None or kept.disable or found.target is None:
        return None
    folder = stack.dir if stack else Path()
    return Cache(
        revision=found.target.revision.fingerprint,
        ttl_ms=round(kept.ttl * 1000),
        negative_ms=round(kept.negative * 1000),
        tools=kept.tools,
        resources=kept.resources,
        shared=kept.shared,
        invalidates=dict(kept.invalidates),
        warm=str(folder / kept.warm) if kept.warm else None,
    )


def _route(
    found: Found,
    serving: list[Instance],
    stack: Stack | None,
    config: Callable[[str, int], Service | None],
    ports: Callable[[str], Mapping[str, int]],
    headers: Callable[[Service, str], dict[str, str]],
    era: Callable[[Service, int], str | None],
) -> ServerRoute | None:
    assert found.target is not None
    of_target = config(found.name, found.target.revision.number)
    shown = stack.services.get(found.name) if stack else None
    if of_target is None or of_target.mcp is None:
        return None
    mcp = shown.mcp if shown and shown.mcp else of_target.mcp
    instances = []
    for instance in sorted(serving, key=lambda i: i.name):
        service = config(found.name, instance.revision.number) or of_target
        instances.append(
            Upstream(
                name=instance.name,
                url=server_url(service, ports(instance.name)),
                headers=headers(service, instance.name) if instance.revision.http else {},
                era=era(service, instance.revision.number),
            )
        )
    return ServerRoute(
        service=found.name,
        prefix=found.name if mcp.prefix is None else mcp.prefix,
        transport=of_target.mcp.transport or "stdio",
        session=mcp.session,
        instances=tuple(instances),
        pool=_pool(found),
        tools={"allow": list(mcp.tools.allow), "deny": list(mcp.tools.deny)},
        start_timeout_ms=round(mcp.start_timeout * 1000),
        call_timeout_ms=round(mcp.call_timeout * 1000),
        traffic=traffic((shown or of_target).traffic.over(stack.gateway.traffic if stack else Traffic())),
        cache=_cache(found, shown or of_target, stack),
    )
