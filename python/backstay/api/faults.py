"""From an exception to the answer that a client of the control API gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.api.models import ErrorAnswer, Fault
from backstay.errors import (
    ApiError,
    BackstayError,
    ConfigError,
    CycleError,
    DeployFailed,
    KeeperError,
    ResourceError,
    UnknownService,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

STATUS: tuple[tuple[type[BackstayError], int], ...] = (
    (UnknownService, 404),
    (ConfigError, 422),
    (CycleError, 422),
    (ResourceError, 409),
    (DeployFailed, 409),
    (KeeperError, 503),
)


def answer(error: BackstayError) -> tuple[int, ErrorAnswer]:
    """Return the status and the body for an error of ours."""
    if isinstance(error, ApiError):
        status = error.status
    else:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    where = getattr(error, "where", None)
    return status, fault(str(error), where=None if where is None else str(where), hint=error.hint)


def fault(what: str, *, where: str | None = None, hint: str | None = None) -> ErrorAnswer:
    """Return the body that says `what` is wrong."""
    return ErrorAnswer(error=Fault(what=what, where=where, hint=hint))


def invalid(error: ValidationError, part: str) -> ErrorAnswer:
    """Return the body for a `part` of a request that does not fit its model: all that is wrong in it."""
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    where = ".".join([part, *map(str, first["loc"])])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return fault(f"{first['msg']}{more}", where=where, hint="`/api/openapi.json` describes every request")
