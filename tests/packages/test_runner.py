"""Running an installer: progress, the end of its output, deadlines and cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest
from backstay.packages.runner import CommandFailed, run

FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print(child.pid, file=sys.stderr, flush=True)
time.sleep(99)
"""


async def python(source: str, *, progress: list[str] | None = None, **options: object) -> str:
    lines = progress if progress is not None else []
    return await run(
        [sys.executable, "-c", source],
        step="try it",
        env=dict(os.environ),
        cwd=Path("/"),
        progress=lines.append,
        **options,  # type: ignore[arg-type]
    )


async def test_stdout_is_the_result_and_stderr_the_progress() -> None:
    lines: list[str] = []
    source = "import sys; print('result'); print('one', file=sys.stderr); print('two', file=sys.stderr)"
    assert await python(source, progress=lines) == "result\n"
    assert lines == ["one", "two"]


async def test_a_failure_carries_the_end_of_both() -> None:
    source = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    with pytest.raises(CommandFailed) as failed:
        await python(source)
    assert failed.value.code == 3
    assert failed.value.tail == "out\nerr"


async def test_the_end_is_bounded_however_much_is_written() -> None:
    source = (
        "import sys\n"
        "for i in range(5000): print(i, file=sys.stderr)\n"
        "sys.stderr.write('x' * 5_000_000)\n"
        "sys.exit(1)"
    )
    with pytest.raises(CommandFailed) as failed:
        await python(source)
    assert len(failed.value.tail) < 10_000
    assert "4999" in failed.value.tail


async def test_what_it_reads_is_given_to_it() -> None:
    assert await python("print(input().upper())", stdin=b"hello\n") == "HELLO\n"


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandFailed, match="try it") as failed:
        await run(["/no/such/program"], step="try it", env={}, cwd=Path("/"), progress=print)
    assert failed.value.tail == "/no/such/program: No such file or directory"


async def test_a_deadline_ends_it() -> None:
    with pytest.raises(CommandFailed) as failed:
        await python("import time; time.sleep(99)", deadline_s=0.2)
    assert "stopped after" in failed.value.tail


async def test_cancelling_kills_the_whole_group_even_if_it_ignores_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backstay.packages.runner._GRACE_S", 0.2)
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run(
            [sys.executable, "-c", FAMILY],
            step="try it",
            env=dict(os.environ),
            cwd=Path("/"),
            progress=lambda line: started.set_result(int(line)),
        )
    )
    grandchild = await started
    handle = os.pidfd_open(grandchild)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, gone.set)
    await asyncio.wait_for(gone.wait(), 10)
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)


async def test_a_registrys_password_is_shown_to_nobody() -> None:
    lines: list[str] = []
    source = "import sys; print('get http://ada:secret@npm.example/x', file=sys.stderr); sys.exit(1)"
    with pytest.raises(CommandFailed) as failed:
        await python(source, progress=lines)
    assert lines == ["get http://***@npm.example/x"]
    assert failed.value.tail == "get http://***@npm.example/x"
