"""Every `{{ … }}` names something that will be there, and probes name ports of their service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backstay.config.problems import did_you_mean
from backstay.config.templates import EXAMPLES, ROOTS, TemplateError, references

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from backstay.config.checks.context import Context
    from backstay.config.models.service import Service
    from backstay.config.problems import Path

FIELDS: Final = {
    "fleet": ("name", "dir"),
    "service": ("name",),
    "instance": ("name", "index"),
    "gateway": ("url",),
}
OPEN: Final = frozenset({"environment", "mcp"})
"""Keys whose values no other user of the machine can read; a secret's value may stand only there."""


def check_references(context: Context) -> None:
    """Report templates that cannot be read or name nothing."""
    for service in context.stack.services.values():
        for path, text in templated(service):
            key = ("services", service.name, *path)
            try:
                for reference in references(text):
                    _check(context, service, reference.name, private=path[0] in OPEN)
            except TemplateError as error:
                context.report(str(error), key, hint=error.hint)
        _check_probe(context, service)


def templated(service: Service) -> Iterator[tuple[Path, str]]:
    """Yield every text of a service that may hold templates, with its key."""
    for key in ("command", "args"):
        for index, word in enumerate(getattr(service, key) or ()):
            yield (key, index), word
    for name, value in service.environment.items():
        yield ("environment", name), value
    yield ("working_dir",), service.working_dir
    if service.mcp:
        for name, value in service.mcp.headers.items():
            yield ("mcp", "headers", name), value
    check = service.healthcheck
    if check:
        for index, word in enumerate(check.command or ()):
            yield ("healthcheck", "command", index), word
        if isinstance(check.tcp, str):
            yield ("healthcheck", "tcp"), check.tcp
        if check.log:
            yield ("healthcheck", "log"), check.log
        if check.http:
            yield ("healthcheck", "http", "path"), check.http.path
            if isinstance(check.http.port, str):
                yield ("healthcheck", "http", "port"), check.http.port


def _check(context: Context, service: Service, name: tuple[str, ...], *, private: bool) -> None:
    match name:
        case ("ports", port):
            known_port(service.name, port, service)
        case ("services", other, "ports", port):
            known_port(other, port, known_service(context, other, context.declared - {service.name}))
        case ("secrets", secret) | ("secrets", secret, "file"):
            _known_secret(context, service, secret, file=len(name) == 3)
            if len(name) == 2 and not private:
                raise TemplateError(
                    f"the secret `{secret}` would be seen by all who list processes",
                    f"put it into `environment:`, or write `{{{{ secrets.{secret}.file }}}}` for its file",
                )
        case (root, field) if root in FIELDS:
            if field not in FIELDS[root]:
                raise TemplateError(f"`{root}` has no `{field}`", did_you_mean(field, FIELDS[root]))
        case _:
            what = f"`{{{{ {'.'.join(name)} }}}}` names nothing"
            hint = did_you_mean(name[0], ROOTS) if name[0] not in ROOTS else f"write {EXAMPLES}"
            raise TemplateError(what, hint)


def known_service(context: Context, other: str, others: Collection[str]) -> Service | None:
    """Return the service of this name; none where it is there and too wrong for the stack.

    Raises:
        TemplateError: there is none; one of `others` may be meant.
    """
    if other in context.stack.services:
        return context.stack.services[other]
    if other in context.stack.disabled:
        profile = context.stack.disabled[other][0]
        raise TemplateError(
            f"`{other}` does not run: its profile is not enabled", f"add `--profile {profile}`"
        )
    if other in context.declared:
        return None
    raise TemplateError(f"there is no service `{other}`", did_you_mean(other, others))


def known_port(name: str, port: str, service: Service | None) -> None:
    """Raise a `TemplateError` where a service has no such port."""
    if service is not None and port not in service.ports:
        add = f"add `ports: {{{port}: auto}}` to `{name}`"
        raise TemplateError(
            f"`{name}` has no port `{port}`", did_you_mean(port, service.ports, otherwise=add)
        )


def _known_secret(context: Context, service: Service, secret: str, *, file: bool) -> None:
    mine = {use.name: context.stack.secrets.get(use.source) for use in service.secrets}
    if secret in mine:
        declared = mine[secret]
        if file and declared is not None and declared.file is None:
            what = f"the secret `{secret}` is in no file: it comes from {declared.environment}"
            raise TemplateError(what, f"write `{{{{ secrets.{secret} }}}}` for its value, in `environment:`")
        return
    if secret in context.stack.secrets:
        raise TemplateError(
            f"`{service.name}` does not list the secret `{secret}`", f"add `secrets: [{secret}]` to it"
        )
    hint = did_you_mean(
        secret, mine.keys() | context.stack.secrets.keys(), otherwise="add it to `secrets:` at the top"
    )
    raise TemplateError(f"there is no secret `{secret}`", hint)


def _check_probe(context: Context, service: Service) -> None:
    probe = service.healthcheck
    if probe is None:
        return
    ports = {("tcp",): probe.tcp, ("http", "port"): probe.http.port if probe.http else None}
    for path, port in ports.items():
        if isinstance(port, str) and "{{" not in port and port not in service.ports:
            add = f"add `ports: {{{port}: auto}}` to the service"
            context.report(
                f"`{service.name}` has no port `{port}`",
                ("services", service.name, "healthcheck", *path),
                hint=did_you_mean(port, service.ports, otherwise=add),
            )
