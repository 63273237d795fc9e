"""Which Python or Node a server gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backstay.packages import PackageError
from backstay.packages.runtime import _pyenv, specifiers
from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("runtime", "inside", "outside"),
    [
        ("python>=3.12", "3.13.1", "3.11.9"),
        ("python 3.12", "3.12.7", "3.13.0"),
        ("python3.12", "3.12.7", "3.13.0"),
        ("python@3.12", "3.12.0", "3.11.0"),
        ("python>=3.11,<3.13", "3.12.1", "3.13.0"),
        ("python", "3.9.0", None),
        (None, "3.9.0", None),
    ],
)
def test_the_versions_asked_for_are_understood(runtime: str | None, inside: str, outside: str | None) -> None:
    wanted = specifiers(runtime, "python", "try")
    assert wanted.contains(inside)
    assert outside is None or not wanted.contains(outside)


def test_a_node_for_a_python_package_is_refused() -> None:
    with pytest.raises(PackageError) as refused:
        specifiers("node>=22", "python", "find a Python for pypi:x")
    assert refused.value.hint == "this server runs on python: `runtime: python>=…`"


def test_the_newest_fitting_python_of_pyenv_is_taken(tmp_path: Path) -> None:
    for name in ("3.11.9", "3.12.1", "3.12.10", "3.13.0", "pypy3.10-7.3", "my-env"):
        (tmp_path / "versions" / name / "bin").mkdir(parents=True)
        (tmp_path / "versions" / name / "bin" / "python").touch()
    env = {"PYENV_ROOT": str(tmp_path), "HOME": "/nowhere"}
    chosen = _pyenv(SpecifierSet("==3.12.*"), env)
    assert chosen == str(tmp_path / "versions" / "3.12.10" / "bin" / "python")
    assert _pyenv(SpecifierSet(">=3.99"), env) is None
