"""
The one middleware: names the request, counts it, and turns every error into a problem.

Infrastructure errors become 503 with what the client may do; anything unforeseen is logged with
its trace and answered as 500 without a word about the inside.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time

import asyncpg
import structlog
from aiohttp import web
from multidict import istr
from redis.exceptions import RedisError

from api import metrics
from api.lean import LeanAnswer
from api.policy import Handler
from api.problems import CODES, Problem, unavailable
from engine.errors import EventRecovering, OutcomeUnknown, Overloaded, ShardUnavailable
from store.pool import Busy

log = structlog.get_logger()

_X_REQUEST_ID = istr("X-Request-Id")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Request ids of our own: a random name for this process and a count.
_PROCESS = secrets.token_hex(6)
_COUNT = itertools.count(1)


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer *request*, whatever happens."""
    resource = request.match_info.route.resource
    return await respond(request, handler, resource.canonical if resource else "unknown")


async def respond(request: web.Request, handler: Handler, route: str) -> web.StreamResponse:
    """Answer *request*, whatever happens, and count it under *route*."""
    started_s = time.perf_counter()
    given = request.headers.get(_X_REQUEST_ID)
    request_id = given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}-{next(_COUNT)}"
    response: web.StreamResponse | Problem
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem
    except web.HTTPException as error:
        response = _of_http(error)
    except Exception as error:  # noqa: BLE001  The last resort, for all handlers.
        response = _of_failure(error, request, request_id)
    if isinstance(response, Problem):
        response = response.response(request.path, request_id)
    if isinstance(response, LeanAnswer):
        response.add_header("X-Request-Id", request_id)
    else:
        response.headers["X-Request-Id"] = request_id
    metrics.count_request(route, response.status, time.perf_counter() - started_s)
    return response


def _of_http(error: web.HTTPException) -> Problem:
    """Give aiohttp's own refusals our form."""
    match error.status:
        case 404:
            return Problem(404, "not_found", "There is no such thing here.")
        case 405:
            return Problem(
                405,
                "method_not_allowed",
                "The path has no such method.",
                headers={"Allow": error.headers.get("Allow", "")},
            )
        case 413:
            return Problem(
                413,
                "too_large",
                "The body is too large.",
                errors=[("", "is larger than the server takes")],
            )
        case status:
            return Problem(status, "http_error", error.reason)


def _of_failure(error: Exception, request: web.Request, request_id: str) -> Problem:
    match error:
        case OutcomeUnknown():
            return unavailable(
                "outcome_unknown",
                "It is not known whether this happened; repeat it with the same Idempotency-Key.",
            )
        case Overloaded():
            return unavailable("backpressure", "Too much is waiting; try again shortly.")
        case EventRecovering():
            row = CODES["event_recovering"]
            return unavailable(row.code, row.title)
        case ShardUnavailable():
            return unavailable("shard_recovering", "The sale is being checked; it reopens shortly.")
        case RedisError():
            log.warning(
                "redis failed",
                action="redis_failed",
                path=request.path,
                request_id=request_id,
                error=repr(error),
            )
            return unavailable("redis_unavailable", "Redis does not answer.")
        case Busy():
            # No line in the log: anybody may ask often. The request is counted with its status.
            return unavailable("database_busy", "The database is busy with requests of this kind.")
        case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError():
            log.warning(
                "statement took too long",
                action="statement_cancelled",
                path=request.path,
                request_id=request_id,
                error=repr(error),
            )
            return unavailable("database_busy", "The database is busy with requests of this kind.")
        case (
            asyncpg.PostgresError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()
            | OSError()
            | TimeoutError()
        ):
            log.warning(
                "database failed",
                action="database_failed",
                path=request.path,
                request_id=request_id,
                error=repr(error),
            )
            return unavailable("database_unavailable", "The database does not answer.")
        case _:
            log.error(
                "request failed",
                action="request_failed",
                path=request.path,
                request_id=request_id,
                exc_info=error,
            )
            return Problem(500, "internal", "Something is wrong on our side.")
