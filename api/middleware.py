"""
The one middleware: names the request, counts it, and turns every error into a problem.

Infrastructure errors become 503 with what the client may do; anything unforeseen is logged with
its trace and answered as 500 without a word about the inside. What callers cause, by hanging up or
by sending what is no request, is neither a failure nor worth a line. Logs name the route and never
the path, in which a ticket's code may stand.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections import defaultdict

import asyncpg
import structlog
from aiohttp import hdrs, web
from multidict import istr
from redis.exceptions import RedisError

from api import metrics
from api.addresses import network_of
from api.cors import CORS
from api.http import PEOPLE, ClientGone
from api.lean import COMMON, LeanAnswer
from api.malformed import not_http, objection, too_large
from api.policy import Handler
from api.problems import Problem, unavailable
from api.quota import over_quota
from api.traces import SPANS, span_of, trace_of
from engine.errors import EventRecovering, KeysUnknown, OutcomeUnknown, Overloaded, ShardUnavailable
from engine.lasting import Seldom
from store.pool import UNANSWERED, Busy
from usecases.acts import ASKING, Asking

log = structlog.get_logger()

_X_REQUEST_ID = istr("X-Request-Id")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Request ids of our own: a random name for this process and a count.
_PROCESS = secrets.token_hex(6)
_COUNT = itertools.count(1)
#: Counts what no route has answered.
NO_ROUTE = "unknown"
#: How requests are counted whose sender has hung up.
CLIENT_GONE = 499
_SQL_ROOMS = ("asyncpg", "store")
#: By action: while a server is away, each request would write a line.
_SELDOM: defaultdict[str, Seldom] = defaultdict(Seldom)


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer *request*, whatever happens."""
    resource = request.match_info.route.resource
    problem = objection(request, request.app._client_max_size)  # noqa: SLF001
    if problem is not None:

        async def object_(request: web.Request) -> Problem:
            over = over_quota(request, None)
            if over is not None:
                over.closes = problem.closes
            return over or problem

        handler = object_
    elif request.method == hdrs.METH_OPTIONS:
        handler = _counted(_tell_methods)
    elif resource is None:
        handler = _counted(handler)
    request_id = _name_of(request)
    # Whoever notes an act asks; no hot route has one.
    context = ASKING.set(lambda: Asking(network_of(request), request_id))
    try:
        route = resource.canonical if resource else NO_ROUTE
        return await respond(request, handler, route, request_id)
    finally:
        ASKING.reset(context)


async def respond(
    request: web.Request, handler: Handler, route: str, request_id: str = ""
) -> web.StreamResponse:
    """Answer *request*, whatever happens, and count it under *route*."""
    started_s = time.perf_counter()
    is_hot = not request_id
    if is_hot:  # Not worth a call.
        given = request.headers.get(_X_REQUEST_ID)
        request_id = given if given and _REQUEST_ID.fullmatch(given) else new_request_id()
    response: web.StreamResponse | Problem
    status = 0
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem
    except web.HTTPException as error:
        response = _of_http(error)
    except ClientGone:
        status, response = CLIENT_GONE, not_http("ended before it was whole")
    except Exception as error:  # noqa: BLE001  The last resort, for all handlers.
        response = _of_failure(error, request, route, request_id)
    if isinstance(response, Problem):
        response = _told(response, request, request_id)
    cors = request.app[CORS]
    cross = cors.headers(request) if cors.is_on else {}
    if isinstance(response, LeanAnswer):
        response.add_header("X-Request-Id", request_id)
        for name, value in cross.items():
            response.add_header(name, value)
    else:
        response.headers["X-Request-Id"] = request_id
        response.headers.extend(cross)
        for name, value in COMMON.items():
            response.headers.setdefault(name, value)
    seconds = time.perf_counter() - started_s
    metrics.count_request(request.method, route, status or response.status, seconds)
    tell = request.app.get(SPANS)
    if tell is not None:
        told = status or response.status
        span = span_of(request, route, told, seconds, request_id=request_id, is_hot=is_hot)
        if span is not None:
            tell(span)
    return response


def _told(problem: Problem, request: web.Request, request_id: str) -> web.StreamResponse:
    """Answer with a problem: as a page to who reads pages, else in JSON."""
    people = request.app.get(PEOPLE)
    # What ends the connection is no good request, of which nothing is told.
    if people is not None and not problem.closes and people.is_asking(request):
        return people.show(request, problem, request_id)
    return problem.response("/" if problem.closes else request.path, request_id)


