"""Every secret that a service reads is declared, and is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from backstay.config.problems import did_you_mean

if TYPE_CHECKING:
    from backstay.config.checks.context import Context


def check_secrets(context: Context) -> None:
    """Report secrets that are used and not declared, or declared and not there."""
    used: set[str] = set()
    for service in context.stack.services.values():
        for use in service.secrets:
            used.add(use.source)
            if use.source not in context.stack.secrets and context.top_is_valid:
                hint = did_you_mean(
                    use.source, context.stack.secrets, otherwise="add it to `secrets:` at the top"
                )
                context.report(
                    f"there is no secret `{use.source}`",
                    ("services", service.name, "secrets", use.source),
                    hint=hint,
                )
    second = context.stack.gateway.cache.second
    used.update(second.secrets if second else ())
    for name, secret in context.stack.secrets.items():
        if name not in used:
            continue
        if secret.environment is not None and secret.environment not in context.variables:
            context.report(
                f"the secret `{name}` is missing: {secret.environment} is not set",
                ("secrets", name, "environment"),
                hint=f"set it: `export {secret.environment}=…`",
            )
        if secret.file is not None and not os.access(secret.file, os.R_OK):
            there = os.path.exists(secret.file)  # noqa: PTH110 - a path that cannot be one is not there
            what = "cannot be read" if there else "is not there"
            context.report(
                f"the secret `{name}` is missing: its file {what}",
                ("secrets", name, "file"),
                hint="make it readable for you alone: `chmod 600`" if there else "create the file",
            )
