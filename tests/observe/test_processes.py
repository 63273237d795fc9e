"""What processes use, read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from backstay.observe.processes import ProcessUse, by_session, of_process

if TYPE_CHECKING:
    from pathlib import Path


def test_this_process_uses_something() -> None:
    use = of_process(os.getpid())
    assert use is not None
    assert use.memory > 1_000_000
    assert use.threads >= 1
    assert use.fds is not None
    assert use.fds >= 3
    assert use.cpu_seconds > 0


def test_a_session_counts_with_all_that_it_started() -> None:
    script = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'],"
        " stdin=subprocess.PIPE); print('up', flush=True); input(); child.stdin.close(); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        leader.stdout.readline()
        use = by_session(count_fds=True)[leader.pid]
        assert use.processes == 2
        assert use.fds is not None
        leader.stdin.write(b"\n")
        leader.stdin.close()
    assert leader.pid not in by_session()
    assert of_process(leader.pid) is None


@pytest.mark.parametrize("name", ["plain", "two words", "a) R 1 (b", "))"])
def test_a_name_may_hold_blanks_and_brackets(tmp_path: Path, name: str) -> None:
    fields = ["S", "1", "7", "7", *["0"] * 7, "150", "50", *["0"] * 4, "3", "0", "9", "0", "5", *["0"] * 20]
    process = tmp_path / "42"
    process.mkdir()
    (process / "stat").write_text(f"42 ({name}) {' '.join(fields)}")
    use = of_process(42, proc=tmp_path)
    assert use is not None
    assert (use.threads, use.memory, use.fds) == (3, 5 * os.sysconf("SC_PAGE_SIZE"), None)
    assert use.cpu_seconds == 200 / os.sysconf("SC_CLK_TCK")
    assert by_session(proc=tmp_path) == {7: ProcessUse(use.cpu_seconds, use.memory, 3, 1)}


def test_a_zombie_uses_nothing(tmp_path: Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "stat").write_text(f"42 (dead) Z {'0 ' * 40}")
    assert of_process(42, proc=tmp_path) is None
