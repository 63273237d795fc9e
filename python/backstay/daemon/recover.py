"""What a daemon does when it finds its keeper gone: it starts another one in the same way, and ends.

The new keeper ends what the old one left running, says so, and starts a daemon of its own, which brings the
fleet to what is wanted. What the old keeper held (pipes, sockets) is lost with it; this daemon's copies of
the sockets are closed first, so that the new keeper can bind.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from backstay.daemon.launch import start_keeper

__all__ = ["KeeperCommand"]


@dataclass(frozen=True, slots=True)
class KeeperCommand:
    """How the keeper of this daemon was started; to be read while it lives."""

    arguments: list[str]

    @classmethod
    def of_parent(cls) -> KeeperCommand:
        """Read it of our parent, which is the keeper."""
        line = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
        return cls([os.fsdecode(argument) for argument in line.split(b"\0")[:-1]])

    def start_another(self) -> None:
        """Start a keeper in the same way.

        Raises:
            KeeperError: it does not start.
        """
        start_keeper(self.arguments, _clean(os.environ))


def _clean(environ: os._Environ[str]) -> dict[str, str]:
    """Give the environment without what the old keeper put into it."""
    ours = ("LISTEN_FD", "BACKSTAY_INSTANCE", "BACKSTAY_KEEPER")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}
