"""The control API for the command line: blocking, quick to import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backstay.client import wire
from backstay.client.sockets import CONTROL, connect, silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 64 * 1024


class Control:
    """The control API of the fleet whose state lies in `state_dir`."""

    def __init__(self, state_dir: Path, *, timeout: float = 30.0) -> None:
        self.state_dir = state_dir
        self.timeout = timeout

    def get(self, path: str) -> Any:
        """Ask for `path`.

        Raises:
            DaemonNotRunning: no fleet runs here.
            DaemonSilent: no answer came in time.
            ApiError: the daemon refused.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """Have `path` done; raises as `get` does."""
        return self._ask("POST", path, {} if body is None else body)

    def stream(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of an NDJSON stream, for as long as it lasts."""
        lines = wire.Lines()
        for part in self._exchange("GET", path, None, forever=True):
            for line in lines.feed(part):
                if line:
                    yield json.loads(line)

    def _ask(self, method: str, path: str, body: object) -> Any:
        payload = None if body is None else json.dumps(body).encode()
        return json.loads(b"".join(self._exchange(method, path, payload, forever=False)) or b"null")

    def _exchange(self, method: str, path: str, body: bytes | None, *, forever: bool) -> Iterator[bytes]:
        response = wire.Response()
        with connect(self.state_dir / CONTROL, timeout=self.timeout) as connection:
            try:
                connection.sendall(wire.encode(method, path, body=body))
                failed = bytearray()
                while not response.done:
                    part = response.feed(connection.recv(CHUNK))
                    if not response.headed:
                        continue
                    if response.status >= 400:
                        failed += part
                        continue
                    if forever:
                        connection.settimeout(None)
                    yield part
            except TimeoutError:
                raise silent(self.timeout) from None
        if response.status >= 400:
            wire.read_json(response.status, bytes(failed))
