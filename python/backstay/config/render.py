"""Fills in `{{ … }}` once ports are leased and secrets are at hand.

Pure: the values come in, a service without templates goes out. Secrets' values exist only in the result,
which goes to the process and nowhere else; the stack, and what is stored of it, keep the template.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backstay.config.models.ports import port_variable
from backstay.config.problems import did_you_mean
from backstay.config.secrets import SecretValue, secret_values
from backstay.config.templates import TemplateError, parse

__all__ = ["SecretValue", "Values", "fill", "port_environment", "render", "secret_values"]

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.config.models.healthcheck import Healthcheck
    from backstay.config.models.service import Service


@dataclass(frozen=True, slots=True)
class Values:
    """What the templates of one instance may name."""

    fleet_name: str
    fleet_dir: Path
    instance: str
    """`name.1`"""
    index: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    """The instance's own ports."""
    services: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Other services' ports; of several instances, the first one's."""
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    """Secrets by the names under which the service reads them."""
    gateway_url: str = ""


def render(service: Service, values: Values) -> Service:
    """Return the service with every template filled in, and `PORT` and `PORT_<NAME>` in its environment.

    Raises:
        TemplateError: a template names what the values do not hold.
    """
    environment = port_environment(service, values.ports)
    environment |= {name: fill(text, service, values) for name, text in service.environment.items()}
    changes: dict[str, Any] = {
        "command": None if service.command is None else _words(service.command, service, values),
        "args": _words(service.args, service, values),
        "environment": environment,
        "working_dir": fill(service.working_dir, service, values),
        "healthcheck": service.healthcheck and _healthcheck(service.healthcheck, service, values),
    }
    if service.mcp and service.mcp.headers:
        headers = {name: fill(text, service, values) for name, text in service.mcp.headers.items()}
        changes["mcp"] = service.mcp.model_copy(update={"headers": headers})
    return service.model_copy(update=changes)


def port_environment(service: Service, ports: Mapping[str, int]) -> dict[str, str]:
    """Return `PORT`, the first port, and `PORT_<NAME>` for each."""
    named = {port_variable(name): str(ports[name]) for name in service.ports if name in ports}
    first = next((str(ports[name]) for name in service.ports if name in ports), None)
    return named if first is None else {"PORT": first, **named}


def fill(text: str, service: Service, values: Values) -> str:
    """Fill in the templates of one text."""
    if "{{" not in text:
        return text
    return "".join(
        part if isinstance(part, str) else _look_up(part.name, service, values) for part in parse(text)
    )


def _words(words: tuple[str, ...], service: Service, values: Values) -> tuple[str, ...]:
    return tuple(fill(word, service, values) for word in words)


def _look_up(name: tuple[str, ...], service: Service, values: Values) -> str:
    match name:
        case ("ports", port):
            return str(_find(values.ports, port, f"port of `{service.name}`"))
        case ("services", other, "ports", port):
            ports = values.ports if other == service.name else _find(values.services, other, "service")
            return str(_find(ports, port, f"port of `{other}`"))
        case ("secrets", secret):
            value = _find(values.secrets, secret, "secret").value
            if value is None:
                raise TemplateError(
                    f"the secret `{secret}` is not a text",
                    f"hand over its file: `{{{{ secrets.{secret}.file }}}}`",
                )
            return str(value)
        case ("secrets", secret, "file"):
            file = _find(values.secrets, secret, "secret").file
            if file is None:
                raise TemplateError(f"the secret `{secret}` is in no file", "declare it with `file:`")
            return str(file)
        case ("fleet", "name"):
            return values.fleet_name
        case ("fleet", "dir"):
            return str(values.fleet_dir)
        case ("service", "name"):
            return service.name
        case ("instance", "name"):
            return values.instance
        case ("instance", "index"):
            return str(values.index)
        case ("gateway", "url"):
            return values.gateway_url
    raise TemplateError(f"`{{{{ {'.'.join(name)} }}}}` names nothing")


def _find(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name in known:
        return known[name]
    raise TemplateError(f"there is no {what} called `{name}`", did_you_mean(name, known))


def _healthcheck(check: Healthcheck, service: Service, values: Values) -> Healthcheck:
    """Fill in a probe's templates and turn port names into numbers."""
    changes: dict[str, Any] = {}
    if check.command:
        changes["command"] = _words(check.command, service, values)
    if check.log:
        changes["log"] = fill(check.log, service, values)
    if check.tcp is not None:
        changes["tcp"] = _port(check.tcp, service, values)
    if check.http:
        port, path = _port(check.http.port, service, values), fill(check.http.path, service, values)
        changes["http"] = check.http.model_copy(update={"port": port, "path": path})
    return check.model_copy(update=changes)


def _port(port: int | str, service: Service, values: Values) -> int:
    if isinstance(port, str) and "{{" in port:
        port = fill(port, service, values)
        if not (port.isascii() and port.isdigit()):
            raise TemplateError(f"the probe of `{service.name}` asks for the port `{port}`")
        return int(port)
    return port if isinstance(port, int) else int(_find(values.ports, port, f"port of `{service.name}`"))
