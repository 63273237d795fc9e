"""YAML as it is read: what scalars mean, what is refused, where keys are."""

from __future__ import annotations

import time
from typing import Any

import pytest
from backstay.config.problems import Problems
from backstay.config.reading import LARGEST_FILE, read
from backstay.config.tree import Tree, to_plain


def plain(text: str | bytes) -> Any:
    problems = Problems()
    root = read(text.encode() if isinstance(text, str) else text, "f.yaml", problems)
    assert not problems, list(problems)
    assert root is not None
    return to_plain(root)


def errors(text: str | bytes) -> list[str]:
    problems = Problems()
    read(text.encode() if isinstance(text, str) else text, "f.yaml", problems)
    return [problem.report() for problem in problems]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("~", None),
        ("null", None),
        ("", None),
        ("10", 10),
        ("-3", -3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("22:30", "22:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("'10'", "10"),
        ('"true"', "true"),
        ("!!str 10", "10"),
        ("! 10", "10"),
        ("!!int '10'", 10),
        ("9" * 50, "9" * 50),
    ],
)
def test_plain_scalars_are_read_by_yaml_1_2(written: str, meant: Any) -> None:
    value = plain(f"a: {written}\n")["a"]
    assert value == meant
    assert isinstance(value, type(meant))


def test_numbers_remember_their_spelling() -> None:
    assert plain("a: 1.10")["a"].spelling == "1.10"
    assert plain("a: 0x1F")["a"].spelling == "0x1F"


def test_keys_are_texts() -> None:
    assert list(plain("1: a\ntrue: b\n1.0: c\nnull: d\n? e\n: f\n")) == ["1", "true", "1.0", "null", "e"]


def test_merge_keys_fill_in_what_is_not_written() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\nw: {<<: *x}\n"
    assert plain(text)["z"] == {"a": 0, "b": 2, "c": 4}
    assert plain(text)["w"] == {"a": 1, "b": 2}
    assert "`<<` takes a map" in errors("a: {<<: 5}")[0]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    assert plain(b"\xef\xbb\xbfa: 1\r\nb: x\r\n") == {"a": 1, "b": "x"}


def test_places_are_those_of_keys_and_items() -> None:
    problems = Problems()
    root = read(b"services:\n  redis:\n    ports:\n      - a\n      - {b: c}\n", "f.yaml", problems)
    assert root is not None
    tree = Tree(root)
    assert str(tree.place(("services", "redis", "ports"))) == "f.yaml:3:5 services.redis.ports"
    assert str(tree.place(("services", "redis", "ports", 1, "b"))) == "f.yaml:5:10 services.redis.ports[1].b"
    assert str(tree.place(("services", "redis", "nothing", 7))) == "f.yaml:2:3 services.redis"


def test_a_file_of_4_mib_is_the_largest() -> None:
    filler = b"a: b\n#" + b"x" * (LARGEST_FILE - 7)
    assert plain(filler + b"\n") == {"a": "b"}
    assert "at most 4 MiB" in errors(filler + b"xx")[0]


def test_aliases_are_counted_and_not_expanded() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 60)
    )
    begin = time.perf_counter()
    assert "aliases (`*name`) expand to more than 100000 nodes" in errors(laughs)[0]
    assert time.perf_counter() - begin < 2


def test_a_hundred_thousand_aliased_nodes_are_allowed() -> None:
    thousand = "a: &a [" + ", ".join(["x"] * 999) + "]\n"
    assert len(plain(thousand + "b: [" + ", ".join(["*a"] * 100) + "]\n")["b"]) == 100
    assert "expand to more" in errors(thousand + "b: [" + ", ".join(["*a"] * 101) + "]\n")[0]


def test_many_nodes_without_aliases_are_no_matter() -> None:
    assert len(plain("a: [" + ", ".join(["x"] * 30_000) + "]\n")["a"]) == 30_000


def test_depth_counts_what_aliases_stand_for() -> None:
    halves = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n"
    assert "nested deeper than 64" in errors(halves)[0]
    assert plain("a: " + "[" * 62 + "]" * 62)


def test_deep_nesting_is_refused_before_it_is_parsed() -> None:
    begin = time.perf_counter()
    assert "nested deeper than 64" in errors("a: " + "[" * 1_000_000)[0]
    assert time.perf_counter() - begin < 5


def test_all_duplicate_keys_are_reported_with_both_places() -> None:
    first, second = errors("a: 1\nb: {c: 1, c: 2}\na: 2\n")
    assert first.splitlines() == [
        "error: the key `a` is there twice",
        "  f.yaml:1:1 a",
        "  f.yaml:3:1 a",
        "hint: keep one of them",
    ]
    assert second.splitlines()[1:3] == ["  f.yaml:2:5 b.c", "  f.yaml:2:11 b.c"]


def test_a_key_that_is_a_list_is_refused() -> None:
    assert "a key is a list or a map" in errors("? [a, b]\n: c\n")[0]


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\udfff": a'])
def test_half_characters_are_refused(text: str) -> None:
    assert "half a character" in errors(text)[0]


def test_utf_16_is_refused_with_a_hint() -> None:
    assert errors("a: b".encode("utf-16"))[0].endswith("hint: save it as UTF-8")


def test_what_would_steer_a_terminal_is_made_visible() -> None:
    assert (
        errors('"a\\e[2J": 1\n"a\\e[2J": 2\n')[0].splitlines()[0]
        == "error: the key `a\\x1b[2J` is there twice"
    )
