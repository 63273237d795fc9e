"""What is examined: a program that can be started, or an address that is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Program", "Remote", "Target"]


@dataclass(frozen=True)
class Program:
    """A server that is started for the examination and ended after it.

    Attributes:
        name: what it is called in the report.
        argv: the program and its arguments.
        env: its whole environment.
        cwd: where it runs.
        url: where it listens, for one that speaks HTTP; over stdio none.
        start_timeout: seconds from its start to the end of the handshake.
        stop_signal: what ends it.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    cwd: Path = Path()
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    start_timeout: float = 60.0
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True)
class Remote:
    """A server that somebody else runs."""

    name: str
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    start_timeout: float = 60.0


Target = Program | Remote
