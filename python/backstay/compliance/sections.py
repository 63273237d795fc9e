"""Where 2026-07-28 says what earlier versions say elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstay.compliance.findings import Finding

_HTTP = "basic/transports/streamable-http"

MOVED = {
    "basic/lifecycle#version-negotiation": "basic/versioning#protocol-version-negotiation",
    "basic/lifecycle#stdio": "basic/transports/stdio#shutdown",
    "basic/transports": "basic/transports#messages",
    "basic/transports#stdio": "basic/transports/stdio#sending-messages",
    "basic/transports#security-warning": _HTTP,
    "basic/transports#protocol-version-header": f"{_HTTP}#protocol-version-header",
    "basic/transports#sending-messages-to-the-server": f"{_HTTP}#sending-messages",
    "basic/utilities/cancellation#behavior-requirements": "basic/patterns/cancellation#behavior-requirements",
    "basic/utilities/cancellation#error-handling": "basic/patterns/cancellation#error-handling",
    "basic/utilities/ping#behavior-requirements": "server/discover#when-to-call",
}


def modern(found: Finding) -> Finding:
    """Return the finding with the section of 2026-07-28."""
    return replace(found, section=MOVED.get(found.section, found.section)) if found.section else found
