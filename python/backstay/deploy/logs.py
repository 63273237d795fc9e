"""What instances wrote: the keeper's log files, read back and followed.

A file's line is `2026-11-23T14:51:52.123Z out text`; `NAME.log` is the newest, `NAME.log.1` the one before
(`rust/supervisor/src/log`). Following waits for the kernel to tell of a change (inotify): nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from backstay.deploy.state import owner_of
from backstay.deploy.status import LogLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

__all__ = ["log_files", "parse_line", "read_logs", "tail_of"]

GATHER = 0.02
"""Seconds in which lines are gathered while following."""
OWN = frozenset({"daemon", "keeper"})
LONGEST = 256 * 1024
"""The longest line that is given whole."""

_EVENT = struct.Struct("iIII")
_IN_MODIFY, _IN_MOVED, _IN_CREATE = 0x2, 0xC0, 0x100
_STREAMS: dict[str, Literal["stdout", "stderr"]] = {"out": "stdout", "err": "stderr"}


def parse_line(instance: str, raw: bytes) -> LogLine:
    """Read one line of a log file; one that is not ours is given as it is."""
    text = raw[:LONGEST].rstrip(b"\n").decode("utf-8", "replace")
    stamp, _, rest = text.partition(" ")
    stream, _, line = rest.partition(" ")
    try:
        at = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return LogLine(instance=instance, service=owner_of(instance), at=None, line=text)
    known = _STREAMS.get(stream)
    return LogLine(
        instance=instance, service=owner_of(instance), at=at, stream=known, line=line if known else rest
    )


def log_files(folder: Path, instance: str) -> list[Path]:
    """Give the files of an instance, oldest first."""
    rotated = []
    for number in range(1, 1000):
        path = folder / f"{instance}.log.{number}"
        if not path.exists():
            break
        rotated.append(path)
    return [*reversed(rotated), folder / f"{instance}.log"]


def tail_of(folder: Path, instance: str, lines: int = 20) -> str:
    """Give the last lines of an instance as text, without times."""
    last = _Reader(folder, frozenset()).last(instance, lines)
    return "\n".join(parse_line(instance, raw).line for raw in last)


async def read_logs(
    folder: Path, services: Iterable[str], *, follow: bool, tail: int | None, ended: asyncio.Event
) -> AsyncIterator[LogLine]:
    """Give lines of instances, by time, and go on with new ones until `ended`."""
    reader = _Reader(folder, frozenset(services))
    watch = _Watch(folder) if follow else None
    try:
        for line in await asyncio.to_thread(reader.past, tail):
            yield line
        while watch is not None and (names := await watch.changed(ended)):
            for line in await asyncio.to_thread(reader.fresh, names):
                yield line
    finally:
        if watch is not None:
            watch.close()


class _Reader:
    """Reads whole lines and remembers up to where, by inode: a file that is put aside is read to its end."""

    def __init__(self, folder: Path, services: frozenset[str]) -> None:
        self._folder = folder
        self._services = services
        self._places: dict[str, tuple[int, int]] = {}

    def past(self, tail: int | None) -> list[LogLine]:
        """Give what is there."""
        with contextlib.suppress(FileNotFoundError):
            names = sorted(path.name for path in self._folder.glob("*.log"))
            return self._read(names, tail)
        return []

    def fresh(self, names: set[str]) -> list[LogLine]:
        """Give what has been added to these files."""
        return self._read(sorted(names), None)

    def last(self, instance: str, lines: int) -> list[bytes]:
        """Give the last lines of one instance."""
        return list(deque(self._lines(instance), maxlen=lines))

    def _read(self, names: list[str], tail: int | None) -> list[LogLine]:
        found: list[LogLine] = []
        for name in names:
            instance = name.removesuffix(".log")
            if name.endswith(".log") and self._wanted(instance):
                kept = deque(self._lines(instance), maxlen=tail)
                found += [parse_line(instance, raw) for raw in kept]
        found.sort(key=lambda line: line.at or 0.0)
        return found

    def _wanted(self, instance: str) -> bool:
        if instance in OWN:
            return False
        return not self._services or owner_of(instance) in self._services or instance in self._services

    def _lines(self, instance: str) -> Iterator[bytes]:
        inode, offset = self._places.get(instance, (0, 0))
        files = log_files(self._folder, instance)
        # From the file that was read last, which may have been put aside since; from the first if it is gone.
        inodes = [_inode(path) for path in files]
        start = inodes.index(inode) if inode in inodes else 0
        for path in files[start:]:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                found = os.fstat(file.fileno()).st_ino
                begin = offset if found == inode else 0
                file.seek(begin)
                for raw in file:
                    if not raw.endswith(b"\n"):  # the rest is still to be written
                        break
                    begin += len(raw)
                    yield raw
                self._places[instance] = (found, begin)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1


class _Watch:
    """Hears of changes in a folder."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "files cannot be watched")
        if libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MODIFY | _IN_CREATE | _IN_MOVED) < 0:
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, os.strerror(error), str(folder))

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)

    async def changed(self, ended: asyncio.Event) -> set[str]:
        """Wait for changes and give the names of the files; none once `ended`."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        waits = [asyncio.ensure_future(readable.wait()), asyncio.ensure_future(ended.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._fd)
            for wait in waits:
                wait.cancel()
        if ended.is_set():
            return set()
        await asyncio.sleep(GATHER)  # lines come in bursts
        return self._names() or {""}

    def _names(self) -> set[str]:
        names = set()
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, 64 * 1024)
            place = 0
            while place < len(data):
                _, _, _, length = _EVENT.unpack_from(data, place)
                place += _EVENT.size
                names.add(os.fsdecode(data[place : place + length].rstrip(b"\0")))
                place += length
        return names
