"""HTTP over a unix socket for asyncio: what `backstay.Fleet` and the MCP client stand on."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from backstay.client import wire
from backstay.client.sockets import CONTROL, not_running, short_address, silent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

CHUNK = 64 * 1024


class Answer:
    """An HTTP answer whose head has arrived; the body comes with `parts` or `read`."""

    def __init__(self, reader: asyncio.StreamReader, response: wire.Response, first: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self._reader = reader
        self._response = response
        self._first = first

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        if self._first:
            yield self._first
        while not self._response.done:
            if part := self._response.feed(await self._reader.read(CHUNK)):
                yield part

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([part async for part in self.parts()])


@asynccontextmanager
async def exchange(
    path: Path,
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Answer]:
    """Send one request to the socket at `path` and give its answer for the length of the block.

    Raises:
        DaemonNotRunning: nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.setblocking(False)
    try:
        with short_address(path) as address:
            await asyncio.get_running_loop().sock_connect(connection, address)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=wire.MAX_HEAD)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        connection.close()
        raise not_running() from None
    except BaseException:
        connection.close()
        raise
    try:
        writer.write(wire.encode(method, target, body=body, headers=headers))
        await writer.drain()
        response, first = wire.Response(), b""
        while not response.headed:
            first = response.feed(await reader.read(CHUNK))
        yield Answer(reader, response, first)
    finally:
        writer.close()


class AsyncControl:
    """The control API of the fleet whose state lies in `state_dir`; raises as `blocking.Control` does."""

    def __init__(self, state_dir: Path, *, timeout: float = 30.0) -> None:
        self.state_dir = state_dir
        self.timeout = timeout

    async def get(self, path: str, *, timeout: float | None = -1) -> Any:
        """Ask for `path`; None waits without end, and no timeout means the usual one."""
        return await self._ask("GET", path, None, timeout)

    async def post(self, path: str, body: object = None, *, timeout: float | None = -1) -> Any:
        """Have `path` done; `timeout` as in `get`."""
        return await self._ask("POST", path, {} if body is None else body, timeout)

    async def stream(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the JSON objects of an NDJSON stream, for as long as it lasts."""
        lines = wire.Lines()
        async with exchange(self.state_dir / CONTROL, "GET", path) as answer:
            if answer.status >= 400:
                wire.read_json(answer.status, await answer.read())
            async for part in answer.parts():
                for line in lines.feed(part):
                    if line:
                        yield json.loads(line)

    async def _ask(self, method: str, path: str, body: object, timeout: float | None) -> Any:
        seconds = self.timeout if timeout == -1 else timeout
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            async with (
                asyncio.timeout(seconds),
                exchange(self.state_dir / CONTROL, method, path, body=payload) as answer,
            ):
                return wire.read_json(answer.status, await answer.read())
        except TimeoutError:
            raise silent(seconds or 0) from None
