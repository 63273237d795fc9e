"""Why a server that was installed died at its start, and the cure: read from its last words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is the matter with a server.

    Attributes:
        cause: what happened, in one line.
        hint: what to do.
    """

    cause: str
    hint: str


def diagnose(tail: str) -> Diagnosis | None:
    """What the last lines of a server's stderr say.

    Args:
        tail: the lines.

    Returns:
        The cause and the cure; none if they say nothing that is known.
    """
    return None
