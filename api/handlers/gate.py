"""Tickets: the key that verifies them, check-in and its undoing, and those from others."""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_page, problem_of
from api.http import PRINCIPAL, SERVICES, optional_key, page_limit, page_start, read_body
from api.problems import Problem
from api.schemas import ScanAnswer, ScanAnswers, TicketKey, TicketKeys, TicketPage
from usecases import gate, tickets, told
from usecases.asked import PastScans, Scan
from usecases.denials import Denied, Done

_SCAN = msgspec.json.Decoder(Scan)
_PAST_SCANS = msgspec.json.Decoder(PastScans)
_PUBLIC = {"Cache-Control": "public, max-age=300"}


async def keys(request: web.Request) -> web.StreamResponse | Problem:
    """Return the keys that verify ticket codes, also without a network."""
    codes = request.app[SERVICES].ticket_codes
    found = codes.public_keys.items()
    data = [TicketKey(key_id=key_id, public_key=public_key) for key_id, public_key in found]
    return answer(TicketKeys(data=data), headers=_PUBLIC)


async def check_in(request: web.Request) -> web.StreamResponse | Problem:
    """
    Let the bearer of a ticket in, once, at the door of the event that the request names.

    A second scan is refused, says when and where the first was, and stays on record; the same
    scan sent again, known by `scan_id` or the Idempotency-Key, gets its first answer again. A
    ticket of another event is refused without effect.
    """
    return await _scan(request, "checked_in")


async def undo(request: web.Request) -> web.StreamResponse | Problem:
    """
    Take a check-in back, so that the ticket passes again, at the door of the event it is for.

    May be repeated.
    """
    return await _scan(request, "valid")


async def upload(request: web.Request) -> web.StreamResponse | Problem:
    """
    Take scans that a gate made while it was offline, each once, in their order.

    The answer has one entry for each, in the same order: the check-in, or the problem that the
    scan met; neither stops the others. An upload may be sent again, whole or in part.
    """
    asked = await read_body(request, _PAST_SCANS)
    event_id = request.match_info["event_id"]
    done = await gate.upload(request.app[SERVICES], request[PRINCIPAL], event_id, asked)
    if isinstance(done, Denied):
        return problem_of(done)
    pairs = zip(asked.scans, done, strict=True)
    rows = [_answer_of(past.scan_id, one) for past, one in pairs]
    return answer(ScanAnswers(data=rows), headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the tickets that others gave to the caller, the latest changed first."""
    limit, before = page_limit(request), page_start(request)
    page = await tickets.given(
        request.app[SERVICES], request[PRINCIPAL], before=before, limit=limit
    )
    return answer_page(request, TicketPage, page, PERSONAL)


async def _scan(
    request: web.Request, wanted: Literal["checked_in", "valid"]
) -> web.StreamResponse | Problem:
    asked, key = await read_body(request, _SCAN), optional_key(request)
    services, code = request.app[SERVICES], request.match_info["code"]
    done = await gate.scan(services, request[PRINCIPAL], code, asked, key, wanted)
    return answer(done, headers=PERSONAL)


def _answer_of(scan_id: str, done: Done[told.Scanned] | Denied) -> ScanAnswer:
    if isinstance(done, Denied):
        problem = problem_of(done)
        is_replay = "Idempotent-Replayed" in problem.headers
        return ScanAnswer(scan_id=scan_id, is_replay=is_replay, problem=problem.about())
    return ScanAnswer(scan_id=scan_id, is_replay=done.is_replay, scanned=done.told)
