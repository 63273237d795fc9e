"""`backstay call`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import complete, locate, report
from backstay.cli.report import WrongUse
from backstay.cli.root import verb
from backstay.cli.style import plain, size
from backstay.errors import CallFailed

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.client.mcp import CallResult, McpClient
    from backstay.fleet import Fleet


METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602


@verb("call")
@click.argument("service", shell_complete=complete.services)
@click.argument("tool")
@click.argument("arguments", nargs=-1, metavar="[JSON | NAME=VALUE...]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    metavar="SECONDS",
    help="How long to wait for the answer.",
    show_default=True,
)
def command(settings: Settings, service: str, tool: str, arguments: tuple[str, ...], timeout: float) -> int:
    r"""Call a tool of a server and print its answer.

    Arguments are one JSON object, `-` for one on stdin, or NAME=VALUE, where VALUE is text or JSON as the
    tool's schema asks.

    \b
    backstay call time get_current_time timezone=UTC
    backstay call files read_file '{"path": "notes.txt"}'
    """
    given = read_arguments(arguments)
    result = asyncio.run(_call(locate.fleet(settings), service, tool, given, timeout))
    if settings.json:
        click.echo(json.dumps(result.raw, ensure_ascii=False))
    elif result.is_error:
        report.say(plain(result.text) or f"`{tool}` failed without a reason")
    else:
        show(result)
    return report.NOT_AS_ASKED if result.is_error else report.DONE


def read_arguments(arguments: tuple[str, ...]) -> dict[str, Any] | list[tuple[str, str]]:
    """Read what follows the tool: an object, or pairs whose values the tool's schema decides on.

    Raises:
        WrongUse: it is neither.
    """
    if not arguments:
        return {}
    if len(arguments) == 1 and (arguments[0] == "-" or arguments[0].lstrip()[:1] in ("{", "[")):
        text = sys.stdin.read() if arguments[0] == "-" else arguments[0]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WrongUse(
                f"the arguments are not JSON: {error}", hint="write one object, in single quotes"
            ) from None
        if not isinstance(value, dict):
            raise WrongUse("the arguments are not a JSON object", hint='write {"name": value}')
        return value
    pairs = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise WrongUse(
                f"`{argument}` is not NAME=VALUE",
                hint="give one JSON object, or NAME=VALUE for each argument",
            )
        pairs.append((name, value))
    return pairs


async def _call(
    fleet: Fleet, service: str, tool: str, given: dict[str, Any] | list[tuple[str, str]], timeout: float
) -> CallResult:
    from backstay.cli.servers import session, unknown_tool

    async with session(fleet, service, timeout=timeout) as client:
        arguments = given if isinstance(given, dict) else await _typed(client, tool, given)
        try:
            result = await client.call(tool, arguments)
        except CallFailed as error:
            if error.code in (INVALID_PARAMS, METHOD_NOT_FOUND):
                raise await unknown_tool(client, tool) or error from None
            raise
        # Some servers say in a result what others say in an error.
        if result.is_error and (unknown := await unknown_tool(client, tool)) is not None:
            raise unknown
        return result


async def _typed(client: McpClient, tool: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Give each value the type that the tool's schema asks for."""
    tools = {each.name: each for each in await client.tools()}
    schema = tools[tool].input_schema if tool in tools else {}
    properties = schema.get("properties") or {}
    return {name: typed(value, properties.get(name)) for name, value in pairs}


def typed(value: str, schema: object) -> Any:
    """Read a value: text where the schema says string only, else JSON where it is JSON.

    >>> typed("5", {"type": "string"}), typed("5", {"type": "integer"}), typed("UTC", {})
    ('5', 5, 'UTC')
    """
    if isinstance(schema, dict) and schema.get("type") == "string":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def show(result: CallResult) -> None:
    """Print the content of an answer: text as it is, of other things what they are."""
    for block in result.content:
        click.echo(_block(block))
    if not result.content and result.structured is not None:
        click.echo(json.dumps(result.structured, ensure_ascii=False, indent=2))


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    inner = block.get("resource")
    if kind == "text":
        return plain(str(block.get("text", "")))
    if kind in ("image", "audio"):
        amount = len(str(block.get("data", ""))) * 3 // 4
        return f"[{kind} {plain(str(block.get('mimeType', '')))}, {size(amount)}; --json prints it]"
    if kind == "resource" and isinstance(inner, dict) and "text" in inner:
        return plain(str(inner["text"]))
    if kind in ("resource", "resource_link"):
        uri = inner.get("uri", "") if isinstance(inner, dict) else block.get("uri", "")
        return f"[resource {plain(str(uri))}]"
    return json.dumps(block, ensure_ascii=False)
