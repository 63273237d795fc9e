"""`backstay plan`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, stack
from backstay.cli.root import verb
from backstay.cli.style import CYAN, DIM, GREEN, RED, YELLOW, Pen, plain, size, table
from backstay.cli.up import check_names

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.deploy.status import FleetPlan, PlanStep

SIGNS = {
    "start": ("+", GREEN),
    "replace": ("~", YELLOW),
    "scale": ("±", CYAN),
    "stop": ("-", RED),
    "keep": (" ", DIM),
}
NOUNS = {"start": "start", "replace": "replace", "scale": "scale", "stop": "stop"}


@verb("plan")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete.services)
def command(settings: Settings, services: tuple[str, ...]) -> None:
    """Print what `up` would change, in order, with resources and ports; change nothing."""
    fleet = stack.fleet(settings)
    check_names(fleet, services)
    plan = asyncio.run(fleet.plan(*services))
    if settings.json:
        click.echo(plan.model_dump_json())
    else:
        show(plan, Pen(settings.color))


def show(plan: FleetPlan, pen: Pen) -> None:
    """Print a plan."""
    table(
        ("", "SERVICE", "STEP", "AFTER", "CPUS", "MEMORY", "PORTS", "WHY"),
        [_row(step, pen) for step in plan.steps],
        pen,
        right=(4, 5),
    )
    counts = [
        f"{number} to {noun}"
        for action, noun in NOUNS.items()
        if (number := sum(step.action == action for step in plan.steps))
    ]
    click.echo(f"\n{', '.join(counts) or 'nothing to do'}; {_reserved(plan)}")


def _reserved(plan: FleetPlan) -> str:
    if not plan.cpus and not plan.memory:
        return "the fleet reserves nothing"
    return f"the fleet reserves {plan.cpus:g} cpus and {size(plan.memory)} in all"


def _row(step: PlanStep, pen: Pen) -> tuple[str, ...]:
    sign, color = SIGNS[step.action]
    ports = [f"{name}:{port}" for by_name in step.ports.values() for name, port in by_name.items()]
    return (
        pen.paint(sign, color),
        step.service,
        pen.paint(step.action, color),
        ", ".join(step.after) or "-",
        f"{step.cpus:g}" if step.cpus else "-",
        size(step.memory) if step.memory else "-",
        " ".join(ports) or "-",
        plain(step.reason),
    )
