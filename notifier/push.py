"""
Push: a message to a browser that its owner has named, sealed so that it alone reads it.

The payload shows itself (declarative web push): a browser that knows the form shows it without any
script of ours, others hand it to the site's service worker, which shows the same.
Guarantees: what is signed names the service that it goes to; a subscription that its service knows
no more is forgotten, and none for any other answer: those are our fault, or pass.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from pywebpush import WebPusher

from engine.outward import Outside
from notifier import metrics
from notifier.channel import Attempt, Channel
from notifier.composer import Composer, Nothing
from notifier.kinds import KINDS, PUSH_TEST, URGENT
from notifier.poster import Poster, Reply
from notifier.render import Brief
from notifier.retries import ATTEMPTS_MAX, TROUBLE_MS, jitter_ms, wait_ms
from notifier.vapid import VapidKey
from store import push
from store.deliveries import Delivery, NewDelivery
from store.pool import Pool
from store.push import Subscription
from store.sql import InTransaction

#: From the look-up of a service's name to the end of its answer, in seconds.
TIMEOUT_S = 10.0
#: What services take at least is 4 096 bytes once it is sealed.
PAYLOAD_BYTES_MAX = 3_000
#: For a service that wants less.
SHORT_BYTES_MAX = 500
TOPIC_CHARS = 32
#: How long a service keeps a message for a browser that is away, where it has no deadline, in s.
TTL_S = 24 * 3_600
LIFE_MS = 24 * 3_600_000
_TAKEN = frozenset({200, 201, 202, 204})
_GONE = frozenset({404, 410})
#: What we did wrong, or our keys: no subscription is forgotten for it.
_OURS = frozenset({400, 401, 403})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushing:
    """How messages are pushed."""

    #: The first is for new subscriptions; none: push is off.
    keys: Sequence[VapidKey]
    #: Where a push service's people reach ours: `mailto:` or `https:`.
    subject: str
    #: Which push services there are.
    outside: Outside
    workers: int
    #: When a message may be taken by another worker, in ms; 0: by the deadlines.
    lease_ms: int = 0


def channel(pool: Pool, composer: Composer, poster: Poster, pushing: Pushing) -> Channel:
    """Return the channel."""
    sender = _Sender(pool, composer, poster, pushing)
    return Channel(
        name="push",
        make=lambda: sender,
        workers=pushing.workers,
        # A second time if it was too large.
        attempt_s_max=2 * TIMEOUT_S,
        # Most browsers have one of four services.
        domain_max=pushing.workers,
        life_ms=LIFE_MS,
        lease_ms=pushing.lease_ms,
    )


async def fan(connection: InTransaction, facts: Sequence[NewDelivery]) -> list[NewDelivery]:
    """Return the deliveries of facts to their people's browsers; see `notifier.channel.Fan`."""
    pushed = [one for one in facts if one.kind in KINDS and "push" in KINDS[one.kind].channels]
    if not pushed:
        return []
    browsers = await push.reached(connection, list({one.user_id for one in pushed}))
    return [
        fact._replace(channel="push", target=browser.id, domain=browser.host)
        for fact in pushed
        for browser in browsers
        if browser.user_id == fact.user_id and fact.target in {fact.user_id, browser.id}
    ]


