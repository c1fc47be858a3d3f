"""
Requests that are sent again: by their Idempotency-Key they are done once (docs/decisions/0028).

What a script in Redis does has its key in the script (`engine.ids.booking_id`). What PostgreSQL
does has a row here: taken before anything is done, marked by the very transaction that does it, and
given its answer afterwards. So two attempts are never both done, and a repetition gets the answer
of the first; one that was done, and whose answer is not kept, is told that it was.
"""

from __future__ import annotations

import datetime as dt
import secrets
from contextvars import ContextVar
from hashlib import blake2b
from typing import NamedTuple

import structlog

from engine.status import Status
from store import idempotency
from store.idempotency import HASH_BYTES, Attempt
from store.pool import UNANSWERED, Database
from usecases.denials import Denied, Why, as_value
from usecases.services import Services
from usecases.tokens import Principal

log = structlog.get_logger()

LIFE = dt.timedelta(hours=24)
#: Longer than any request is at work: its statements have shorter timeouts.
LEASE = dt.timedelta(seconds=60)
KEYS_MAX = 10_000
ANSWER_BYTES_MAX = 262_144
RETRY_AFTER_MS = 1_000

#: The attempt at the request that is being answered, if it has a key.
UNDER_WAY: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class KeptAnswer(NamedTuple):
    """An answer as it was given."""

    status: int
    #: Header lines.
    headers: str
    body: bytes


@as_value
async def begin(
    services: Services, person: Principal, key: str, target: str, body: bytes
) -> Attempt | KeptAnswer:
    """
    Begin a request that has a key, or return the answer that it got before.

    Atomicity: of attempts at the same moment one begins; the others are told to come back.

    Args:
        target: Method and path: a key is its caller's, for one of these.

    Raises:
        Denied: the key stands for another request; another attempt is under way; it was done, and
            its answer is not kept; or the caller has too many keys.
    """
    attempt = Attempt(
        person.user_id, _hash(target.encode(), key.encode()), secrets.token_bytes(HASH_BYTES)
    )
    pool, request_hash = services.pools.organizers, _hash(body)
    if await idempotency.begin(
        pool, attempt, request_hash, life=LIFE, lease=LEASE, keys_max=KEYS_MAX
    ):
        return attempt
    found = await idempotency.earlier(pool, attempt)
    if found is None:
        raise Denied(
            Status.RATE_LIMITED,
            fields={
                "attempts_max": KEYS_MAX,
                "window_ms": int(LIFE.total_seconds() * 1000),
                "retry_after_ms": 60_000,
                "limit": "idempotency-keys",
            },
        )
    if found.request_hash != request_hash:
        raise Denied(Status.IDEMPOTENCY_KEY_REUSED)
    if found.status is not None:
        return KeptAnswer(found.status, found.headers or "", found.answer or b"")
    if found.is_done:
        raise Denied(Why.DONE_BEFORE, fields={"subject": found.subject or ""})
    raise _in_progress()


async def use(connection: Database, subject: str) -> None:
    """
    Mark the request that is being answered as done by this transaction, if it has a key.

    Raises:
        Denied: it took so long that another attempt has begun; the transaction must not go on.
    """
    attempt = UNDER_WAY.get()
    if attempt is not None and not await idempotency.use(connection, attempt, subject):
        raise _in_progress()


async def keep(services: Services, attempt: Attempt, answer: KeptAnswer | None) -> None:
    """
    Keep the answer of a request that is done; None, or one that is too large, is not kept.

    What cannot be written is not: a repetition is then told what the transaction has marked.
    """
    if answer is not None and len(answer.body) > ANSWER_BYTES_MAX:
        answer = None
    status, headers, body = answer or (None, "", b"")
    try:
        await idempotency.keep(
            services.pools.organizers, attempt, status=status, headers=headers, answer=body
        )
    except UNANSWERED as error:
        _warn(error)


async def let_go(services: Services, attempt: Attempt) -> None:
    """Give the key of a request free that was denied, or failed before anything was done."""
    try:
        await idempotency.end(services.pools.organizers, attempt)
    except UNANSWERED as error:
        _warn(error)


def _warn(error: BaseException) -> None:
    log.warning("answer not kept", action="answer_not_kept", error=type(error).__name__)


def _in_progress() -> Denied:
    return Denied(Why.IN_PROGRESS, fields={"retry_after_ms": RETRY_AFTER_MS})


def _hash(*parts: bytes) -> bytes:
    made = blake2b(digest_size=HASH_BYTES)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()
