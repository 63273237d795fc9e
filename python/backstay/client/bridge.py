"""MCP on stdin and stdout, joined to the fleet's gateway: what desktop clients start as a server.

Messages pass as they are; only id, method and, of `initialize`, what a session needs are read. Requests go
side by side, notifications in their order. When the daemon restarts, requests under way are answered with an
error, the next ones wait for the new daemon, and a session that is lost is opened again with the client's
own `initialize`, unseen by the client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from backstay.client import wire
from backstay.client.aio import exchange
from backstay.client.patience import Patience
from backstay.client.sockets import GATEWAY
from backstay.errors import BadAnswer, DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from backstay.client.aio import Answer

AT_ONCE = 256
"""How many requests may be under way; further ones wait in the pipe."""

LOST, PARSE_ERROR = -32000, -32700
BROKEN = (BadAnswer, ConnectionError)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Bridge:
    """One client on stdin and stdout, one session at the gateway."""

    def __init__(self, state_dir: Path, service: str | None, source: BinaryIO, sink: BinaryIO) -> None:
        self._socket = state_dir / GATEWAY
        self._path = "/mcp" if service is None else f"/mcp/{quote(service, safe='')}"
        self._source = source
        self._sink = sink
        self._writing = asyncio.Lock()
        """Guards the sink: a message is written whole. Held while a full pipe drains."""
        self._session: str | None = None
        self._version: str | None = None
        self._initialize: bytes | None = None
        self._last_event: str | None = None
        self._opening = asyncio.Lock()
        """Guards the session's renewal: of the requests that find it lost, one opens the next."""
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Pass messages both ways until the client closes its end.

        Raises:
            DaemonNotRunning: The fleet is not up, or went down.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read_all(tasks)
        except BaseExceptionGroup as group:
            ended, others = group.split(DaemonNotRunning)
            raise others or _first(ended or group) from None
        await self._close()

    async def _read_all(self, tasks: asyncio.TaskGroup) -> None:
        """Pass on what the client says: requests side by side, all else in its order."""
        lines = _read(self._source)
        listening: asyncio.Task[None] | None = None
        while isinstance(line := await lines.get(), bytes):
            if not (data := line.strip()):
                continue
            message = Message(data)
            if not message.valid:
                await self._error([None], PARSE_ERROR, "the message is not JSON-RPC")
            elif not message.requests or message.method == "initialize":
                await self._pass_on(message)
                if self._session is not None and listening is None:
                    listening = tasks.create_task(self._listen())
            else:
                await self._slots.acquire()
                tasks.create_task(self._pass_on(message)).add_done_callback(lambda _: self._slots.release())
        if listening is not None:
            listening.cancel()

    async def _pass_on(self, message: Message) -> None:
        """Send a message and give back what comes in answer; an error if the answer is lost."""
        patience = Patience()
        while True:
            session = self._session
            try:
                async with self._exchange("POST", message.data) as answer:
                    if answer.status != 404 or session is None:
                        if message.method == "initialize" and answer.status < 400:
                            self._session = answer.headers.get("mcp-session-id")
                            self._initialize = message.data
                        await self._answer(answer, message.requests)
                        return
                    await answer.read()
                await self._renew(session)
            except BROKEN:
                if message.requests:
                    await self._error(message.requests, LOST, "the daemon restarted before it answered")
                    return
                await patience.wait()

    def _exchange(
        self, method: str, body: bytes | None = None, extra: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        headers = {**self._headers(), **(extra or {})}
        return exchange(self._socket, method, self._path, body=body, headers=headers)

    async def _answer(self, answer: Answer, requests: list[Any]) -> None:
        if answer.status >= 400:
            body = await answer.read()
            if requests:
                await self._refuse(requests, answer.status, body)
            return
        async for data in _messages(answer):
            self._note_version(data)
            await self._write(data)

    def _note_version(self, data: bytes) -> None:
        """Take the version that both sides speak from the answer to `initialize`."""
        if self._version is None and b'"protocolVersion"' in data:
            with suppress(ValueError, TypeError, KeyError):
                self._version = str(json.loads(data)["result"]["protocolVersion"])

    async def _renew(self, lost: str) -> None:
        """Open a session again with the client's own `initialize`, and keep the answer from it."""
        async with self._opening:
            if self._session != lost or self._initialize is None:
                return
            self._session = None
            async with self._exchange("POST", self._initialize) as answer:
                self._session = answer.headers.get("mcp-session-id")
                await answer.read()
            async with self._exchange("POST", INITIALIZED) as answer:
                await answer.read()

    async def _listen(self) -> None:
        """Pass on what the server says by itself, for as long as there is a session."""
        patience = Patience()
        while (session := self._session) is not None:
            wanted = {"accept": "text/event-stream"}
            if self._last_event is not None:
                wanted["last-event-id"] = self._last_event
            try:
                async with self._exchange("GET", extra=wanted) as answer:
                    if answer.status == 404:
                        await self._renew(session)
                    elif answer.status >= 400:
                        return  # This server has no such stream.
                    else:
                        patience.renew()
                        async for data in self._events(answer):
                            await self._write(data)
            except BROKEN:
                pass
            await patience.wait()

    async def _events(self, answer: Answer) -> AsyncIterator[bytes]:
        events = wire.ServerEvents()
        async for part in answer.parts():
            for data in events.feed(part):
                self._last_event = events.last_id
                if data:
                    yield data

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json, text/event-stream"}
        if self._session is not None:
            headers["mcp-session-id"] = self._session
            if self._version is not None:
                headers["mcp-protocol-version"] = self._version
        return headers

    async def _refuse(self, requests: list[Any], status: int, body: bytes) -> None:
        """Answer a request that the gateway refused: in its own words, if they are JSON-RPC's."""
        try:
            refusal = json.loads(body)
            error = refusal["error"]
            code, text = (error["code"], error["message"]) if "code" in error else (LOST, error["what"])
        except (ValueError, TypeError, KeyError):
            code, text = LOST, f"the gateway answered HTTP {status}"
        await self._error(requests, code, text)

    async def _error(self, requests: list[Any], code: int, text: str) -> None:
        for request in requests:
            error = {"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": text}}
            await self._write(json.dumps(error).encode())

    async def _write(self, data: bytes) -> None:
        # JSON has no line break inside a string, so those that are there are only layout.
        line = data.strip().replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
        async with self._writing:
            await asyncio.to_thread(self._write_now, line)

    def _write_now(self, line: bytes) -> None:
        self._sink.write(line)
        self._sink.flush()

    async def _close(self) -> None:
        if self._session is None:
            return
        with suppress(DaemonNotRunning, *BROKEN):
            async with self._exchange("DELETE") as answer:
                await answer.read()


