"""Wrong input: what is said, where it goes, and the exit code; never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backstay.cli.verbs import VERBS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

USE = [
    (["nonsense"], "error: there is no verb `nonsense`\nhint: `backstay --help` lists the verbs\n"),
    (["upp"], "error: there is no verb `upp`\nhint: did you mean `up`?\n"),
    (["up", "--nowait"], "error: there is no option `--nowait`\nhint: did you mean `--no-wait`?\n"),
    (["ps", "-x"], "error: there is no option `-x`\nhint: `backstay ps --help` says how it is used\n"),
    (["--wrong", "ps"], "error: there is no option `--wrong`\nhint: `backstay --help` says how it is used\n"),
    (["-f"], "error: option '-f' requires an argument\nhint: `backstay --help` says how it is used\n"),
    (
        ["scale", "web"],
        "error: `web` is not SERVICE=N\nhint: `backstay scale web=3` gives `web` three instances\n",
    ),
    (
        ["scale"],
        "error: missing argument 'SERVICE=N...'\nhint: `backstay scale --help` says how it is used\n",
    ),
    (
        ["logs", "--tail", "x"],
        "error: invalid value for '-n' / '--tail': 'x' is not a valid integer range\n"
        "hint: `backstay logs --help` says how it is used\n",
    ),
    (
        ["up", "--no-wait"],
        "error: --no-wait goes with -d\nhint: `backstay up -d --no-wait` returns at once\n",
    ),
    (
        ["up", "--json"],
        "error: --json goes with -d\nhint: `backstay up -d --json` prints how it ended\n",
    ),
    (
        ["call", "time", "now", "{"],
        "error: the arguments are not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)\nhint: write one object, in single quotes\n",
    ),
    (
        ["call", "time", "now", "[1]"],
        'error: the arguments are not a JSON object\nhint: write {"name": value}\n',
    ),
    (
        ["call", "time", "now", "zone"],
        "error: `zone` is not NAME=VALUE\nhint: give one JSON object, or NAME=VALUE for each argument\n",
    ),
    (
        ["lock", "web"],
        "error: SERVICE goes with --upgrade\nhint: `backstay lock --upgrade SERVICE` upgrades one server\n",
    ),
    (
        ["-f", "gone.yaml", "ps"],
        "error: there is no file `gone.yaml`\nhint: `backstay init` writes one\n",
    ),
    (["check", "-f", "gone.yaml"], "error: there is no file `gone.yaml`\nhint: `backstay init` writes one\n"),
]


@pytest.mark.parametrize(
    ("args", "said"), USE, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_use_is_said_with_what_to_do(cli: Cli, folder: Path, args: list[str], said: str) -> None:
    result = cli(*args)
    assert (result.stderr, result.stdout, result.exit_code) == (said, "", 2)


def test_no_verb_at_all_prints_the_help_and_is_wrong(cli: Cli) -> None:
    result = cli()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: backstay")


def test_no_stack_file_names_the_verb_that_writes_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("up", "-d")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: there is no backstay.yaml in {tmp_path} or above\n"
        "hint: write one with `backstay init`, or name one with -f FILE\n"
    )


@pytest.mark.parametrize(
    "args",
    [
        ["ps"],
        ["logs"],
        ["events"],
        ["stop", "web"],
        ["restart", "web"],
        ["scale", "web=2"],
        ["tools"],
        ["call", "web", "x"],
        ["doctor"],
    ],
    ids=lambda args: args[0],
)
def test_a_fleet_that_does_not_run_is_said_with_what_to_do(cli: Cli, folder: Path, args: list[str]) -> None:
    result = cli(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: this fleet is not running\nhint: bring it up with `backstay up -d`\n"


def test_all_problems_of_a_stack_file_are_said_each_with_its_place(cli: Cli, folder: Path) -> None:
    (folder / "backstay.yaml").write_text(
        "services:\n  web:\n    comand: x\n  db:\n    command: y\n    depends_on: [wbe]\n"
    )
    result = cli("up", "-d")
    assert result.exit_code == 2
    assert "error: unknown key `comand`\n  backstay.yaml:3:5 services.web.comand\n" in result.stderr
    assert "hint: did you mean `command`?\n" in result.stderr
    assert "  backstay.yaml:6:18 services.db.depends_on" in result.stderr
    assert "hint: did you mean `web`?" in result.stderr


def test_a_stack_file_that_cannot_be_read_is_said(cli: Cli, folder: Path) -> None:
    (folder / "backstay.yaml").unlink()
    (folder / "backstay.yaml").mkdir()
    result = cli("check", "-f", "backstay.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: cannot read `backstay.yaml`")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_options_stand_before_or_after_the_verb(cli: Cli, verb: str) -> None:
    for option in ("--json", "--no-color", "--debug"):
        assert cli(option, verb, "--help").exit_code == 0
        assert cli(verb, option, "--help").exit_code == 0
    assert cli("--file", "a", verb, "--file", "b", "--profile", "p", "--help").exit_code == 0


words = st.one_of(
    st.sampled_from(
        [
            *VERBS,
            "-f",
            "--file",
            "--json",
            "-d",
            "--help",
            "--tail",
            "--debug",
            "--",
            "-",
            "=",
            "a=1",
            "{",
            "{}",
            "web",
        ]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=st.lists(words, max_size=6))
def test_no_arguments_whatever_end_in_a_traceback(cli: Cli, empty: Path, args: list[str]) -> None:
    result = cli(*[arg for arg in args if arg not in ("init", "--debug")])
    assert result.exit_code in (0, 1, 2)
    assert "Traceback" not in result.output
    assert "backstay has a bug" not in result.output


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
