"""The reference of the stack file, generated from the models.

`python -m backstay.config.reference` prints it, and with `--write` writes `docs/reference/stack-file.md`.
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticUndefined

from backstay.config.models import scalars
from backstay.config.models.base import Model
from backstay.config.models.cache import Cache, read_invalidates
from backstay.config.models.deploy import Device, Reservations, read_device_count
from backstay.config.models.environment import read_environment
from backstay.config.models.healthcheck import Healthcheck, HttpProbe, read_command, read_port_reference
from backstay.config.models.mcp import Mcp, Tools, read_list
from backstay.config.models.ports import PortRange, read_ports
from backstay.config.models.publish import Publish, Tls
from backstay.config.models.service import Dependency, EnvFile, SecretUse, ServiceFile
from backstay.config.models.source import read_source
from backstay.config.models.stack import Gateway, Secret, StackFile
from backstay.config.models.traffic import RateLimit, Traffic, read_at_least_one, read_rate
from backstay.config.validation import models_of

if typing.TYPE_CHECKING:
    from pydantic.fields import FieldInfo

FILE: Final = Path("docs/reference/stack-file.md")
HEAD: Final = """\
# Stack file reference

<!-- Generated from python/backstay/config/models by `python -m backstay.config.reference --write`. -->

Every key of `backstay.yaml`. The [guide](../guide/stack-file.md) shows how they play together. Keys that
Compose has too mean what they mean there, but for what is said here. Keys that begin with `x-` are ignored.

Sizes are written `512M` or `1.5Gi`, in powers of 1024, or as a number of bytes. Times are written `500ms`,
`30s` or `1m30s`, or as a number of seconds.
"""
TITLES: Final[dict[type[BaseModel], str]] = {
    StackFile: "The file",
    ServiceFile: "`services.NAME`",
    Mcp: "`services.NAME.mcp`",
    Tools: "`services.NAME.mcp.tools`",
    EnvFile: "`services.NAME.env_file[]`",
    Dependency: "`services.NAME.depends_on.NAME`",
    Healthcheck: "`services.NAME.healthcheck`",
    HttpProbe: "`services.NAME.healthcheck.http`",
    SecretUse: "`services.NAME.secrets[]`",
    Reservations: "`services.NAME.deploy.resources.reservations`",
    Device: "`services.NAME.deploy.resources.reservations.devices[]`",
    Publish: "`services.NAME.publish`",
    Tls: "`gateway.tls` and `services.NAME.publish.tls`",
    Traffic: "`services.NAME.traffic`",
    Cache: "`services.NAME.cache`",
    RateLimit: "`services.NAME.traffic.limits[]`",
    Gateway: "`gateway`",
    PortRange: "`ports`",
    Secret: "`secrets.NAME`",
}
WORDS: Final[dict[Any, str]] = {
    scalars.parse_size: "size",
    scalars.parse_duration: "time",
    scalars.parse_cpus: "number of cores",
    scalars.parse_flag: "`true` or `false`",
    scalars.parse_count: "whole number",
    scalars.parse_text: "text",
    scalars.parse_name: "text",
    read_command: "text or list of texts",
    read_list: "text or list of texts",
    read_source: "package source",
    read_port_reference: "port's name or number",
    read_ports: "map of names to a number or `auto`",
    read_environment: "map, or list of `NAME=value`",
    read_device_count: "whole number or `all`",
    read_rate: "rate",
    read_invalidates: "map of names to lists of texts",
    read_at_least_one: "whole number",
}


def reference() -> str:
    """Generate the reference."""
    sections = [_section(model, _path(model)) for model in models_of(StackFile)]
    return "\n".join([HEAD, *sections])


def _path(wanted: type[BaseModel]) -> str:
    """Return the heading of a model: the way to it from the top of the file."""
    if wanted in TITLES:
        return TITLES[wanted]
    for model in models_of(StackFile):
        for name, field in model.model_fields.items():
            if _model_in(field.annotation) is wanted:
                return f"`{_path(model).strip('`')}.{field.alias or name}`"
    raise LookupError(f"no key holds {wanted.__name__}")


def _section(model: type[BaseModel], title: str) -> str:
    lines = [f"## {title}", "", _one_line(model.__doc__ or ""), ""]
    short = _short(model)
    if short:
        lines += [short, ""]
    lines += ["| key | value | default | |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        cells = [f"`{field.alias or name}`", _kind(field), default, _one_line(field.description or "")]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _short(model: type[BaseModel]) -> str:
    """Return the sentence on a model's short form, from the docstring of what reads it."""
    if not issubclass(model, Model) or model.from_short.__doc__ == Model.from_short.__doc__:
        return ""
    return f"Short form: {_one_line(model.from_short.__doc__ or '')}"


def _kind(field: FieldInfo) -> str:
    metadata = list(field.metadata)
    if typing.get_origin(field.annotation) in (typing.Union, types.UnionType):
        metadata += [
            part for kind in typing.get_args(field.annotation) for part in getattr(kind, "__metadata__", ())
        ]
    for validator in metadata:
        if isinstance(validator, BeforeValidator) and validator.func in WORDS:
            return WORDS[validator.func]
    return _kind_of(field.annotation)


def _kind_of(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[map](#{_anchor(_path(annotation))})"
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin is typing.Annotated:
        return _kind_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _kind_of(next(part for part in arguments if part is not type(None)))
    model = _model_in(annotation)
    if origin is tuple:
        return f"list of [maps](#{_anchor(_path(model))})" if model else "list of texts"
    if arguments:
        return f"map of names to [maps](#{_anchor(_path(model))})" if model else "map of names to texts"
    return {int: "whole number", float: "number"}.get(annotation, "text")


def _anchor(title: str) -> str:
    """Return the anchor that a heading gets."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value in (None, PydanticUndefined, (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and _kind(field) == "time":
        return f"`{scalars.write_duration(value)}`"
    return f"`{', '.join(value) if isinstance(value, tuple) else value}`"


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())
