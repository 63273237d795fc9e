"""HTTP/1.1 without input or output: requests to bytes, bytes to responses.

Just what a control socket and a gateway on this machine speak: one request per connection,
bodies by `content-length`, chunked, or up to the end. It is not a general HTTP client: no
redirects, no compression, no pipelining.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backstay.errors import ApiError, BadAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 64 * 1024
MAX_LINE = 64 * 1024 * 1024 + 64 * 1024
"""The longest line of a stream: the longest MCP message, and its envelope."""


def encode(
    method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Write one request, which asks for the connection to be closed after its answer."""
    fields = {"host": "localhost", "connection": "close", "accept": "application/json"}
    if body is not None:
        fields["content-type"] = "application/json"
        fields["content-length"] = str(len(body))
    fields.update(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


class Response:
    """One answer, read as it arrives: `feed` takes what was received and gives what is body."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = False
        self._buffer = bytearray()
        self._chunked = False
        self._left: int | None = None
        """Bytes that the body, or the chunk being read, still lacks; None where the end says it."""
        self._after_chunk = False

    @property
    def headed(self) -> bool:
        """Whether status and headers are known."""
        return self.status >= 200

    def feed(self, data: bytes) -> bytes:
        """Take received bytes (none: the other side closed) and return the body bytes among them.

        Raises:
            BadAnswer: this is not HTTP, or it ended before its end.
        """
        if not data:
            return self._end()
        self._buffer += data
        while not self.headed:
            if not self._read_head():
                return b""
        return self._read_chunks() if self._chunked else self._read_plain()

    def _end(self) -> bytes:
        if not self.done and (not self.headed or self._chunked or self._left):
            raise BadAnswer("the connection was closed in the middle of an answer")
        self.done = True
        return b""

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadAnswer("the answer's headers never end")
            return False
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise BadAnswer(f"not an HTTP answer: {first[:60]!r}")
        status = int(rest[:3])
        if status < 200:
            return bool(self._buffer)
        self.status = status
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if status in (204, 304):
            self._left = 0
        elif not self._chunked and length is not None:
            if not length.isdecimal():
                raise BadAnswer(f"not a length: {length!r}")
            self._left = int(length)
        return True

    def _read_plain(self) -> bytes:
        if self._left is None:
            body = bytes(self._buffer)
        else:
            body = bytes(self._buffer[: self._left])
            self._left -= len(body)
            self.done = self._left == 0
        self._buffer.clear()
        return body

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while self._buffer and not self.done:
            if self._left is None:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    if len(self._buffer) > MAX_HEAD:
                        raise BadAnswer("a chunk's size never ends")
                    break
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                if self._after_chunk:
                    self._after_chunk = False
                    continue
                try:
                    self._left = int(line.partition(b";")[0], 16)
                except ValueError:
                    raise BadAnswer(f"not a chunk's size: {line[:60]!r}") from None
                if self._left <= 0:
                    self.done = True
                continue
            part = self._buffer[: self._left]
            body += part
            del self._buffer[: len(part)]
            self._left -= len(part)
            if self._left == 0:
                self._left, self._after_chunk = None, True
        return bytes(body)


class Lines:
    """Cuts a stream into its lines, without their ends."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._rest = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return the lines that it ends."""
        searched = len(self._rest)
        self._rest += data
        if (end := self._rest.rfind(b"\n", searched)) < 0:
            if len(self._rest) > self._limit:
                raise BadAnswer(f"a line of more than {self._limit} bytes")
            return []
        whole = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return whole.split(b"\n")


class ServerEvents:
    """Cuts a `text/event-stream` into the data of its events."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []
        self.last_id: str | None = None
        """The id of the last event that had one: a stream can be resumed there."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return the data of the events that it ends."""
        events = []
        for raw in self._lines.feed(data):
            line = raw.removesuffix(b"\r")
            if not line and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"id:"):
                self.last_id = line[3:].removeprefix(b" ").decode(errors="replace")
        return events


def read_json(status: int, body: bytes) -> Any:
    """Return what the control API answered.

    Raises:
        ApiError: it answered with an error.
        BadAnswer: it answered with something else.
    """
    try:
        value = json.loads(body) if body else None
    except ValueError:
        raise BadAnswer(f"HTTP {status} with a body that is not JSON: {body[:80]!r}") from None
    if status < 400:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        raise BadAnswer(f"HTTP {status}: {body[:200].decode(errors='replace')}")
    raise ApiError(
        str(error.get("what", f"HTTP {status}")),
        where=error.get("where"),
        hint=error.get("hint"),
        status=status,
    )
