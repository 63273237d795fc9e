"""Writes the reference of the control API from the table of its routes: `python -m backstay.api.reference`.

Given a directory, it writes there; otherwise to `docs/reference` of the source tree.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.api.openapi import document
from backstay.api.routes import OPERATIONS

if TYPE_CHECKING:
    from pydantic import BaseModel

    from backstay.api.routes import Operation

HEAD = """\
<!-- Made by `make docs` from the routes; edit those. -->
# The control API

HTTP on `.backstay/control.sock` (0600). The gateway passes `GET` on, so `http://127.0.0.1:7077/api/status`
answers too; what changes a fleet goes through the socket. The whole description, with every schema, is
[`openapi.json`](openapi.json), which a running fleet serves at `/api/openapi.json`.

Errors have a status of 400 and above and say what is wrong, where, and what to do:
`{"error": {"what": "…", "where": "body.stack.services", "hint": "…"}}`. Streams are one JSON object a line
(NDJSON); they can be resumed after an event's `seq`.

```sh
curl --unix-socket .backstay/control.sock http://localhost/api/status
```
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *map(_operation, OPERATIONS)])


def description() -> str:
    """Return the OpenAPI document as it is published: without the version, which changes by itself."""
    return json.dumps(document("0"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _operation(each: Operation) -> str:
    lines = [f"## {each.method} {each.path}\n", f"{each.summary}\n"]
    for kind, model in (("query", each.query), ("body", each.body)):
        if model is not None:
            lines += [f"| {kind} | type | |", "| --- | --- | --- |", *_fields(model), ""]
    lines.append(f"{'A stream of' if each.stream else 'Answers with'} `{each.answer.__name__}`.\n")
    return "\n".join(lines)


def _fields(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    rows = []
    for name, field in schema["properties"].items():
        text = field.get("description", "")
        empty: object = {} if field.get("type") == "object" else []
        default = "" if name in required else f" Default: `{json.dumps(field.get('default', empty))}`."
        rows.append(f"| `{name}` | {_type(field)} | {text}{default} |")
    return rows


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("type", "any"))


def main() -> None:
    """Write the page and the description."""
    source = Path(__file__).resolve().parents[3]
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else source / "docs" / "reference"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "control-api.md").write_text(reference())
    (directory / "openapi.json").write_text(description())


if __name__ == "__main__":
    main()
