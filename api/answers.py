"""Answers: what use cases tell, or deny, as HTTP."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections import OrderedDict
from typing import Any

import msgspec
from aiohttp import web

from api.codes import CODES
from api.lean import LeanAnswer
from api.problems import RETRY_AFTER_S, Problem, refusal
from engine.outcomes import Refused
from engine.records import Item
from engine.status import Status
from usecases.asked import Scalar
from usecases.bookings import Made
from usecases.catalog import Known
from usecases.denials import Denied, Done, Why
from usecases.memory import remember
from usecases.moments import moment_text
from usecases.orders import items_of, total_of
from usecases.told import Page

#: For the eyes of whoever asks alone: what is theirs, or what a promo code unlocks.
PERSONAL = {"Cache-Control": "private, no-store"}
PUBLIC = {"Cache-Control": "public, max-age=1, stale-while-revalidate=5"}
#: For caches, where the organizer sees at an address what others do not.
VARY = {"Vary": "Authorization"}
MEMORY_ENTRIES_MAX = 4_096

DENIALS = {
    Why.INVALID: CODES["invalid"],
    Why.FORBIDDEN: CODES["forbidden"],
    Why.WRONG_CREDENTIALS: CODES["wrong_credentials"],
    Why.BOOKINGS_OPEN: CODES["bookings_open"],
    Why.SIGN_IN_OVER: CODES["sign_in_over"],
    Why.SIGN_IN_REFUSED: CODES["sign_in_refused"],
    Why.PROVIDER_AWAY: CODES["provider_unavailable"],
    Why.ADDRESS_UNVERIFIED: CODES["address_unverified"],
    Why.LINK_NEEDED: CODES["link_needed"],
    Why.IDENTITY_TAKEN: CODES["identity_taken"],
    Why.PASSKEY_KNOWN: CODES["passkey_known"],
    Why.PASSKEYS_OFF: CODES["passkeys_off"],
    Why.PUSH_OFF: CODES["push_off"],
    Why.WALLET_OFF: CODES["wallet_off"],
    Why.BROWSERS_FULL: CODES["too_many_browsers"],
    Why.TOO_MANY_WAYS_IN: CODES["too_many_ways_in"],
    Why.LAST_WAY_IN: CODES["last_way_in"],
    Why.SIGN_IN_AGAIN: CODES["sign_in_again"],
    Why.PASSKEY_REQUIRED: CODES["passkey_required"],
    Why.ACCOUNT_DISABLED: CODES["account_disabled"],
    Why.LAST_OWNER: CODES["last_owner"],
    Why.LAST_ADMIN: CODES["last_admin"],
    Why.ALREADY_MEMBER: CODES["already_member"],
    Why.TEAM_FULL: CODES["team_full"],
    Why.SESSION_OVER: CODES["session_over"],
    Why.LINK_OVER: CODES["link_over"],
    Why.VERSION_WANTED: CODES["precondition_required"],
    Why.VERSION_PASSED: CODES["precondition_failed"],
    Why.WRONG_EVENT: CODES["wrong_event"],
    Why.SEVERAL_TICKETS: CODES["several_tickets"],
    Why.NO_DRAFT: CODES["not_a_draft"],
    Why.KEYS_FULL: CODES["too_many_keys"],
    Why.WEBHOOKS_FULL: CODES["too_many_webhooks"],
    Why.WEBHOOK_OFF: CODES["webhook_off"],
    Why.WEBHOOKS_OFF: CODES["webhooks_off"],
    Why.NOTHING_DUE: CODES["refund_not_due"],
    Why.NOTES_FULL: CODES["too_many_notes"],
    Why.SALE_HAS_OPENED: CODES["sale_has_opened"],
    Why.REMINDERS_FULL: CODES["too_many_reminders"],
    Why.IN_PROGRESS: CODES["request_in_progress"],
    Why.DONE_BEFORE: CODES["done_before"],
    Why.CATCHING_UP: CODES["catching_up"],
    Why.OUTCOME_UNKNOWN: CODES["outcome_unknown"],
}
_ENCODER = msgspec.json.Encoder()
#: What orders' items cost, as JSON, by event; neither tiers' ids nor an event's currency change.
_priced: OrderedDict[tuple[str, tuple[Item, ...]], str] = OrderedDict()


def answer(
    told: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> LeanAnswer | Problem:
    """Answer with what a use case told or denied; headers must be safe to write as they are."""
    if isinstance(told, Denied | Refused):
        return problem_of(told)
    own = headers or {}
    if isinstance(told, Done):
        if told.promise is not None and told.promise.is_preferred:
            own = own | {"Preference-Applied": f"durability={told.promise.level}"}
        if told.is_replay:
            own = own | {"Idempotent-Replayed": "true"}
        told = told.told
    lines = "".join([f"{name}: {value}\r\n" for name, value in own.items()])
    return LeanAnswer(status, _ENCODER.encode(told), lines)


def answer_page(
    request: web.Request,
    schema: type[msgspec.Struct],
    page: Page[Any] | Denied,
    headers: dict[str, str],
    **more: Any,
) -> LeanAnswer | Problem:
    """
    Answer with a page of a list and the cursor of the next, also as a `Link` to it.

    Args:
        more: What this list tells besides.
    """
    if isinstance(page, Denied):
        return problem_of(page)
    cursor = None
    if page.last is not None:
        cursor = cursor_of(page.last)
        url = request.rel_url.update_query(after=cursor)
        # Path and query alone, whatever server the request names; both are encoded.
        headers = headers | {"Link": f'<{url.raw_path}?{url.raw_query_string}>; rel="next"'}
    members: dict[str, Any] = (
        {"up_to_date": page.up_to_date} if "up_to_date" in schema.__struct_fields__ else {}
    )
    members |= more
    body = schema(data=page.data, has_more=cursor is not None, next_cursor=cursor, **members)
    return answer(body, headers=headers)


def cursor_of(last: tuple[dt.datetime, str]) -> str:
    """Return where the page behind a list's row begins; `api.http.page_start` reads it."""
    text = f"{last[0].isoformat()} {last[1]}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def answer_nothing(told: Denied | None) -> web.StreamResponse | Problem:
    """Answer that something is done, of which there is nothing to tell."""
    return problem_of(told) if told is not None else web.Response(status=204, headers=PERSONAL)


