"""From what a person names to what is examined: a service of a stack, a package, a command, an address."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.compliance.target import Program, Remote
from backstay.config import load
from backstay.config.templates import TemplateError, escape
from backstay.deploy.build import Launched, instance_spec, remote_headers, server_url, values_for
from backstay.deploy.state import Revision
from backstay.errors import BackstayError
from backstay.packages import Lockfile, cache_dir, resolve_and_install

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backstay.compliance.target import Target
    from backstay.config import Service, Stack
    from backstay.ledger import PortLease

PORTS = (20_000, 29_999)
"""Where throw-away copies listen: outside of the range that fleets lease from, and of the system's own."""


class Copies:
    """Makes throw-away copies of a stack's services, each with ports of its own.

    Args:
        stack: the stack.
        lock: its lock file; nothing is written to it.
        ports: the ports of the fleet's services, for those that stand on others; empty if it does not run.
        environ: the environment of whoever asks.
        inherit: whether the copies see all of `environ`, as programs that one starts by hand do.
        progress: is told each step of an installation.
    """

    def __init__(
        self,
        stack: Stack,
        lock: Lockfile,
        *,
        ports: Mapping[str, Mapping[str, int]],
        environ: Mapping[str, str],
        inherit: bool,
        progress: Callable[[str], None],
    ) -> None:
        from backstay.ledger import Ports

        self._stack = stack
        self._lock = lock
        self._ports = ports
        self._environ = environ
        self._inherit = inherit
        self._progress = progress
        self._lessor = Ports(*PORTS)
        self._leases: list[PortLease] = []

    async def of(self, name: str) -> Target:
        """Describe a copy of a service, its package installed.

        Raises:
            PackageError: it cannot be installed.
            BackstayError: it cannot be started alone.
        """
        service = self._stack.services[name]
        mcp = service.mcp
        if mcp is None:
            raise BackstayError(f"`{name}` is not a server: it does not speak MCP")
        if mcp.url is None and mcp.transport != "stdio" and not isinstance(mcp.port, str):
            raise BackstayError(
                f"a copy of `{name}` would listen where `{name}` does",
                hint="name its port under `ports:` and in `mcp: {port: …}`: then a copy gets another",
            )
        own = self._lease(service)
        try:
            values = values_for(
                service,
                self._stack,
                f"{name}.1",
                ports=own,
                services=self._ports,
                environ=self._environ,
                gateway_url="",
            )
            if mcp.url is not None:
                return Remote(name, mcp.url, remote_headers(service, values), mcp.start_timeout)
            launch = await resolve_and_install(
                service,
                lock=self._lock,
                cache=cache_dir(self._environ),
                environ=self._environ,
                progress=self._progress,
            )
            revision = Revision(name, 0, "", server=True, http=mcp.transport != "stdio")
            launched = Launched(launch.argv, dict(launch.env), launch.description)
            spec = instance_spec(service, revision, values, launched, self._environ)
            headers = remote_headers(service, values)
        except TemplateError as error:
            raise BackstayError(
                f"a copy of `{name}` cannot be started: {error}",
                hint="bring the fleet up first (`backstay up -d`): it stands on services that do not run",
            ) from None
        except (OSError, KeyError) as error:
            raise BackstayError(f"a copy of `{name}` cannot be started: {error}") from None
        environment = {**self._environ, **spec.env} if self._inherit else spec.env
        return Program(
            name,
            spec.argv,
            environment,
            spec.working_dir,
            server_url(service, own),
            headers,
            mcp.start_timeout,
            service.stop_signal,
        )

    def _lease(self, service: Service) -> dict[str, int]:
        """Lease the copy's ports; one that the stack file fixes is the fleet's, and the copy gets another."""
        leases = {port: self._lessor.lease(f"{service.name}.{port}") for port in service.ports}
        self._leases += leases.values()
        return {port: lease.port for port, lease in leases.items()}


def is_source(text: str) -> bool:
    """Say whether this names a package, and no service."""
    return text.partition(":")[0] in ("npm", "pypi", "cargo", "go", "path")


def is_url(text: str) -> bool:
    """Say whether this is an address."""
    return text.startswith(("http://", "https://"))


async def of_package(
    source: str,
    arguments: Sequence[str],
    *,
    constraints: Sequence[str] = (),
    runtime: str | None = None,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
) -> Target:
    """Install a package that is in no stack, and describe the server in it; what is resolved is not kept.

    Raises:
        ConfigErrors: the source cannot be read.
        PackageError: it cannot be installed.
    """
    kind, _, rest = source.partition(":")
    if kind == "path":
        source = f"path:{Path(rest).expanduser().absolute()}"
    mcp: dict[str, Any] = {"package": _literal(source)}
    if constraints:
        mcp["with"] = [_literal(each) for each in constraints]
    if runtime is not None:
        mcp["runtime"] = _literal(runtime)
    service = {
        "mcp": mcp,
        "args": [_literal(each) for each in arguments],
        "working_dir": _literal(str(Path.cwd())),
    }
    with tempfile.TemporaryDirectory(prefix="backstay-doctor-") as folder:
        file = Path(folder, "backstay.yaml")
        file.write_text(json.dumps({"name": "doctor", "services": {"server": service}}))
        stack = load([file], environ=environ)
        lock = Lockfile.load(Path(folder, "backstay.lock"))
        copies = Copies(stack, lock, ports={}, environ=environ, inherit=True, progress=progress)
        target = await copies.of("server")
    assert isinstance(target, Program)
    return Program(source, target.argv, target.env, target.cwd)


def of_command(argv: Sequence[str], environ: Mapping[str, str]) -> Program:
    """Describe a program as a shell would start it here."""
    return Program(" ".join(argv), tuple(argv), dict(environ), Path.cwd())


def _literal(text: str) -> str:
    """Write a text that a stack file reads as itself."""
    return escape(text).replace("$", "$$")
