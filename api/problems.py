"""
Errors as `application/problem+json` (RFC 9457): one shape, one table, one place.

A refusal names its `code`, and bad input names the field by a JSON pointer. The table below says of
each code what it means and what to do next; the service tells it at the address in `type`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from api.lean import LeanAnswer
from engine.outcomes import REFUSAL_FIELDS, Refused
from engine.status import Status
from usecases.moments import moment_of

CONTENT_TYPE = "application/problem+json"
#: Where each code is explained; relative, so that it leads to the very server that answered.
TYPE_PREFIX = "/problems/"


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
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
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


class Code(msgspec.Struct, frozen=True):
    """What a code means: what `/problems/<code>` tells."""

    http_status: int
    code: str
    title: str
    meaning: str
    next_step: str


#: Every code: a line with code, HTTP status and title; what happened; what to do next.
_TABLE = """
sold_out 409 There are not enough places left.
Fewer places are left than the order asks for, and too few are held that might come back.
Ask for fewer or for another tier, or join the waitlist.

all_held 409 All places are taken for now; some may return.
Others hold the last places and have not confirmed them yet.
Try again in a few minutes, or join the waitlist: what comes back is offered there first.

kept_for_waitlist 409 The free places are kept for those who wait.
Places are free, but people wait for this tier, and what is free is offered to them in their order.
Join the waitlist: `POST /v1/events/{event_id}/waitlist` with the tier and the number of places.

promo_exhausted 409 The promo code is used as often as may be.
The code is right, but its last use is taken.
Order without the code, or with another one.

limit_reached 409 That is more than one may have.
With this order you would have more places than the event or the tier allows one person.
Order fewer; `scope` says which limit it is, and what you hold counts as well.

sale_not_open 409 The sale has not opened yet.
You are early: places of this tier are not sold before `opens_at`.
Come back at that time; a new Idempotency-Key is not needed.

sale_closed 409 The sale is closed.
The time in which places of this tier were sold is over, or the organizer closed the sale.
Look at the event again, or ask the organizer: a sale may be reopened.

event_ended 409 The event is over by then.
Nothing is sold once the event has ended, at `ends_at`, but by tiers that say so.
Look for another date; if the event is yours, end its sale no later than the event.

price_changed 409 The places cost something else now.
The hold had run out, and with it the price that it promised; they would now cost `total_minor`.
Order anew, if the price is right for you.

not_on_sale 409 The event is not on sale.
The event is a draft, or its sale has ended for good.
Look at the event again. If it is yours: publish it first.

seat_taken 409 The seat is not free.
Somebody was faster, or the organizer does not sell this seat.
Look at the seat map again and choose another, or ask for the best available.

not_together 409 Enough seats are left, but not together.
There are enough free seats, but no row has that many side by side.
Ask again for seats that may be apart, or for fewer.

not_found 404 There is no such thing here.
Nothing is at this address that you may see; what belongs to others is answered in the same way.
Check the address and the account that you are logged in with.

idempotency_key_reused 422 The idempotency key was used for another request.
A key stands for one order, as a scan's id does for one scan; this one came with another before.
Send the first request to get its answer again, or make a new key for the new one.

event_cancelled 409 The event was called off.
The organizer cancelled the event, and every booking of it was cancelled with it.
Ask the organizer about money that was paid.

ticket_cancelled 410 The ticket was cancelled.
The booking of this ticket was cancelled in whole or in part; nobody comes in with it.
Let the guest show the booking; another ticket of it may be good.

ticket_superseded 410 The ticket was given to somebody else; this code is void.
The ticket was passed on, and its new owner has a new code.
Ask for the newest code: the one in the booking of the new owner.

already_checked_in 409 Somebody is in on this ticket already.
The ticket was used at the gate before, at `checked_in_at`; its place cannot be given back or away.
If the scan was a mistake, undo that check-in; otherwise the code was copied.

wrong_event 409 The ticket is for another event.
The code is good, but not at the door of the event that the scan names; nothing was done with it.
Send the guest to the event of the ticket; if the gate is there, name that event.

not_checked_in 409 Nobody is in on this ticket.
There is no check-in that could be undone.
Nothing is left to do.

version_changed 409 The booking has changed since; read it again.
The request was made for an older state of the booking than it has now.
Read the booking, decide anew, and send its new version.

not_in_booking 409 The booking has not what is to be given back.
It has fewer places of that tier left, or the ticket or seat is not, or no longer, one of its own.
Read the booking and give back what it has.

