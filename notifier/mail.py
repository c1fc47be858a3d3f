"""
Mail: a letter is written by what is true when it leaves, and handed in.

Guarantees: a letter that may have been taken is handed in again with the same Message-ID, and
counted as `unknown`: twice is better than never. What cannot be told any more is not told.
"""

from __future__ import annotations

from dataclasses import dataclass

from notifier.channel import Attempt, Channel
from notifier.composer import Composer, Nothing
from notifier.letter import NoAddress, Post, envelope, tag_of
from notifier.retries import LATER_MS, LIFE_MS, TROUBLE_MS, wait_ms
from notifier.smtp import Client, Ending, Server
from store import deliveries
from store.deliveries import Delivery
from store.pool import Pool

#: Letters to one domain at a time: large providers refuse more.
DOMAIN_MAX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How mail is handed in."""

    workers: int
    server: Server
    post: Post
    #: When a letter may be taken by another worker, in ms; 0: by the server's deadlines.
    lease_ms: int = 0


def channel(pool: Pool, composer: Composer, options: Options) -> Channel:
    """Return the channel."""
    return Channel(
        name="mail",
        make=lambda: _Sender(pool, composer, options),
        workers=options.workers,
        attempt_s_max=options.server.attempt_s_max,
        domain_max=DOMAIN_MAX,
        life_ms=LIFE_MS,
        lease_ms=options.lease_ms,
    )


class _Sender:
    """One worker's client."""

    def __init__(self, pool: Pool, composer: Composer, options: Options) -> None:
        self._pool = pool
        self._composer = composer
        self._post = options.post
        self._client = Client(options.server, local_hostname=options.post.domain)

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Write a letter and hand it in."""
        try:
            letter = await self._composer.compose(delivery)
            if isinstance(letter, Nothing):
                return Attempt("suppressed" if letter.is_suppressed else "skipped", letter.why)
            tag = tag_of(delivery.fact, delivery.target)
            packed = envelope(letter.message, self._post, to=letter.to, tag=tag, number=delivery.id)
        except NoAddress:
            return Attempt("suppressed", "no address")
        ending = await self._client.send(packed)
        if ending.verdict == "gone":
            await deliveries.suppress(self._pool, letter.to, ending.reason)
        return _judge(ending, delivery.attempts)

    async def close(self) -> None:
        """Say good-bye to the server."""
        await self._client.close()


def _judge(ending: Ending, attempts: int) -> Attempt:
    reason = ending.reason
    match ending.verdict:
        case "sent":
            return Attempt("sent")
        case "gone":
            return Attempt("suppressed", reason)
        case "refused":
            return Attempt("dead", reason)
        case "unknown":
            return Attempt("unknown", reason, is_trouble=True)
        case "trouble":
            return Attempt("delayed", reason, wait_ms(TROUBLE_MS, attempts), is_trouble=True)
        case "later":
            return Attempt("delayed", reason, wait_ms(LATER_MS, attempts))
