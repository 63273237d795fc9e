"""What `import backstay` promises: its names, and that it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import backstay
import pytest
from backstay import errors


@pytest.mark.parametrize("name", backstay.__all__)
def test_every_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(backstay, name) is not None
    assert name in dir(backstay)


def test_public_names_have_a_home_and_no_more() -> None:
    assert sorted(backstay.__all__) == backstay.__all__
    assert {*backstay._HOMES, "__version__"} == set(backstay.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Flet'"):
        _ = backstay.Flet  # type: ignore[attr-defined]


def test_importing_backstay_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import backstay; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = set(out.stdout.split()) - {"backstay", "typing", "__future__"}
    assert not {name for name in heavy if name.startswith(("backstay.", "pydantic", "asyncio", "prometheus"))}


def test_every_exception_stands_in_the_one_tree() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.BackstayError), name
        assert name in (errors.__doc__ or ""), f"{name} is missing from the drawn tree"


def test_errors_read_as_their_message_and_carry_a_hint() -> None:
    error = errors.NotHeld("`a` holds nothing", hint="reserve first")
    assert str(error) == "`a` holds nothing"
    assert error.hint == "reserve first"
    assert isinstance(error, KeyError)
    assert errors.BackstayError("x").hint is None
