"""The description of the control API, made from the table of its routes (OpenAPI 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from backstay.api.models import ErrorAnswer
from backstay.api.routes import OPERATIONS, Operation

if TYPE_CHECKING:
    from pydantic import BaseModel

PATH = "/api/openapi.json"
NDJSON = "application/x-ndjson"


def document(version: str) -> dict[str, Any]:
    """Return the whole description."""
    taken = {model for each in OPERATIONS for model in (each.body, each.query) if model is not None}
    given = {each.answer for each in OPERATIONS} | {ErrorAnswer}
    models: list[tuple[type[BaseModel], Any]] = [
        *((model, "validation") for model in sorted(taken, key=lambda model: model.__name__)),
        *((model, "serialization") for model in sorted(given, key=lambda model: model.__name__)),
    ]
    references, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, references, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "backstay control API",
            "version": version,
            "description": "One fleet: on its control socket, and read-only behind its gateway. "
            "Streams are one JSON object a line.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "`.backstay/control.sock`, or the gateway (GET only)"}],
        "paths": paths,
        "components": {"schemas": schemas.get("$defs", {})},
    }


def _operation(each: Operation, references: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    kind = NDJSON if each.stream else "application/json"
    described: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "responses": {
            "200": {
                "description": "A stream of these, one a line." if each.stream else "Done, or accepted.",
                "content": {kind: {"schema": references[each.answer, "serialization"]}},
            },
            "default": {
                "description": "What is wrong, and what to do about it.",
                "content": {"application/json": {"schema": references[ErrorAnswer, "serialization"]}},
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in each.parameters
    ]
    if each.query is not None:
        parameters += _query(each.query.model_json_schema())
    if parameters:
        described["parameters"] = parameters
    if each.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[each.body, "validation"]}},
        }
    return described


def _query(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.pop("description", ""),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]
