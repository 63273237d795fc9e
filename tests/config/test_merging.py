"""Several files, merged by Compose's rules (its documentation's own examples among them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Load, Problems


def test_maps_are_merged_and_scalars_replaced(load_text: Load) -> None:
    stack = load_text(
        "name: one\n"
        "services: {a: {command: x, stop_signal: SIGINT,"
        " deploy: {replicas: 2, resources: {limits: {cpus: 1}}}}}",
        "name: two\n"
        "services: {a: {deploy: {replicas: 3, resources: {limits: {memory: 1G}}}}, b: {command: y}}",
    )
    assert stack.name == "two"
    assert list(stack.services) == ["a", "b"]
    service = stack.services["a"]
    assert (service.command, service.stop_signal, service.deploy.replicas) == (("x",), "SIGINT", 3)
    assert (service.deploy.resources.limits.cpus, service.deploy.resources.limits.memory) == (1, 2**30)


def test_commands_and_probes_are_replaced(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: [x, a], args: [b], healthcheck: {test: [CMD, t], interval: 5s}}}",
        "services: {a: {command: [y], args: [c], healthcheck: {test: [CMD, u]}}}",
    )
    service = stack.services["a"]
    assert (service.command, service.args) == (("y",), ("c",))
    assert service.healthcheck is not None
    assert (service.healthcheck.command, service.healthcheck.interval) == (("u",), 5)


def test_a_later_probe_of_another_kind_takes_the_place_of_the_earlier(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, ports: {m: auto}, healthcheck: {tcp: m, retries: 9}}}",
        "services: {a: {healthcheck: {http: m}}}",
        "services: {a: {healthcheck: {http: {path: /up}}}}",
    )
    check = stack.services["a"].healthcheck
    assert check is not None
    assert check.http is not None
    assert (check.probe, check.retries, check.http.port, check.http.path) == ("http", 9, "m", "/up")


def test_a_probe_can_be_switched_off_and_on(load_text: Load) -> None:
    base = "services: {a: {command: x, healthcheck: {command: t}}}"
    off = "services: {a: {healthcheck: {disable: true}}}"
    check = load_text(base, off).services["a"].healthcheck
    assert check is not None
    assert check.probe is None
    check = load_text(base, off, base).services["a"].healthcheck
    assert check is not None
    assert check.probe == "command"


def test_lists_are_joined_without_repeating(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, profiles: [p, q]}}\ngateway: {allowed_hosts: [a]}",
        "services: {a: {profiles: [q, r]}}\ngateway: {allowed_hosts: [b]}",
        profiles=["p"],
    )
    assert stack.services["a"].profiles == ("p", "q", "r")
    assert stack.gateway.allowed_hosts == ("a", "b")


def test_environment_is_merged_by_name_in_either_form(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, environment: [FOO=bar, BAR=foo]}}",
        "services: {a: {environment: {BAR: new, NUM: 1.10, T: true}}}",
        "services: {a: {environment: [FOO=last]}}",
    )
    assert stack.services["a"].environment == {"FOO": "last", "BAR": "new", "NUM": "1.10", "T": "true"}


def test_dependencies_are_merged_by_name_in_either_form(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, depends_on: [b]}, b: {command: y}, c: {command: z}}",
        "services: {a: {depends_on: {c: {condition: service_started, restart: true}}}}",
    )
    assert {name: one.condition for name, one in stack.services["a"].depends_on.items()} == {
        "b": "service_started",
        "c": "service_started",
    }
    assert stack.services["a"].depends_on["c"].restart


def test_one_text_in_place_of_a_list_is_joined_too(load_text: Load, folder: Path) -> None:
    (folder / "a.env").write_text("A=a\n")
    (folder / "b.env").write_text("B=b\n")
    stack = load_text(
        "services: {a: {command: x, env_file: a.env, profiles: p, depends_on: b},"
        " b: {command: y}, c: {command: z}}",
        "services: {a: {env_file: [b.env], profiles: [q], depends_on: [c]}}",
        profiles=["q"],
    )
    service = stack.services["a"]
    assert (service.environment, service.profiles) == ({"A": "a", "B": "b"}, ("p", "q"))
    assert list(service.depends_on) == ["b", "c"]


def test_a_short_probe_and_a_short_condition_are_merged(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, healthcheck: notify}, b: {command: y, depends_on: {a: service_healthy}}}",
        "services: {a: {healthcheck: {interval: 1s}}, b: {depends_on: {a: {restart: true}}}}",
    )
    check = stack.services["a"].healthcheck
    assert check is not None
    assert (check.probe, check.interval) == ("notify", 1)
    dependency = stack.services["b"].depends_on["a"]
    assert (dependency.condition, dependency.restart) == ("service_healthy", True)


def test_short_and_long_forms_are_merged(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {mcp: npm:one}}\ngateway: 7079",
        "services: {a: {mcp: {call_timeout: 5s}}}\ngateway: {allowed_hosts: [h]}",
    )
    mcp = stack.services["a"].mcp
    assert mcp is not None
    assert (str(mcp.package), mcp.call_timeout) == ("npm:one", 5)
    assert (stack.gateway.listen, stack.gateway.allowed_hosts) == ("127.0.0.1:7079", ("h",))


def test_a_server_can_become_remote(load_text: Load) -> None:
    mcp = (
        load_text("services: {a: {mcp: npm:one}}", "services: {a: {mcp: {url: 'https://e.com/mcp'}}}")
        .services["a"]
        .mcp
    )
    assert mcp is not None
    assert (mcp.package, mcp.url) == (None, "https://e.com/mcp")


def test_ports_are_merged_by_name(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, ports: {m: 80, n: auto}}}", "services: {a: {ports: {m: auto, o: 90}}}"
    )
    assert stack.services["a"].ports == {"m": "auto", "n": "auto", "o": 90}


def test_reset_removes_and_override_replaces(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, ports: {m: 80}, environment: {A: a, B: b}, profiles: [p]},"
        " b: {command: y}}",
        """
        services:
          a:
            ports: !reset {}
            environment: !override {C: c}
            profiles: !reset []
          b: !reset null
        """,
    )
    assert list(stack.services) == ["a"]
    service = stack.services["a"]
    assert (service.ports, service.environment, service.profiles) == ({}, {"C": "c"}, ())


def test_an_empty_map_takes_nothing_away(load_text: Load) -> None:
    stack = load_text("services: {a: {command: x, environment: {A: a}}}", "services: {a: {environment: }}")
    assert stack.services["a"].environment == {"A": "a"}


def test_relative_paths_of_all_files_start_at_the_first(load_text: Load, folder: object) -> None:
    stack = load_text(
        "services: {a: {command: x}}", "services: {b: {mcp: path:./b}, c: {command: y, working_dir: d}}"
    )
    mcp = stack.services["b"].mcp
    assert mcp is not None
    assert str(mcp.package) == f"path:{folder}/b"
    assert stack.services["c"].working_dir == f"{folder}/d"


def test_problems_name_the_file_they_are_in(problems: Problems) -> None:
    found = problems(
        "services:\n  a: {command: x, ports: {m: 80}}\n  b: {command: y, ports: {n: auto}}\n",
        "services:\n  b: {ports: {n: 80}}\n",
    )
    assert [str(place) for place in found[0].places] == [
        "backstay.yaml:2:27 services.a.ports.m",
        "2.yaml:2:15 services.b.ports.n",
    ]