def _name_of(request: web.Request) -> str:
    """Return the name that a request brings, or a new one."""
    given = request.headers.get(_X_REQUEST_ID)
    return given if given and _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """Name a request that brings no name of its own."""
    return f"{_PROCESS}-{next(_COUNT)}"


def refuse(problem: Problem) -> LeanAnswer:
    """Answer what is no request, or none of an application: nothing of it is told."""
    request_id = new_request_id()
    answer = problem.response("/", request_id)
    answer.add_header("X-Request-Id", request_id)
    metrics.count_request(metrics.OTHER_METHOD, NO_ROUTE, problem.status, 0)
    log.debug("request refused", action="refused", code=problem.code, request_id=request_id)
    return answer


def refuse_http(error: web.HTTPException) -> LeanAnswer:
    """Answer what aiohttp has refused before any handler was asked."""
    problem = _of_http(error)
    problem.closes = True
    return refuse(problem)


def _counted(handler: Handler) -> Handler:
    """Return what is no route's, and stands behind no policy, behind the quota."""

    async def counted(request: web.Request) -> web.StreamResponse | Problem:
        return over_quota(request, None) or await handler(request)

    return counted


async def _tell_methods(request: web.Request) -> web.StreamResponse:
    """Tell which methods a path has, and a browser whether it may use them."""
    error = request.match_info.http_exception
    if request.path == "*":
        methods = set(hdrs.METH_ALL) - {hdrs.METH_CONNECT, hdrs.METH_TRACE, hdrs.METH_PUT}
    elif isinstance(error, web.HTTPMethodNotAllowed):
        methods = {*error.allowed_methods, hdrs.METH_OPTIONS}
    else:
        raise web.HTTPNotFound
    allowed = ", ".join(sorted(methods))
    headers = {"Allow": allowed} | request.app[CORS].preflight(request, allowed)
    return web.Response(status=204, headers=headers)


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
                headers={"Allow": _allowed(error)},
            )
        case 413:
            return too_large()
        case status:
            return Problem(status, "http_error", error.reason)


def _allowed(error: web.HTTPException) -> str:
    methods = error.allowed_methods if isinstance(error, web.HTTPMethodNotAllowed) else ()
    return ", ".join(sorted({*methods, hdrs.METH_OPTIONS}))


def _is_of_database(error: Exception) -> bool:
    """
    Tell whether PostgreSQL did not do its work.

    Errors of sockets and of time say so only if they came through the rooms that speak SQL: a
    caller who hangs up, a file that is gone or a full disk raise the same.
    """
    if not isinstance(error, OSError):
        return isinstance(error, UNANSWERED)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _SQL_ROOMS:
            return True
        trace = trace.tb_next
    return False


def _of_failure(error: Exception, request: web.Request, route: str, request_id: str) -> Problem:
    def warned(what: str, action: str, code: str) -> Problem:
        left_out = _SELDOM[action].left_out()
        if left_out is not None:
            words = {"route": route, "request_id": request_id, "error": repr(error)}
            words |= trace_of(request)
            log.warning(what, action=action, left_out=left_out, **words)
        return unavailable(code)

    match error:
        case OutcomeUnknown():
            return unavailable("outcome_unknown", "Repeat it with the same Idempotency-Key.")
        case Overloaded():
            return unavailable("backpressure")
        case EventRecovering():
            return unavailable("event_recovering")
        case ShardUnavailable():
            return unavailable("shard_recovering")
        case KeysUnknown():
            return unavailable("database_unavailable", "Which keys sign is not known for now.")
        case RedisError():
            return warned("redis failed", "redis_failed", "redis_unavailable")
        case Busy():
            # No line in the log: anybody may ask often. The request is counted with its status.
            return unavailable("database_busy")
        case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError():
            return warned("statement took too long", "statement_cancelled", "database_busy")
        case _ if _is_of_database(error):
            return warned("database failed", "database_failed", "database_unavailable")
        case _:
            log.error(
                "request failed",
                action="request_failed",
                route=route,
                request_id=request_id,
                exc_info=error,
                **trace_of(request),
            )
            return Problem(500, "internal", "Something is wrong on our side.")
