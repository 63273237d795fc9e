"""Seals: whether a secret's content has changed, without keeping anything that tells what it is.

A service that reads a secret is another revision when the secret is another one. What is stored of it is an
HMAC under a key that never leaves the state directory (`seal.key`, for its owner only): from a bare hash a
short secret could be guessed.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from backstay.config.secrets import secret_bytes
from backstay.errors import StateError
from backstay.state.files import replace

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.config import Stack

__all__ = ["NO_SEALS", "Seals", "sealed"]

Seals = Mapping[str, Mapping[str, str]]
"""By service, the seal of each secret that it reads."""
NO_SEALS: Final[Seals] = {}
KEY: Final = "seal.key"
_BYTES: Final = 32
_SHOWN: Final = 32
"""Hexadecimal digits kept of a seal."""


def sealed(stack: Stack, environ: Mapping[str, str], state_dir: Path) -> Seals:
    """Seal every secret that services of a stack read; blocking.

    What cannot be read has no seal: the start of the service says what is missing.

    Raises:
        StateError: there is no key, and none can be made.
    """
    used = {use.source for service in stack.services.values() for use in service.secrets}
    if not used:
        return NO_SEALS
    key = _key(state_dir)
    seals = {}
    for name in used:
        try:
            content = secret_bytes(stack, name, environ)
        except (OSError, KeyError):
            seals[name] = "missing"
        else:
            # With its name in it: that two secrets are equal is nobody's business either.
            seals[name] = hmac.digest(key, name.encode() + b"\0" + content, "sha256").hex()[:_SHOWN]
    return {
        service.name: {use.name: seals[use.source] for use in service.secrets}
        for service in stack.services.values()
        if service.secrets
    }


def _key(state_dir: Path) -> bytes:
    """Give the key, made if there is none. Without the old one every secret looks changed, once."""
    path = state_dir / KEY
    try:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _BYTES:
            key = secrets.token_bytes(_BYTES)
            replace(path, key)
    except OSError as error:
        raise StateError(
            f"{path} cannot be used: {error.strerror}",
            hint="Make it readable for you, or delete it: it is made anew.",
        ) from error
    return key
