"""The parts of a stack file: what each form means, and the defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backstay.config import Stack
from backstay.config.models import PackageSource
from backstay.config.models.scalars import parse_cpus, parse_duration, parse_flag, parse_size, write_duration
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from .conftest import Load


@pytest.mark.parametrize(
    ("written", "size"),
    [("512M", 2**29), ("512m", 2**29), ("1Gi", 2**30), ("1.5GiB", 3 * 2**29), ("64kb", 2**16), ("10", 10),
     (10, 10), ("2 T", 2**41), ("100b", 100), (0, 0), ("0.5k", 512)],
)  # fmt: skip
def test_sizes_are_in_powers_of_1024(written: Any, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["M", "5X", "-1", "1e3", "", "0.3", True, None, [], float("nan"), "9" * 500, "1,5G"]
)
def test_what_is_no_size_is_refused(written: Any) -> None:
    with pytest.raises(PydanticCustomError):
        parse_size(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1m30s", 90),
        ("500ms", 0.5),
        ("2h", 7200),
        ("1.5s", 1.5),
        ("10us", 1e-5),
        (5, 5),
        (0.5, 0.5),
        ("0", 0),
        ("1h1m1s", 3661),
    ],
)
def test_times_are_in_seconds(written: Any, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["5", "s", "1m30", "1 m", "-5s", "1d", "", True, None, -1, float("inf"), float("nan"), "9" * 400 + "s"],
)
def test_what_is_no_time_is_refused(written: Any) -> None:
    with pytest.raises(PydanticCustomError):
        parse_duration(written)


@given(st.integers(0, 366 * 86400 * 1000))
def test_a_time_is_written_as_it_is_read(milliseconds: int) -> None:
    assert parse_duration(write_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("written", "flag"), [(True, True), ("yes", True), ("On", True), ("no", False), ("FALSE", False)]
)
def test_yes_and_no_have_every_spelling_of_yaml(written: Any, flag: bool) -> None:
    assert parse_flag(written) is flag


@pytest.mark.parametrize("written", ["maybe", 1, None, "", "y"])
def test_what_is_neither_yes_nor_no_is_refused(written: Any) -> None:
    with pytest.raises(PydanticCustomError):
        parse_flag(written)


def test_cpus_are_numbers_or_texts() -> None:
    assert (parse_cpus("0.5"), parse_cpus(2)) == (0.5, 2)


@pytest.mark.parametrize(
    ("written", "kind", "name", "version", "extras"),
    [
        ("npm:server", "npm", "server", "", ()),
        ("npm:@scope/server@^1.2", "npm", "@scope/server", "^1.2", ()),
        ("npm:server@>=1 <2 || 3.x", "npm", "server", ">=1 <2 || 3.x", ()),
        ("npm:server@1.2.3-beta.1+b", "npm", "server", "1.2.3-beta.1+b", ()),
        ("npm:server@next", "npm", "server", "next", ()),
        ("NPM: server", "npm", "server", "", ()),
        ("pypi:server==1.2", "pypi", "server", "==1.2", ()),
        ("pypi:server[redis,a]>=1,<2", "pypi", "server", "<2,>=1", ("a", "redis")),
        ("cargo:server@1.2", "cargo", "server", "1.2", ()),
        ("cargo:server", "cargo", "server", "", ()),
        ("go:github.com/a/b/cmd/c@v1.2.0", "go", "github.com/a/b/cmd/c", "v1.2.0", ()),
        ("go:github.com/a/b@latest", "go", "github.com/a/b", "latest", ()),
        ("path:./servers/a b", "path", "./servers/a b", "", ()),
    ],
)
def test_package_sources_are_read(
    written: str, kind: str, name: str, version: str, extras: tuple[str, ...]
) -> None:
    source = PackageSource.parse(written)
    assert (source.kind, source.name, source.version, source.extras) == (kind, name, version, extras)
    assert PackageSource.parse(str(source)) == source


def test_a_server_has_its_defaults(service: Any) -> None:
    made = service("{mcp: npm:server}")
    assert (made.kind, made.restart, made.readiness, made.healthcheck) == (
        "server",
        "always",
        "handshake",
        None,
    )
    assert (made.mcp.transport, made.mcp.session, made.mcp.prefix) == ("stdio", "shared", "s")
    assert (made.mcp.start_timeout, made.mcp.call_timeout) == (60, 60)
    assert (made.stop_signal, made.stop_grace_period, made.deploy.replicas) == ("SIGTERM", 10, 1)
    assert made.deploy.update_config.failure_action == "rollback"


def test_a_plain_service_has_its_defaults(service: Any, folder: object) -> None:
    made = service("{command: run}")
    assert (made.kind, made.restart, made.readiness) == ("service", "no", "started")
    assert made.working_dir == str(folder)


def test_a_remote_server_has_its_defaults(service: Any) -> None:
    for body in ("https://e.com/mcp", "{package: 'https://e.com/mcp'}", "{url: 'https://e.com/mcp'}"):
        mcp = service(f"{{mcp: {body}}}").mcp
        assert (mcp.url, mcp.package, mcp.transport, mcp.remote) == (
            "https://e.com/mcp",
            None,
            "streamable-http",
            True,
        )


def test_a_server_over_http_finds_its_only_port(service: Any) -> None:
    mcp = service("{mcp: {package: npm:a, transport: streamable-http}, ports: {web: auto}}").mcp
    assert (mcp.port, mcp.path) == ("web", "/mcp")
    mcp = service("{command: run, mcp: {transport: sse, port: b}, ports: {a: auto, b: auto}}").mcp
    assert (mcp.port, mcp.path) == ("b", "/sse")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            'redis-server --port {{ ports.m }} --save ""',
            ("redis-server", "--port", "{{ ports.m }}", "--save", ""),
        ),
        ("sh -c 'echo {{ports.m}}'", ("sh", "-c", "echo {{ports.m}}")),
        ("a--{{ ports.m }}--b", ("a--{{ ports.m }}--b",)),
        ("[run, --port, 6379, 1.10, true]", ("run", "--port", "6379", "1.10", "true")),
    ],
)
def test_commands_are_split_as_a_shell_does(service: Any, written: str, words: tuple[str, ...]) -> None:
    body = written if written.startswith("[") else "'" + written.replace("'", "''") + "'"
    assert service(f"{{command: {body}, ports: {{m: auto}}}}").command == words


@pytest.mark.parametrize(
    ("written", "probe", "command"),
    [
        ("{tcp: m}", "tcp", None),
        ("{tcp: 80}", "tcp", None),
        ('{tcp: "{{ ports.m }}"}', "tcp", None),
        ("{http: m}", "http", None),
        ("{http: {port: 80, path: /x}}", "http", None),
        ("{command: [a, b]}", "command", ("a", "b")),
        ("{log: ready}", "log", None),
        ("{notify: true}", "notify", None),
        ("notify", "notify", None),
        ("{test: [CMD, a, b]}", "command", ("a", "b")),
        ("{test: [CMD-SHELL, a | b]}", "command", ("/bin/sh", "-c", "a | b")),
        ("{test: a | b}", "command", ("/bin/sh", "-c", "a | b")),
        ("{test: [NONE]}", None, None),
        ("{disable: true}", None, None),
    ],
)
def test_healthchecks_have_these_forms(service: Any, written: str, probe: str | None, command: Any) -> None:
    made = service(f"{{command: x, ports: {{m: auto}}, healthcheck: {written}}}")
    assert (made.healthcheck.probe, made.healthcheck.command) == (probe, command)
    assert made.readiness == ("healthcheck" if probe else "started")


@pytest.mark.parametrize(
    ("written", "condition", "attempts"),
    [
        ("restart: no", "none", None),
        ("restart: 'no'", "none", None),
        ("restart: false", "none", None),
        ("restart: always", "any", None),
        ("restart: unless-stopped", "any", None),
        ("restart: on-failure", "on-failure", None),
        ("restart: on-failure:5", "on-failure", 5),
        ("deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}", "on-failure", 2),
    ],
)
def test_restart_has_composes_forms(service: Any, written: str, condition: str, attempts: int | None) -> None:
    policy = service(f"{{command: x, {written}}}").restart_policy
    assert (policy.condition, policy.max_attempts) == (condition, attempts)


@pytest.mark.parametrize("written", ["SIGINT", "int", "2", 2])
def test_signals_are_named_or_numbered(service: Any, written: Any) -> None:
    assert service(f"{{command: x, stop_signal: {written}}}").stop_signal == "SIGINT"


def test_list_form_dependencies_wait_for_health_where_there_is_any(load_text: Load) -> None:
    stack = load_text(
        """
        services:
          a: {command: x, depends_on: [plain, checked, server, off]}
          plain: {command: x}
          checked: {command: x, healthcheck: {command: y}}
          server: {mcp: npm:a}
          off: {command: x, healthcheck: {disable: true}}
        """
    )
    assert {name: one.condition for name, one in stack.services["a"].depends_on.items()} == {
        "plain": "service_started",
        "checked": "service_healthy",
        "server": "service_healthy",
        "off": "service_started",
    }


def test_a_dependency_that_is_not_required_may_be_missing(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, depends_on: {b: {required: false}, c: {required: false}}},"
        " b: {command: x, profiles: [p]}}"
    )
    assert stack.services["a"].depends_on == {}


def test_a_name_may_begin_as_ignored_keys_do(load_text: Load) -> None:
    stack = load_text(
        """
        x-ignored: {a: b}
        services:
          x-search:
            mcp: {url: "https://e.com/mcp", headers: {x-api-key: "${KEY}"}, x-ignored: 1}
            x-ignored: "${NONE:?never read}"
          b: {command: x, environment: {x-a: "${KEY}"}}
        secrets: {x-key: {environment: KEY}}
        """,
        environ={"KEY": "k"},
    )
    mcp = stack.services["x-search"].mcp
    assert mcp is not None
    assert mcp.headers == {"x-api-key": "k"}
    assert stack.services["b"].environment == {"x-a": "k"}
    assert list(stack.secrets) == ["x-key"]


def test_profiles_choose_what_runs(load_text: Load) -> None:
    text = "services: {a: {command: x}, b: {command: x, profiles: [p, q]}, c: {command: x, profiles: [r]}}"
    assert list(load_text(text).services) == ["a"]
    assert load_text(text).disabled == {"b": ("p", "q"), "c": ("r",)}
    assert list(load_text(text, profiles=["q"]).services) == ["a", "b"]
    assert list(load_text(text, profiles=["*"]).services) == ["a", "b", "c"]


def test_a_stack_is_named_after_its_folder_unless_it_says_otherwise(load_text: Load) -> None:
    assert load_text("services: {a: {command: x}}").name == "fleet"
    assert load_text("name: other\nservices: {a: {command: x}}").name == "other"
    assert load_text("name: other\nservices: {a: {command: x}}", project_name="third").name == "third"


def test_a_gateway_off_loopback_has_a_token(load_text: Load, folder: object) -> None:
    text = "services: {a: {command: x}}\ngateway: "
    assert load_text(text + "{listen: 127.0.0.1:1}").gateway.token_file is None
    assert load_text(text + "'0.0.0.0:7077'").gateway.token_file == f"{folder}/.backstay/token"
    assert load_text(text + "{listen: '[::1]:0', token_file: t}").gateway.token_file == f"{folder}/t"
    assert load_text(text + "{listen: localhost:80}").gateway.listen == "127.0.0.1:80"


def test_paths_begin_at_home_or_at_the_file(load_text: Load, folder: object) -> None:
    stack = load_text(
        "services: {a: {command: x, working_dir: ~/w}, b: {command: x, working_dir: '{{ fleet.dir }}/b'}}",
        environ={"HOME": "/home/me"},
    )
    assert stack.services["a"].working_dir == "/home/me/w"
    assert stack.services["b"].working_dir == "{{ fleet.dir }}/b"


def test_gpus_are_counted(service: Any) -> None:
    from backstay.config.models import Reservations

    def gpus(*devices: dict[str, Any]) -> Any:
        return Reservations.model_validate({"devices": list(devices)}).gpus

    assert gpus() == 0
    assert gpus({"capabilities": ["gpu"]}, {"count": 2}, {"device_ids": ["0", "1"]}) == 5
    assert gpus({"count": "all"}) == "all"


def test_a_stack_goes_through_json_and_comes_back(load_text: Load) -> None:
    stack = load_text(
        """
        secrets: {k: {environment: K}}
        services:
          a:
            mcp: {package: "pypi:a[x]>=1", with: [mcp<2], tools: {allow: [a]}}
            secrets: [k]
            environment: {K: "{{ secrets.k }}"}
          b:
            command: x
            ports: {m: auto}
            healthcheck: {http: m}
            deploy: {resources: {limits: {memory: 1G}}}
        """,
        environ={"K": "hidden"},
    )
    text = stack.model_dump_json()
    assert Stack.model_validate_json(text) == stack
    assert "hidden" not in text


def test_a_stack_cannot_be_changed(load_text: Load) -> None:
    stack = load_text("services: {a: {command: x}}")
    with pytest.raises(ValidationError):
        stack.name = "other"  # type: ignore[misc]
