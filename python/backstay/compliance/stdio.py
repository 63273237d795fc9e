"""A session over the pipes of a process, raw: what is written is written as it is, what comes is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from backstay.compliance.sessions import (
    INITIALIZED,
    MODERN,
    agreed,
    discover,
    dressed,
    greeting,
    refusal,
    written,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from backstay.compliance.process import Process

LONGEST_LINE = 64 << 20
_SHOWN = 5


class StdioSession:
    """A session with the server behind a process's pipes."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.version = ""
        self.greeted: dict[str, Any] = {}
        """The answer to `initialize`."""
        self.printed: list[str] = []
        """The first lines that were no message."""
        self.line = b""
        """The last line, as it came."""
        self.answers: Counter[str] = Counter()
        """How often each id was answered, by its JSON."""
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue(10_000)
        """Notifications, in their order; what comes when it is full is dropped."""
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._gone = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Take the pipes."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        stdout = os.fdopen(os.dup(self.process.stdout.fileno()), "rb", buffering=0)
        self._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), stdout
        )
        self._reading = loop.create_task(self._read(reader))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the pipes up."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._transport.close()

    async def open(self, version: str, patience: float) -> bool:
        """Shake hands, where the version has that; say whether the server speaks it."""
        if version == MODERN:
            return await discover(self, patience)
        answer = await self.ask(greeting(version), patience)
        if not agreed(self, (answer or {}).get("result")):
            return False
        await self.tell(INITIALIZED)
        return True

    async def ask(self, message: dict[str, Any], patience: float) -> dict[str, Any] | None:
        """Send a request and return its answer."""
        line = written(dressed(message, self.version)) + b"\n"
        answers = await self.ask_raw(line, [message["id"]], patience)
        return answers[0] if answers else None

    async def ask_raw(self, data: bytes, ids: list[object], patience: float) -> list[dict[str, Any]]:
        """Send bytes and return the answers to these ids, as many as came in time."""
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[dict[str, Any]]] = [
            self._waiting.setdefault(json.dumps(id), loop.create_future()) for id in ids
        ]
        if not await self.write(data, patience):
            waiting = [each for each in waiting if each.done()]
        gone = loop.create_task(self._gone.wait())
        try:
            async with asyncio.timeout(patience):
                for each in waiting:
                    both: set[asyncio.Future[Any]] = {each, gone}
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass
        finally:
            gone.cancel()
            for id in ids:
                self._waiting.pop(json.dumps(id), None)
        return [each.result() for each in waiting if each.done() and not each.cancelled()]

    async def tell(self, message: dict[str, Any]) -> None:
        """Send what wants no answer."""
        await self.write(written(message) + b"\n", 30)

    async def write(self, data: bytes, patience: float) -> bool:
        """Send bytes as they are; say whether the server took them all."""
        pipe = self.process.stdin.fileno()
        os.set_blocking(pipe, False)
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        try:
            async with asyncio.timeout(patience):
                while rest:
                    try:
                        rest = rest[os.write(pipe, rest) :]
                    except BlockingIOError:
                        room = asyncio.Event()
                        loop.add_writer(pipe, room.set)
                        try:
                            await room.wait()
                        finally:
                            loop.remove_writer(pipe)
        except (TimeoutError, OSError):
            return False
        return True

    async def lives(self) -> bool:
        """Say whether the process goes on; one that closed its stdout gets the time to be gone."""
        if self._gone.is_set():
            await self.process.ended(1)
        return self.process.code is None and not self._gone.is_set()

    async def rest(self, patience: float) -> None:
        """Read what still comes, up to the end of stdout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._gone.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                await self._receive(line)
        except ValueError:
            self._print(b"a line of more than 64 MiB")
        finally:
            self._gone.set()

    async def _receive(self, line: bytes) -> None:
        self.line = line
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        for each in message if isinstance(message, list) else [message]:
            if not isinstance(each, dict):
                self._print(line)
            elif "method" in each:
                if "id" in each:
                    await self.tell(refusal(each))
                elif not self.messages.full():
                    self.messages.put_nowait(each)
            else:
                self._answered(each)

    def _answered(self, message: dict[str, Any]) -> None:
        id = json.dumps(message.get("id"))
        self.answers[id] += 1
        waiting = self._waiting.get(id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _print(self, line: bytes) -> None:
        if len(self.printed) < _SHOWN:
            self.printed.append(line[:200].decode(errors="replace").strip())
