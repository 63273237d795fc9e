"""`backstay ps`: imports nothing that it can do without, for it is asked often."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import complete, locate
from backstay.cli.report import WrongUse
from backstay.cli.root import verb
from backstay.cli.style import DIM, Pen, percent, plain, since, size, table

if TYPE_CHECKING:
    from backstay.cli.options import Settings

HEAD = ("SERVICE", "STATE", "REVISION", "PORTS", "PID", "CPU", "MEMORY", "RESTARTS", "UPTIME")
NUMBERS = (2, 4, 5, 6, 7)


@verb("ps")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete.services)
@click.option("-q", "--quiet", is_flag=True, help="Print the names of instances only.")
def command(settings: Settings, services: tuple[str, ...], quiet: bool) -> None:
    """List services and their instances.

    CPU is the use of one core since the last reading; memory is what the processes hold. A service with
    several instances has a line for each.
    """
    status = locate.control(settings).get("/api/status")
    if services:
        known = {service["name"] for service in status["services"]}
        if unknown := [name for name in services if name not in known]:
            raise WrongUse(
                f"there is no service `{unknown[0]}`", hint=f"there are: {', '.join(sorted(known))}"
            )
        status["services"] = [service for service in status["services"] if service["name"] in services]
    if settings.json:
        click.echo(json.dumps(status))
    elif quiet:
        for service in status["services"]:
            for instance in service["instances"]:
                click.echo(instance["name"])
    else:
        show(status, Pen(settings.color))


def show(status: dict[str, Any], pen: Pen) -> None:
    """Print the table of a fleet's status, and why what is not ready is not."""
    rows = [row for service in status["services"] for row in _rows(service, pen)]
    table(HEAD, rows, pen, right=NUMBERS)
    reasons = [
        (service["name"], service.get("reason"), service.get("hint")) for service in status["services"]
    ]
    for name, reason, hint in reasons:
        if reason:
            click.echo(f"\n{pen.paint(name, '1')}: {plain(reason)}" + (f"\n  {plain(hint)}" if hint else ""))
    for service in status["services"]:
        for instance in service["instances"]:
            for line in troubles_of(instance):
                click.echo(f"\n{pen.paint(instance['name'], '1')}: {plain(line)}")
    if url := status["gateway"]["url"]:
        click.echo(f"\n{pen.paint('gateway', DIM)}  {url}")


def troubles_of(instance: dict[str, Any]) -> list[str]:
    """Say what keeps calls from an instance, each kind of trouble in one line."""
    lines = []
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for trouble in instance.get("troubles", ()):
        if trouble["kind"] == "ejected":
            lines.append(f"rests for {trouble['retry_in']:.0f} s after failures; others get its calls")
        else:
            by_kind.setdefault(trouble["kind"], []).append(trouble)
    for kind, troubles in by_kind.items():
        tools = [f"`{trouble['tool']}`" for trouble in troubles if trouble["tool"]]
        tools += ["what is no tool"] * (len(tools) < len(troubles))
        soonest = min(trouble["retry_in"] for trouble in troubles)
        then = "a call tries it" if kind == "half-open" else f"a call may try it in {soonest:.0f} s"
        breakers = "the breaker for" if len(troubles) == 1 else "the breakers for"
        lines.append(f"{breakers} {', '.join(tools)} {'is' if len(troubles) == 1 else 'are'} {kind}; {then}")
    return lines


def _rows(service: dict[str, Any], pen: Pen) -> list[tuple[str, ...]]:
    instances = service["instances"]
    revision = "-" if service["revision"] is None else str(service["revision"])
    if len(instances) == 1:
        return [
            (service["name"], pen.state(service["state"]), revision, *_cells(instances[0], service["ports"]))
        ]
    head = (service["name"], pen.state(service["state"]), revision, "-", "-", "-", "-", "-", "-")
    lines = [
        (
            f"  {instance['name']}",
            pen.state(instance["state"]),
            str(instance.get("revision") or revision),
            *_cells(instance, {}),
        )
        for instance in instances
    ]
    return [head, *lines]


def _cells(instance: dict[str, Any], ports: dict[str, int]) -> tuple[str, ...]:
    ports = instance.get("ports") or ports
    return (
        " ".join(f"{name}:{port}" for name, port in ports.items()) or "-",
        str(instance["pid"] or "-"),
        percent(instance["cpu"]),
        size(instance["memory"]),
        str(instance["restarts"]),
        since(instance["started_at"]),
    )
