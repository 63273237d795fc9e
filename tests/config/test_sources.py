"""Where stack files are found, and how they are named in messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from backstay.config import find, load
from backstay.config.sources import shown
from backstay.errors import BackstayError, ConfigError, ConfigErrors


def said(*files: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load(files, environ={})
    return str(caught.value)


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(below) is None or not find(below).is_relative_to(tmp_path)  # type: ignore[union-attr]
    (tmp_path / "backstay.yml").touch()
    assert find(below) == tmp_path / "backstay.yml"
    (tmp_path / "a" / "backstay.yaml").touch()
    assert find(below) == tmp_path / "a" / "backstay.yaml"


def test_a_file_beneath_the_working_directory_is_named_from_there(folder: Path) -> None:
    assert shown(folder / "sub" / "f.yaml") == "sub/f.yaml"
    assert shown(Path("sub/f.yaml")) == "sub/f.yaml"
    assert shown(Path("/elsewhere/f.yaml")) == "/elsewhere/f.yaml"
    assert shown(Path("../f.yaml")) == "../f.yaml"


def test_a_missing_file_names_the_one_that_was_meant(folder: Path) -> None:
    (folder / "backstay.yaml").touch()
    assert said(Path("bakstay.yaml")) == (
        "error: there is no file `bakstay.yaml`\nhint: did you mean `backstay.yaml`?"
    )


def test_no_file_and_no_way_to_read_one_are_said(folder: Path) -> None:
    assert said() == "error: there is no stack file\nhint: `backstay init` writes one"
    assert said(folder) == f"error: cannot read `{shown(folder)}`: is a directory"
    assert "embedded null" in said(Path("a\0b"))


def test_all_missing_files_are_said_at_once(folder: Path) -> None:
    assert said(Path("a.yaml"), Path("b.yaml")).count("error: there is no file") == 2


def test_config_errors_are_config_errors() -> None:
    assert issubclass(ConfigErrors, ConfigError)
    assert issubclass(ConfigErrors, BackstayError)
