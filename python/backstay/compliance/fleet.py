"""The examination of a running fleet: what can be asked of its members without harm.

Servers that are ready are asked on their live connection, through the daemon; of those that are not, the last
words are read. Nothing here starts or ends anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from backstay.compliance.findings import Finding, Report
from backstay.compliance.visits import Visit
from backstay.errors import ApiError, CallFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.deploy.status import ServiceStatus
    from backstay.fleet import Fleet

TAIL = 40
"""How many of a server's last lines are read for the cause of its failure."""

AT_ONCE = 8
"""How many servers are examined at the same time: they have their own work to do."""


async def examine(
    fleet: Fleet, services: Sequence[ServiceStatus], patience: float, *, protocol: bool = True
) -> list[Report]:
    """Examine services, side by side; without `protocol` only whether they are well and can be reached."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(status: ServiceStatus) -> Report:
        async with slots:
            return await _one(fleet, status, patience, protocol)

    return await asyncio.gather(*(one(status) for status in services))


async def _one(fleet: Fleet, status: ServiceStatus, patience: float, protocol: bool) -> Report:
    report = Report(status.name, status.kind, str(status.state))
    report.findings = [await readiness(fleet, status)]
    if status.kind == "server" and status.state == "ready":
        if protocol:
            await _protocol(fleet, report, patience)
        report.findings.append(await _through_the_gateway(fleet, status.name, patience))
    return report


async def _protocol(fleet: Fleet, report: Report, patience: float) -> None:
    """Have the daemon check, on its live connection, whether a server keeps to the protocol."""
    try:
        examination = await fleet.examine(report.service, patience=patience)
    except ApiError as error:
        report.findings.append(Finding("protocol", "failed", str(error), error.hint))
        return
    visit = Visit.of(examination.model_dump())
    report.protocols = [visit.protocol]
    report.findings += [
        Finding("protocol", "passed", f"{visit.server}, version {visit.protocol}"),
        *visit.findings,
    ]


async def _through_the_gateway(fleet: Fleet, service: str, patience: float) -> Finding:
    """Say whether a client of the gateway gets through to a server."""
    from backstay.client.mcp import session

    try:
        async with session(fleet.state_dir, service, timeout=patience) as client:
            tools = await client.tools() if "tools" in client.initialized.get("capabilities", {}) else []
    except CallFailed as error:
        return Finding("gateway", "failed", str(error), error.hint)
    return Finding(
        "gateway", "passed", f"{len(tools)} tool{'' if len(tools) == 1 else 's'} at /mcp/{service}"
    )


async def readiness(fleet: Fleet, status: ServiceStatus) -> Finding:
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
