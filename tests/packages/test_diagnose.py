"""The last words of real servers, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from backstay.packages import diagnose
from backstay.packages.diagnose import diagnose_stdout

DEATHS = Path(__file__).parent / "deaths"
EXPECTED = {
    "brave-no-key": (
        "needs BRAVE_API_KEY",
        "set BRAVE_API_KEY under the service's `environment:`, `env_file:` or `secrets:`",
    ),
    "chroma-pydantic-2.14": (
        "it was written for an older pydantic: ImportError: cannot import name "
        "'eval_type_backport' from 'pydantic._internal._typing_extra'",
        'add `with: ["pydantic<2.12"]` to its mcp block',
    ),
    "dice-port-taken": (
        "the port that it listens on is taken",
        "let backstay choose (`ports: {http: auto}`, `{{ ports.http }}`), or stop what holds it",
    ),
    "docker-no-socket": (
        "it needs a running Docker, and its socket is not there",
        "start Docker, or set DOCKER_HOST under `environment:`",
    ),
    "everything-port-taken": (
        "the port that it listens on is taken",
        "let backstay choose (`ports: {http: auto}`, `{{ ports.http }}`), or stop what holds it",
    ),
    "fastmcp-module-gone": (
        "it was written for an older mcp: ModuleNotFoundError: No module named 'mcp.server.fastmcp'",
        'add `with: ["mcp<2"]` to its mcp block',
    ),
    "filesystem-no-directory": (
        "it needs /no/such/directory, which is not there",
        "create it, or correct the service's `args:`",
    ),
    "git-no-repository": (
        "it needs /no/such/repo, which is not there",
        "create it, or correct the service's `args:`",
    ),
    "gitlab-no-token": (
        "needs GITLAB_PERSONAL_ACCESS_TOKEN",
        "set GITLAB_PERSONAL_ACCESS_TOKEN under the service's `environment:`, `env_file:` or `secrets:`",
    ),
    "kubernetes-no-kubeconfig": (
        "its arguments are wrong: it prints how to call it",
        "correct the service's `args:`",
    ),
    "motherduck-no-flag": (
        "its arguments are wrong: In-memory databases require the --read-write flag.",
        "correct the service's `args:`",
    ),
    "node-connection-refused": (
        "what it stands on refuses connections: 127.0.0.1:9",
        "name that service under `depends_on:` and give it a `healthcheck:`, or correct the address",
    ),
    "node-missing-package": (
        "a file or package of it is missing: left-pad-missing",
        "in a project of your own: declare what it imports, and build it; else try another version",
    ),
    "node-missing-program": (
        "it starts the program `no-such-program`, which is not on PATH",
        "install no-such-program, or set PATH under `environment:`",
    ),
    "node-too-old": (
        "it needs a newer Node than runs it",
        "add `runtime: node>=22` to its mcp block",
    ),
    "node-unbuilt": (
        "a file or package of it is missing: ./gone.js",
        "in a project of your own: declare what it imports, and build it; else try another version",
    ),
    "postgres-no-url": (
        "its arguments are wrong: a database URL as a command-line argument",
        "correct the service's `args:`",
    ),
    "python-keyerror": (
        "needs GITHUB_TOKEN",
        "set GITHUB_TOKEN under the service's `environment:`, `env_file:` or `secrets:`",
    ),
    "python-too-old": (
        "it needs a newer Python than runs it",
        "add `runtime: python>=3.12` to its mcp block",
    ),
    "redis-bad-option": (
        "its arguments are wrong: '--nope'.",
        "correct the service's `args:`",
    ),
    "sentry-no-token": (
        "needs SENTRY_ACCESS_TOKEN",
        "set SENTRY_ACCESS_TOKEN under the service's `environment:`, `env_file:` or `secrets:`",
    ),
    "sentry-undeclared-dependency": (
        "it was written for an older mcp: ModuleNotFoundError: No module named 'httpx'",
        'add `with: ["mcp<2"]` to its mcp block',
    ),
    "slack-no-token": (
        "needs SLACK_BOT_TOKEN and SLACK_TEAM_ID",
        "set SLACK_BOT_TOKEN and SLACK_TEAM_ID under the service's `environment:`, `env_file:` or `secrets:`",
    ),
    "sqlite-mcp-2": (
        "it was written for an older mcp: AttributeError: 'Server' object has no attribute 'list_resources'",
        'add `with: ["mcp<2"]` to its mcp block',
    ),
    "time-bad-argument": (
        "its arguments are wrong: --zone UTC",
        "correct the service's `args:`",
    ),
}


def test_every_death_is_here() -> None:
    assert sorted(EXPECTED) == sorted(path.stem for path in DEATHS.glob("*.txt"))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_dead_servers_last_words_name_the_cure(name: str) -> None:
    found = diagnose((DEATHS / f"{name}.txt").read_text())
    assert found is not None
    assert (found.cause, found.hint) == EXPECTED[name]


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "listening on stdio",
        "INFO: server started\nbye",
        "SyntaxError: Unexpected token } in JSON at position 7",
    ],
)
def test_words_that_say_nothing_are_left_alone(tail: str) -> None:
    assert diagnose(tail) is None


def test_text_on_stdout_is_shown() -> None:
    assert diagnose_stdout("Starting MCP server\n").cause.endswith(": Starting MCP server")


def test_a_moved_dependency_is_surer_than_a_variable_in_its_traceback() -> None:
    tail = (
        "  File '/s.py', line 3, in <module>\n    KEY = require(API_TOKEN)  # required\n"
        "ModuleNotFoundError: No module named 'mcp.server.fastmcp'"
    )
    found = diagnose(tail)
    assert found is not None
    assert found.hint == 'add `with: ["mcp<2"]` to its mcp block'
