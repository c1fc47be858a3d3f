"""Requests with an Idempotency-Key whose work PostgreSQL does: done once, answered alike."""

from __future__ import annotations

from aiohttp import web

from api.answers import PERSONAL, problem_of
from api.http import PRINCIPAL, SERVICES, optional_key, read_raw
from api.lean import LeanAnswer
from api.policy import Handler
from api.problems import Problem
from store.idempotency import Attempt
from usecases import repeats
from usecases.denials import Denied
from usecases.repeats import KeptAnswer

_REPLAYED = "Idempotent-Replayed: true\r\n"


def once(handler: Handler, *, is_secret: bool) -> Handler:
    """
    Return *handler* so that a request with a key is done once.

    Args:
        is_secret: Whether its answer has what is told once alone; that is kept nowhere.
    """

    async def answered(request: web.Request) -> web.StreamResponse | Problem:
        key = optional_key(request)
        if key is None:
            return await handler(request)
        services, raw = request.app[SERVICES], await read_raw(request)
        target = f"{request.method} {request.path}"
        begun = await repeats.begin(services, request[PRINCIPAL], key, target, raw)
        if isinstance(begun, Denied):
            return problem_of(begun)
        if isinstance(begun, KeptAnswer):
            return _again(begun)
        return await _first(request, handler, begun, is_secret=is_secret)

    return answered


async def _first(
    request: web.Request, handler: Handler, attempt: Attempt, *, is_secret: bool
) -> web.StreamResponse | Problem:
    services, context = request.app[SERVICES], repeats.UNDER_WAY.set(attempt)
    answer: web.StreamResponse | Problem | None = None
    try:
        answer = await handler(request)
    finally:
        repeats.UNDER_WAY.reset(context)
        if answer is None or isinstance(answer, Problem):
            await repeats.let_go(services, attempt)
    if not isinstance(answer, Problem):
        await repeats.keep(services, attempt, None if is_secret else _kept(answer))
    return answer


def _kept(answer: web.StreamResponse) -> KeptAnswer:
    if isinstance(answer, LeanAnswer):
        return KeptAnswer(*answer.parts())
    return KeptAnswer(answer.status, "", b"")


def _again(kept: KeptAnswer) -> web.StreamResponse:
    if kept.body:
        return LeanAnswer(kept.status, kept.body, kept.headers + _REPLAYED)
    headers = PERSONAL | {"Idempotent-Replayed": "true"}
    return web.Response(status=kept.status, headers=headers)
