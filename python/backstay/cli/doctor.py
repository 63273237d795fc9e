"""`backstay doctor`."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from backstay.cli import complete, findings, locate, report
from backstay.cli.report import WrongUse
from backstay.cli.root import VerbCommand, verb
from backstay.cli.style import Pen, count, plain, since, size
from backstay.compliance.sessions import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.cli.options import Settings
    from backstay.compliance.findings import Report
    from backstay.compliance.target import Target
    from backstay.deploy.status import ServiceStatus

COPIES_AT_ONCE = 2
"""How many servers have copies at the same time: each takes memory and a core for itself."""

Format = Literal["text", "json", "junit"]


class _Doctor(VerbCommand):
    """Takes what follows `--` as it is: a command of its own, with options that are not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows `--` apart."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[__name__] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Say that something may follow."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@dataclass(frozen=True)
class _Wish:
    """What the options say."""

    deep: bool
    protocols: tuple[str, ...]
    constraints: tuple[str, ...]
    runtime: str | None
    timeout: float


@verb("doctor", cls=_Doctor)
@click.argument("server", required=False, metavar="[SERVICE|PACKAGE|URL]", shell_complete=complete.services)
@click.option(
    "--deep",
    is_flag=True,
    help="Also do to throw-away copies of the fleet's servers what could harm: every version, large "
    "arguments, broken lines, their end.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(VERSIONS),
    help="Only this version of the protocol; repeatable.  [default: all]",
)
@click.option(
    "--with",
    "constraints",
    multiple=True,
    metavar="SPEC",
    help="A further requirement of a PACKAGE, as `mcp<2`; repeatable.",
)
@click.option("--runtime", metavar="SPEC", help="The Python or Node that a PACKAGE needs, as `node>=22`.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "junit"]),
    help="How to print: for people, as JSON (also: --json), or as JUnit's XML for CI.  [default: text]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    metavar="SECONDS",
    help="How long to wait for each answer.",
    show_default=True,
)
@click.pass_context
def command(
    context: click.Context,
    settings: Settings,
    server: str | None,
    deep: bool,
    protocols: tuple[str, ...],
    constraints: tuple[str, ...],
    runtime: str | None,
    form: Format | None,
    timeout: float,
) -> int:
    r"""Examine the fleet, or any server: is it healthy, does it keep to the protocol, and what to do if not.

    Servers of a fleet are asked things that change nothing; no tool is called. What could harm them is done
    with --deep, to copies that are started for it and thrown away. Of those that are not ready, the last
    lines they wrote are read for the cause. Of the fleet only what is not well is shown, of one server every
    check. The exit code is 1 if anything is wrong.

    A server need not be in a fleet; it is started, examined and ended, or called at its address:

    \b
    backstay doctor npm:@modelcontextprotocol/server-memory
    backstay doctor pypi:mcp-server-time -- --local-timezone UTC
    backstay doctor -- node build/index.js
    backstay doctor https://example.com/mcp
    """
    if settings.json and form not in (None, "json"):
        raise WrongUse(f"--json is not --format {form}", hint="leave one of them out")
    wish = _Wish(deep, protocols or VERSIONS, constraints, runtime, timeout)
    rest: tuple[str, ...] = context.meta.get(__name__, ())
    reports = asyncio.run(_reports(settings, server, rest, wish))
    _print(reports, settings, form or "text", every=server is not None or bool(rest))
    return report.DONE if all(each.ok for each in reports) else report.NOT_AS_ASKED


