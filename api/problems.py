"""
Errors as `application/problem+json` (RFC 9457): one shape, one table, one place.

A refusal names its `code`, and bad input names the field by a JSON pointer. The table below says,
for each status that a script can refuse with, which HTTP status and code it becomes; a test holds
it against `engine.status.Status`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from api.lean import LeanAnswer
from engine.outcomes import Refused
from engine.status import Status
from usecases.moments import moment_of

CONTENT_TYPE = "application/problem+json"
#: Where each code is explained; relative, so that it leads to the very server that answered.
TYPE_PREFIX = "/docs/problems#"


class Problem(Exception):
    """An answer other than success; raised by handlers, rendered by the middleware."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str = "",
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """
        Args:
            status: HTTP status.

            code: Stable name for machines.

            title: The same for every occurrence of the code.

            detail: What is special about this one.

            errors: Pairs of JSON pointer and what is wrong there.

            members: Further figures, such as `retry_after_ms`.
        """
        super().__init__(f"{code}: {detail or title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = members
        self._shared: tuple[bytes, str] | None = None

    def response(self, path: str, request_id: str) -> LeanAnswer:
        """Render the problem as the answer to a request for *path*."""
        own = orjson.dumps({"instance": path, "request_id": request_id})
        if self._shared is None:
            self._shared = self._render()
        head, headers = self._shared
        return LeanAnswer(self.status, head + b"," + own[1:], headers, content_type=CONTENT_TYPE)

    def _render(self) -> tuple[bytes, str]:
        """Return what is alike for all who are told: the body but for its end, and headers."""
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = [
                {"pointer": pointer, "detail": detail} for pointer, detail in self.errors
            ]
        text = orjson.dumps(body | self.members, option=orjson.OPT_UTC_Z)
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        return text[:-1], "".join(lines)


class Refusal(NamedTuple):
    """How a refusing status of a script looks over HTTP."""

    http_status: int
    code: str
    title: str


REFUSALS: dict[Status, Refusal] = {
    Status.SOLD_OUT: Refusal(409, "sold_out", "There are not enough places left."),
    Status.ALL_HELD: Refusal(409, "all_held", "All places are taken for now; some may return."),
    Status.PROMO_UNKNOWN: Refusal(422, "invalid", "The request is not valid."),
    Status.PROMO_EXHAUSTED: Refusal(
        409, "promo_exhausted", "The promo code is used as often as may be."
    ),
    Status.LIMIT_REACHED: Refusal(409, "limit_reached", "That is more than one may have."),
    Status.SALE_NOT_OPEN: Refusal(409, "sale_not_open", "The sale has not opened yet."),
    Status.SALE_CLOSED: Refusal(409, "sale_closed", "The sale is closed."),
    Status.NOT_ON_SALE: Refusal(409, "not_on_sale", "The event is not on sale."),
    Status.UNKNOWN_TIER: Refusal(422, "invalid", "The request is not valid."),
    Status.UNKNOWN_SEAT: Refusal(422, "invalid", "The request is not valid."),
    Status.SEAT_TAKEN: Refusal(409, "seat_taken", "The seat is not free."),
    Status.NOT_TOGETHER: Refusal(409, "not_together", "Enough seats are left, but not together."),
    Status.NOT_FOUND: Refusal(404, "not_found", "There is no such thing here."),
    Status.IDEMPOTENCY_KEY_REUSED: Refusal(
        422, "idempotency_key_reused", "The idempotency key was used for another request."
    ),
    Status.EVENT_CANCELLED: Refusal(409, "event_cancelled", "The event was called off."),
    Status.TICKET_CANCELLED: Refusal(410, "ticket_cancelled", "The ticket was cancelled."),
    Status.TICKET_SUPERSEDED: Refusal(
        410, "ticket_superseded", "The ticket was given to somebody else; this code is void."
    ),
    Status.ALREADY_CHECKED_IN: Refusal(
        409, "already_checked_in", "Somebody is in on this ticket already."
    ),
    Status.NOT_CHECKED_IN: Refusal(409, "not_checked_in", "Nobody is in on this ticket."),
    Status.VERSION_CHANGED: Refusal(
        409, "version_changed", "The booking has changed since; read it again."
    ),
    Status.NOT_IN_BOOKING: Refusal(
        409, "not_in_booking", "The booking has not so many places of that tier."
    ),
    Status.CAPACITY_BELOW_TAKEN: Refusal(
        409, "capacity_below_taken", "More places than that are sold, held or blocked."
    ),
    Status.HOLD_EXPIRED: Refusal(410, "hold_expired", "The hold is over and its places are gone."),
    Status.HOLD_RELEASED: Refusal(410, "hold_released", "The hold was given back."),
    Status.HOLD_CONFIRMED: Refusal(409, "hold_confirmed", "The hold is a booking already."),
    Status.EXTENSION_LIMIT: Refusal(
        409, "extension_limit", "The hold has the longest life it can have."
    ),
    Status.ALREADY_WAITING: Refusal(409, "already_waiting", "You wait for this tier already."),
    Status.PLACES_AVAILABLE: Refusal(
        409, "places_available", "There are places, and nobody waits: book them."
    ),
    Status.WAITLIST_FULL: Refusal(409, "waitlist_full", "As many wait as may."),
    Status.RATE_LIMITED: Refusal(429, "rate_limited", "That is more than one may try at a time."),
    Status.BACKPRESSURE: Refusal(503, "backpressure", "Too much is waiting; try again shortly."),
}

RETRY_AFTER_S = 1


def refusal(refused: Refused) -> Problem:
    """Turn a script's refusal into the answer that says so."""
    row = REFUSALS[refused.status]
    members: dict[str, Any] = dict(refused.fields)
    errors: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    if refused.status is Status.PROMO_UNKNOWN:
        errors.append(("/promo_code", "is not a code for these tiers"))
    line = members.pop("line", None)
    if line is not None:
        errors.append((f"/items/{int(line) - 1}", row.title))
        members["line"] = int(line) - 1
    for moment in ("checked_in_at", "opens_at", "closes_at", "expired_at", "expires_at"):
        at_ms = members.pop(f"{moment}_ms", None)
        if at_ms is not None:
            members[moment] = moment_of(int(at_ms))
    if refused.status is Status.RATE_LIMITED:
        headers |= rate_limit_headers(
            int(members.pop("attempts_max")),
            int(members.pop("window_ms")),
            left=0,
            more_after_ms=int(members["retry_after_ms"]),
        )
    if "retry_after_ms" in members:
        headers["Retry-After"] = str(math.ceil(int(members["retry_after_ms"]) / 1000))
    elif refused.status.is_transient and row.http_status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Problem(row.http_status, row.code, row.title, errors=errors, headers=headers, **members)


def rate_limit_headers(
    attempts_max: int, window_ms: int, *, left: int, more_after_ms: int
) -> dict[str, str]:
    """
    Return the fields that tell of the booking limit (draft-ietf-httpapi-ratelimit-headers-11).

    Args:
        attempts_max, window_ms: The limit.

        left: Attempts that may be made at once.

        more_after_ms: Time after which there is one more.
    """
    window_s, more_after_s = math.ceil(window_ms / 1000), math.ceil(more_after_ms / 1000)
    return {
        "RateLimit-Policy": f'"bookings";q={attempts_max};w={window_s}',
        "RateLimit": f'"bookings";r={left};t={more_after_s}',
    }


def not_found() -> Problem:
    """Return the one answer for what is not there and for what is not the caller's (S8)."""
    row = REFUSALS[Status.NOT_FOUND]
    return Problem(row.http_status, row.code, row.title)


def invalid(pointer: str, detail: str) -> Problem:
    """Return the answer to a well-formed request with a bad value at *pointer*."""
    return Problem(422, "invalid", "The request is not valid.", errors=[(pointer, detail)])


def unavailable(code: str, title: str, *, retry_after_s: float = RETRY_AFTER_S) -> Problem:
    """Return the answer while something below cannot do its work."""
    return Problem(503, code, title, headers={"Retry-After": str(math.ceil(retry_after_s))})


_AT = re.compile(r" - at `(?:key in )?\$(.*)`$")
_FIELD = re.compile(r"(unknown|missing required) field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def from_validation(error: msgspec.ValidationError) -> Problem:
    """Turn msgspec's message into a pointer and a sentence."""
    text = str(error)
    at = _AT.search(text)
    message = text[: at.start()] if at else text
    steps = [name or index for name, index in _STEP.findall(at[1])] if at else []
    field = _FIELD.search(message)
    if field:
        steps.append(field[2])
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return invalid(pointer, message.replace("`", ""))