class _Sender:
    """The way out of all workers."""

    def __init__(self, pool: Pool, composer: Composer, poster: Poster, pushing: Pushing) -> None:
        self._pool = pool
        self._composer = composer
        self._poster = poster
        self._subject = pushing.subject
        self._keys = {key.id: key for key in pushing.keys}

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Write a message, seal and push it."""
        brief = await self._composer.brief(delivery)
        if isinstance(brief, Nothing):
            return Attempt("skipped", brief.why)
        browser = await push.by_id(self._pool, delivery.target)
        # The browser may have another account by now, who is not told of this one's affairs.
        if browser is None or browser.user_id != delivery.user_id:
            return Attempt("skipped", "no such browser any more")
        key = self._keys.get(browser.key_id)
        if key is None:
            metrics.PUSH_REFUSED.labels("no key").inc()
            await push.note_failed(self._pool, browser.id)
            return Attempt("dead", "the key of its subscription is not here")
        reply = await self._push(delivery, browser, key, payload(brief, delivery))
        if reply.status == 413:
            short = payload(brief, delivery, bytes_max=SHORT_BYTES_MAX)
            reply = await self._push(delivery, browser, key, short)
        return await self._judge(delivery, browser, reply)

    async def close(self) -> None:
        """Do nothing: the connections are everybody's."""

    async def _push(
        self, delivery: Delivery, browser: Subscription, key: VapidKey, text: bytes
    ) -> Reply:
        keys = {"p256dh": browser.p256dh, "auth": browser.auth}
        sealed = WebPusher({"endpoint": browser.endpoint, "keys": keys}).encode(text)
        is_pressing = KINDS[delivery.kind].lane == URGENT and delivery.until is not None
        headers = {
            "Authorization": key.authorization(browser.endpoint, self._subject),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl_s(delivery)),
            "Topic": topic(delivery),
            "Urgency": "high" if is_pressing else "normal",
        }
        return await self._poster.post(browser.endpoint, sealed["body"], headers)

    async def _judge(self, delivery: Delivery, browser: Subscription, reply: Reply) -> Attempt:
        if reply.status in _TAKEN:
            await push.note_pushed(self._pool, browser.id)
            return Attempt("sent")
        if reply.status in _GONE:
            await push.drop(self._pool, browser)
            return Attempt("suppressed", reply.reason)
        if reply.status == 429 or reply.status >= 500:
            return _later(reply, delivery.attempts)
        if reply.reason == "no connection":
            # Nothing was sent: it is tried for as long as mail is.
            after_ms = wait_ms(TROUBLE_MS, delivery.attempts)
            return Attempt("delayed", reply.reason, after_ms, is_trouble=True)
        if reply.is_unknown and delivery.attempts < ATTEMPTS_MAX:
            return Attempt("unknown", reply.reason, is_trouble=True)
        if reply.status in _OURS:
            metrics.PUSH_REFUSED.labels(str(reply.status)).inc()
        await push.note_failed(self._pool, browser.id)
        return Attempt("dead", reply.reason)


def _later(reply: Reply, attempts: int) -> Attempt:
    """Wait as long as the service asks to; else a little, and so often."""
    if reply.retry_after_ms is not None:
        return Attempt("delayed", reply.reason, reply.retry_after_ms)
    if attempts >= ATTEMPTS_MAX:
        return Attempt("dead", reply.reason)
    return Attempt("delayed", reply.reason, jitter_ms(attempts))


def payload(brief: Brief, delivery: Delivery, *, bytes_max: int = PAYLOAD_BYTES_MAX) -> bytes:
    """
    Return a message as browsers take it, in UTF-8 JSON.

    Args:
        bytes_max: Its text is cut so that it has no more.
    """

    def written(title: str, body: str) -> bytes:
        notification = {
            "title": title,
            "body": body,
            "navigate": brief.url,
            "lang": brief.language,
            "dir": brief.direction,
            "tag": topic(delivery),
        }
        return msgspec.json.encode({"web_push": 8030, "notification": notification})

    title, body = brief.title, brief.body
    while len(text := written(title, body)) > bytes_max and (body or title):
        # A character has four bytes at most, or six where JSON escapes it.
        fewer = -(-(len(text) - bytes_max) // 6) + 1
        if body:
            body = _cut(body, fewer)
        else:
            title = _cut(title, fewer)
    return text


def _cut(text: str, fewer: int) -> str:
    rest = text[: -fewer - 1].rstrip()
    return f"{rest}…" if rest else ""


def topic(delivery: Delivery) -> str:
    """Return a word for what a message is about: a newer one takes the place of an older."""
    about = PUSH_TEST if delivery.kind == PUSH_TEST else delivery.subject_id
    digest = hashlib.sha256(about.encode()).digest()
    return urlsafe_b64encode(digest)[:TOPIC_CHARS].decode()


def ttl_s(delivery: Delivery) -> int:
    """Return how long a service keeps a message for a browser that is away, in seconds."""
    if delivery.until is None:
        return TTL_S
    return max(0, round((delivery.until - dt.datetime.now(dt.UTC)).total_seconds()))
