"""
Webhooks: organizers' machines are told what happens to their events, by signed messages.

Guarantees: one message for each fact and endpoint that wants it, however often the fact comes; it
is sent again for three days until it has arrived, with the same `webhook-id`. Nothing is sent to
where people may not send us (S16), and nothing of an answer is kept but its status. An endpoint
that is slow or dead keeps a few attempts busy and no others.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import structlog

from engine.lasting import Lasting
from engine.outward import Outside
from notifier import metrics
from notifier.channel import Attempt, Channel
from notifier.kinds import DONE
from notifier.poster import Poster, Reply
from notifier.signed import body_of, headers_of
from store import webhooks
from store.deliveries import Delivery, NewDelivery
from store.pool import UNANSWERED, Pool
from store.sealed import unseal
from store.sql import InTransaction
from store.webhooks import ToSend, Wanting

log = structlog.get_logger()

#: From the look-up of the name to the end of the answer, in seconds.
TIMEOUT_S = 10.0
#: An attempt with all its steps, those in PostgreSQL as well, in seconds.
ATTEMPT_S_MAX = TIMEOUT_S + 20.0
#: Attempts to one endpoint at a time, per process.
ENDPOINT_MAX = 4
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
#: What is waited before each further attempt; the last wait repeats.
WAITS_MS = (10_000, _MINUTE_MS, 5 * _MINUTE_MS, 30 * _MINUTE_MS, 2 * _HOUR_MS, 8 * _HOUR_MS)
LAST_WAIT_MS = 24 * _HOUR_MS
LIFE_MS = 72 * _HOUR_MS
#: A last attempt is made that much before its life ends, in ms.
END_MS = 1_000
#: Waits scatter about their length, so that what failed together is not tried together again.
SCATTER = 0.25
#: By which time each wait is behind: of waits that were all as short as they scatter, and a little.
_BEHIND_MS = tuple(0.7 * behind for behind in accumulate(WAITS_MS))
#: Time from one look for endpoints in trouble to the next, in seconds.
WARN_INTERVAL_S = 30.0
#: What an answer says that will take nothing more.
GONE = 410

_KINDS = frozenset(webhooks.KINDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How webhooks are told."""

    workers: int
    #: What their secrets are sealed with.
    key: str
    #: Where people may send us.
    outside: Outside


def channel(pool: Pool, poster: Poster, options: Options) -> Channel:
    """Return the channel."""
    return Channel(
        name="webhook",
        make=lambda: _Sender(pool, poster, options.key),
        workers=options.workers,
        attempt_s_max=ATTEMPT_S_MAX,
        domain_max=ENDPOINT_MAX,
        life_ms=LIFE_MS,
    )


async def fan(connection: InTransaction, new: Sequence[NewDelivery]) -> list[NewDelivery]:
    """Return the deliveries of some facts to the endpoints that want them; see `channel.Fan`."""
    event_ids = {one.event_id for one in new if one.event_id}
    wanting: dict[str, list[Wanting]] = {}
    for one in await webhooks.wanting(connection, sorted(event_ids)):
        wanting.setdefault(one.event_id, []).append(one)
    wanted = [_of_organizer(fact) for fact in new if fact.event_id in wanting]
    facts = {fact.fact: fact for fact in wanted if fact is not None}
    return [
        fact._replace(target=one.endpoint_id, domain=one.endpoint_id)
        for fact in facts.values()
        for one in wanting[fact.event_id or ""]
        if fact.kind in one.kinds
    ]


def _of_organizer(one: NewDelivery) -> NewDelivery | None:
    """Return a fact as webhooks are told it: once, whoever else is, and of nobody's account."""
    kind = one.kind
    if kind.startswith("event.") and one.subject_id != one.event_id:
        # What somebody is told of their event: organizers are told that once. What ends with it is
        # told of each booking; holds are none of theirs.
        kind = "booking.cancelled" if kind == "event.cancelled" and one.booking_id else ""
    if kind not in _KINDS or one.event_id is None:
        return None
    mark = one.fact.rpartition("/")[2]
    return one._replace(
        fact=f"{kind}/{one.subject_id}//{mark}",
        kind=kind,
        lane=DONE,
        user_id="",
        # Order is not promised: one that is refused holds up none that comes after it.
        booking_id=None,
        # Whoever is late is told all the same.
        until=None,
        channel="webhook",
    )


