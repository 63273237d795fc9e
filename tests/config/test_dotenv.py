"""Files of variables, in Compose's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backstay.config.dotenv import read_env_file
from backstay.config.problems import Problems

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Load


def parse(path: Path, text: str, *, raw: bool = False) -> dict[str, str]:
    (path / "a.env").write_text(text)
    problems = Problems()
    found = read_env_file(path / "a.env", "a.env", {"OUT": "outside"}, problems, raw=raw)
    assert not problems, list(problems)
    return found


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("A: b", "b"),
        ("A=", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='b # $OUT'", "b # $OUT"),
        ('A="b # c" # comment', "b # c"),
        ('A="b\\nc\\t\\"d\\""', 'b\nc\t"d"'),
        ("A=$OUT", "outside"),
        ('A="${OUT}!"', "outside!"),
        ("A='${OUT}'", "${OUT}"),
        ("A=${NONE:-x}", "x"),
        ('A="one\ntwo"', "one\ntwo"),
        ("A='one\ntwo'", "one\ntwo"),
        ('A="a\\$OUT"', "a$OUT"),
        ("A=a=b", "a=b"),
    ],
)
def test_a_line_is_read_as_compose_does(tmp_path: Path, line: str, value: str) -> None:
    assert parse(tmp_path, f"# head\n\n{line}\nZ=end\n") == {"A": value, "Z": "end"}


def test_a_name_alone_takes_its_value_from_outside(tmp_path: Path) -> None:
    assert parse(tmp_path, "OUT\nNONE\n") == {"OUT": "outside"}


def test_later_lines_see_earlier_ones(tmp_path: Path) -> None:
    assert parse(tmp_path, "A=1\nB=${A}2\nA=3\n") == {"A": "3", "B": "12"}


def test_raw_values_are_taken_as_they_are(tmp_path: Path) -> None:
    assert parse(tmp_path, "A='$OUT' # x\n", raw=True) == {"A": "'$OUT' # x"}


def test_environment_goes_before_its_files_and_later_files_before_earlier_ones(
    load_text: Load, folder: Path
) -> None:
    (folder / "one.env").write_text("A=1\nB=1\nC=1\n")
    (folder / "two.env").write_text("B=2\nC=2\nT={{ x }}\n")
    stack = load_text(
        "services: {a: {command: x, env_file: [one.env, {path: two.env}],"
        " environment: {C: c, OUT: , NONE: }}}",
        environ={"OUT": "{{"},
    )
    assert stack.services["a"].environment == {
        **{"A": "1", "B": "2", "C": "c"},
        **{"T": "{{ '{{' }} x }}", "OUT": "{{ '{{' }}"},
    }


def test_a_missing_file_names_the_one_that_was_meant(load_text: Load, folder: Path) -> None:
    from backstay.errors import ConfigErrors

    (folder / "local.env").write_text("")
    with pytest.raises(ConfigErrors, match=r"did you mean `local\.env`"):
        load_text("services: {a: {command: x, env_file: lokal.env}}")
