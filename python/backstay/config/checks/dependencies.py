"""`depends_on` names services that are there, wait for what can happen, and form no circle."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from backstay import Graph
from backstay.config.problems import did_you_mean

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.models.service import Condition, ResolvedDependency, Service


def check_dependencies(context: Context) -> None:
    """Report dependencies that are missing, circular, or never come true."""
    for service in context.stack.services.values():
        for name, dependency in service.depends_on.items():
            _check_one(context, service, name, dependency)
    _check_cycles(context)


def _check_one(context: Context, service: Service, name: str, dependency: ResolvedDependency) -> None:
    path = ("services", service.name, "depends_on", name)
    other = context.stack.services.get(name)
    if name in context.stack.disabled:
        profile = context.stack.disabled[name][0]
        context.report(
            f"`{service.name}` depends on `{name}`, whose profile is not enabled",
            path,
            ("services", name, "profiles"),
            hint=f"add `--profile {profile}`, or give `{service.name}` the profile as well",
        )
    elif name not in context.declared:
        hint = did_you_mean(name, context.declared - {service.name})
        context.report(f"`{service.name}` depends on `{name}`, which is not there", path, hint=hint)
    elif other is not None:
        _check_condition(context, service, other, dependency.condition)


def _check_condition(context: Context, service: Service, other: Service, condition: Condition) -> None:
    path = ("services", service.name, "depends_on", other.name)
    if condition == "service_healthy" and other.readiness == "started":
        context.report(
            f"`{service.name}` waits for `{other.name}` to be healthy, which has no healthcheck",
            path,
            ("services", other.name),
            hint=f"add a `healthcheck:` to `{other.name}`, or wait for `service_started`",
        )
    if condition == "service_completed_successfully" and other.restart_policy.condition == "any":
        context.report(
            f"`{service.name}` waits for `{other.name}` to complete, which is always started again",
            path,
            ("services", other.name, "restart"),
            hint=f"write `restart: no` for `{other.name}`, or wait for `service_healthy`",
        )


def _check_cycles(context: Context) -> None:
    services = context.stack.services
    edges = [(service.name, name) for service in services.values() for name in service.depends_on]
    for names in Graph.from_edges([edge for edge in edges if edge[1] in services]).cycles():
        cycle = [*names, names[0]]
        context.report(
            f"services wait for one another in a circle: {' → '.join(cycle)}",
            *(("services", name, "depends_on", other) for name, other in pairwise(cycle)),
            hint="remove one of these dependencies",
        )
