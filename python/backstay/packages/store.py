"""The packages that are installed on this machine: a directory per package, version, constraints and runtime.

An entry is built in a temporary directory, sealed with a marker, synced, and renamed into place: what has
no name in `packages/` does not exist, and what has one is whole. A lock per entry, which the kernel drops
when its holder dies, makes two processes that want the same thing install it once; whoever holds it clears
what a killed one left.

    $XDG_CACHE_HOME/backstay/
      packages/<name>-<digest>/   the entries, with `.backstay.json` inside
      locks/<name>-<digest>       one lock file each
      builds/<project>-<digest>/   a compiler's own cache for a project on disk
      tmp/<name>-<digest>.<…>/    being built, or left by a killed process
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages.orphans import end_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

MARKER = ".backstay.json"
#: Part of every entry's digest: raise it when entries of older versions can no longer be started.
LAYOUT = 1


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where packages are kept: `$XDG_CACHE_HOME/backstay`, by default `~/.cache/backstay`."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home(), ".cache")
    return root / "backstay"


class Store:
    """The entries under one cache directory. Cheap to make; holds nothing open."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._packages = self.root / "packages"

    def entry(self, label: str, facts: Mapping[str, Any]) -> Path:
        """The directory of the entry that these facts describe, whether or not it exists.

        Args:
            label: readable front part of its name.
            facts: everything that makes this installation differ from another one (JSON).
        """
        text = json.dumps([LAYOUT, facts], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:20]
        readable = re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.")[:60]
        return self._packages / f"{readable}-{digest}"

    def read(self, entry: Path) -> dict[str, Any] | None:
        """The marker of a whole entry; none if it is not installed."""
        try:
            marker: dict[str, Any] = json.loads((entry / MARKER).read_bytes())
        except (OSError, ValueError):
            return None
        return marker

    async def ensure(
        self,
        entry: Path,
        build: Callable[[Path], Awaitable[dict[str, Any]]],
        *,
        usable: Callable[[dict[str, Any]], bool] = lambda _: True,
        progress: Callable[[str], None],
    ) -> dict[str, Any]:
        """The entry's marker, building the entry first if nobody has.

        Args:
            entry: from `entry`.
            build: fills the given empty directory and returns the marker's content.
            usable: whether an entry that exists can still be started; if not it is built anew.
            progress: is told of a wait.

        Raises:
            OSError: the cache cannot be written.
        """
        marker = self.read(entry)
        if marker is not None and usable(marker):
            with contextlib.suppress(OSError):  # a read-only cache serves, too
                os.utime(entry / MARKER)  # what is asked for is not pruned
            return marker
        async with self._locked(entry.name, progress):
            marker = self.read(entry)
            if marker is not None and usable(marker):
                return marker
            await asyncio.to_thread(self._clear, entry.name)
            work = self.root / "tmp" / f"{entry.name}.{os.getpid()}.{secrets.token_hex(4)}"
            work.mkdir(parents=True, mode=0o700)
            try:
                marker = await build(work)
                marker["bytes"] = await asyncio.to_thread(_size, work)
                await asyncio.to_thread(self._seal, work, entry, marker)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(remove, work))
                raise
            return marker

    def builds(self, project: Path) -> Path:
        """Where a project's compiler keeps what it can use again; the compiler itself locks it."""
        digest = hashlib.sha256(str(project).encode()).hexdigest()[:20]
        path = self.root / "builds" / f"{project.name}-{digest}"
        path.mkdir(parents=True, exist_ok=True)
        path.touch()  # what is asked for is not pruned
        return path

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A directory for the length of the block, and no longer.

        Raises:
            OSError: the cache cannot be written.
        """
        base = self.root / "tmp"
        await asyncio.to_thread(_clear_scratch, base)
        while True:
            work = base / f"scratch.{secrets.token_hex(6)}"
            work.mkdir(mode=0o700)
            with _claimed(work) as ours:
                if not ours or not work.exists():
                    continue  # somebody who was clearing up came between the two lines above
                try:
                    yield work
                finally:
                    # A compiler leaves gigabytes: removed off the loop, and also when we are cancelled.
                    await asyncio.shield(asyncio.to_thread(remove, work))
                return

    def _seal(self, work: Path, entry: Path, marker: dict[str, Any]) -> None:
        with (work / MARKER).open("w", encoding="utf-8") as file:
            json.dump(marker, file, sort_keys=True, indent=1)
        _sync(work)
        entry.parent.mkdir(parents=True, exist_ok=True)
        if entry.exists():  # not usable any more: whoever still runs from it keeps its open files
            aside = self.root / "tmp" / f"{entry.name}.old.{secrets.token_hex(4)}"
            entry.rename(aside)
            work.rename(entry)
            remove(aside)
        else:
            work.rename(entry)
        directory = os.open(entry.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _clear(self, name: str) -> None:
        """Remove what a killed process left of this entry; its lock is held, so nobody is building it."""
        for left in (self.root / "tmp").glob(f"{name}.*"):
            end_in(left.resolve())
            remove(left)

    @asynccontextmanager
    async def _locked(self, name: str, progress: Callable[[str], None]) -> AsyncIterator[None]:
        path = self.root / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("it is being installed already; waiting")
                # The waiting thread has its own duplicate: if we are cancelled, its late lock dies with that.
                await _wait_for_lock(os.dup(handle))
            yield
        finally:
            os.close(handle)


def _clear_scratch(base: Path) -> None:
    """Remove the scratch directories of processes that were killed."""
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob("scratch.*"):
        with _claimed(left) as dead:
            if dead:
                end_in(left.resolve())
                remove(left)


@contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    """Whether nobody else holds a directory; we do, for the length of the block, or until we die."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


async def _wait_for_lock(handle: int) -> None:
    """Wait in a thread of our own: a blocked pool thread would keep the program from ending."""
    loop = asyncio.get_running_loop()
    held: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not held.done():
            held.set_result(None)

    def wait() -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        finally:
            os.close(handle)
            with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
                loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait, name="package-lock", daemon=True).start()
    await held


def _size(directory: Path) -> int:
    """The bytes that the files of a tree take on the disk; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - ten thousands of files
                if found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                    size += found.st_blocks * 512
                    if found.st_nlink > 1:
                        seen.add((found.st_dev, found.st_ino))
    return size


def _sync(work: Path) -> None:
    """Write the whole file system back: one call for ten thousand small files."""
    handle = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(work))
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a tree that may have read-only directories in it (Go's module cache has)."""

    def make_writable(function: Callable[[str], Any], name: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            Path(name).parent.chmod(0o700)
            function(name)

    shutil.rmtree(path, onerror=make_writable)
