"""The stack file's JSON Schema, for editors and tests, generated from the models.

`schema.json` beside this file is the generated one, kept in the package. `python -m backstay.config.schema`
prints it, and with `--write` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backstay.config.models.base import Model
from backstay.config.models.healthcheck import Healthcheck
from backstay.config.models.stack import StackFile
from backstay.config.validation import models_of

if TYPE_CHECKING:
    from pydantic import BaseModel

FILE: Final = Path(__file__).with_name("schema.json")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VARIABLE: Final = {"type": "string", "pattern": r"\$"}
"""A text with `${VAR}` in it may become anything."""
COMPOSE_TEST: Final = {
    "description": "Compose's form of `command`: `[CMD, program, argument]`, or a text for the shell.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
}


def schema() -> dict[str, Any]:
    """Generate the schema."""
    generated = StackFile.model_json_schema(by_alias=True)
    definitions = generated.pop("$defs")
    models = {model.__name__: model for model in models_of(StackFile)}
    finished = {name: _model(models[name], body) for name, body in sorted(definitions.items())}
    top = _model(StackFile, generated)
    return {"$schema": DIALECT, "title": "backstay.yaml", **top, "required": ["services"], "$defs": finished}


def _model(model: type[BaseModel], body: dict[str, Any]) -> dict[str, Any]:
    """Finish the schema of a map: its `x-…` keys and short forms."""
    properties = {name: _part(part) for name, part in body.pop("properties", {}).items()}
    if model is Healthcheck:
        properties["test"] = COMPOSE_TEST
    finished = {
        "type": "object",
        "description": _one_line(body.get("description", "")),
        "properties": properties,
        "required": body.get("required", []),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }
    finished = {key: value for key, value in finished.items() if value not in ("", [])}
    shorts = [_part(short) for short in model.short_schema()] if issubclass(model, Model) else []
    return {"anyOf": [*shorts, finished]} if shorts else finished


def _part(part: Any) -> Any:
    """Finish one part: no titles, tidy descriptions, `${VAR}` in place of any scalar."""
    if isinstance(part, list):
        return [_part(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _part(value) for key, value in part.items() if key not in ("title", "default")}
    if "description" in kept:
        kept["description"] = _one_line(kept["description"])
    default = part.get("default")
    if default not in (None, [], {}) and not isinstance(default, dict):
        kept["default"] = default
    return _or_variable(kept)


def _or_variable(part: dict[str, Any]) -> dict[str, Any]:
    scalar = part.get("type") in ("integer", "number", "boolean")
    narrow = part.get("type") == "string" and ("pattern" in part or "enum" in part)
    if not (scalar or narrow or "const" in part) or part == VARIABLE:
        return part
    described: dict[str, Any] = {
        key: part.pop(key) for key in ("description", "default", "examples") if key in part
    }
    return described | {"anyOf": [part, VARIABLE]}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        FILE.write_text(text(), encoding="utf-8")
    else:
        sys.stdout.write(FILE.read_text(encoding="utf-8"))
