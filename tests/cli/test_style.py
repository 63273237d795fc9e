"""What goes to the terminal: amounts that read well, tables that fit, foreign text that cannot steer it."""

from __future__ import annotations

import re

import pytest
from backstay.cli.style import Pen, count, cut, percent, plain, size, span, table
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2Jcleared", "cleared"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;cGFzdGU=\x07", ""),
        ("over\rwritten\x08\x00", "overwritten"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_foreign_text_keeps_its_colours_and_loses_what_would_steer_the_terminal(
    text: str, shown: str
) -> None:
    assert plain(text) == shown


@given(st.text(st.sampled_from("\x1b[]0;m2JHK\x07\r\x9b ab"), max_size=30))
def test_no_escape_but_a_colour_is_left_whatever_the_text(text: str) -> None:
    left = re.sub(r"\x1b\[[0-9;]*m", "", plain(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", left)


def test_amounts_are_written_for_people() -> None:
    assert [size(n) for n in (None, 0, 999, 1536, 64 << 20, 1 << 30, 5 << 40)] == [
        "-",
        "0B",
        "999B",
        "1.5K",
        "64M",
        "1.0G",
        "5120G",
    ]
    assert [span(n) for n in (None, 0, 59, 90, 3600, 11_100, 187_200)] == [
        "-",
        "0s",
        "59s",
        "1m 30s",
        "1h",
        "3h 5m",
        "2d 4h",
    ]
    assert (percent(None), percent(0.025), percent(1.5)) == ("-", "2.5%", "150.0%")
    assert (count(1, "tool"), count(0, "tool")) == ("1 tool", "0 tools")


@given(st.text("ab \x1b[31m", max_size=40), st.integers(1, 20))
def test_what_is_cut_takes_no_more_room_than_there_is(text: str, room: int) -> None:
    assert len(re.sub(r"\x1b\[[0-9;]*m", "", cut(text, room))) <= room


def test_columns_line_up_whatever_their_colours(capsys: pytest.CaptureFixture[str]) -> None:
    pen = Pen(True)
    table(("NAME", "N"), [("a", pen.paint("1", "31")), ("long", "100")], pen, right=(1,))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert lines == ["NAME     N", "a        1", "long   100"]
