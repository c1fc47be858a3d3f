"""
Errors as `application/problem+json` (RFC 9457): one shape, one place.

A refusal names its `code`, and bad input names the field by a JSON pointer. The table in
`api.codes` says of each code what it means; the service tells it at the address in `type`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from api.codes import CODES
from api.lean import LeanAnswer
from engine.outcomes import REFUSAL_FIELDS, Refused
from engine.status import Status
from usecases.moments import moment_of

CONTENT_TYPE = "application/problem+json"
#: Where each code is explained; relative, so that it leads to the very server that answered.
TYPE_PREFIX = "/problems/"


#: A cache may keep a 404 or 410 by itself (RFC 9111, section 4.2.2), and what is not there now may
#: be a moment later.
_KEPT_BY_NOBODY = {"Cache-Control": "no-store"}


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
        closes: bool = False,
        **members: Any,
    ) -> None:
        """
        Args:
            status: HTTP status.

            code: Stable name for machines.

            title: The same for every occurrence of the code.

            detail: What is special about this one.

            errors: Pairs of JSON pointer and what is wrong there.

            closes: Whether the connection ends with the answer.

            members: Further figures, such as `retry_after_ms`.
        """
        super().__init__(f"{code}: {detail or title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.closes = closes
        self.members = members
        self._shared: tuple[bytes, str] | None = None

    def response(self, path: str, request_id: str) -> LeanAnswer:
        """Render the problem as the answer to a request for *path*."""
        if not path.isascii():  # It may have bytes that are no text.
            path = path.encode(errors="replace").decode()
        own = orjson.dumps({"instance": path, "request_id": request_id})
        if self._shared is None:
            self._shared = self._render()
        head, headers = self._shared
        body = head + b"," + own[1:]
        answer = LeanAnswer(self.status, body, headers, content_type=CONTENT_TYPE)
        answer.closes = self.closes
        return answer

    def _render(self) -> tuple[bytes, str]:
        """Return what is alike for all who are told: the body but for its end, and headers."""
        text = orjson.dumps(self.about(), option=orjson.OPT_UTC_Z)
        headers = _KEPT_BY_NOBODY | self.headers
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        return text[:-1], "".join(lines)

    def about(self) -> dict[str, Any]:
        """Return the problem's members, but for those of one request."""
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
        return body | self.members


#: Statuses whose code is not their own name.
_AS_INVALID = {Status.PROMO_UNKNOWN, Status.UNKNOWN_TIER, Status.UNKNOWN_SEAT}
_OWN_CODES = dict.fromkeys(_AS_INVALID, "invalid") | {Status.EVENT_DAMAGED: "event_recovering"}
#: The code of each status that a script can refuse with.
REFUSALS = {status: CODES[_OWN_CODES.get(status, status.name.lower())] for status in REFUSAL_FIELDS}

RETRY_AFTER_S = 1
#: Fields of refusals that are times.
_MOMENTS = ("checked_in_at", "opens_at", "closes_at", "ends_at", "expired_at", "expires_at")


def refusal(refused: Refused) -> Problem:
    """Turn a script's refusal into the answer that says so."""
    row = REFUSALS[refused.status]
    members: dict[str, Any] = dict(refused.fields)
    errors: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    if members.pop("is_replay", None):
        headers["Idempotent-Replayed"] = "true"
    if refused.status is Status.PROMO_UNKNOWN:
        errors.append(("/promo_code", "is not a code for these tiers"))
    line = members.pop("line", None)
    if line is not None:
        errors.append((f"/items/{int(line) - 1}", row.title))
        members["line"] = int(line) - 1
    for moment in _MOMENTS:
        at_ms = members.pop(f"{moment}_ms", None)
        if at_ms is not None:
            members[moment] = moment_of(int(at_ms))
    if refused.status is Status.RATE_LIMITED:
        headers |= rate_limit_headers(
            int(members.pop("attempts_max")),
            int(members.pop("window_ms")),
            more_after_ms=int(members["retry_after_ms"]),
            name=str(members.pop("limit", "bookings")),
        )
    elif refused.status is Status.TOO_MANY_HOLDS:
        headers |= rate_limit_headers(
            int(members["max"]), more_after_ms=int(members.get("retry_after_ms", 0)), name="holds"
        )
    if "retry_after_ms" in members:
        headers["Retry-After"] = str(math.ceil(int(members["retry_after_ms"]) / 1000))
    elif refused.status.is_transient and row.http_status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Problem(row.http_status, row.code, row.title, errors=errors, headers=headers, **members)


def rate_limit_headers(
    attempts_max: int, window_ms: int = 0, *, more_after_ms: int, name: str
) -> dict[str, str]:
    """
    Return the fields that tell of a limit that is reached (draft-ietf-httpapi-ratelimit-headers).

    Args:
        attempts_max: How many there may be.

        window_ms: Within what time; 0: at a time.

        more_after_ms: Time after which there may be one more, also told as `Retry-After`.

        name: What is limited.
    """
    within = f"w={math.ceil(window_ms / 1000)}" if window_ms else 'qu="concurrent-requests"'
    more_after_s = max(1, math.ceil(more_after_ms / 1000))
    return {
        "RateLimit-Policy": f'"{name}";q={attempts_max};{within}',
        "RateLimit": f'"{name}";r=0;t={more_after_s}',
        "Retry-After": str(more_after_s),
    }


def not_found() -> Problem:
    """Return the one answer for what is not there and for what is not the caller's (S8)."""
    row = REFUSALS[Status.NOT_FOUND]
    return Problem(row.http_status, row.code, row.title)


def invalid(pointer: str, detail: str) -> Problem:
    """Return the answer to a well-formed request with a bad value at *pointer*."""
    return Problem(422, "invalid", "The request is not valid.", errors=[(pointer, detail)])


def unavailable(code: str, detail: str = "") -> Problem:
    """Return the answer while something below cannot do its work."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, code, CODES[code].title, detail=detail, headers=headers)


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
