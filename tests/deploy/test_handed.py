"""What `up` hands over outlives the daemon, in one file that only its owner can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backstay.config.loading import load
from backstay.deploy.handed import FILE, HandedOver
from backstay.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_next_daemon_finds_what_was_handed_over(tmp_path: Path):
    HandedOver(tmp_path).keep({"KEY": "a\nb", "NAME": "ünïcode"})
    assert HandedOver(tmp_path).load() == {"KEY": "a\nb", "NAME": "ünïcode"}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / FILE).parent.iterdir()] == ["environ.json"]


def test_a_secret_that_is_not_handed_over_again_is_kept_as_long_as_the_stack_names_it(tmp_path: Path):
    text = "name: t\nsecrets: {a: {environment: A}}\nservices: {x: {command: x}}"
    (tmp_path / "backstay.yaml").write_text(text)
    stack = load([tmp_path / "backstay.yaml"], environ={"A": "1"})
    handed = HandedOver(tmp_path)
    handed.keep({"A": "1", "B": "2", "HTTPS_PROXY": "http://old"})
    assert handed.kept(stack, {"C": "3"}) == {"A": "1", "C": "3"}
    assert handed.kept(stack, {"A": "new"}) == {"A": "new"}


def test_nothing_is_known_where_nothing_or_nonsense_is_written(tmp_path: Path):
    assert HandedOver(tmp_path).load() == {}
    HandedOver(tmp_path).keep({})
    (tmp_path / FILE).write_text("[1")
    assert HandedOver(tmp_path).load() == {}
    HandedOver(tmp_path).forget()
    HandedOver(tmp_path).forget()
    assert not (tmp_path / FILE).exists()


def test_a_disk_that_refuses_is_said(tmp_path: Path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(StateError, match=r"environ.json cannot be written"):
        HandedOver(tmp_path).keep({"A": "1"})
