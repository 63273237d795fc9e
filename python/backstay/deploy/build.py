"""From a service of the stack file to what an engine starts: the whole, final description of one instance.

The environment is built, not inherited: what every program needs, what the package asks for, what the stack
file says, and nothing else of whoever typed `up`.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from backstay.config.render import Values, render, secret_values
from backstay.deploy.plan import index_of
from backstay.engines.spec import InstanceSpec, Probe, Restart, StopPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config import Service, Stack
    from backstay.deploy.state import Revision

__all__ = ["Launched", "base_environment", "instance_spec", "remote_headers", "server_url", "values_for"]

KEPT: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""What instances see of our own environment, as patterns."""

_EOF_GRACE_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Launched:
    """What an installed package starts with: the part of a `packages.Launch` that is kept."""

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    description: str = ""

    def dump(self) -> dict[str, Any]:
        """Write it down."""
        return {"argv": list(self.argv), "env": dict(self.env or {}), "description": self.description}

    @classmethod
    def load(cls, value: Mapping[str, Any] | None) -> Launched | None:
        """Read it back."""
        if value is None:
            return None
        return cls(tuple(value["argv"]), value["env"], value["description"])


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what every instance may see of our environment."""
    kept = {
        name: value
        for name, value in environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT)
    }
    kept.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    kept.setdefault("HOME", str(Path.home()))
    return kept


def values_for(
    service: Service,
    stack: Stack,
    instance: str,
    *,
    ports: Mapping[str, int],
    services: Mapping[str, Mapping[str, int]],
    environ: Mapping[str, str],
    gateway_url: str,
) -> Values:
    """Gather what an instance's templates may name.

    Raises:
        OSError: a secret's file cannot be read.
        KeyError: a secret's variable is not set.
    """
    return Values(
        fleet_name=stack.name,
        fleet_dir=stack.dir,
        instance=instance,
        index=index_of(instance),
        ports=ports,
        services=services,
        secrets=secret_values(stack, service, environ),
        gateway_url=gateway_url,
    )


def instance_spec(
    service: Service, revision: Revision, values: Values, launched: Launched, environ: Mapping[str, str]
) -> InstanceSpec:
    """Describe one instance, whole and final."""
    rendered = render(service, values)
    environment = base_environment(environ) | dict(launched.env or {})
    environment |= _visible_devices(service) | dict(rendered.environment)
    stdio: Literal["logs", "mcp"] = "mcp" if revision.server and not revision.http else "logs"
    return InstanceSpec(
        name=values.instance,
        service=service.name,
        revision=revision.number,
        argv=(*(launched.argv or rendered.command or ()), *rendered.args),
        env=environment,
        working_dir=Path(rendered.working_dir),
        stdio=stdio,
        ports=dict(values.ports),
        restart=_restart(service),
        stop=StopPolicy(
            eof=stdio == "mcp",
            signal=service.stop_signal,
            grace_ms=_ms(service.stop_grace_period),
            eof_grace_ms=_EOF_GRACE_MS,
        ),
        probe=_probe(rendered, values.ports),
    )


def _visible_devices(service: Service) -> dict[str, str]:
    """Show a process the very devices that it reserves, and no others."""
    devices = service.deploy.resources.reservations.device_ids
    return {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}


def server_url(service: Service, ports: Mapping[str, int]) -> str | None:
    """Give the address at which the gateway reaches a server; none for pipes."""
    mcp = service.mcp
    if mcp is None or mcp.transport == "stdio":
        return None
    if mcp.url is not None:
        return mcp.url
    return f"http://127.0.0.1:{_server_port(service, ports)}{mcp.path}"


def remote_headers(service: Service, values: Values) -> dict[str, str]:
    """Give the headers that a server reached by HTTP wants to see."""
    mcp = render(service, values).mcp
    return dict(mcp.headers) if mcp and mcp.headers else {}


def _server_port(service: Service, ports: Mapping[str, int]) -> int:
    assert service.mcp is not None
    port = service.mcp.port
    if isinstance(port, int):
        return port
    return ports[port] if port is not None else next(iter(ports.values()))


def _probe(service: Service, ports: Mapping[str, int]) -> Probe | None:
    kind: dict[str, dict[str, Any]]
    check, mcp = service.healthcheck, service.mcp
    if check is None or check.probe is None:
        if mcp is None or mcp.transport == "stdio":
            return None
        # The handshake comes after; until something listens there is nothing to shake hands with.
        kind = {"tcp": {"port": _server_port(service, ports)}}
        return Probe(kind, retries=3, start_period_ms=_ms(mcp.start_timeout))
    match check.probe:
        case "tcp":
            kind = {"tcp": {"port": check.tcp}}
        case "http":
            assert check.http is not None
            kind = {"http": {"port": check.http.port, "path": check.http.path}}
        case "command":
            kind = {"command": {"argv": list(check.command or ())}}
        case "log":
            kind = {"log": {"pattern": check.log}}
        case "notify":
            kind = {"notify": {}}
    return Probe(
        kind,
        interval_ms=_ms(check.interval),
        timeout_ms=_ms(check.timeout),
        retries=check.retries,
        start_period_ms=_ms(check.start_period),
        start_interval_ms=_ms(check.start_interval),
    )


def _restart(service: Service) -> Restart:
    policy = service.restart_policy
    condition: Literal["no", "on-failure", "always"]
    match policy.condition:
        case "none":
            condition = "no"
        case "on-failure":
            condition = "on-failure"
        case "any":
            condition = "always"
    usual = Restart()
    return Restart(
        condition=condition,
        max_attempts=policy.max_attempts,
        delay_ms=usual.delay_ms if policy.delay is None else _ms(policy.delay),
        window_ms=usual.window_ms if policy.window is None else _ms(policy.window),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
