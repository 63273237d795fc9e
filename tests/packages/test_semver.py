"""npm's version ranges, as `engines` uses them."""

from __future__ import annotations

import pytest
from backstay.packages.semver import lowest_above, parse, satisfies


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (">=18", ["18.0.0", "99.1.2"], ["17.9.9"]),
        ("^20.17.0 || >=22.9.0", ["20.17.0", "20.99.0", "22.9.0", "23.0.0"], ["20.16.9", "21.0.0", "22.8.9"]),
        (">= 14.17 < 15 || 16 - 18", ["14.17.0", "16.0.0", "18.9.9"], ["14.16.0", "15.0.0", "19.0.0"]),
        ("18.x", ["18.0.0", "18.9.0"], ["19.0.0"]),
        ("~1.2", ["1.2.9"], ["1.3.0"]),
        ("~1", ["1.9.0"], ["2.0.0"]),
        ("~1.2.3", ["1.2.3"], ["1.2.2", "1.3.0"]),
        ("^0.2.3", ["0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.9.0"], ["1.0.0"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("1.2.3", ["1.2.3"], ["1.2.4"]),
        ("=1.2", ["1.2.4"], ["1.3.0"]),
        ("*", ["0.0.0", "9.9.9"], []),
        ("", ["1.0.0"], []),
        ("v20", ["20.1.0"], ["21.0.0"]),
    ],
)
def test_ranges_hold_what_npm_says_they_hold(wanted: str, inside: list[str], outside: list[str]) -> None:
    for text in inside:
        assert satisfies(parse(text) or (0, 0, 0), wanted), text
    for text in outside:
        assert not satisfies(parse(text) or (0, 0, 0), wanted), text


def test_a_range_that_cannot_be_read_excludes_nothing() -> None:
    assert satisfies((1, 0, 0), "whatever the author likes")


def test_a_pre_release_is_no_release() -> None:
    assert parse("1.2.3-beta.1") is None
    assert parse("1.2") is None
    assert parse("v1.2.3") == (1, 2, 3)


def test_the_nearest_version_above_is_what_to_ask_for() -> None:
    assert lowest_above((20, 2, 0), "^20.17.0 || >=22.9.0") == "20.17"
    assert lowest_above((21, 0, 0), "^20.17.0 || >=22.9.0") == "22.9"
    assert lowest_above((20, 0, 0), ">=22") == "22"
    assert lowest_above((20, 0, 0), "<=18") is None
