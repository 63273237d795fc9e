"""`backstay doctor`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import click

from backstay.cli import complete, locate, report
from backstay.cli.root import verb
from backstay.cli.style import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Pen, count, cut, plain, since, size
from backstay.errors import ApiError, CallFailed

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.deploy.status import ServiceStatus
    from backstay.fleet import Fleet

TAIL = 40
"""How many of a server's last lines are read for the cause of its failure."""

AT_ONCE = 8
"""How many servers are examined at the same time: they have their own work to do."""

LONGEST_DETAIL = 120

SIGNS = {"passed": ("✓", GREEN), "skipped": ("·", DIM), "warned": ("!", YELLOW), "failed": ("✗", RED)}


@dataclass
class Finding:
    """One thing that was looked at."""

    check: str
    outcome: Literal["passed", "skipped", "warned", "failed"]
    detail: str
    hint: str | None = None
    section: str | None = None


@dataclass
class Report:
    """What was found about one service."""

    service: str
    kind: str
    state: str
    health: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings are not wrong."""
        return all(each.outcome != "failed" for each in self.findings)

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

    Servers that are ready are asked things that change nothing; no tool is called. Of those that are not, the
    last lines they wrote are read for the cause. Of the fleet only what is not well is shown, of one service
    every check. The exit code is 1 if anything is wrong.
    """
    reports = asyncio.run(_examine(locate.fleet(settings), service, timeout))
    if settings.json:
        click.echo(json.dumps([each.as_json() for each in reports], ensure_ascii=False))
    else:
        _show(reports, Pen(settings.color), every=service is not None)
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
    found = Report(status.name, status.kind, str(status.state), _health(status))
    found.findings = [await _readiness(fleet, status)]
    if status.kind == "server" and status.state == "ready":
        found.findings += await _protocol(fleet, status.name, timeout)
        found.findings.append(await _through_the_gateway(fleet, status.name, timeout))
    return found


async def _protocol(fleet: Fleet, service: str, timeout: float) -> list[Finding]:
    """Have the daemon check, on its live connection, whether a server keeps to the protocol."""
    try:
        report = await fleet.examine(service, patience=timeout)
    except ApiError as error:
        return [Finding("protocol", "failed", str(error), error.hint)]
    name = f"{report.server} {report.server_version}".strip()
    return [
        Finding("protocol", "passed", f"{name}, version {report.protocol}"),
        *(
            Finding(each.id, each.outcome, each.found or each.rule, each.cure or None, each.section)
            for each in report.checks
        ),
    ]


async def _through_the_gateway(fleet: Fleet, service: str, timeout: float) -> Finding:
    """Say whether a client of the gateway gets through to a server."""
    from backstay.client.mcp import session

    try:
        async with session(fleet.state_dir, service, timeout=timeout) as client:
            tools = await client.tools() if "tools" in client.initialized.get("capabilities", {}) else []
    except CallFailed as error:
        return Finding("gateway", "failed", str(error), error.hint)
    return Finding("gateway", "passed", f"{count(len(tools), 'tool')} at /mcp/{service}")


def _health(status: ServiceStatus) -> str:
    live = [instance for instance in status.instances if instance.pid is not None]
    if not live:
        return ""
    restarts = sum(instance.restarts for instance in status.instances)
    parts = [
        count(len(live), "instance"),
        f"up {since(min(instance.started_at or 0.0 for instance in live))}",
        size(sum(instance.memory or 0 for instance in live)),
    ]
    return ", ".join([*parts, count(restarts, "restart")] if restarts else parts)


async def _readiness(fleet: Fleet, status: ServiceStatus) -> Finding:
    """Say whether a service is ready and, if it is not, what its last words say about the cause."""
    if status.state in ("ready", "completed"):
        return Finding("ready", "passed", str(status.state))
    if status.state == "stopped":
        return Finding("ready", "warned", "stopped", f"`backstay start {status.name}` starts it")
    if status.state in ("pending", "installing", "starting", "stopping"):
        return Finding("ready", "warned", status.reason or f"still {status.state}", status.hint)
    if status.hint:
        return Finding("ready", "failed", status.reason or str(status.state), status.hint)
    from backstay.packages import diagnose

    tail = "\n".join([line.line async for line in fleet.logs(status.name, tail=TAIL)])
    if (known := diagnose(tail)) is not None:
        return Finding("ready", "failed", known.cause, known.hint)
    hint = f"`backstay logs {status.name}` shows what it wrote"
    return Finding("ready", "failed", status.reason or str(status.state), hint)


def _line(text: str) -> str:
    """Write a detail in one line: servers answer at length."""
    return plain(cut(" ".join(text.split()), LONGEST_DETAIL))


def _show(reports: list[Report], pen: Pen, *, every: bool) -> None:
    shown = {
        found.service: [each for each in found.findings if every or each.outcome in ("failed", "warned")]
        for found in reports
    }
    width = max((len(each.check) for findings in shown.values() for each in findings), default=0)
    for found in reports:
        sign, color = SIGNS["passed" if found.ok else "failed"]
        counts = [each.outcome for each in found.findings]
        done = f"{counts.count('passed')} of {len(counts) - counts.count('skipped')} checks passed"
        head = f"{pen.paint(sign, color)} {pen.paint(found.service, BOLD)}  {pen.state(found.state)}"
        click.echo(f"{head}  {pen.paint(', '.join(filter(None, [found.health, done])), DIM)}")
        for each in shown[found.service]:
            sign, color = SIGNS[each.outcome]
            click.echo(f"    {pen.paint(sign, color)} {each.check:<{width}}  {_line(each.detail)}")
            if each.hint and each.outcome in ("failed", "warned"):
                section = f" ({each.section})" if each.section else ""
                click.echo(f"      {pen.paint('hint:', CYAN)} {plain(each.hint)}{section}")
    outcomes = [each.outcome for found in reports for each in found.findings]
    wrong = sum(not found.ok for found in reports)
    verdict = f"{wrong} of {len(reports)} services have something wrong" if wrong else "nothing is wrong"
    warnings = outcomes.count("warned")
    also = f", {count(warnings, 'warning')}" if warnings else ""
    click.echo(f"\n{count(len(reports), 'service')}, {count(len(outcomes), 'check')}{also}: {verdict}")
