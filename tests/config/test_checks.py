"""Checks that need more than one look: what passes, and who is measured."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from backstay.config.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Load, Problems


def test_a_service_that_is_wrong_hides_nothing_of_another(problems: Problems) -> None:
    found = problems(
        """
        services:
          wrong: {command: 5, ports: {a: auto}}
          other: {command: "x {{ services.wrong.ports.b }}", depends_on: [wrong, gone]}
        """
    )
    assert [problem.message for problem in found] == [
        "expected a command, got the number 5",
        "`other` depends on `gone`, which is not there",
    ]


def test_a_wrong_top_hides_nothing_of_the_services(problems: Problems) -> None:
    found = problems("nme: x\nservices: {a: {comand: x}}")
    assert [problem.message for problem in found] == ["unknown key `nme`", "unknown key `comand`"]


def test_a_prefix_of_its_own_ends_the_clash(load_text: Load) -> None:
    load_text("services: {a: {mcp: {package: npm:a, prefix: b}}, b: {mcp: {package: npm:b, prefix: a}}}")


def test_a_prefix_counts_only_where_the_server_runs(load_text: Load) -> None:
    load_text(
        "services: {a: {mcp: {package: npm:a, prefix: ''}},"
        " b: {mcp: {package: npm:b, prefix: ''}, profiles: [p]}}"
    )


def test_a_port_counts_only_where_the_service_runs(load_text: Load) -> None:
    load_text("services: {a: {command: x, ports: {m: 80}}, b: {command: x, ports: {m: 80}, profiles: [p]}}")


def test_the_gateway_on_any_port_takes_none(load_text: Load) -> None:
    load_text("services: {a: {command: x, ports: {m: 7077}}}\ngateway: 127.0.0.1:0")


def test_a_server_is_healthy_by_its_handshake(load_text: Load) -> None:
    load_text("services: {a: {command: x, depends_on: {b: service_healthy}}, b: {mcp: npm:b}}")


def test_a_job_that_ends_can_be_waited_for(load_text: Load) -> None:
    load_text("services: {a: {command: x, depends_on: {b: service_completed_successfully}}, b: {command: y}}")


def test_a_reservation_as_large_as_the_machine_fits(load_text: Load) -> None:
    load_text(
        "services: {a: {command: x, deploy: {replicas: 2,"
        " resources: {reservations: {cpus: 2, memory: 4Gi}}}}}"
    )


def test_no_replica_reserves_nothing_now_but_must_fit_once(load_text: Load, problems: Problems) -> None:
    load_text("services: {a: {command: x, deploy: {replicas: 0, resources: {reservations: {cpus: 4}}}}}")
    assert problems(
        "services: {a: {command: x, deploy: {replicas: 0, resources: {reservations: {cpus: 5}}}}}"
    )


def test_secrets_matter_only_where_they_are_used(load_text: Load) -> None:
    load_text(
        "secrets: {a: {environment: NOT_SET}}\n"
        "services: {a: {command: x}, b: {command: x, secrets: [a], profiles: [p]}}"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_secret_that_cannot_be_read_is_said(problems: Problems, folder: Path) -> None:
    (folder / "k").touch(mode=0)
    (problem,) = problems("secrets: {a: {file: k}}\nservices: {a: {command: x, secrets: [a]}}")
    assert "cannot be read" in problem.message


def test_this_machine_has_something() -> None:
    here = Machine.here()
    assert here.cpus > 0
    assert here.memory > 2**20
    assert here.gpus >= 0


def test_a_folder_that_is_not_there_is_a_warning(load_text: Load, folder: Path) -> None:
    (folder / "servers" / "weather").mkdir(parents=True)
    said: list[str] = []
    text = "services: {a: {mcp: path:./servers/weather}, b: {mcp: {package: path:./servers/wether}}}"
    load_text(text, warn=lambda problem: said.append(problem.report()))
    assert said == [
        f"warning: there is no folder `{folder}/servers/wether`\n"
        "  backstay.yaml:1:56 services.b.mcp.package\n"
        "hint: did you mean `weather`?"
    ]


def test_all_services_disabled_is_a_warning(load_text: Load) -> None:
    said: list[str] = []
    load_text(
        "services: {a: {command: x, profiles: [p]}}", warn=lambda problem: said.append(problem.report())
    )
    assert said == [
        "warning: no profile is enabled, and every service has one\n"
        "  backstay.yaml:1:1 services\n"
        "hint: add `--profile p`"
    ]


def test_sessions_of_their_own_need_a_server_that_gives_them(problems: Problems, load_text: Load) -> None:
    found = problems("services: {a: {mcp: {package: npm:a, max_sessions: 4}}}")
    assert [problem.message for problem in found] == [
        "`max_sessions` is for servers over stdio of which each session has one to itself"
    ]
    found = problems(
        "services: {a: {mcp: {package: npm:a, session: isolated, max_sessions: 4}, deploy: {replicas: 5}}}"
    )
    assert [problem.message for problem in found] == ["`a` keeps 5 instances ready for 4 sessions"]
    server = load_text("services: {a: {mcp: {package: npm:a, session: isolated}}}").services["a"].mcp
    assert server is not None
    assert server.max_sessions == 16


SECOND = "services: {a: {command: x, ports: {main: auto}}}\ngateway: {cache: {second: %s}}\n"


@pytest.mark.parametrize(
    ("second", "said", "hint"),
    [
        (
            "'redis://:hunter2@h'",
            "a password would be in the stored state",
            "`redis://:{{ secrets.redis }}@…`",
        ),
        ("'redis://:{{ secrets.gone }}@h'", "there is no secret `gone`", "add it to `secrets:` at the top"),
        ("'redis://h:{{ services.a.ports.mian }}'", "`a` has no port `mian`", "did you mean `main`?"),
        ("'redis://h:{{ services.b.ports.main }}'", "there is no service `b`", ""),
        ("'redis://{{ fleet.dir }}'", "`{{ fleet.dir }}` means nothing here", "`{{ secrets.redis }}`"),
        ("{url: rediss://h, ca: gone.pem}", "gone.pem cannot be read", "the authorities to trust"),
        ("{url: redis://h, ca: gone.pem}", "`ca` without TLS does nothing", "write `rediss://`"),
    ],
)
def test_where_answers_are_kept_besides_is_there_and_holds_no_password(
    second: str, said: str, hint: str, problems: Problems
) -> None:
    (found,) = problems(SECOND % second)
    assert said in found.message
    assert hint in found.hint
    assert "hunter2" not in str(found)


def test_a_password_of_the_second_level_is_a_secret_that_must_be_there(
    load_text: Load, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = SECOND % "'rediss://:{{ secrets.redis }}@h:{{ services.a.ports.main }}/0'"
    text = secret + "secrets: {redis: {environment: REDIS_PASSWORD_OF_A_TEST}}\n"
    (missing,) = problems(text)
    assert missing.message == "the secret `redis` is missing: REDIS_PASSWORD_OF_A_TEST is not set"
    monkeypatch.setenv("REDIS_PASSWORD_OF_A_TEST", "x")