def problem_of(denied: Denied | Refused) -> Problem:
    """Turn a use case's no into the answer that says so."""
    if isinstance(denied, Refused):
        return refusal(denied)
    if isinstance(denied.why, Status):
        problem = refusal(Refused(denied.why, dict(denied.fields)))
    else:
        row = DENIALS[denied.why]
        waits = row.http_status == 503 or "retry_after_ms" in denied.fields
        headers = {"Retry-After": str(math.ceil(RETRY_AFTER_S))} if waits else {}
        figures: Any = denied.fields
        problem = Problem(row.http_status, row.code, row.title, headers=headers, **figures)
    problem.detail = denied.detail
    if denied.errors:
        problem.errors = [(at, how or problem.title) for at, how in denied.errors]
    return problem


def answer_made(
    made: Made | Denied, special_requests: str, metadata: dict[str, Scalar]
) -> LeanAnswer | Problem:
    """
    Answer with a new booking: a `told.Booking` as JSON.

    By hand, since most of it is the same for all who order the same; ids, levels and receipts
    have no character to escape. One that was cancelled since is not made by this request, nor live:
    200 instead of 201.
    """
    if isinstance(made, Denied):
        return problem_of(made)
    known, own, promise, outcome, receipt = made
    headers = f"Cache-Control: private, no-store\r\nLocation: /v1/bookings/{own.id}\r\n"
    if promise.is_preferred:
        headers += f"Preference-Applied: durability={promise.level}\r\n"
    if outcome.is_replay:
        headers += "Idempotent-Replayed: true\r\n"
    quoted, cancelled_at = f'"{receipt}"' if receipt else "null", "null"
    if outcome.cancelled_at_ms is not None:
        cancelled_at = f'"{moment_text(outcome.cancelled_at_ms)}"'
    noted = '"special_requests":"","metadata":{}'
    if special_requests or metadata:
        noted = (
            f'"special_requests":{encode(special_requests).decode()},'
            f'"metadata":{encode(metadata).decode()}'
        )
    body = (
        f'{{"id":"{own.id}","event_id":"{own.event_id}","status":"{outcome.status}",'
        f"{_priced_items(known, own.event_id, outcome.items)},"
        f'"created_at":"{moment_text(outcome.at_ms)}","cancelled_at":{cancelled_at},'
        f'"durability":"{promise.level}","seq":{outcome.seq},'
        f'"receipt":{quoted},{noted},"version":{outcome.version},"tickets":[]}}'
    )
    return LeanAnswer(201 if cancelled_at == "null" else 200, body.encode(), headers)


def encode(told: Any) -> bytes:
    """Return an answer's body."""
    return _ENCODER.encode(told)


def _priced_items(known: Known, event_id: str, items: tuple[Item, ...]) -> str:
    """Return the members `items` and `total` of an answer, as JSON."""
    text = _priced.get((event_id, items))
    if text is None:
        rows, total = encode(items_of(known, items)), encode(total_of(known, items))
        text = f'"items":{rows.decode()},"total":{total.decode()}'
        remember(_priced, (event_id, items), text, most=MEMORY_ENTRIES_MAX)
    return text