class Message:
    """A message of the client: its bytes, and the little that is read of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.requests: list[Any] = []
        """The ids that want an answer; several in a batch."""
        self.method: str | None = None
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        parts = value if isinstance(value, list) else [value]
        self.valid = bool(parts) and all(isinstance(part, dict) for part in parts)
        if self.valid:
            self.requests = [part["id"] for part in parts if "method" in part and "id" in part]
            self.method = parts[0].get("method")


async def _messages(answer: Answer) -> AsyncIterator[bytes]:
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        events = wire.ServerEvents()
        async for part in answer.parts():
            for data in events.feed(part):
                if data:
                    yield data
    elif body := await answer.read():
        yield body


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception of a group, however deep it lies."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _read(source: BinaryIO) -> asyncio.Queue[bytes | None]:
    """Read lines in a thread: stdin may be a pipe, a terminal or a file. None is the end.

    A daemon thread, because nothing ends a read of a terminal but its writer.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue(AT_ONCE)

    def give(line: bytes | None) -> None:
        putting = lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except RuntimeError:
            putting.close()
            raise

    def read() -> None:
        with suppress(RuntimeError, CancelledError):  # The loop has ended.
            while line := source.readline(wire.MAX_LINE):
                give(line)
            give(None)

    threading.Thread(target=read, name="backstay-stdin", daemon=True).start()
    return lines


def bridge(state_dir: Path, service: str | None) -> None:
    """Join this process's stdin and stdout to the gateway until stdin ends; raises as `Bridge.run` does."""

    async def run() -> None:
        await Bridge(state_dir, service, sys.stdin.buffer, sys.stdout.buffer).run()

    asyncio.run(run())