seats_not_named 409 It must be said which seats.
Some of several seats of a tier are to be given back, and a number does not say which.
Send the `seat_ids` or the `ticket_ids` that are to go; a number is enough where all seats go.

below_minimum 409 That would leave fewer places of a tier than one may have.
An order of this tier has at least `minimum` places, and so must what is kept of it.
Give back fewer, or all of this tier.

ticket_transferred 409 A ticket was given away; it is its holder's.
Who booked it cannot give back the place of `ticket_id`, which somebody else has now.
Ask them to give it back (`POST /v1/tickets/{id}/return`), or leave it out: name those that go.

no_transfers 409 Tickets of this event cannot be given away.
The organizer has ruled that a ticket stays with who booked it.
Cancel the place if the event allows it, so that somebody else can book it.

not_upgraded 409 The server cannot do this before its upgrade is over.
The sale is still kept in a form that older servers read too, and this cannot be said in it.
Give back places by their number instead of by name, or ask again after the upgrade.

tier_has_seats 409 Seats are named, not counted.
Which seats of a booking are meant, a number does not say; and a tier has as many places as seats.
Name the seats, or cancel the whole booking; to sell fewer, block seats.

capacity_below_taken 409 More places than that are sold, held or blocked.
A tier cannot shrink below the places that are taken.
Choose a larger capacity, or cancel or unblock places first.

hold_expired 410 The hold is over and its places are gone.
The time to confirm ran out, and others have taken the places since.
Order anew.

hold_released 410 The hold was given back.
It was released before it was confirmed, so its places are for sale again.
Order anew.

hold_confirmed 409 The hold is a booking already.
It was confirmed before and cannot be released or extended.
Look at the booking; cancel that if you do not want it.

extension_limit 409 The hold has the longest life it can have.
A hold can be extended for a while, but not for ever.
Confirm it before it ends, or let it go.

already_waiting 409 You wait for this tier already.
One person has one entry in the waitlist of a tier.
Look at your entry; leave the waitlist first if you need another number of places.

places_available 409 There are places, and nobody waits: book them.
A waitlist is for tiers without free places.
Book or hold the places now.

party_too_large 409 The tier can never have so many places free.
The party is larger than the tier, less the places that the organizer does not sell: `max` is left.
Wait for at most `max` places, or for another tier.

waitlist_full 409 As many wait as may.
The waitlist of this tier has as many entries as it may have.
Try another tier, or try again later.

too_many_holds 429 Too many holds are open.
You, or the address that you come from, have as many holds of this event open as may be.
Confirm or release one, or try again after `Retry-After`, when the next one runs out.

rate_limited 429 That is more than one may try at a time.
You tried to get places, or accounts were made from your address, more often than the limit allows.
Wait as long as `Retry-After` says; the field `RateLimit` tells how many attempts are left.

backpressure 503 Too much is waiting; try again shortly.
So many requests wait, or so many sales wait to be stored, that more would only make it worse.
Send the same request with the same Idempotency-Key again after the time in `Retry-After`.

invalid 422 The request is not valid.
The request could be read, but a value in it is not one that this address takes.
Mend what `errors` points to: each entry has a JSON pointer to the value and says what is wrong.

malformed 400 The body cannot be read.
The body is not the JSON that its headers announce.
Send JSON in UTF-8; `detail` says where reading ended.

too_large 413 The body is too large.
The server takes bodies up to a limit, and this one is above it.
Send less in one request.

request_timeout 408 The request did not arrive in time.
The request, or its body, came so slowly that the server did not wait for the rest.
Send it again, in one go; with the same Idempotency-Key if it has one.

uri_too_long 414 The address is too long.
Path and query together are longer than the server reads.
Ask for less in one address.

headers_too_large 431 The headers are too large.
One header is longer than the server reads, or there are too many.
Send fewer or shorter headers; cookies are of no use here.

unsupported_encoding 415 The body is compressed, which no request here may be.
The request names a Content-Encoding; bodies are taken only as they are.
Send the body uncompressed and without that header.

too_many_connections 429 There are too many connections from this address.
One address may have only so many connections at a time.
Close those that are not used, or wait; a proxy must be named to the server by its operator.

not_implemented 501 The server does not do this.
The method, or the way in which the body is sent, is one that the server does not know.
Use a method that the description of the API names, and send the body as it is.

