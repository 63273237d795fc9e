"""`${VAR}` by Compose's rules, in every scalar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.config.interpolation import Unset, interpolate
from backstay.config.render import Values, render

if TYPE_CHECKING:
    from backstay.config.problems import Problem

    from .conftest import Load, Problems

VARIABLES = {"SET": "set", "EMPTY": "", "BRACES": "{{ x }}"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$SET", "set"),
        ("${SET}", "set"),
        ("a${SET}b$SET-c", "asetbset-c"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("$$$SET", "$set"),
        ("${SET:-default}", "set"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${NONE:-default}", "default"),
        ("${NONE-default}", "default"),
        ("${NONE:-}", ""),
        ("${NONE-}", ""),
        ("${NONE:-${SET}}", "set"),
        ("${NONE:-${OTHER:-deep}}", "deep"),
        ("${NONE:-{{ ports.a }}}", "{{ ports.a }}"),
        ("${NONE:-a:-b}", "a:-b"),
        ("${SET:?message}", "set"),
        ("${EMPTY?message}", ""),
        ("${SET:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${NONE+other}", ""),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, value: str) -> None:
    assert interpolate(text, VARIABLES).value == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE:?say it}", "NONE is not set: say it"),
        ("${EMPTY:?say ${SET}}", "EMPTY is not set: say set"),
        ("${NONE?}", "NONE is not set"),
        ("${SET", "a `${` does not end"),
        ("cost $ 5", "a `$` stands before no variable"),
        ("$", "a `$` stands before no variable"),
        ("${SET/a/b}", "`${SET/a/b}` is no form of a variable"),
        ("${:-a}", "`${:-a}` names no variable"),
        ("${A:-" * 20 + "}" * 20, "variables are nested too deeply"),
    ],
)
def test_what_cannot_be_filled_in_is_said(text: str, message: str) -> None:
    with pytest.raises(Unset) as caught:
        interpolate(text, VARIABLES)
    assert str(caught.value) == message


def test_what_comes_from_outside_is_no_template() -> None:
    result = interpolate("{{ a }} ${BRACES}", VARIABLES)
    assert result.value == "{{ a }} {{ x }}"
    assert result.template == "{{ a }} {{ '{{' }} x }}"


def test_a_service_gets_what_looks_like_a_template_as_it_is(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: [x, '${V}'], environment: {A: '${V}'}, ports: {m: auto}}}",
        environ={"V": "{{ ports.m }} {{ nonsense"},
    )
    values = Values(fleet_name="f", fleet_dir=Path(), instance="a.1", ports={"m": 1})
    done = render(stack.services["a"], values)
    assert (done.command, done.environment["A"]) == (
        ("x", "{{ ports.m }} {{ nonsense"),
        "{{ ports.m }} {{ nonsense",
    )


def test_every_scalar_reads_variables(load_text: Load) -> None:
    stack = load_text(
        """
        name: ${NAME}
        services:
          a:
            command: [run, "${WORD}"]
            environment: ["A=${WORD}"]
            ports: {main: "${PORT}"}
            stop_grace_period: ${GRACE:-3s}
            healthcheck: {tcp: main, retries: $RETRIES, disable: "${FLAG}"}
            deploy: {replicas: "${COUNT:-1}", resources: {limits: {memory: "${SIZE}", cpus: "${CPUS}"}}}
        gateway: {listen: "127.0.0.1:${GATE}"}
        ports: ${FROM}-${TO}
        """,
        environ={
            **{"NAME": "fleet", "WORD": "a b", "PORT": "8080", "RETRIES": "7", "FLAG": "no", "SIZE": "1Gi"},
            **{"CPUS": "0.5", "GATE": "7078", "FROM": "1000", "TO": "2000"},
        },
    )
    service = stack.services["a"]
    assert stack.name == "fleet"
    assert service.command == ("run", "a b")
    assert service.environment == {"A": "a b"}
    assert service.ports == {"main": 8080}
    assert service.stop_grace_period == 3
    assert service.healthcheck is not None
    assert (service.healthcheck.retries, service.healthcheck.disable) == (7, False)
    assert service.deploy.resources.limits.memory == 2**30
    assert service.deploy.resources.limits.cpus == 0.5
    assert stack.gateway.port == 7078
    assert (stack.ports.first, stack.ports.last) == (1000, 2000)


def test_an_unset_variable_is_empty_and_a_warning(load_text: Load) -> None:
    warnings: list[Problem] = []
    stack = load_text("services: {a: {command: x, environment: {A: $NONE}}}", warn=warnings.append)
    assert stack.services["a"].environment == {"A": ""}
    assert [warning.report().splitlines()[0] for warning in warnings] == [
        "warning: NONE is not set, and is taken as empty"
    ]


def test_a_dotenv_file_stands_behind_the_environment(load_text: Load, folder: Any) -> None:
    (folder / ".env").write_text("A=file\nB=file\n")
    service = load_text("services: {a: {command: '$A $B'}}", environ={"A": "outside"}).services["a"]
    assert service.command == ("outside", "file")


def test_ignored_keys_are_not_read(load_text: Load) -> None:
    load_text("x-a: ${NONE:?never}\nservices: {a: {command: x, x-b: '${NONE:?never}'}}")


def test_an_aliased_scalar_is_filled_in_once(load_text: Load) -> None:
    stack = load_text(
        "x-a: &a {command: x, environment: {A: '$$$$', B: $V}}\nservices: {a: *a, b: *a}", environ={"V": "$W"}
    )
    assert stack.services["a"].environment == {"A": "$$", "B": "$W"}
    assert stack.services["b"].environment == {"A": "$$", "B": "$W"}


def test_a_problem_in_a_variable_names_its_key(problems: Problems) -> None:
    (problem,) = problems("services:\n  a:\n    command: ${PROGRAM:?which}\n")
    assert str(problem) == "PROGRAM is not set: which\n  backstay.yaml:3:5 services.a.command"
