"""`backstay` as a process: what only a real one shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from backstay.cli.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_fleet import FakeFleet

BACKSTAY = [sys.executable, "-m", "backstay.cli"]

HEAVY = (
    "pydantic",
    "rich",
    "ruamel",
    "starlette",
    "uvicorn",
    "asyncio",
    "prometheus_client",
    "backstay.config",
)


def backstay(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BACKSTAY, *args], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def imported(*args: str) -> set[str]:
    """The modules that a run imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "backstay.cli", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }


@pytest.mark.parametrize(
    "args", [["--help"], ["ps"], ["logs"], ["events"], ["completion", "bash"]], ids=" ".join
)
def test_what_must_answer_at_once_imports_nothing_heavy(fleet: FakeFleet, args: list[str]) -> None:
    modules = imported(*args)
    assert "click" in modules
    assert sorted(name for name in modules if name.split(".")[0] in HEAVY or name in HEAVY) == []


def test_help_names_every_verb_and_imports_none() -> None:
    modules = imported("--help")
    assert not {f"backstay.cli.{name}" for name in VERBS} & modules


def test_a_reader_that_leaves_early_is_no_error(fleet: FakeFleet) -> None:
    fleet.happened = [{"seq": n + 1, "at": 1.0, "kind": "x" * 500} for n in range(2000)]
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m backstay.cli events | head -1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_ctrl_c_ends_a_verb_without_a_traceback(fleet: FakeFleet) -> None:
    process = subprocess.Popen(
        [*BACKSTAY, "events", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    fleet.happened.append({"seq": 1, "at": 1.0, "kind": "here"})
    assert "here" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "")


def test_errors_go_to_stderr_and_debug_shows_the_traceback(tmp_path: Path) -> None:
    plain = backstay("check", cwd=tmp_path)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert "Traceback" not in plain.stderr
    (tmp_path / "backstay.yaml").write_text("services: 1\n")
    shown = backstay("config", "--debug", cwd=tmp_path)
    assert "Traceback" in shown.stderr
    assert shown.returncode != 0


def test_output_that_is_no_terminal_has_no_colour(fleet: FakeFleet) -> None:
    assert "\x1b" not in backstay("ps").stdout


def test_completion_offers_verbs_and_services(folder: Path) -> None:
    def complete(words: str) -> set[str]:
        environ = {
            "_BACKSTAY_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        done = subprocess.run(
            BACKSTAY, capture_output=True, text=True, env={**os.environ, **environ}, check=False
        )
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert {"ps", "plan", "up"} <= complete("backstay ")
    assert complete("backstay resta") == {"restart"}
    assert complete("backstay restart ") == {"web", "db"}
    assert complete("backstay scale w") == {"web="}
