"""No port is asked for twice, and the range has enough of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from backstay.config.models.publish import port_of

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.models.service import Service
    from backstay.config.problems import Path


def check_ports(context: Context) -> None:
    """Report fixed ports that two would listen on, and ranges that are too small."""
    fixed: dict[int, list[Path]] = defaultdict(list)
    leased: list[Path] = []
    wanted = 0
    if context.stack.gateway.port:
        fixed[context.stack.gateway.port].append(("gateway", "listen"))
    for service in context.stack.services.values():
        if service.publish and service.publish.listen and (own := port_of(service.publish.listen)):
            fixed[own].append(("services", service.name, "publish", "listen"))
        for name, port in service.ports.items():
            path: Path = ("services", service.name, "ports", name)
            if port == "auto":
                leased.append(path)
                wanted += service.deploy.replicas
            else:
                fixed[port].append(path)
                _check_shared(context, service, name, port)
    for port, paths in fixed.items():
        if len(paths) > 1:
            _report_twice(context, port, paths)
    span = context.stack.ports
    free = span.last - span.first + 1 - sum(span.first <= port <= span.last for port in fixed)
    if wanted > free:
        context.report(
            f"{wanted} ports are to be leased, and the range {span.first}-{span.last} has {free}",
            ("ports",),
            *leased[:3],
            hint="widen the range with `ports:` at the top of the file",
        )


def _check_shared(context: Context, service: Service, name: str, port: int) -> None:
    replicas = service.deploy.replicas
    if replicas > 1:
        context.report(
            f"{replicas} instances of `{service.name}` would share the port {port}",
            ("services", service.name, "ports", name),
            ("services", service.name, "deploy", "replicas"),
            hint=f"write `{name}: auto`, and each has its own",
        )


def _report_twice(context: Context, port: int, paths: list[Path]) -> None:
    hint = "write `auto`, or give each another number"
    if paths[0][0] == "gateway" and not context.has(paths[0]):
        hint += f"; the gateway listens on {port} unless `gateway: {{listen: …}}` says otherwise"
    context.report(f"the port {port} is asked for more than once", *paths, hint=hint)
