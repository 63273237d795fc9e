"""The resolved stack as a stack file again: what `backstay config` prints.

Loaded once more, it gives the same stack: paths are absolute, every default is written, `$` is `$$`. Only the
values of secrets are not in it, and `{{ }}` stays until ports are leased.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, BeforeValidator

from backstay.config.checks.servers import REMOTE_KEYS
from backstay.config.models.scalars import parse_duration, write_duration
from backstay.config.models.service import ServiceFile
from backstay.config.models.source import PackageSource
from backstay.config.models.stack import StackFile

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from backstay.config.models.service import Service
    from backstay.config.models.stack import Stack


def resolved(stack: Stack) -> dict[str, Any]:
    """Return the stack as plain data, in the form of a stack file."""
    plain = _fields(stack, StackFile)
    plain["services"] = {name: _service(service) for name, service in stack.services.items()}
    return {"name": plain.pop("name"), "services": plain.pop("services"), **plain}


def _service(service: Service) -> dict[str, Any]:
    """Return a service; of one that runs elsewhere, what can be said of it."""
    plain = _fields(service, ServiceFile)
    if service.mcp and service.mcp.url:
        return {key: value for key, value in plain.items() if key in REMOTE_KEYS}
    return plain


def _fields(part: BaseModel, written: type[BaseModel]) -> dict[str, Any]:
    """Return the keys of a part that a file may hold, without those that say nothing."""
    plain = {}
    for name, field in written.model_fields.items():
        value = _value(getattr(part, name), field)
        if value is not None and value not in ({}, []):
            plain[field.alias or name] = value
    return plain


def _value(value: Any, field: FieldInfo) -> Any:
    if isinstance(value, float) and _is_duration(field):
        return write_duration(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return _fields(value, type(value))
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case PackageSource():
            return str(value).replace("$", "$$")
        case str():
            return value.replace("$", "$$")
    return value


def _is_duration(field: FieldInfo) -> bool:
    metadata = [
        *field.metadata,
        *(part for kind in typing.get_args(field.annotation) for part in _metadata(kind)),
    ]
    return any(isinstance(part, BeforeValidator) and part.func is parse_duration for part in metadata)


def _metadata(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())
