"""The help: what it says is what there is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from backstay.cli import locate
from backstay.cli.reference import reference
from backstay.cli.root import VerbCommand
from backstay.cli.verbs import VERBS
from backstay.config.sources import FILE_NAMES

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_the_help_is_as_it_was_reviewed(cli: Cli) -> None:
    assert cli("--help").stdout == (HERE / "help.txt").read_text()


@pytest.mark.parametrize("name", sorted(VERBS))
def test_a_verb_is_one_file_whose_help_is_complete(cli: Cli, name: str) -> None:
    command = import_module(f"backstay.cli.{name}").command
    assert isinstance(command, VerbCommand)
    assert command.name == name
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert cli(name, "--help").stdout.startswith(f"Usage: backstay {name}")


def test_only_verbs_that_do_something_are_there() -> None:
    later = {
        "top",
        "deploy",
        "rollback",
        "history",
        "slo",
        "regressions",
        "load",
        "bench",
        "capacity",
        "chaos",
    }
    assert not later & set(VERBS)
    assert len(VERBS) == 20


def test_the_reference_page_is_current() -> None:
    page = ROOT / "docs" / "reference" / "cli.md"
    assert page.read_text() == reference(), "run `make docs`"


def test_the_stack_file_is_looked_for_by_the_same_names_as_it_is_read() -> None:
    assert locate.NAMES == FILE_NAMES
