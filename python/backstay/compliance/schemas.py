"""Checks of a server's schemas, and of its results against them.

Tools are called only where the server says that they change nothing (`readOnlyHint`) and need no argument,
and only on a throw-away copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backstay.compliance.rules import finding
from backstay.compliance.sessions import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema.protocols import Validator

    from backstay.compliance.findings import Finding
    from backstay.compliance.sessions import Session

MOST_CALLS = 5
MAX_PAGES = 1_000
_NAMED = 3


async def check(session: Session, patience: float) -> list[Finding]:
    """Make every check of schemas."""
    tools = await _tools(session, patience)
    if not tools:
        return [finding(each, "skipped", "it has no tools") for each in ("schemas.input", "schemas.output")]
    return [inputs(tools), outputs(tools), await results(session, tools, patience)]


def inputs(tools: list[dict[str, Any]]) -> Finding:
    """Look at every `inputSchema`."""
    return _those("schemas.input", tools, lambda tool: schema_error(tool.get("inputSchema")))


def outputs(tools: list[dict[str, Any]]) -> Finding:
    """Look at every `outputSchema`."""
    having = [tool for tool in tools if "outputSchema" in tool]
    if not having:
        return finding("schemas.output", "skipped", "no tool has one")
    return _those("schemas.output", having, lambda tool: output_error(tool["outputSchema"]))


async def results(session: Session, tools: list[dict[str, Any]], patience: float) -> Finding:
    """Call what is safe to call, and hold the results against the schemas."""
    safe = [tool for tool in tools if not output_error(tool.get("outputSchema")) and _is_safe(tool)]
    if not safe:
        return finding(
            "schemas.result", "skipped", "no tool with an outputSchema is read-only and needs no argument"
        )
    wrong, called = [], []
    for tool in safe[:MOST_CALLS]:
        name = tool["name"]
        params = {"name": name, "arguments": {}}
        answer = await session.ask(request(f"call-{name}", "tools/call", params), patience)
        if answer is None:
            wrong.append(f"`{name}` did not answer")
        elif isinstance(result := answer.get("result"), dict) and not result.get("isError"):
            called.append(name)
            if error := result_error(result, tool["outputSchema"]):
                wrong.append(f"`{name}`: {error}")
    if wrong:
        return finding("schemas.result", "failed", "; ".join(wrong))
    if not called:
        return finding("schemas.result", "skipped", "the tools that are safe to call ended in errors")
    return finding("schemas.result", "passed", f"{', '.join(called)}: as the schema says")


def schema_error(schema: object) -> str | None:
    """Say what is wrong with a schema; None if nothing is."""
    from jsonschema import SchemaError

    if not isinstance(schema, dict):
        return "there is none"
    try:
        _validator(schema).check_schema(schema)
    except SchemaError as error:
        return f"at {error.json_path}: {error.message[:160]}"
    except RecursionError:
        return "it is nested too deep"
    return None


def output_error(schema: object) -> str | None:
    """Say what is wrong with an `outputSchema`; None if nothing is."""
    if isinstance(schema, dict) and schema.get("type") != "object":
        return f"its type is {schema.get('type')!r}, not 'object'"
    return schema_error(schema)


def result_error(result: dict[str, Any], schema: dict[str, Any]) -> str | None:
    """Say how a result breaks its tool's schema; None if it does not."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if "structuredContent" not in result:
        return "the result has no structuredContent"
    try:
        # An empty registry: what a schema of a stranger names is not fetched.
        validator = _validator(schema)(schema, registry=Registry())
        error = next(iter(validator.iter_errors(result["structuredContent"])), None)
    except Unresolvable as unresolved:
        return f"its schema names {unresolved.ref}, which it does not hold"
    return None if error is None else f"at {error.json_path}: {error.message[:160]}"


def _validator(schema: dict[str, Any]) -> type[Validator]:
    """Return the dialect that a schema declares; 2020-12 where it says none (`basic#json-schema-usage`)."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return validator_for(schema, default=Draft202012Validator)


def _is_safe(tool: dict[str, Any]) -> bool:
    hints, schema = tool.get("annotations"), tool.get("inputSchema")
    read_only = isinstance(hints, dict) and hints.get("readOnlyHint") is True
    return read_only and isinstance(schema, dict) and not schema.get("required")


async def _tools(session: Session, patience: float) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    for page in range(MAX_PAGES if "tools" in (session.greeted.get("capabilities") or {}) else 0):
        answer = await session.ask(request(f"tools-{page}", "tools/list", params), patience)
        result = (answer or {}).get("result")
        if not isinstance(result, dict):
            break
        tools += [each for each in result.get("tools") or [] if isinstance(each, dict)]
        if not result.get("nextCursor"):
            break
        params = {"cursor": result["nextCursor"]}
    return tools


def _those(check: str, tools: list[dict[str, Any]], wrong: Callable[[dict[str, Any]], str | None]) -> Finding:
    """Name the tools that are not as they should be."""
    found = [f"`{tool.get('name')}` {error}" for tool in tools if (error := wrong(tool))]
    if not found:
        return finding(check, "passed")
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return finding(check, "failed", "; ".join(found[:_NAMED]) + more)
