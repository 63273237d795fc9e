"""`backstay doctor`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import complete, locate, report
from backstay.cli.root import verb
from backstay.cli.style import BOLD, DIM, GREEN, RED, YELLOW, Pen, plain, since, size

if TYPE_CHECKING:
    from backstay.cli.checks import Checked
    from backstay.cli.options import Settings
    from backstay.deploy.status import ServiceStatus
    from backstay.fleet import Fleet

TAIL = 40
"""How many of a server's last lines are read for the cause of its failure."""

AT_ONCE = 8
"""How many servers are examined at the same time: they have their own work to do."""

SIGNS = {"pass": ("✓", GREEN), "warning": ("!", YELLOW), "fail": ("✗", RED)}


@dataclass
class Report:
    """What was found about one service."""

    service: str
    kind: str
    state: str
    health: str
    checks: list[Checked] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings are not wrong."""
        return all(each.verdict != "fail" for each in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**asdict(self), "ok": self.ok}


@verb("doctor")
@click.argument("service", required=False, shell_complete=complete.services)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    metavar="SECONDS",
    help="How long to wait for each answer.",
    show_default=True,
)
def command(settings: Settings, service: str | None, timeout: float) -> int:
    """Examine the fleet, or one service: is it healthy, does it keep to the protocol, and what to do if not.

    Servers that are ready are asked things that change nothing. Of those that are not, the last lines they
    wrote are read for the cause. The exit code is 1 if anything is wrong.
    """
    reports = asyncio.run(_examine(locate.fleet(settings), service, timeout))
    if settings.json:
        click.echo(json.dumps([each.as_json() for each in reports], ensure_ascii=False))
    else:
        _show(reports, Pen(settings.color))
    return report.DONE if all(each.ok for each in reports) else report.NOT_AS_ASKED


async def _examine(fleet: Fleet, service: str | None, timeout: float) -> list[Report]:
    services = (await fleet.status()).services
    if service is not None:
        from backstay.api.selection import unknown

        if service not in [each.name for each in services]:
            raise unknown(service, [each.name for each in services])
        services = [each for each in services if each.name == service]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(status: ServiceStatus) -> Report:
        async with slots:
            return await _one(fleet, status, timeout)

    return await asyncio.gather(*(one(status) for status in services))


async def _one(fleet: Fleet, status: ServiceStatus, timeout: float) -> Report:
    from backstay.cli.checks import examine

    found = Report(status.name, status.kind, str(status.state), _health(status))
    found.checks = [await _readiness(fleet, status)]
    if status.kind == "server" and status.state == "ready":
        found.checks += await examine(fleet.state_dir, status.name, timeout=timeout)
    return found


def _health(status: ServiceStatus) -> str:
    live = [instance for instance in status.instances if instance.pid is not None]
    if not live:
        return ""
    restarts = sum(instance.restarts for instance in status.instances)
    parts = [
        f"{len(live)} instance" + ("s" if len(live) > 1 else ""),
        f"up {since(min(instance.started_at or 0.0 for instance in live))}",
        size(sum(instance.memory or 0 for instance in live)),
    ]
    return ", ".join([*parts, f"{restarts} restarts"] if restarts else parts)


async def _readiness(fleet: Fleet, status: ServiceStatus) -> Checked:
    """Say whether a service is ready and, if it is not, what its last words say about the cause."""
    from backstay.cli.checks import Checked

    if status.state in ("ready", "completed"):
        return Checked("ready", "pass", str(status.state))
    if status.state == "stopped":
        return Checked("ready", "warning", "stopped", f"`backstay start {status.name}` starts it")
    if status.state in ("pending", "installing", "starting", "stopping"):
        return Checked("ready", "warning", status.reason or f"still {status.state}", status.hint)
    if status.hint:
        return Checked("ready", "fail", status.reason or str(status.state), status.hint)
    from backstay.packages import diagnose

    tail = "\n".join([line.line async for line in fleet.logs(status.name, tail=TAIL)])
    if (known := diagnose(tail)) is not None:
        return Checked("ready", "fail", known.cause, known.hint)
    hint = f"`backstay logs {status.name}` shows what it wrote"
    return Checked("ready", "fail", status.reason or str(status.state), hint)


def _show(reports: list[Report], pen: Pen) -> None:
    width = max((len(each.check) for found in reports for each in found.checks), default=0)
    for found in reports:
        health = pen.paint(found.health, DIM)
        click.echo(f"{pen.paint(found.service, BOLD)}  {pen.state(found.state)}  {health}".rstrip())
        for each in found.checks:
            sign, color = SIGNS[each.verdict]
            click.echo(f"  {pen.paint(sign, color)} {each.check:<{width}}  {plain(each.detail)}")
            if each.hint and each.verdict != "pass":
                click.echo(f"    {pen.paint('hint:', '36')} {plain(each.hint)}")
        click.echo()
    checks = [each.verdict for found in reports for each in found.checks]
    wrong = sum(not found.ok for found in reports)
    verdict = "nothing is wrong" if not wrong else f"{wrong} of {len(reports)} services have something wrong"
    warnings = checks.count("warning")
    also = f", {warnings} warning" + ("s" if warnings > 1 else "") if warnings else ""
    click.echo(f"{len(reports)} services, {len(checks)} checks{also}: {verdict}")
