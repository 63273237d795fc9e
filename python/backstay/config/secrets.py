"""Secrets at hand: read when an instance starts, and kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backstay.config.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config.models.service import Service
    from backstay.config.models.stack import Stack


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret at hand: what it says, and the file that says it, if it is in one."""

    value: str | None = field(repr=False)
    """None for a file that holds no text, such as a key store: only its path can be used."""
    file: Path | None = None


def secret_values(stack: Stack, service: Service, environ: Mapping[str, str]) -> dict[str, SecretValue]:
    """Read the secrets that a service may read, by the names it reads them under.

    Raises:
        OSError: a secret's file cannot be read.
        KeyError: a secret's variable is set neither in the environment nor in `.env`.
    """
    found = {}
    for use in service.secrets:
        secret = stack.secrets[use.source]
        if secret.file is not None:
            path = Path(secret.file)
            found[use.name] = SecretValue(_text(path.read_bytes()), path)
        elif secret.environment is not None:
            found[use.name] = SecretValue(_variable(stack, secret.environment, environ))
    return found


def secret_bytes(stack: Stack, name: str, environ: Mapping[str, str]) -> bytes:
    """Read what one of the stack's secrets says, byte for byte.

    Raises:
        OSError: its file cannot be read.
        KeyError: its variable is set neither in the environment nor in `.env`, or there is no such secret.
    """
    secret = stack.secrets[name]
    if secret.file is not None:
        return Path(secret.file).read_bytes()
    assert secret.environment is not None
    return _variable(stack, secret.environment, environ).encode("utf-8", "surrogateescape")


def secret_text(stack: Stack, name: str, environ: Mapping[str, str]) -> str:
    """Read one of the stack's secrets as text, without the end of its last line.

    Raises:
        OSError: its file cannot be read, or holds no text.
        KeyError: its variable is set neither in the environment nor in `.env`, or there is no such secret.
    """
    text = _text(secret_bytes(stack, name, environ))
    if text is None:
        raise OSError(f"the secret `{name}` is not a text")
    return text


def secret_environment(stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environ` that hold the stack's secrets: what `up` hands to the daemon."""
    names = {secret.environment for secret in stack.secrets.values() if secret.environment is not None}
    return {name: environ[name] for name in names if name in environ}


def _text(data: bytes) -> str | None:
    """Return what a file says, without the end of its last line."""
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _variable(stack: Stack, name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return environ[name]
    from backstay.config.dotenv import read_env_file

    return read_env_file(stack.dir / ".env", ".env", environ, Problems())[name]
