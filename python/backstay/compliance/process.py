"""A throw-away process: started, watched, ended, and looked for afterwards.

It leads a session of its own, and what it starts is found by that session or by its parent; nothing of it
survives the `with` block.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from backstay.compliance.target import Program

TAIL = 60
"""Lines of its log that are kept for the diagnosis."""

_LONGEST_LINE = 4_096
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process:
    """One copy of a program: over stdio with pipes, else with its output kept as its log."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.started = time.monotonic()
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._family: dict[int, int] = {}
        stdio = program.url is None
        self._popen = subprocess.Popen(
            program.argv,
            env=program.env,
            cwd=program.cwd,
            stdin=subprocess.PIPE if stdio else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stdio else subprocess.STDOUT,
            start_new_session=True,
        )
        log = self._popen.stderr if stdio else self._popen.stdout
        assert log is not None
        self._listener = threading.Thread(target=self._listen, args=(log,), daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        """Return itself, started."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left of it."""
        self.look()
        for pid in self.survivors():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        self._listener.join(1)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def stdin(self) -> IO[bytes]:
        """Its stdin; only over stdio."""
        assert self._popen.stdin is not None
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its stdout; only over stdio."""
        assert self._popen.stdout is not None
        return self._popen.stdout

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def tail(self) -> str:
        """The end of its log."""
        if self.code is not None:
            self._listener.join(1)
        return "\n".join(self._tail)

    def ended_as(self) -> str:
        """Say how it ended."""
        code = self.code
        if code is None:
            return "still runs"
        return f"exited with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"

    def close_stdin(self) -> None:
        """Tell it that there is nothing more to come."""
        with contextlib.suppress(OSError):
            self.stdin.close()

    def terminate(self) -> None:
        """Send it, and it alone, the signal that ends it."""
        self._popen.send_signal(signal.Signals[self.program.stop_signal])

    async def ended(self, within: float) -> float | None:
        """Wait for its end; return the seconds that took, or None if it did not come."""
        begun = time.monotonic()
        if self.code is not None:
            return 0.0
        pidfd = os.pidfd_open(self._popen.pid)
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, over.set)
        try:
            async with asyncio.timeout(within):
                await over.wait()
        except TimeoutError:
            return None
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._popen.wait()
        return time.monotonic() - begun

    def look(self) -> int:
        """Remember all processes that belong to it now; return the memory that they hold, in bytes."""
        table = _processes()
        family = {self._popen.pid} if self.code is None else set()
        family |= {each.pid for each in table if each.session == self._popen.pid}
        known = len(family) - 1
        while len(family) > known:
            known = len(family)
            family |= {each.pid for each in table if each.parent in family}
        ours = [each for each in table if each.pid in family and each.pid != os.getpid()]
        self._family |= {each.pid: each.born for each in ours}
        return sum(each.memory for each in ours)

    def survivors(self) -> dict[int, str]:
        """Return what still runs of it and of what belonged to it at any look, by pid with its name."""
        return {
            each.pid: each.name
            for each in _processes()
            if self._family.get(each.pid) == each.born or each.session == self._popen.pid
        }

    def _listen(self, log: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := log.readline(_LONGEST_LINE):
                self._tail.append(line.decode(errors="replace").rstrip("\n"))


@dataclass(frozen=True, slots=True)
class _Seen:
    pid: int
    name: str
    parent: int
    session: int
    born: int
    memory: int


def _processes() -> list[_Seen]:
    """All processes that are no zombies."""
    seen = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = Path(entry.path, "stat").read_text(errors="replace")
                name = text[text.index("(") + 1 : text.rindex(")")]
                fields = text[text.rindex(")") + 2 :].split()
                if fields[0] not in "ZX":
                    numbers = (int(entry.name), name, int(fields[1]), int(fields[3]), int(fields[19]))
                    seen.append(_Seen(*numbers, int(fields[21]) * _PAGE))
    return seen
