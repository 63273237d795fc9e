"""`backstay plan`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from backstay.cli import complete, stack
from backstay.cli.root import verb
from backstay.cli.style import CYAN, DIM, GREEN, RED, YELLOW, Pen, plain, size, table
from backstay.cli.up import check_names
from backstay.config.models.scalars import write_duration

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.deploy.status import FleetPlan, PlannedRollout, PlanStep

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


def pace(step: PlanStep, rollout: PlannedRollout) -> str:
    """Say how instances are replaced: `2 at a time, 10s apart, watched for 5s, back if one fails`."""
    count, at_a_time = len(step.instances), rollout.at_a_time
    words = []
    if count > 1:
        words.append(f"{at_a_time} at a time" if at_a_time < count else "all at once")
    if at_a_time < count and rollout.apart:
        words.append(f"{write_duration(rollout.apart)} apart")
    if rollout.order == "start-first":
        words.append("new before old")
    if rollout.watched:
        words.append(f"watched for {write_duration(rollout.watched)}")
    most = int(rollout.may_fail * count)
    when = "if one fails" if most == 0 else f"if more than {most} fail"
    match rollout.on_failure:
        case "rollback":
            words.append(f"back {when}")
        case "pause":
            words.append(f"pauses {when}")
        case "continue":
            words.append("goes on if any fails")
    return ", ".join(words)


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
        plain(step.reason) + (f"; {pace(step, step.rollout)}" if step.rollout else ""),
    )
