"""The control API as an ASGI application: reads requests by the table of routes, writes answers."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backstay.api import faults, openapi
from backstay.api.routes import OPERATIONS, Operation
from backstay.api.stream import JsonLines
from backstay.errors import BackstayError

if TYPE_CHECKING:
    from starlette.requests import Request

    from backstay.api.models import ErrorAnswer
    from backstay.deploy.control import FleetControl

log = logging.getLogger(__name__)

MAX_BODY = 32 * 1024 * 1024
"""The largest request: a stack of 4 MiB with its aliases expanded, and room."""


def create_app(fleet: FleetControl) -> Starlette:
    """Make the control API of `fleet`."""
    routes = [
        Route(each.path, functools.partial(_serve, fleet, each), methods=[each.method]) for each in OPERATIONS
    ]
    routes.append(Route(openapi.PATH, _describe, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _bug})


async def _serve(fleet: FleetControl, each: Operation, request: Request) -> Response:
    given: dict[str, Any] = dict(request.path_params)
    try:
        if each.query is not None:
            given["query"] = each.query.model_validate(_query(each.query, request))
        if each.body is not None:
            given["body"] = each.body.model_validate_json(await _body(request))
    except ValidationError as error:
        return _answer(422, faults.invalid(error, "body" if "query" in given or not each.query else "query"))
    try:
        result = await each.handler(fleet, **given)
    except BackstayError as error:
        return _answer(*faults.answer(error))
    if each.stream:
        return JsonLines(result)
    assert isinstance(result, BaseModel)
    return Response(result.model_dump_json(), media_type="application/json")


def _query(model: type[BaseModel], request: Request) -> dict[str, Any]:
    """Return the query's parameters, those that may be repeated as lists."""
    given = request.query_params
    lists = {name for name, field in model.model_fields.items() if field.annotation == list[str]}
    return {name: given.getlist(name) if name in lists else given[name] for name in given}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"the request is larger than {MAX_BODY} bytes")
    return bytes(body)


async def _describe(request: Request) -> Response:
    return Response(_document(), media_type="application/json")


@functools.cache
def _document() -> bytes:
    from backstay import __version__

    return JSONResponse(openapi.document(__version__)).body  # type: ignore[return-value]


def _answer(status: int, body: ErrorAnswer) -> Response:
    return Response(body.model_dump_json(), status_code=status, media_type="application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
    }.get(error.status_code, error.detail)
    answer = _answer(
        error.status_code, faults.fault(what, hint=f"`{openapi.PATH}` describes what can be asked")
    )
    answer.headers.update(error.headers or {})
    return answer


async def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        500,
        faults.fault(
            f"the daemon has a bug: {type(error).__name__}: {error}",
            hint="`.backstay/logs/daemon.log` has the details; please report them",
        ),
    )
