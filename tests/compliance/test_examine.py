"""The examination of a server of one's own: a careful server passes, and each sin is found for what it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from backstay.compliance.examine import Examination
from backstay.compliance.sessions import MODERN, VERSIONS
from backstay.compliance.targets import of_command

from tests.conftest import SERVERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.compliance.findings import Report

#: What each sin of `careful.py` must be found as, and nothing else.
SINS = {
    "wrong-input-schema": {"schemas.input": "failed"},
    "wrong-output-schema": {"schemas.output": "failed"},
    "wrong-result": {"schemas.result": "failed"},
    "no-structure": {"schemas.result": "failed"},
    "text-ids": {"stream.ids": "failed", "wire.ids": "failed"},
    "refuses-meta": {"wire.meta": "failed"},
    "small-arguments": {"size.argument": "failed"},
    "dies-of-garbage": {"wire.garbage": "failed"},
    "answers-twice": {"call.cancel": "failed"},
    "ignores-eof": {"stop.eof": "warned"},
    "ignores-term": {"stop.term": "failed"},
    "leaves-a-child": {"stop.children": "failed"},
    "prints": {"stream.pure": "failed", "stop.pure": "failed"},
    "prints-at-its-end": {"stop.pure": "failed"},
}


async def examined(sin: str = "", versions: Sequence[str] = VERSIONS[:1], patience: float = 5) -> Report:
    argv = [sys.executable, str(SERVERS / "careful.py"), sin]
    return await Examination(of_command(argv, {}), versions, patience, lambda line: None).run()


def amiss(report: Report) -> dict[str, str]:
    return {each.check: each.outcome for each in report.findings if each.outcome in ("failed", "warned")}


async def test_a_careful_server_has_an_a_in_every_version() -> None:
    report = await examined(versions=VERSIONS)
    assert amiss(report) == {}
    spoken = [version for version in VERSIONS if version != MODERN]
    assert (report.grade, report.score, report.protocols) == ("A", 100, spoken)
    assert report.measured.keys() == {"ready_ms", "memory_bytes", "term_ms", "eof_ms"}
    whole = [each.check for each in report.findings if each.outcome == "passed"]
    assert "wire.batch" in whole
    assert all(
        each.section
        for each in report.findings
        if "." in each.check and not each.check.startswith(("start", "size"))
    )


async def test_a_server_without_sessions_is_examined_in_its_own_words() -> None:
    report = await examined("modern", versions=VERSIONS)
    assert amiss(report) == {}
    assert (report.grade, report.protocols) == ("A", [MODERN])
    sections = {each.check: each.section for each in report.findings}
    assert sections["lifecycle.initialize"] == "server/discover#response"
    assert sections["wire.together"] == "basic/transports/stdio#sending-messages"


@pytest.mark.parametrize("sin", SINS)
async def test_a_sin_is_found_for_what_it_is(sin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if sin.startswith("ignores"):
        monkeypatch.setattr("backstay.compliance.ending.GRACE", 0.5)
    report = await examined(sin, patience=1 if sin == "text-ids" else 5)
    assert amiss(report) == SINS[sin]
    assert all(each.hint for each in report.findings if each.outcome == "failed"), "a cure for each"


async def test_a_server_that_takes_a_read_for_a_message_loses_some() -> None:
    found = amiss(await examined("one-read-one-message", patience=0.4))
    assert found.items() >= {"wire.together": "failed", "wire.pieces": "failed"}.items()


async def test_a_server_that_reads_no_batches_is_warned_where_a_version_has_them() -> None:
    report = await examined("no-batches", versions=VERSIONS, patience=1)
    assert amiss(report) == {"wire.batch": "warned"}
    [warned] = [each for each in report.findings if each.outcome == "warned"]
    assert warned.versions == ("2025-03-26",)
    assert report.grade == "A"


async def test_a_version_that_is_not_spoken_is_answered_with_another() -> None:
    report = await examined("only-newest", versions=VERSIONS)
    assert (report.protocols, amiss(report)) == (["2025-11-25"], {})
    assert "versions" in [each.check for each in report.findings]


async def test_a_version_that_is_refused_is_a_warning() -> None:
    report = await examined("refuses-versions", versions=VERSIONS)
    assert (report.protocols, amiss(report)) == (["2025-11-25"], {"versions": "warned"})


@pytest.mark.parametrize(
    ("flag", "cause", "hint"),
    [
        ("exit", "exited with code 1: plain.py: told to exit at once", None),
        ("needs-key", "needs BRAVE_API_KEY", "set BRAVE_API_KEY under"),
        ("garbage", "it printed 2 lines that are no MCP message", "logs to stderr"),
    ],
)
async def test_a_server_that_does_not_start_is_diagnosed(flag: str, cause: str, hint: str | None) -> None:
    target = of_command([sys.executable, str(SERVERS / "plain.py"), flag], {})
    target = type(target)(target.name, target.argv, target.env, target.cwd, start_timeout=2)
    report = await Examination(target, VERSIONS, 5, lambda line: None).run()
    [found] = report.findings
    assert (found.check, found.outcome, report.grade) == ("ready", "failed", "F")
    assert cause in found.detail
    assert hint is None or hint in (found.hint or "")


async def test_nothing_is_left_of_the_copies() -> None:
    from backstay.compliance import process as processes

    made = []

    class Watched(processes.Process):
        def __init__(self, program: processes.Program) -> None:  # type: ignore[name-defined]
            super().__init__(program)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backstay.compliance.examine.Process", Watched)
        await examined("leaves-a-child")
    assert [each.survivors() for each in made] == [{}, {}]
