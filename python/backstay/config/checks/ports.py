"""No port is asked for twice, and the range has enough of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.problems import Path


def check_ports(context: Context) -> None:
    """Report fixed ports that two would listen on, and ranges that are too small."""
    holders: dict[int, list[Path]] = defaultdict(list)
    leased: list[Path] = []
    wanted = 0
    if context.stack.gateway.port:
        holders[context.stack.gateway.port].append(("gateway", "listen"))
    for service in context.stack.services.values():
        replicas = service.deploy.replicas
        for name, port in service.ports.items():
            path: Path = ("services", service.name, "ports", name)
            if port == "auto":
                leased.append(path)
                wanted += replicas
                continue
            holders[port].append(path)
            if replicas > 1:
                context.report(
                    f"{replicas} instances of `{service.name}` would share the port {port}",
                    path,
                    ("services", service.name, "deploy", "replicas"),
                    hint=f"write `{name}: auto`, and each has its own",
                )
    for port, paths in holders.items():
        if len(paths) > 1:
            context.report(
                f"the port {port} is asked for {'twice' if len(paths) == 2 else f'{len(paths)} times'}",
                *paths,
                hint="write `auto`, or give each another number",
            )
    span = context.stack.ports
    free = span.last - span.first + 1 - sum(span.first <= port <= span.last for port in holders)
    if wanted > free:
        context.report(
            f"{wanted} ports are to be leased, and the range {span.first}-{span.last} has {free}",
            ("ports",),
            *leased[:3],
            hint="widen the range with `ports:` at the top of the file",
        )