async def _reports(
    settings: Settings, server: str | None, rest: tuple[str, ...], wish: _Wish
) -> list[Report]:
    from backstay.compliance import targets

    if server is None and rest:
        return [await _one(targets.of_command(rest, os.environ), wish)]
    if server is not None and targets.is_source(server):
        target = await targets.of_package(
            server,
            rest,
            constraints=wish.constraints,
            runtime=wish.runtime,
            environ=os.environ,
            progress=_progress,
        )
        return [await _one(target, wish)]
    if wish.constraints or wish.runtime:
        raise WrongUse(
            f"{'--with' if wish.constraints else '--runtime'} goes with a PACKAGE",
            hint="`backstay doctor pypi:mcp-server-sqlite --with 'mcp<2'`",
        )
    if rest:
        raise WrongUse(
            f"nothing follows `{server}`: only a PACKAGE takes arguments",
            hint="name a package (`npm:name -- ARGS`), or a command alone (`-- COMMAND ARGS`)",
        )
    if server is not None and targets.is_url(server):
        from backstay.compliance.target import Remote

        return [await _one(Remote(server, server), wish)]
    return await _fleet(settings, server, wish)


async def _one(target: Target, wish: _Wish) -> Report:
    """Examine a server that is ours to harm, or at least to call."""
    from backstay.compliance.examine import Examination

    def progress(line: str) -> None:
        _progress(f"{target.name}: {line}")

    return await Examination(target, wish.protocols, wish.timeout, progress).run()


async def _fleet(settings: Settings, service: str | None, wish: _Wish) -> list[Report]:
    from backstay.compliance.fleet import examine
    from backstay.errors import DaemonNotRunning

    fleet = locate.fleet(settings)
    try:
        status = await fleet.status()
    except DaemonNotRunning:
        if not wish.deep:
            raise
        return await _copies(settings, service, wish, [])
    services = status.services
    if service is not None:
        from backstay.api.selection import unknown

        if service not in [each.name for each in services]:
            raise unknown(service, [each.name for each in services])
        services = [each for each in services if each.name == service]
    reports = await examine(fleet, services, wish.timeout, protocol=not wish.deep)
    for found, each in zip(reports, services, strict=True):
        found.health = _health(each)
    if not wish.deep:
        return reports
    deep = {each.service: each for each in await _copies(settings, service, wish, status.services)}
    for found in reports:
        if (copy := deep.get(found.service)) is not None:
            found.protocols, found.measured = copy.protocols, copy.measured
            found.findings += copy.findings
    return reports


async def _copies(
    settings: Settings, service: str | None, wish: _Wish, running: Sequence[ServiceStatus]
) -> list[Report]:
    """Examine copies of the stack's servers; of all, or of one."""
    from backstay.api.selection import unknown
    from backstay.cli import stack
    from backstay.compliance.findings import Finding
    from backstay.compliance.findings import Report as Found
    from backstay.compliance.targets import Copies
    from backstay.errors import BackstayError
    from backstay.packages import Lockfile
    from backstay.packages.lock import NAME

    read = stack.load(settings)
    if service is not None and service not in read.services:
        raise unknown(service, read.services)
    copies = Copies(
        read,
        Lockfile.load(read.dir / NAME),
        ports={each.name: each.ports for each in running},
        environ=os.environ,
        inherit=False,
        progress=_progress,
    )
    slots = asyncio.Semaphore(COPIES_AT_ONCE)

    async def one(name: str) -> Found:
        async with slots:
            try:
                target = await copies.of(name)
            except BackstayError as error:
                failed = Finding("copy", "failed", str(error), getattr(error, "hint", None))
                return Found(name, "server", "failed", findings=[failed])
            found = await _one(target, wish)
            return found

    servers = [name for name, each in read.services.items() if each.mcp and service in (None, name)]
    return await asyncio.gather(*(one(name) for name in servers))


def _progress(line: str) -> None:
    click.echo(plain(line), err=True)


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


def _print(reports: list[Report], settings: Settings, form: Format, *, every: bool) -> None:
    if settings.json or form == "json":
        click.echo(json.dumps([each.as_json() for each in reports], ensure_ascii=False))
    elif form == "junit":
        from datetime import UTC, datetime

        from backstay.compliance.junit import document

        click.echo(document(reports, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")), nl=False)
    else:
        findings.show(reports, Pen(settings.color), every=every)
