"""The second level of kept answers: its address names what is there, and its authorities can be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from backstay.config.checks.references import known_port, known_service
from backstay.config.problems import did_you_mean
from backstay.config.templates import TemplateError, references

if TYPE_CHECKING:
    from backstay.config.checks.context import Context

URL = ("gateway", "cache", "second", "url")


def check_cache(context: Context) -> None:
    """Report templates in the address that name nothing, and a file of authorities that is none."""
    second = context.stack.gateway.cache.second
    if second is None:
        return
    try:
        for reference in references(second.url):
            _check(context, reference.name)
    except TemplateError as error:
        context.report(str(error), URL, hint=error.hint)
    if second.ca is not None and not os.access(second.ca, os.R_OK):
        context.report(
            f"{second.ca} cannot be read",
            (*URL[:-1], "ca"),
            hint="it holds the certificates of the authorities to trust, in PEM",
        )


def _check(context: Context, name: tuple[str, ...]) -> None:
    match name:
        case ("services", other, "ports", port):
            known_port(other, port, known_service(context, other, context.declared))
        case ("secrets", secret):
            if secret not in context.stack.secrets and context.top_is_valid:
                hint = did_you_mean(
                    secret, context.stack.secrets, otherwise="add it to `secrets:` at the top"
                )
                raise TemplateError(f"there is no secret `{secret}`", hint)
        case _:
            raise TemplateError(
                f"`{{{{ {'.'.join(name)} }}}}` means nothing here",
                "write `{{ services.redis.ports.main }}` or `{{ secrets.redis }}`",
            )
