"""The score and the grade."""

from __future__ import annotations

import pytest
from backstay.compliance.findings import Finding, Outcome, Report, merged


def report(*, passed: int = 0, warned: int = 0, failed: int = 0, skipped: int = 0) -> Report:
    def some(outcome: Outcome, number: int) -> list[Finding]:
        return [Finding(f"{outcome}.{each}", outcome, "seen") for each in range(number)]

    findings = some("passed", passed) + some("warned", warned) + some("failed", failed)
    return Report("x", "server", "ready", findings=findings + some("skipped", skipped))


@pytest.mark.parametrize(
    ("found", "score", "grade"),
    [
        (report(passed=20), 100, "A"),
        (report(passed=19, warned=1, skipped=50), 100, "A"),
        (report(passed=18, warned=2), 100, "B"),
        (report(warned=3), 100, "B"),
        (report(passed=9, failed=1), 90, "C"),
        (report(passed=8, failed=2), 80, "D"),
        (report(passed=5, failed=5), 50, "F"),
        (report(), 100, "A"),
    ],
)
def test_the_grade_follows_the_scale(found: Report, score: int, grade: str) -> None:
    assert (found.score, found.grade) == (score, grade)


def test_a_server_that_is_not_ready_has_an_f_whatever_else_was_seen() -> None:
    found = report(passed=99)
    found.findings.append(Finding("ready", "failed", "exited with code 1"))
    assert found.grade == "F"


def test_what_differs_between_versions_stands_side_by_side() -> None:
    good, bad = Finding("a", "passed", "fine"), Finding("a", "failed", "broken")
    other = Finding("b", "passed", "fine")
    found = merged({"new": [good, other], "old": [bad, other]})
    assert [(each.check, each.outcome, each.versions) for each in found] == [
        ("a", "passed", ("new",)),
        ("a", "failed", ("old",)),
        ("b", "passed", ("new", "old")),
    ]
