"""Something that is put before a server, as the bench sees it."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Self

from running import family, stop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


class Missing(Exception):
    """A peer that cannot be had here, and why."""


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """Something that answers at a URL until it is closed."""

    name = ""
    url = ""
    tool = "echo"
    token: str | None = None
    options: Sequence[str] = ()
    """More of the load generator's."""
    process: subprocess.Popen[str] | None = None

    def called(self, *options: str) -> Self:
        """It, called with these options of the load generator's."""
        self.options = [*self.options, *options]
        return self

    def pids(self) -> set[int]:
        """Those whose processor time counts."""
        return family(self.process.pid) if self.process else set()

    def close(self) -> None:
        """End it."""
        if self.process:
            stop(self.process)

    def wait(self, patience: float = 60) -> None:
        """Wait until it answers `initialize`."""
        request = urllib.request.Request(
            self.url,
            data=json.dumps(INITIALIZE).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            },
        )
        end = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    if b'"result"' in answer.read():
                        return
                    raise Missing("it answers, but not `initialize`")
            except urllib.error.HTTPError as error:
                why = f"it answers {error.code}"
            except OSError as error:
                why = str(error)
            if time.monotonic() > end:
                self.close()
                raise Missing(f"it does not come up: {why}")
            time.sleep(0.1)  # foreign programs have no common way to say that they are there
