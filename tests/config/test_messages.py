"""What a person reads when a stack file is wrong: each file of `bad/` against its text in `snapshots/`.

`UPDATE_SNAPSHOTS=1 pytest tests/config/test_messages.py` writes the texts anew; read the difference first.
A first line `# files: a.yaml b.yaml` loads several files, `# profiles: x` enables profiles.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from backstay.config import load
from backstay.config.machine import Machine
from backstay.errors import ConfigErrors

HERE = Path(__file__).parent
BAD = HERE / "bad"
SNAPSHOTS = HERE / "snapshots"
FILES = sorted(file for file in BAD.glob("*.yaml") if not file.name.startswith("_"))


def messages(file: Path) -> str:
    head = file.read_bytes().split(b"\n", 1)[0].decode("utf-8", "replace")
    more = re.findall(r"^# files: (.*)", head)
    profiles = re.findall(r"^# profiles: (.*)", head)
    files = [Path(file.name), *(Path(name) for name in (more[0].split() if more else []))]
    with pytest.raises(ConfigErrors) as caught:
        load(
            files,
            environ={"HOME": "/home/me"},
            profiles=profiles[0].split() if profiles else (),
            machine=Machine(cpus=4, memory=8 * 2**30, gpus=1),
        )
    return f"{caught.value}\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_message_is_the_one_in_the_snapshot(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    said = messages(file)
    snapshot = SNAPSHOTS / f"{file.stem}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(said)
    assert said == snapshot.read_text()


def test_every_snapshot_has_its_file() -> None:
    assert {snapshot.stem for snapshot in SNAPSHOTS.glob("*.txt")} == {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_problem_says_where_it_is_and_none_shows_a_python_word(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)
    said = messages(file)
    for line in said.splitlines():
        assert re.match(r"error: .|  [\w./-]+:\d+:\d+( |$)|hint: .", line), line
    assert not re.search(r"\bNone\b|\bTrue\b|dict|tuple|pydantic|Input should|<class|\bstr\b", said)
