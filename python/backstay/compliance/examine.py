"""The examination of a server of our own: each version it speaks, on copies that are thrown away.

Two copies for each version over stdio: one for the checks that change nothing, ended by a signal; one for
those that need the raw pipe, ended by the end of its input.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backstay import _core
from backstay.compliance import asking, ending, framing, schemas, sections, web
from backstay.compliance.findings import Finding, Outcome, Report, merged
from backstay.compliance.http import HttpSession
from backstay.compliance.process import Process
from backstay.compliance.rules import finding
from backstay.compliance.sessions import MODERN
from backstay.compliance.stdio import StdioSession
from backstay.compliance.target import Program, Remote
from backstay.compliance.visits import Visit
from backstay.packages import diagnose

if TYPE_CHECKING:
    from backstay.compliance.target import Target

SLOW_MS = 10_000
LARGE = 512 << 20

StdioCheck = Callable[[StdioSession, float], Awaitable[Finding]]
HttpCheck = Callable[[HttpSession, float], Awaitable[Finding]]

OVER_STDIO: tuple[StdioCheck, ...] = (
    asking.ids,
    asking.unknown_fields,
    asking.characters,
    framing.together,
    framing.pieces,
    asking.cancellation,
    framing.batch,
    framing.garbage,
    asking.sizes,
)
"""In the order of their harm: what comes after a check that ended the server has a new one."""

OVER_HTTP: tuple[HttpCheck, ...] = (
    asking.ids,
    asking.unknown_fields,
    asking.characters,
    web.accepted,
    web.origin,
    web.unknown_version,
    web.unknown_session,
    web.mirror,
    asking.sizes,
)


@dataclass
class Examination:
    """One examination under way.

    Attributes:
        target: what is examined.
        versions: the protocol versions to offer, in this order.
        patience: seconds to wait for each answer.
        progress: is told each step.
    """

    target: Target
    versions: Sequence[str]
    patience: float
    progress: Callable[[str], None]
    report: Report = field(init=False)
    _found: dict[str, list[Finding]] = field(default_factory=dict)
    _ends: list[Finding] = field(default_factory=list)
    _offers: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin an empty report."""
        self.report = Report(self.target.name, "server", "ready")

    async def run(self) -> Report:
        """Make every check."""
        match self.target:
            case Remote(url=url, headers=headers):
                await self._over_http(url, headers)
            case Program(url=None):
                await self._over_stdio(self.target)
            case Program(url=str(url)):
                await self._over_own_http(self.target, url)
        if self._found:
            worst = {"failed": 0, "warned": 1, "passed": 2, "skipped": 3}
            if MODERN in self._found:
                self._found[MODERN] = [sections.modern(each) for each in self._found[MODERN]]
            self.report.protocols.sort(reverse=True)
            ends: dict[str, Finding] = {}
            for each in self._ends:
                known = ends.setdefault(each.check, each)
                if worst[each.outcome] < worst[known.outcome]:
                    ends[each.check] = each
            self.report.findings += [*self._offered(), *merged(self._found), *ends.values()]
        return self.report

    async def _over_stdio(self, program: Program) -> None:
        for version in self.versions:
            self.progress(f"offering {version}")
            with Process(program) as process:
                visit = await self._visit_pipes(process, version)
                if not await self._greeted(version, visit, process):
                    if self.report.state == "failed":
                        return
                    continue
                signalled, took = await ending.by_term(process)
                self._measure("term_ms", took)
                self._ends += [signalled, await ending.children(process)]
            self._found[version] = [*visit.findings, *await self._raw(program, version)]

    async def _visit_pipes(self, process: Process, version: str) -> Visit:
        return _read(
            await asyncio.to_thread(
                _core.examine_pipes,
                process.stdin.fileno(),
                process.stdout.fileno(),
                version,
                self.patience,
                self._start_timeout(version),
            )
        )

    async def _raw(self, program: Program, version: str) -> list[Finding]:
        found: list[Finding] = []
        waiting = list(OVER_STDIO)
        schemed = False
        while waiting:
            with Process(program) as process:
                async with StdioSession(process) as session:
                    if not await session.open(version, program.start_timeout):
                        found.append(
                            Finding("ready", "failed", f"a second copy did not start: {process.ended_as()}")
                        )
                        return found
                    self.report.measured.setdefault("memory_bytes", process.look())
                    if not schemed:
                        schemed = True
                        found += await schemas.check(session, self.patience)
                    while waiting and await session.lives():
                        found.append(await waiting.pop(0)(session, self.patience))
                    if not waiting and await session.lives():
                        closed, took = await ending.by_eof(process)
                        self._measure("eof_ms", took)
                        await session.rest(1)
                        self._ends += [closed, await ending.children(process), _pure(session)]
        return found

    async def _over_own_http(self, program: Program, url: str) -> None:
        with Process(program) as process:
            if not await _listening(process, url):
                await self._not_ready(process, f"nothing listens at {url}", None)
                return
            self._measure("listening_ms", time.monotonic() - process.started)
            await self._over_http(url, program.headers, process)
            if process.code is None:
                signalled, took = await ending.by_term(process)
                self._measure("term_ms", took)
                self._ends += [signalled, await ending.children(process)]

    async def _over_http(self, url: str, headers: dict[str, str], process: Process | None = None) -> None:
        for version in self.versions:
            self.progress(f"offering {version}")
            visit = _read(
                await asyncio.to_thread(
                    _core.examine_url,
                    url,
                    list(headers.items()),
                    version,
                    self.patience,
                    self._start_timeout(version),
                )
            )
            if not await self._greeted(version, visit, process):
                if self.report.state == "failed":
                    return
                continue
            if process is not None:
                self.report.measured.setdefault("memory_bytes", process.look())
            self._found[version] = visit.findings
            session = HttpSession(url, headers)
            if not await session.open(version, self.patience):
                continue  # The transport of 2024-11-05: it has no messages to POST here.
            self._found[version] += await schemas.check(session, self.patience)
            self._found[version] += [await check(session, self.patience) for check in OVER_HTTP]
            await session.close(self.patience)

    def _start_timeout(self, version: str) -> float:
        """Give a server that spoke once no more time than it needs: some never answer `server/discover`."""
        spoke = version == MODERN and self.report.protocols
        return min(self.target.start_timeout, self.patience) if spoke else self.target.start_timeout

    async def _greeted(self, version: str, visit: Visit, process: Process | None) -> bool:
        """Note how an offer was taken; say whether the version is spoken."""
        if visit.protocol == version:
            if not self.report.protocols:
                since = "" if visit.greeted_ms is None else f", greeted in {visit.greeted_ms} ms"
                self.report.findings.append(Finding("ready", "passed", f"{visit.server}{since}"))
                if visit.greeted_ms is not None:
                    listening = self.report.measured.get("listening_ms", 0)
                    self.report.measured["ready_ms"] = listening + visit.greeted_ms
            self.report.protocols.append(version)
            return True
        if version == MODERN and self.report.protocols:
            return False  # However a server of sessions takes `server/discover`, it need not know it.
        if visit.protocol:
            if not self.report.protocols and version == self.versions[-1]:
                detail = f"it speaks {visit.protocol}, which was not asked about"
                self.report.findings.append(Finding("ready", "skipped", detail))
            self._offers.append(finding("versions", "passed"))
        elif self.report.protocols:
            self._offers.append(
                finding("versions", "warned", f"offered {version}: {visit.findings[0].detail}")
            )
        else:
            await self._not_ready(process, visit.findings[0].detail, visit.findings[0].hint)
        return False

    async def _not_ready(self, process: Process | None, reason: str, hint: str | None) -> None:
        """Say why it cannot be used: its last words know it best."""
        self.report.state = "failed"
        if process is not None:
            await process.ended(0.5)  # One that ended closed its pipes a little before.
        tail = process.tail if process else ""
        known = diagnose(tail)
        if known is not None:
            reason, hint = known.cause, known.hint
        elif process is not None and process.code is not None:
            last = tail.strip().splitlines()[-1:] or [reason]
            reason = f"{process.ended_as()}: {last[0]}"
        self.report.findings.append(Finding("ready", "failed", reason, hint))

    def _offered(self) -> list[Finding]:
        """Say how offers of versions were taken, and what was measured."""
        found = (
            self._offers[:1]
            if all(each.outcome == "passed" for each in self._offers)
            else [each for each in self._offers if each.outcome != "passed"][:1]
        )
        ready = self.report.measured.get("ready_ms")
        if ready is not None:
            outcome: Outcome = "passed" if ready <= SLOW_MS else "warned"
            found.append(finding("start.ready", outcome, f"after {ready / 1000:.2f} s"))
        memory = self.report.measured.get("memory_bytes")
        if memory:
            outcome = "passed" if memory <= LARGE else "warned"
            found.append(finding("start.memory", outcome, f"{memory / (1 << 20):.0f} MiB when ready"))
        return found

    def _measure(self, name: str, seconds: float | None) -> None:
        if seconds is not None:
            self.report.measured.setdefault(name, round(seconds * 1000, 1))


def _read(report: bytes) -> Visit:
    return Visit.of(json.loads(report))


def _pure(session: StdioSession) -> Finding:
    if not session.printed:
        return finding("stop.pure", "passed")
    return finding("stop.pure", "failed", f"it printed: {session.printed[0]}")


async def _listening(process: Process, url: str) -> bool:
    """Wait until something listens where the server should; no longer than it may take, or lives."""
    parts = urlsplit(url)
    pause = 0.01
    while process.code is None and time.monotonic() - process.started < process.program.start_timeout:
        try:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        else:
            writer.close()
            return True
    return False
