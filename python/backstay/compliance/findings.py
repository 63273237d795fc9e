"""What was found about a server, and the grade it gets.

A check that applies passes, warns or fails. The score is the share of those that did not fail; the grade
looks at warnings too, by the scale in `docs/guide/doctor.md`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Outcome = Literal["passed", "skipped", "warned", "failed"]
Grade = Literal["A", "B", "C", "D", "F"]

MOSTLY = 95
"""The share of checks without a warning from which a server that fails nothing has an A."""

SOUND, LAME = 90, 75
"""The score from which a server that fails something has a C, and a D."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: its stable name: `tools.schema`.
        outcome: how it went.
        detail: what was seen, or the rule that is kept.
        hint: what to do if it did not go well.
        section: where the specification asks for it, as `server/tools#tool`.
        versions: the protocol versions in which it was seen; empty where it does not depend on one.
    """

    check: str
    outcome: Outcome
    detail: str
    hint: str | None = None
    section: str | None = None
    versions: tuple[str, ...] = ()


@dataclass
class Report:
    """What was found about one server or service."""

    service: str
    kind: str
    state: str
    health: str = ""
    protocols: list[str] = field(default_factory=list)
    """The protocol versions that it spoke, newest first."""
    measured: dict[str, float] = field(default_factory=dict)
    """What was measured, by name with its unit: `ready_ms`, `memory_bytes`."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings are not wrong."""
        return all(each.outcome != "failed" for each in self.findings)

    def count(self, *outcomes: Outcome) -> int:
        """Say how many findings went that way."""
        return sum(each.outcome in outcomes for each in self.findings)

    @property
    def score(self) -> int:
        """The share of the checks that apply which went without a failure, of 100."""
        return self._share(self.count("passed", "warned"))

    @property
    def grade(self) -> Grade:
        """The grade: A is a server to rely on, F one that cannot be used."""
        if any(each.check == "ready" and each.outcome == "failed" for each in self.findings):
            return "F"
        if self.ok:
            return "A" if self._share(self.count("passed")) >= MOSTLY else "B"
        return "C" if self.score >= SOUND else "D" if self.score >= LAME else "F"

    def _share(self, number: int) -> int:
        applying = self.count("passed", "warned", "failed")
        return number * 100 // applying if applying else 100

    def as_json(self) -> dict[str, Any]:
        """Return what `--format json` prints."""
        return {**asdict(self), "ok": self.ok, "score": self.score, "grade": self.grade}


def merged(by_version: Mapping[str, Iterable[Finding]]) -> list[Finding]:
    """Join what was found in several versions: the same of a check is said once, with all its versions.

    >>> found = {v: [Finding("tools.list", "passed", "whole")] for v in ("2025-11-25", "2025-06-18")}
    >>> [each.versions for each in merged(found)]
    [('2025-11-25', '2025-06-18')]
    """
    joined: dict[tuple[str, Outcome], Finding] = {}
    for version, findings in by_version.items():
        for each in findings:
            key = (each.check, each.outcome)
            known = joined.get(key)
            joined[key] = replace(known or each, versions=(*(known.versions if known else ()), version))
    # A check that went differently in two versions stands next to itself.
    first = {check: number for number, (check, _) in reversed(list(enumerate(joined)))}
    return sorted(joined.values(), key=lambda each: first[each.check])
