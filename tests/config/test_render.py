"""Templates, once ports are leased and secrets are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backstay.config.render import SecretValue, Values, render, secret_values
from backstay.config.secrets import secret_environment
from backstay.config.templates import TemplateError, escape, parse
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from .conftest import Load

VALUES = Values(
    fleet_name="fleet",
    fleet_dir=Path("/srv/fleet"),
    instance="s.2",
    index=2,
    ports={"main": 30001, "web-ui": 30002},
    services={"redis": {"main": 30000}},
    secrets={"key": SecretValue("hidden", Path("/srv/key"))},
    gateway_url="http://127.0.0.1:7077",
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ ports.main }}", "30001"),
        ("{{ports.main}}", "30001"),
        ("a{{ ports.main }}b{{ ports.web-ui }}", "a30001b30002"),
        ("{{ services.redis.ports.main }}", "30000"),
        ("{{ services.s.ports.main }}", "30001"),
        ("{{ fleet.name }}/{{ fleet.dir }}", "fleet//srv/fleet"),
        ("{{ service.name }} {{ instance.name }} {{ instance.index }}", "s s.2 2"),
        ("{{ gateway.url }}", "http://127.0.0.1:7077"),
        ("{{ secrets.key.file }}", "/srv/key"),
        ("{{ '{{' }} x }}", "{{ x }}"),
        ('{{ "a\'b" }}', "a'b"),
        ("}} { {", "}} { {"),
    ],
)
def test_templates_are_filled_in(load_text: Load, folder: Path, template: str, value: str) -> None:
    (folder / "key").touch()
    quoted = template.replace("'", "''")
    stack = load_text(
        f"""
        secrets: {{key: {{file: key}}}}
        services:
          redis: {{command: x, ports: {{main: auto}}}}
          s: {{command: [x, '{quoted}'], ports: {{main: auto, web-ui: auto}}, secrets: [key]}}
        """
    )
    assert render(stack.services["s"], VALUES).command == ("x", value)


def test_every_templated_key_is_filled_in(service: Any) -> None:
    made = service(
        """
        args: ["{{ ports.main }}"]
        command: run
        environment: {A: "{{ ports.main }}"}
        working_dir: "{{ fleet.dir }}/w"
        healthcheck: {http: {port: main, path: "/{{ instance.name }}"}}
        ports: {main: auto, web-ui: auto}
        """.replace("\n        ", "\n      ")
    )
    done = render(made, VALUES)
    assert (done.command, done.args, done.working_dir) == (("run",), ("30001",), "/srv/fleet/w")
    assert done.environment == {"A": "30001", "PORT": "30001", "PORT_MAIN": "30001", "PORT_WEB_UI": "30002"}
    assert done.healthcheck is not None
    assert done.healthcheck.http is not None
    assert (done.healthcheck.http.port, done.healthcheck.http.path) == (30001, "/s.2")


@pytest.mark.parametrize("check", ["tcp: main", 'tcp: "{{ ports.main }}"', "tcp: 30001"])
def test_a_probe_is_given_its_ports_number(service: Any, check: str) -> None:
    done = render(service(f"{{command: x, ports: {{main: auto}}, healthcheck: {{{check}}}}}"), VALUES)
    assert done.healthcheck is not None
    assert done.healthcheck.tcp == 30001


def test_what_the_file_sets_goes_before_port(service: Any) -> None:
    done = render(service('{command: x, ports: {main: auto}, environment: {PORT: "1"}}'), VALUES)
    assert done.environment["PORT"] == "1"


def test_a_service_without_ports_sees_none(service: Any) -> None:
    assert render(service("{command: x}"), VALUES).environment == {}


def test_secrets_are_only_in_what_is_rendered(load_text: Load, folder: Path) -> None:
    (folder / "key.txt").write_text("from a file\n")
    stack = load_text(
        """
        secrets: {file: {file: key.txt}, env: {environment: KEY}}
        services:
          s:
            mcp: {url: "https://e.com/mcp", headers: {Authorization: "Bearer {{ secrets.env }}"}}
            secrets: [env]
          t:
            command: [x, "{{ secrets.mine.file }}"]
            environment: {K: "{{ secrets.mine }}"}
            secrets: [{source: file, target: mine}]
        """,
        environ={"KEY": "from outside"},
    )
    assert "from outside" not in stack.model_dump_json()
    secrets = secret_values(stack, stack.services["t"], {})
    assert secrets == {"mine": SecretValue("from a file", folder / "key.txt")}
    assert "from a file" not in repr(secrets)
    values = Values(fleet_name="f", fleet_dir=folder, instance="t.1", secrets=secrets)
    done = render(stack.services["t"], values)
    assert (done.command, done.environment) == (("x", str(folder / "key.txt")), {"K": "from a file"})
    secrets = secret_values(stack, stack.services["s"], {"KEY": "from outside"})
    done = render(
        stack.services["s"], Values(fleet_name="f", fleet_dir=folder, instance="s.1", secrets=secrets)
    )
    assert done.mcp is not None
    assert done.mcp.headers == {"Authorization": "Bearer from outside"}


def test_a_secret_in_the_dotenv_file_is_found(load_text: Load, folder: Path) -> None:
    (folder / ".env").write_text("KEY=from dotenv\n")
    stack = load_text("secrets: {k: {environment: KEY}}\nservices: {a: {command: x, secrets: [k]}}")
    assert secret_values(stack, stack.services["a"], {})["k"].value == "from dotenv"
    assert secret_values(stack, stack.services["a"], {"KEY": "outside"})["k"].value == "outside"
    (folder / ".env").unlink()
    with pytest.raises(KeyError, match="KEY"):
        secret_values(stack, stack.services["a"], {})


def test_a_secret_that_is_no_text_is_a_file_only(load_text: Load, folder: Path) -> None:
    (folder / "store").write_bytes(b"\xff\x00")
    stack = load_text(
        """
        secrets: {k: {file: store}}
        services:
          a: {command: [x, "{{ secrets.k.file }}"], secrets: [k]}
          b: {command: x, environment: {K: "{{ secrets.k }}"}, secrets: [k]}
        """
    )
    values = Values("f", folder, "a.1", secrets=secret_values(stack, stack.services["a"], {}))
    assert render(stack.services["a"], values).command == ("x", str(folder / "store"))
    with pytest.raises(TemplateError, match="the secret `k` is not a text"):
        render(stack.services["b"], values)


def test_only_variables_that_hold_secrets_are_handed_on(load_text: Load) -> None:
    stack = load_text("secrets: {k: {environment: KEY}, l: {environment: L}}\nservices: {a: {command: x}}")
    assert secret_environment(stack, {"KEY": "k", "OTHER": "o"}) == {"KEY": "k"}


def test_a_value_that_is_not_there_is_named(service: Any) -> None:
    made = service('{command: [x, "{{ ports.main }}"], ports: {main: auto}}')
    with pytest.raises(TemplateError, match="there is no port of `s` called `main`"):
        render(made, Values(fleet_name="f", fleet_dir=Path(), instance="s.1"))


@given(st.text())
def test_an_escaped_text_is_itself(text: str) -> None:
    assert "".join(str(part) for part in parse(escape(text))) == text
