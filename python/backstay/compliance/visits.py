"""What Rust's checks found, in this package's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backstay.compliance.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Visit:
    """One visit by Rust's checks.

    Attributes:
        server: `serverInfo.name` and `version`.
        protocol: the version that the server chose; empty where it was not greeted.
        greeted_ms: how long the handshake took, where it was made for the visit.
        findings: what was found.
    """

    server: str
    protocol: str
    greeted_ms: int | None
    findings: list[Finding]

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Visit:
        """Take a report of Rust's, or what the control API made of one."""
        return cls(
            server=f"{report['server']} {report['server_version']}".strip(),
            protocol=report["protocol"],
            greeted_ms=report.get("greeted_ms"),
            findings=[_finding(check) for check in report["checks"]],
        )


def _finding(check: Mapping[str, Any]) -> Finding:
    outcome = check["outcome"]
    cure = check["cure"] if outcome in ("warned", "failed") else None
    return Finding(check["id"], outcome, check.get("found") or check["rule"], cure or None, check["section"])
