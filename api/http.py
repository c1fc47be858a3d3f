"""Small things every handler needs to parse: a body, a header, a part of the query."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs, web
from multidict import istr

from api.answers import problem_of
from api.codes import Code
from api.malformed import too_slow
from api.problems import Problem, from_validation, invalid
from api.twice import twice
from engine.durability import LEVELS, Durability
from engine.ids import IDEMPOTENCY_KEY_CHARS_MAX
from usecases import text as rules
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

Body = TypeVar("Body")

PAGE_LIMIT_DEFAULT = 50
PAGE_LIMIT_MAX = 200
QUERY_CHARS_MAX = 200
FAR_AHEAD = (dt.datetime(9999, 1, 1, tzinfo=dt.UTC), "")
#: Where the policy wrapper leaves who is calling.
PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
SERVICES = web.AppKey("services", Services)

#: Names that need not be folded anew for every request.
_IDEMPOTENCY_KEY = istr("Idempotency-Key")
_X_IDEMPOTENCY_KEY = istr("X-Idempotency-Key")
_MOMENT = Annotated[dt.datetime, msgspec.Meta(tz=True)]
_KEY_CHARS = rf"[\x21\x23-\x5b\x5d-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}"
#: One preference of `Prefer`: a comma ends it, but not within quotes.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_DURABILITY = re.compile(r'durability\s*=\s*"?([a-z]+)"?\s*(?:;.*)?', re.IGNORECASE)
#: Bare, or quoted as a structured-field string; a quote on one side alone is neither.
_KEY = re.compile(rf'"(?P<quoted>{_KEY_CHARS})"|(?P<bare>{_KEY_CHARS})')


class People(Protocol):
    """What shows people, in their words, what the API says in its own."""

    def is_asking(self, request: web.Request) -> bool:
        """Tell whether a request is somebody's who reads pages."""

    def show(self, request: web.Request, problem: Problem, request_id: str) -> web.StreamResponse:
        """Answer a request of theirs with a problem."""

    def explain(self, request: web.Request, code: Code) -> web.StreamResponse:
        """Answer with the page that an error's `type` leads to."""


#: The face that people see, where it is served as well.
PEOPLE: web.AppKey[People] = web.AppKey("people", People)
#: What readiness finds of all that is below, by name: `ok`, or how it is. Also for people to see.
CHECKS: web.AppKey[Callable[[web.Request], Awaitable[Mapping[str, str]]]] = web.AppKey("checks")


class ClientGone(ConnectionError):
    """Whoever sent the request has hung up; there is nobody to answer."""


class BodyTimeout(TimeoutError):
    """The body did not come in time; the connection's watch says so to who waits for it."""


