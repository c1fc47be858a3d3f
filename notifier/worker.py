"""
The workers: each takes a delivery at a time, writes its letter and hands it in.

Guarantees: an attempt's end is written by the lease that began it alone; a worker that dies with a
letter half handed in leaves its lease to run out, after which the same letter, with the same
Message-ID, is handed in again and counted as `unknown`: twice is better than never. No more than
`DOMAIN_MAX` letters go to one domain at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import structlog

from engine.lasting import Lasting
from engine.tasks import end
from notifier import metrics
from notifier.composer import Composer, Nothing
from notifier.letter import NoAddress, Post, envelope, tag_of
from notifier.retries import LATER_MS, LIFE_MS, TROUBLE_MS, wait_ms
from notifier.smtp import Client, Ending, Server
from store import deliveries
from store.deliveries import Delivery, State
from store.pool import UNANSWERED, Pool

log = structlog.get_logger()

#: Letters to one domain at a time: large providers refuse more.
DOMAIN_MAX = 3
#: Pause between two looks while nothing is due, in seconds.
LOOK_INTERVAL_S = 0.5
#: Beyond the longest attempt, until another worker may take a delivery, in ms.
LEASE_MARGIN_MS = 30_000
CHANNEL = "mail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What workers need to know."""

    workers: int
    server: Server
    post: Post
    #: When a delivery may be taken by another, in ms; 0: by the server's deadlines.
    lease_ms: int = 0

    @property
    def lease_ms_or_default(self) -> int:
        """How long a worker has a delivery for itself, in ms."""
        return self.lease_ms or round(1000 * self.server.attempt_s_max) + LEASE_MARGIN_MS


class Workers:
    """Some workers of one process, each with a client of its own."""

    def __init__(self, pool: Pool, composer: Composer, options: Options) -> None:
        self._pool = pool
        self._composer = composer
        self._options = options
        self._idle = [
            Client(options.server, local_hostname=options.post.domain)
            for _ in range(options.workers)
        ]
        self._busy = Counter[str]()
        self._tasks = set[asyncio.Task[None]]()
        self._trouble = Lasting()
        self._mail_trouble = Lasting()

    async def run(self, news: asyncio.Event) -> None:
        """Send what is due until cancelled; *news* says that there is more."""
        while True:
            found = 0
            try:
                found = await self._take()
            except UNANSWERED as error:
                metrics.FAILURES.labels("claim").inc()
                if self._trouble.is_news(repr(error)):
                    log.warning("nothing is sent", action="claim", error=repr(error))
            if found and self._idle:
                continue
            woken = asyncio.create_task(news.wait())
            try:
                await asyncio.wait(
                    {woken, *self._tasks},
                    timeout=LOOK_INTERVAL_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                await end(woken)
            news.clear()

    async def drain(self, *, timeout_s: float) -> None:
        """End the attempts under way, or leave them to their leases; close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        await end(*self._tasks)
        for client in self._idle:
            await client.close()

    async def _take(self) -> int:
        if not self._idle:
            return 0
        claimed = await deliveries.claim(
            self._pool,
            len(self._idle),
            lease_ms=self._options.lease_ms_or_default,
            busy=+self._busy,
            domain_max=DOMAIN_MAX,
        )
        if self._trouble.end():
            log.info("sending again", action="claim_again")
        for delivery in claimed:
            client = self._idle.pop()
            self._busy[delivery.domain] += 1
            task = asyncio.create_task(self._work(client, delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def _work(self, client: Client, delivery: Delivery) -> None:
        try:
            with metrics.SECONDS.labels(CHANNEL).time():
                await self._attempt(client, delivery)
        except UNANSWERED as error:
            # Its lease runs out, and it is tried again.
            metrics.FAILURES.labels("attempt").inc()
            if self._trouble.is_news(repr(error)):
                log.warning("attempt left", action="attempt", error=repr(error))
        finally:
            self._busy[delivery.domain] -= 1
            self._idle.append(client)

    async def _attempt(self, client: Client, delivery: Delivery) -> None:
        if delivery.was_left:
            metrics.DOUBTS.labels(CHANNEL).inc()
        try:
            letter = await self._composer.compose(delivery)
            if isinstance(letter, Nothing):
                state: State = "suppressed" if letter.is_suppressed else "skipped"
                await self._end(delivery, state, letter.why)
                return
            post = self._options.post
            tag = tag_of(delivery.fact, delivery.target)
            packed = envelope(letter.message, post, to=letter.to, tag=tag, number=delivery.id)
        except NoAddress:
            await self._end(delivery, "suppressed", "no address")
            return
        except UNANSWERED:
            raise
        except Exception as error:
            # A fault of ours: a human sees it, and may send it when it is mended.
            metrics.FAILURES.labels("compose").inc()
            log.exception("letter not written", action="compose", delivery=delivery.id)
            await self._end(delivery, "dead", f"not written: {type(error).__name__}")
            return
        outcome = await client.send(packed)
        self._tell(outcome)
        if outcome.verdict == "gone":
            await deliveries.suppress(self._pool, letter.to, outcome.reason)
        await self._judge(delivery, outcome)

    async def _judge(self, delivery: Delivery, outcome: Ending) -> None:
        match outcome.verdict:
            case "sent":
                await self._end(delivery, "sent")
            case "gone":
                await self._end(delivery, "suppressed", outcome.reason)
            case "refused":
                await self._end(delivery, "dead", outcome.reason)
            case "unknown":
                metrics.DOUBTS.labels(CHANNEL).inc()
                after_ms = self._options.lease_ms_or_default
                await self._end(delivery, "unknown", outcome.reason, after_ms=after_ms)
            case "trouble" | "later":
                table = TROUBLE_MS if outcome.verdict == "trouble" else LATER_MS
                await self._delay(delivery, outcome.reason, wait_ms(table, delivery.attempts))

    async def _delay(self, delivery: Delivery, reason: str, after_ms: int) -> None:
        next_s = time.time() + after_ms / 1000
        is_late = next_s > delivery.written_at.timestamp() + LIFE_MS / 1000
        if is_late or (delivery.until is not None and next_s > delivery.until.timestamp()):
            await self._end(delivery, "dead", f"too late: {reason}")
        else:
            await self._end(delivery, "delayed", reason, after_ms=after_ms)

    async def _end(
        self, delivery: Delivery, state: State, reason: str = "", *, after_ms: int = 0
    ) -> None:
        is_ours = await deliveries.end_attempt(
            self._pool, delivery, state, reason, after_ms=after_ms
        )
        metrics.ENDED.labels(CHANNEL, state if is_ours else "late").inc()
        if state == "dead":
            log.warning("letter is dead", action="dead", delivery=delivery.id, reason=reason)

    def _tell(self, outcome: Ending) -> None:
        """Say that mail cannot be handed in: once, however many letters wait for it."""
        if outcome.verdict == "sent":
            if self._mail_trouble.end():
                log.info("mail leaves again", action="mail_again")
        elif outcome.verdict in {"trouble", "unknown"} and self._mail_trouble.is_news(
            outcome.reason
        ):
            log.warning("mail does not leave", action="mail", reason=outcome.reason)
