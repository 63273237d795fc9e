"""Runs one installer: its output as progress, its end kept for the message, its group killed when cancelled.

Never through a shell, always with a deadline, always in a session of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_TAIL_LINES = 200
_LINE_BYTES = 2_000
_STDOUT_BYTES = 64 * 1024 * 1024
_GRACE_S = 3.0
#: A registry's address may carry one; messages and logs must not.
_PASSWORD = re.compile(r"//[^/\s@]+@")
#: A build of a large program on a small machine takes minutes; nothing honest takes longer than this.
DEADLINE_S = 3_600.0


class CommandFailed(Exception):
    """An installer ended with an error, could not be started, or took too long.

    Attributes:
        step: what it was to do, for people.
        argv: the command.
        code: its exit code; none if it never ran or was killed.
        tail: the end of its output.
    """

    def __init__(self, step: str, argv: Sequence[str], code: int | None, tail: str) -> None:
        super().__init__(f"{step}: {argv[0]} ended with {code}")
        self.step = step
        self.argv = tuple(argv)
        self.code = code
        self.tail = tail


async def run(
    argv: Sequence[str],
    *,
    step: str,
    env: Mapping[str, str],
    cwd: Path,
    progress: Callable[[str], None],
    stdin: bytes | None = None,
    deadline_s: float = DEADLINE_S,
) -> str:
    """Run a command to its end.

    Args:
        argv: the program and its arguments.
        step: what it does, for the message if it fails.
        env: its whole environment.
        cwd: where it runs.
        progress: is given each line it writes to stderr.
        stdin: what it reads; nothing if none.
        deadline_s: when it is killed.

    Returns:
        What it wrote to stdout.

    Raises:
        CommandFailed: it did not end with 0.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(step, argv, None, f"{argv[0]}: {error.strerror or error}") from error
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    stdout = bytearray()

    def on_stderr(line: str) -> None:
        line = _PASSWORD.sub("//***@", line)
        tail.append(line)
        if line.strip():
            progress(line)

    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.gather(
        _collect(process.stdout, stdout), _lines(process.stderr, on_stderr), _feed(process.stdin, stdin)
    )
    try:
        async with asyncio.timeout(deadline_s):
            await reading
            code = await process.wait()
    except TimeoutError:
        await _end(process)
        tail.append(f"(stopped after {deadline_s:.0f} s)")
        raise CommandFailed(step, argv, None, "\n".join(tail)) from None
    except BaseException:
        await asyncio.shield(_end(process))
        raise
    text = stdout.decode(errors="replace")
    if code != 0:
        last = [*text.splitlines()[-_TAIL_LINES:], *tail]
        said = "\n".join(line[:_LINE_BYTES] for line in last)
        raise CommandFailed(step, argv, code, _PASSWORD.sub("//***@", said))
    return text


async def _collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(65_536):
        if len(into) < _STDOUT_BYTES:
            into += chunk


async def _lines(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    """Split by hand: `readline` gives up on a line longer than its buffer."""
    rest = b""
    while chunk := await stream.read(65_536):
        *whole, rest = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            on_line(line[:_LINE_BYTES].decode(errors="replace"))
        rest = rest[:_LINE_BYTES]
    if rest:
        on_line(rest.decode(errors="replace"))


async def _feed(stream: asyncio.StreamWriter | None, data: bytes | None) -> None:
    if stream is None or data is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: TERM, a moment, KILL. A child of npm's that ignores TERM must not outlive us."""
    for sign, grace_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