version_not_supported 505 The server speaks HTTP/1.1 and HTTP/1.0 alone.
The request is written in another version of HTTP.
Use HTTP/1.1, or a proxy that speaks the other version to you.

method_not_allowed 405 The path has no such method.
The address exists, but not for this method.
Use one of the methods in the header `Allow`.

http_error 400 The request cannot be served.
The request is not good HTTP, or asks for something this server does not do; `title` says what.
Mend the client; a person with a browser should not see this.

unauthorized 401 The request is not authorized.
There is no access token, or it has run out, or it is not one of this server.
Log in and send the new token as `Authorization: Bearer <token>`.

wrong_credentials 401 Address or password is wrong.
There is no account with this address and this password.
Check both and try again.

forbidden 403 The account may not do this.
You are logged in, but your role does not reach that far.
Use an account of the organizer or of an admin.

email_taken 409 There is an account with this address.
Somebody registered with this address before, perhaps you.
Log in, or register with another address.

idempotency_key_missing 400 The request needs an Idempotency-Key.
Orders carry a key, so that repeating one never books twice.
Make a key for the order (a UUID is good) and send it, the same with every repetition.

idempotency_key_malformed 400 The Idempotency-Key is malformed.
The key is empty, too long, or has characters that a header may not have.
Send 1 to 255 plain characters; a UUID is good.

precondition_required 428 The request must say which version it changes.
Changes name the version they start from, so that none is lost to another made at the same time.
Read it first, and send its version as `errors` says.

precondition_failed 412 The event has changed since; read it again.
Somebody changed the event after you read it, and nothing of your change was done.
Read the event, make the change again, and send its new version in `If-Match`.

outcome_unknown 503 It is not known whether this happened.
The answer of a server was lost or late: the order may have been done or not.
Send the same request with the same Idempotency-Key again; you get the one true answer.

shard_recovering 503 The sale is being checked; it reopens shortly.
A server had a fault, and the sale is shut until both stores are proved to agree.
Repeat after the time in `Retry-After`, with the same key; bookings that were confirmed stay.

event_recovering 503 The event is being restored; its sale goes on shortly.
A part of this event's data was lost and is being put together again from the journal.
Repeat after the time in `Retry-After`, with the same key; bookings that were confirmed stay.

catching_up 503 The database is behind.
What you ask for is sold and safe, but not yet where this page reads it.
Ask again in a few seconds.

redis_unavailable 503 Redis does not answer.
The store that sells cannot be reached, so nothing can be sold right now.
Repeat after the time in `Retry-After`, with the same key.

database_busy 503 The database is busy with requests of this kind.
This kind of request takes the database too long just now; others go on. Nothing was changed.
Ask again after the time in `Retry-After`.

database_unavailable 503 The database does not answer.
The database cannot be reached; buying may go on while reading waits.
Ask again after the time in `Retry-After`.

internal 500 Something is wrong on our side.
The server met an error that nobody had foreseen; it is logged under the `request_id`.
Repeat with the same key; if it happens again, tell the operator the `request_id`.
"""


def _read(table: str) -> dict[str, Code]:
    codes = {}
    for entry in table.strip().split("\n\n"):
        first, meaning, next_step = entry.splitlines()
        code, status, title = first.split(" ", 2)
        codes[code] = Code(int(status), code, title, meaning, next_step)
    return codes


CODES = _read(_TABLE)
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
            left=0,
            more_after_ms=int(members["retry_after_ms"]),
            name=str(members.pop("limit", "bookings")),
        )
    if "retry_after_ms" in members:
        headers["Retry-After"] = str(math.ceil(int(members["retry_after_ms"]) / 1000))
    elif refused.status.is_transient and row.http_status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Problem(row.http_status, row.code, row.title, errors=errors, headers=headers, **members)


def rate_limit_headers(
    attempts_max: int, window_ms: int, *, left: int, more_after_ms: int, name: str
) -> dict[str, str]:
    """
    Return the fields that tell of a limit (draft-ietf-httpapi-ratelimit-headers-11).

    Args:
        attempts_max, window_ms: The limit.

        left: Attempts that may be made at once.

        more_after_ms: Time after which there is one more.

        name: What is limited.
    """
    window_s, more_after_s = math.ceil(window_ms / 1000), math.ceil(more_after_ms / 1000)
    return {
        "RateLimit-Policy": f'"{name}";q={attempts_max};w={window_s}',
        "RateLimit": f'"{name}";r={left};t={more_after_s}',
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