class _Sender:
    """One worker's way out."""

    def __init__(self, pool: Pool, poster: Poster, key: str) -> None:
        self._pool = pool
        self._poster = poster
        self._key = key

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Write a message, sign it and post it."""
        to = await webhooks.to_send(self._pool, delivery.id)
        if to is None:
            return Attempt("skipped", "there is no such webhook any more")
        if to.is_off:
            return Attempt("skipped", "the webhook is off")
        secrets = self._secrets(to)
        if not secrets:
            # Sealed with another setting: an operator's fault, and no receiver's.
            return _later(delivery, "its secret does not open", is_trouble=True)
        body = await body_of(self._pool, delivery, to)
        headers = headers_of(to.message_id, body, secrets, at=dt.datetime.now(dt.UTC))
        return await self._judge(delivery, to, await self._poster.post(to.url, body, headers))

    async def close(self) -> None:
        """Do nothing: the poster is everybody's."""

    def _secrets(self, to: ToSend) -> list[bytes]:
        """Return what signs now, the newest first."""
        sealed = [one for one in (to.sealed, to.sealed_before) if one is not None]
        opened = [unseal(self._key, webhooks.PURPOSE, to.id, one) for one in sealed]
        return [one for one in opened if one is not None]

    async def _judge(self, delivery: Delivery, to: ToSend, reply: Reply) -> Attempt:
        if 200 <= reply.status < 300:
            await webhooks.note_arrived(self._pool, to.id)
            return Attempt("sent", reply.reason)
        if reply.status == GONE:
            await webhooks.note_gone(self._pool, to.id)
            return Attempt("dead", reply.reason)
        await webhooks.note_failed(self._pool, to.id)
        return _later(delivery, reply.reason, at_least_ms=_asked_ms(reply))


def _asked_ms(reply: Reply) -> int:
    """Return what a receiver asks us to wait that is too busy, in ms; of others it says nothing."""
    return reply.retry_after_ms or 0 if reply.status in {429, 503} else 0


def _later(
    delivery: Delivery, reason: str, *, at_least_ms: int = 0, is_trouble: bool = False
) -> Attempt:
    """Return when it is tried again: by how long it has been tried, and at its life's very end."""
    age_ms = round(1000 * (time.time() - delivery.written_at.timestamp()))
    wait_ms = max(wait_after_ms(age_ms), at_least_ms)
    left_ms = LIFE_MS - age_ms - END_MS
    return Attempt(
        "delayed", reason, min(wait_ms, left_ms) if left_ms > 0 else wait_ms, is_trouble=is_trouble
    )


def wait_after_ms(age_ms: int) -> int:
    """
    Return how long to wait, scattered, when a message has been tried for so long, in ms.

    By its age and not by a count of attempts, so that one that is told again has all waits anew.
    """
    number = sum(behind_ms <= age_ms for behind_ms in _BEHIND_MS)
    base_ms = (*WAITS_MS, LAST_WAIT_MS)[number]
    return round(base_ms * random.uniform(1 - SCATTER, 1 + SCATTER))  # noqa: S311 - no secret


class Warden:
    """Tells owners of webhooks at which nothing arrives, and turns those off in the end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._trouble = Lasting()

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(WARN_INTERVAL_S)

    async def step(self) -> None:
        """Look once; what fails is told once and tried again."""
        try:
            count = await webhooks.warn(self._pool)
        except UNANSWERED as error:
            metrics.FAILURES.labels("warn").inc()
            if self._trouble.is_news(repr(error)):
                log.warning("no owner is warned", action="warn", error=repr(error))
            return
        if self._trouble.end():
            log.info("owners are warned again", action="warn_again")
        if count:
            log.info("owners of webhooks are told", action="webhooks_failing", count=count)
