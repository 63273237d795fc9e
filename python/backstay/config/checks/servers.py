"""Each service has one thing to run, and no two servers share a prefix."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backstay.config.models.service import ServiceFile
from backstay.config.problems import did_you_mean

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.models.mcp import Mcp
    from backstay.config.models.service import Service

RUNTIMES: Final = {"npm": "node", "pypi": "python"}
REMOTE_KEYS: Final = frozenset({"mcp", "depends_on", "profiles", "secrets", "traffic", "cache"})
"""What can be said of a server that runs elsewhere."""


def check_servers(context: Context) -> None:
    """Report services with nothing or too much to run, and servers with equal prefixes."""
    for service in context.stack.services.values():
        if service.mcp is None:
            _check_plain(context, service)
        elif service.mcp.url is not None:
            _check_remote(context, service, service.mcp)
        else:
            _check_local(context, service, service.mcp)
    _check_prefixes(context)


def _check_plain(context: Context, service: Service) -> None:
    path = ("services", service.name)
    if not service.command:
        where = (*path, "command") if service.command is not None else path
        hint = "name the program in `command:`, or where the server comes from in `mcp:`"
        context.report(f"the service `{service.name}` has nothing to run", where, hint=hint)
    if context.has((*path, "traffic")):
        _check_plain_traffic(context, service)
    if context.has((*path, "cache")):
        context.report(
            f"no tools are called of `{service.name}`, and `cache` would do nothing",
            (*path, "cache"),
            hint="remove it, or make the service a server with `mcp:`",
        )


def _check_plain_traffic(context: Context, service: Service) -> None:
    """Report what `traffic` says and a plain service cannot have."""
    path = ("services", service.name, "traffic")
    if service.publish is None:
        context.report(
            f"nothing goes through the gateway to `{service.name}`, and `traffic` would do nothing",
            path,
            hint="remove it, `publish:` the service, or make it a server with `mcp:`",
        )
        return
    hints = {
        "retries": "remove it: what cannot do harm is asked again elsewhere, nothing else is",
        "timeouts": "write `publish: {timeout: 30s}`",
    }
    for key, hint in hints.items():
        if context.has((*path, key)):
            context.report(f"`traffic.{key}` is for servers, and would do nothing", (*path, key), hint=hint)
    for index, limit in enumerate(service.traffic.limits or ()):
        if limit.per == "tool":
            context.report(
                "a plain service has no tools to limit",
                (*path, "limits", index, "per"),
                hint="write `per: client` or `per: service`",
            )


def _check_remote(context: Context, service: Service, mcp: Mcp) -> None:
    path = ("services", service.name)
    if mcp.package is not None:
        context.report(
            "both `url` and `package` are given",
            (*path, "mcp", "url"),
            (*path, "mcp", "package"),
            hint="a remote server has a `url`, one that runs here a `package`",
        )
        return
    if mcp.transport == "stdio":
        context.report(
            "a remote server cannot be reached over stdio",
            (*path, "mcp", "transport"),
            hint="write `transport: streamable-http` or `sse`, or leave it out",
        )
    idle = [key for key in ServiceFile.model_fields if key not in REMOTE_KEYS and context.has((*path, key))]
    if idle:
        context.report(
            f"`{service.name}` runs elsewhere, and {_listed(idle)} would do nothing",
            *((*path, key) for key in idle),
            hint="remove it, or name a package in `mcp:`",
        )
    for key in ("with", "runtime", "entry", "port", "path"):
        if context.has((*path, "mcp", key)):
            context.report(
                f"a remote server has no `{key}`",
                (*path, "mcp", key),
                hint="the `url` says all of it" if key in ("port", "path") else "remove it",
            )


def _check_local(context: Context, service: Service, mcp: Mcp) -> None:
    path = ("services", service.name)
    if mcp.package and service.command:
        context.report(
            "both a `command` and a package are given",
            (*path, "command"),
            (*path, "mcp"),
            hint="keep one; arguments for the package's server go in `args:`",
        )
    if not mcp.package and not service.command:
        context.report(
            f"the server `{service.name}` has nothing to run",
            (*path, "mcp"),
            hint="name a package, as in `mcp: npm:name`, or add a `command:`",
        )
    if not mcp.package:
        for key in ("with", "runtime", "entry"):
            if context.has((*path, "mcp", key)):
                context.report(
                    f"`{key}` needs a package", (*path, "mcp", key), hint="the `command:` decides it"
                )
    elif mcp.runtime and mcp.package.kind != "path":
        runtime = RUNTIMES.get(mcp.package.kind)
        if runtime is None or not mcp.runtime.startswith(runtime):
            hint = f"write `runtime: {runtime}…`" if runtime else "remove it"
            context.report(
                f"a package from {mcp.package.kind} does not run on `{mcp.runtime}`",
                (*path, "mcp", "runtime"),
                hint=hint,
            )
    if mcp.package and mcp.package.kind == "path":
        _check_folder(context, service, Path(mcp.package.name))
    _check_transport(context, service, mcp)
    _check_sessions(context, service, mcp)


def _check_folder(context: Context, service: Service, folder: Path) -> None:
    """Warn of a folder that is not there: it may be made before `up`, but seldom is."""
    try:
        if folder.is_dir():
            return
        near = did_you_mean(folder.name, (entry.name for entry in folder.parent.iterdir()), otherwise=" ")
    except (OSError, ValueError):
        near = ""
    place = context.tree.place(("services", service.name, "mcp", "package"))
    context.problems.warn(f"there is no folder `{folder}`", place, hint=near.strip())


def _check_transport(context: Context, service: Service, mcp: Mcp) -> None:
    path = ("services", service.name, "mcp")
    if mcp.transport == "stdio":
        for key in ("port", "path", "headers"):
            if context.has((*path, key)):
                context.report(
                    f"a server over stdio has no `{key}`",
                    (*path, key),
                    hint="add `transport: streamable-http`, or remove it",
                )
        return
    if mcp.path is not None and not mcp.path.startswith("/"):
        context.report(
            f"the path `{mcp.path}` does not begin with `/`", (*path, "path"), hint=f"write `/{mcp.path}`"
        )
    if mcp.port is None:
        ports = ", ".join(f"`{name}`" for name in service.ports)
        hint = f"add `port:` with one of {ports}" if ports else "add `ports: {http: auto}` and `port: http`"
        context.report(
            f"the server `{service.name}` is spoken to over HTTP, on no port that is known", path, hint=hint
        )
    elif mcp.port not in service.ports:
        hint = did_you_mean(
            mcp.port, service.ports, otherwise=f"add `ports: {{{mcp.port}: auto}}` to the service"
        )
        context.report(f"`{service.name}` has no port `{mcp.port}`", (*path, "port"), hint=hint)


def _check_sessions(context: Context, service: Service, mcp: Mcp) -> None:
    path = ("services", service.name, "mcp", "max_sessions")
    if context.has(path) and not mcp.pooled:
        context.report(
            "`max_sessions` is for servers over stdio of which each session has one to itself",
            path,
            hint="add `session: isolated`, or remove it",
        )
    if mcp.pooled and mcp.max_sessions is not None and service.deploy.replicas > mcp.max_sessions:
        context.report(
            f"`{service.name}` keeps {service.deploy.replicas} instances ready "
            f"for {mcp.max_sessions} sessions",
            ("services", service.name, "deploy", "replicas"),
            path,
            hint="lower `replicas` or raise `max_sessions`",
        )


def _check_prefixes(context: Context) -> None:
    holders = defaultdict(list)
    for service in context.stack.servers.values():
        if service.mcp and service.mcp.prefix is not None:
            holders[service.mcp.prefix].append(service.name)
    for prefix, names in holders.items():
        if len(names) > 1:
            what = f"begin their tools' names with `{prefix}`" if prefix else "have no prefix"
            context.report(
                f"{_listed(names)} {what}",
                *(("services", name, "mcp", "prefix") for name in names),
                hint="give each server a prefix of its own, or leave it out",
            )


def _listed(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
