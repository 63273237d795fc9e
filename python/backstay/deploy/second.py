"""Where the second level of kept answers is, once ports are leased and secrets are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from backstay.config.secrets import secret_text
from backstay.config.templates import TemplateError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config import Stack

__all__ = ["second_url"]


def second_url(
    stack: Stack, ports: Mapping[str, Mapping[str, int]], environ: Mapping[str, str]
) -> str | None:
    """Fill in the address; nothing while it names a port or a secret that is not there.

    It holds a password: it goes to the gateway and nowhere else.
    """
    second = stack.gateway.cache.second
    if second is None:
        return None
    try:
        parts = parse(second.url)
        return "".join(p if isinstance(p, str) else _value(stack, p.name, ports, environ) for p in parts)
    except (TemplateError, OSError, KeyError):
        return None


def _value(
    stack: Stack,
    name: tuple[str, ...],
    ports: Mapping[str, Mapping[str, int]],
    environ: Mapping[str, str],
) -> str:
    match name:
        case ("services", other, "ports", port):
            return str(ports[other][port])
        case ("secrets", secret):
            return quote(secret_text(stack, secret, environ), safe="")
    raise TemplateError(f"`{{{{ {'.'.join(name)} }}}}` means nothing here")
