"""From what the files say to what is meant: defaults by kind, absolute paths, variables, conditions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.config.dotenv import read_env_file
from backstay.config.models.mcp import MAX_SESSIONS, Mcp
from backstay.config.models.service import ResolvedDependency, Service, ServiceFile
from backstay.config.models.source import PackageSource
from backstay.config.problems import Problems, did_you_mean
from backstay.config.templates import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config.models.publish import Publish, Tls
    from backstay.config.models.stack import Gateway, Secret
    from backstay.config.tree import Tree


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What resolving takes from outside."""

    dir: Path
    variables: Mapping[str, str]
    tree: Tree
    problems: Problems

    def absolute(self, path: str) -> str:
        """Return a path of the stack file as an absolute one, without asking the disk."""
        if path == "~" or path.startswith("~/"):
            path = self.variables.get("HOME", "~") + path[1:]
        return os.path.normpath(self.dir / path)

    def shown(self, path: str) -> str:
        """Return a path as messages show it: from the folder of the stack file where it lies within."""
        return os.path.relpath(path, self.dir) if Path(path).is_relative_to(self.dir) else path


def resolve_service(
    name: str, file: ServiceFile, around: Surroundings, files: Mapping[str, ServiceFile]
) -> Service:
    """Decide all of a service that can be decided before it runs."""
    values: dict[str, Any] = {field: getattr(file, field) for field in ServiceFile.model_fields}
    values |= {
        "name": name,
        "mcp": file.mcp and resolve_mcp(name, file, around),
        "publish": file.publish and _publish(name, file, file.publish, around),
        "environment": _environment(name, file, around),
        "env_file": (),
        "working_dir": _working_dir(file, around),
        "depends_on": _dependencies(file, files),
        "restart": file.restart or ("always" if file.mcp else "no"),
    }
    return Service.model_validate(values)


def resolve_mcp(name: str, file: ServiceFile, around: Surroundings) -> Mcp:
    """Fill in what the `mcp` block leaves open."""
    mcp = file.mcp or Mcp()
    transport = mcp.transport or ("streamable-http" if mcp.url else "stdio")
    changes: dict[str, Any] = {"transport": transport, "prefix": name if mcp.prefix is None else mcp.prefix}
    if mcp.session == "isolated" and transport == "stdio" and mcp.max_sessions is None:
        changes["max_sessions"] = MAX_SESSIONS
    if mcp.package and mcp.package.kind == "path":
        changes["package"] = PackageSource("path", around.absolute(mcp.package.name))
    if transport != "stdio" and not mcp.url:
        if mcp.port is None and len(file.ports) == 1:
            changes["port"] = next(iter(file.ports))
        if mcp.path is None:
            changes["path"] = "/sse" if transport == "sse" else "/mcp"
    return mcp.model_copy(update=changes)


def _publish(name: str, file: ServiceFile, publish: Publish, around: Surroundings) -> Publish:
    """Fill in what `publish` leaves open."""
    changes: dict[str, Any] = {"tls": publish.tls and _tls(publish.tls, around)}
    if publish.port is None and len(file.ports) == 1:
        changes["port"] = next(iter(file.ports))
    if publish.path is None and (publish.hosts or not publish.listen):
        changes["path"] = "/" if publish.hosts else f"/{name}"
    return publish.model_copy(update=changes)


def _tls(tls: Tls, around: Surroundings) -> Tls:
    files = {"certificate": around.absolute(tls.certificate), "key": around.absolute(tls.key)}
    return tls.model_copy(update=files)


def resolve_gateway(gateway: Gateway, around: Surroundings) -> Gateway:
    """Fill in where the gateway's token lies; off loopback there is always one."""
    if gateway.tls is not None:
        gateway = gateway.model_copy(update={"tls": _tls(gateway.tls, around)})
    if (second := gateway.cache.second) is not None and second.ca is not None:
        second = second.model_copy(update={"ca": around.absolute(second.ca)})
        cache = gateway.cache.model_copy(update={"second": second})
        gateway = gateway.model_copy(update={"cache": cache})
    if gateway.token_file is not None:
        return gateway.model_copy(update={"token_file": around.absolute(gateway.token_file)})
    if gateway.loopback:
        return gateway
    return gateway.model_copy(update={"token_file": str(around.dir / ".backstay" / "token")})


def resolve_secret(secret: Secret, around: Surroundings) -> Secret:
    """Make a secret's path absolute."""
    return secret.model_copy(update={"file": around.absolute(secret.file)}) if secret.file else secret


def _environment(name: str, file: ServiceFile, around: Surroundings) -> dict[str, str]:
    """Lay `environment` over the files of `env_file`; what comes from outside is no template."""
    found: dict[str, str] = {}
    for index, env_file in enumerate(file.env_file):
        path = around.absolute(env_file.path)
        if not os.path.exists(path):  # noqa: PTH110 - a path that cannot be one is not there
            if env_file.required:
                _missing(path, around, ("services", name, "env_file", index))
            continue
        raw = env_file.format == "raw"
        read = read_env_file(Path(path), around.shown(path), around.variables, around.problems, raw=raw)
        found |= {variable: escape(value) for variable, value in read.items()}
    for variable, value in file.environment.items():
        if value is not None:
            found[variable] = value
        elif variable in around.variables:
            found[variable] = escape(around.variables[variable])
    return found


def _missing(path: str, around: Surroundings, key: tuple[str | int, ...]) -> None:
    try:
        near = did_you_mean(
            Path(path).name, (entry.name for entry in Path(path).parent.iterdir()), otherwise=" "
        )
    except (OSError, ValueError):
        near = ""
    hint = near.strip() or "create it, or write `{path: …, required: false}`"
    around.problems.add(f"there is no file `{around.shown(path)}`", around.tree.place(key), hint=hint)


def _working_dir(file: ServiceFile, around: Surroundings) -> str:
    if file.working_dir is None:
        return escape(str(around.dir))
    if file.working_dir.lstrip().startswith("{{"):
        return file.working_dir
    return around.absolute(file.working_dir)


def _dependencies(file: ServiceFile, files: Mapping[str, ServiceFile]) -> dict[str, ResolvedDependency]:
    """Decide the conditions; what need not be there and is not there is left out."""
    found = {}
    for name, dependency in file.depends_on.items():
        other = files.get(name)
        if other is None and not dependency.required:
            continue
        healthy = other is not None and (other.mcp or (other.healthcheck and other.healthcheck.probe))
        found[name] = ResolvedDependency(
            condition=dependency.condition or ("service_healthy" if healthy else "service_started"),
            restart=dependency.restart,
            required=dependency.required,
        )
    return found
