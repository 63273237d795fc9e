"""From pydantic's complaints to problems that name a place and a cure."""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from backstay.config.compose_keys import FOREIGN, advice
from backstay.config.models.base import kind_of, quoted
from backstay.config.problems import Path, Problems, did_you_mean, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from backstay.config.tree import Tree

KINDS: Final = {
    "mapping_type": "a map",
    "dict_type": "a map",
    "model_type": "a map",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}


Part = TypeVar("Part", bound=BaseModel)


def validate(model: type[Part], value: Any, path: Path, tree: Tree, problems: Problems) -> Part | None:
    """Return the value as the model, or none with every complaint noted as a problem at its place."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _note(model, detail, path, tree, problems)
        return None


def _note(model: type[BaseModel], detail: ErrorDetails, path: Path, tree: Tree, problems: Problems) -> None:
    location = tuple(detail["loc"])
    place = tree.place(path + location)
    given = detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "stack":
            for what, hint, at in context["complaints"]:
                problems.add(what, tree.place((*path, *location, *at)), hint=hint)
        case "extra_forbidden":
            owner = model_at(model, location[:-1]) or model
            message, hint = unknown_key(owner, str(location[-1]))
            problems.add(message, place, hint=hint)
        case "missing":
            problems.add(f"the key `{location[-1]}` is missing", place)
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            choices = f"write {' or '.join(f'`{word}`' for word in allowed)}"
            if isinstance(given, str):
                near = nearest(given, allowed)
                message = f"{quoted(given)} is not a value of `{location[-1]}`"
                problems.add(message, place, hint=f"did you mean `{near}`?" if near else choices)
            else:
                problems.add(f"expected a text, got {kind_of(given)}", place, hint=choices)
        case kind if kind in KINDS:
            problems.add(f"expected {KINDS[kind]}, got {kind_of(given)}", place)
        case _:
            problems.add(detail["msg"][:1].lower() + detail["msg"][1:], place)


def unknown_key(model: type[BaseModel], key: str) -> tuple[str, str]:
    """Return what is wrong with a key that the model does not have, and what to do."""
    instead = advice(model.__name__, key)
    if instead is not None:
        return (f"unknown key `{key}`" if key in FOREIGN else f"Compose's `{key}` is not carried"), instead
    return f"unknown key `{key}`", did_you_mean(key, keys_of(model))


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as the file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(model: type[BaseModel], location: Path) -> type[BaseModel] | None:
    """Return the model that describes what stands at a place beneath another model."""
    current: Any = model
    for step in location:
        current = _bare(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field for name, field in current.model_fields.items()}
            current = fields[str(step)].annotation if step in fields else None
        else:
            inner = [part for part in typing.get_args(current) if part is not Ellipsis]
            current = inner[-1] if inner else None
    current = _bare(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Take `Annotated` and `| None` off a type."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _bare(kinds[0]) if kinds else None
    return annotation


def models_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and all that its fields hold, each once, the outer before the inner."""
    found: dict[type[BaseModel], None] = {}
    waiting: list[Any] = [model]
    while waiting:
        part = waiting.pop(0)
        if not (isinstance(part, type) and issubclass(part, BaseModel)):
            waiting[:0] = typing.get_args(part)
        elif part not in found:
            found[part] = None
            waiting[:0] = [field.annotation for field in part.model_fields.values()]
    return list(found)
