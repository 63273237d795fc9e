"""The programs of the guide: they compile, and their types are those of the package."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api as mypy

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "python.md"


def test_the_programs_of_the_guide_are_typed_as_users_check_them(tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(programs) == 2
    files = []
    for number, program in enumerate(programs):
        files.append(tmp_path / f"program{number}.py")
        files[-1].write_text(program)
    said, errors, code = mypy.run(["--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)])
    assert (code, errors) == (0, ""), said


def test_the_guide_names_every_method() -> None:
    from backstay import Fleet

    text = GUIDE.read_text()
    hidden = {"begin", "begin_up", "wait", "running", "last_seq"}
    methods = {name for name in vars(Fleet) if not name.startswith("_")} - hidden
    assert {name for name in methods if f"`{name}(" not in text} == set()