async def read_body(request: web.Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    """
    Read and validate the request's JSON.

    Raises:
        Problem: see `read_raw` and `decode`.
    """
    return decode(await read_raw(request), decoder)


async def read_raw(request: web.Request) -> bytes:
    """
    Read the request's body.

    Raises:
        Problem: 400 if it cannot be read, 408 if it does not come.

        ClientGone: whoever sent it has hung up; no failure of anything here.
    """
    try:
        return await request.read()
    except BodyTimeout:
        raise too_slow("The body did not arrive in time.") from None
    except (aiohttp.ClientPayloadError, web.RequestPayloadError):
        # What the parser says of it has parts of the body.
        raise Problem(400, "malformed", "The body cannot be read.", closes=True) from None
    except OSError as error:
        raise ClientGone from error


def decode(raw: bytes, decoder: msgspec.json.Decoder[Body]) -> Body:
    """
    Validate a request's JSON, and put its texts in order.

    Raises:
        Problem: 400 if it is not JSON, 422 with a pointer if it is not what is expected, or has
            a member twice.
    """
    try:
        body = rules.tidy(decoder.decode(raw))
        problem = twice(raw)
    except Denied as denied:
        raise problem_of(denied) from denied
    except msgspec.ValidationError as error:
        raise from_validation(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed", "The body is not JSON.", detail=str(error)) from error
    if problem is not None:
        raise problem
    return body


def device_of(request: web.Request) -> str:
    """Return what the caller's device says of itself."""
    return request.headers.get(hdrs.USER_AGENT, "")


def idempotency_key(request: web.Request) -> str:
    """
    Return the key that names this attempt, bare or quoted, under either header name.

    Raises:
        Problem: 400 if it is missing or malformed.
    """
    key = optional_key(request)
    if key is None:
        raise Problem(
            400,
            "idempotency_key_missing",
            "The request needs an Idempotency-Key.",
            detail="Make a UUID, keep it, and send it again with every repetition.",
            errors=[("/headers/Idempotency-Key", "is required")],
        )
    return key


def optional_key(request: web.Request) -> str | None:
    """Return the key as `idempotency_key` does, or None if there is none."""
    headers = request.headers
    texts = headers.getall(_IDEMPOTENCY_KEY, None)
    if texts is None or texts == [""]:
        texts = headers.getall(_X_IDEMPOTENCY_KEY, None)
    if texts is None or texts == [""]:
        return None
    # Of two keys nobody could say which one counts.
    match = _KEY.fullmatch(texts[0]) if len(texts) == 1 else None
    if match is None:
        raise Problem(
            400,
            "idempotency_key_malformed",
            "The Idempotency-Key is malformed.",
            errors=[
                (
                    "/headers/Idempotency-Key",
                    f"must be 1..{IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters, once",
                )
            ],
        )
    return match["quoted"] or match["bare"]


def wanted_durability(request: web.Request) -> Durability | None:
    """
    Return the level that the request prefers, if it names one.

    The first mention counts (RFC 7240 section 2).
    """
    if "Prefer" not in request.headers:
        return None
    for part in _PREFERENCE.findall(",".join(request.headers.getall("Prefer"))):
        match = _DURABILITY.fullmatch(part.strip())
        if match is not None:
            return next((level for level in LEVELS if level == match[1].lower()), None)
    return None


def has_seen(request: web.Request, etag: str) -> bool:
    """Tell whether If-None-Match names *etag*; weakly, as RFC 9110 §13.1.2 has it."""
    headers = request.headers.getall("If-None-Match", ())
    names = [name.strip() for header in headers for name in header.split(",")]
    return "*" in names or etag in {name.removeprefix("W/") for name in names}


def promo_code(request: web.Request) -> str:
    """Return the promo code of the query; none is empty."""
    return _query_as(rules.code, request, "promo_code") or ""


def query_line(request: web.Request, name: str) -> str | None:
    """Return a line of the query in the form in which lines are kept, or None if not given."""
    return _query_as(partial(rules.line, chars_max=QUERY_CHARS_MAX), request, name)


def page_limit(request: web.Request) -> int:
    """Return the wished page size, 1..`PAGE_LIMIT_MAX`."""
    text = query_once(request, "limit")
    if text is None:
        return PAGE_LIMIT_DEFAULT
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= PAGE_LIMIT_MAX:
        raise invalid("/query/limit", f"must be 1..{PAGE_LIMIT_MAX}")
    return int(text)


def page_start(
    request: web.Request, first: tuple[dt.datetime, str] = FAR_AHEAD
) -> tuple[dt.datetime, str]:
    """Return where the wished page begins; *first* if the request names no cursor."""
    text = query_once(request, "after")
    if text is None:
        return first
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        moment, _, own_id = plain.partition(" ")
        parsed = dt.datetime.fromisoformat(moment)
        if parsed.tzinfo is None or not own_id.isascii() or "\0" in own_id:
            raise ValueError("not ours")
        return parsed.astimezone(dt.UTC), own_id
    except (binascii.Error, ValueError, OverflowError) as error:
        raise invalid("/query/after", "is not a cursor of this list") from error


def query_once(request: web.Request, name: str) -> str | None:
    """Return a part of the query; of two nobody could say which one counts."""
    query = request.query
    if name not in query:
        return None
    texts = query.getall(name)
    if len(texts) > 1:
        raise invalid(f"/query/{name}", "stands twice")
    return texts[0]


def query_moment(request: web.Request, name: str) -> dt.datetime | None:
    """Return a time from the query, with its zone, or None if it is not given."""
    text = query_once(request, name)
    if text is None:
        return None
    try:
        return msgspec.convert(text, _MOMENT).astimezone(dt.UTC)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise invalid(f"/query/{name}", "must be an RFC 3339 time") from error


def query_text(request: web.Request, name: str) -> str | None:
    """Return what is searched for, or None if it is not given."""
    text = _query_bounded(request, name)
    return text and rules.searched(text)


def _query_bounded(request: web.Request, name: str) -> str | None:
    text = query_once(request, name)
    if text is not None and (len(text) > QUERY_CHARS_MAX or "\0" in text):
        raise invalid(f"/query/{name}", f"must be at most {QUERY_CHARS_MAX} characters")
    return text


def _query_as(rule: Callable[[str, str], str], request: web.Request, name: str) -> str | None:
    """Return a text from the query by the rule of its kind; what is empty or not given as it is."""
    text = _query_bounded(request, name)
    try:
        return text and rule(f"/query/{name}", text)
    except Denied as denied:
        raise problem_of(denied) from denied
