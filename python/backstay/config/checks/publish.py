"""What is published has a port and a place that nobody else has, and certificates can be used."""

from __future__ import annotations

import os
import ssl
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from backstay.config.problems import did_you_mean

if TYPE_CHECKING:
    from backstay.config.checks.context import Context
    from backstay.config.models.publish import Tls
    from backstay.config.models.service import Service
    from backstay.config.problems import Path as Key


def check_publish(context: Context) -> None:
    """Report services published without a port, twice at one place, and certificates that are none."""
    gateway = context.stack.gateway
    if gateway.tls:
        _check_certificate(context, gateway.tls, ("gateway", "tls"))
    places: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for service in context.stack.services.values():
        if service.publish is None:
            continue
        path: Key = ("services", service.name, "publish")
        _check_port(context, service, path)
        if service.publish.tls:
            _check_certificate(context, service.publish.tls, (*path, "tls"))
        if service.publish.path is not None:
            for host in service.publish.hosts or ("",):
                places[host, service.publish.path].append(path)
    for (host, place), paths in places.items():
        if len(paths) > 1:
            where = f"`{place}` of `{host}`" if host else f"`{place}`"
            context.report(f"two services are published at {where}", *paths, hint="give one another `path:`")


def _check_port(context: Context, service: Service, path: Key) -> None:
    assert service.publish is not None
    port, ports = service.publish.port, service.ports
    if port is None:
        if not ports:
            context.report(
                f"`{service.name}` is published and has no port",
                path,
                hint="add `ports: {http: auto}`, and have it listen on `{{ ports.http }}`",
            )
        else:
            hint = f"name it: `publish: {{port: {next(iter(ports))}}}`"
            context.report(f"`{service.name}` has {len(ports)} ports", path, hint=hint)
    elif port not in ports:
        hint = did_you_mean(port, ports) or f"add `{port}: auto` to its `ports:`"
        context.report(f"`{service.name}` has no port `{port}`", (*path, "port"), hint=hint)


def _check_certificate(context: Context, tls: Tls, path: Key) -> None:
    for key, file in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            shown = os.path.relpath(file, context.stack.dir)
            what = f"the file `{shown}` cannot be read: {(error.strerror or str(error)).lower()}"
            context.report(what, (*path, key), hint="certificates are PEM files that the daemon can read")
            return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        stranger = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        context.report(
            "the key is another certificate's" if stranger else "there is no certificate and key in them",
            path,
            hint="`certificate` is the chain and `key` its private key without a password, both in PEM",
        )
