"""Streams of JSON lines that end with their reader.

Nothing is buffered for a reader but what its socket takes: the next item is asked for when the last one was
accepted, so a slow reader makes its own iterator wait, and no one else's. Unlike starlette's streams these
notice at once when the reader goes, also while there is nothing to send: an idle fleet keeps no dead ones.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import BaseModel
    from starlette.types import Receive, Scope, Send


class JsonLines(Response):
    """An answer of one JSON object a line, for as long as the iterator lasts."""

    media_type = "application/x-ndjson"

    def __init__(self, items: AsyncIterator[BaseModel]) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._items = items
        self.init_headers({"cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the iterator or the reader ends."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            if (close := getattr(self._items, "aclose", None)) is not None:
                await close()

    async def _send(self, send: Send) -> None:
        # Headers without `content-length`: the server chunks what follows.
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        with suppress(OSError):
            async for item in self._items:
                line = item.model_dump_json(exclude_unset=True).encode() + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
                # `send` waits only where the socket is full: let it be noticed that the reader left.
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
