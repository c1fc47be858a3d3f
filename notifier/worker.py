"""
The workers of a channel: each takes a delivery at a time and sends it.

Guarantees: an attempt's end is written by the lease that began it alone; a worker that dies in the
middle leaves its lease to run out, after which the same delivery is sent again and counted as
`unknown`. No more than the channel's `domain_max` attempts go to one domain at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import structlog

from engine.lasting import Lasting
from engine.spans import Span, SpanTeller, ended_now
from engine.tasks import end
from notifier import metrics
from notifier.channel import Attempt, Channel, Sender
from store import deliveries
from store.deliveries import Delivery, State
from store.pool import UNANSWERED, Pool

log = structlog.get_logger()

#: Pause between two looks while nothing is due, in seconds.
LOOK_INTERVAL_S = 0.5


class Workers:
    """Some workers of one process and channel, each with a sender of its own."""

    def __init__(self, pool: Pool, channel: Channel, spans: SpanTeller | None = None) -> None:
        self._pool = pool
        self._channel = channel
        self._idle = [channel.make() for _ in range(channel.workers)]
        self._busy = Counter[str]()
        self._spans = spans
        self._tasks = set[asyncio.Task[None]]()
        self._trouble = Lasting()
        self._way_trouble = Lasting()

    async def run(self, news: asyncio.Event) -> None:
        """Send what is due until cancelled; *news* says that there is more."""
        while True:
            found = 0
            try:
                found = await self._take()
            except UNANSWERED as error:
                metrics.FAILURES.labels("claim").inc()
                if self._trouble.is_news(repr(error)):
                    log.warning(
                        "nothing is sent",
                        action="claim",
                        channel=self._channel.name,
                        error=repr(error),
                    )
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
        for sender in self._idle:
            await sender.close()

    async def _take(self) -> int:
        if not self._idle:
            return 0
        claimed = await deliveries.claim(
            self._pool,
            self._channel.name,
            len(self._idle),
            lease_ms=self._channel.lease_ms_or_default,
            busy=+self._busy,
            domain_max=self._channel.domain_max,
        )
        if self._trouble.end():
            log.info("sending again", action="claim_again", channel=self._channel.name)
        for delivery in claimed:
            sender = self._idle.pop()
            self._busy[delivery.domain] += 1
            task = asyncio.create_task(self._work(sender, delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def _work(self, sender: Sender, delivery: Delivery) -> None:
        name = self._channel.name
        try:
            if delivery.was_left:
                metrics.DOUBTS.labels(name).inc()
            with metrics.SECONDS.labels(name).time():
                begun_s = time.monotonic()
                attempt = await self._attempt(sender, delivery)
                if self._spans is not None:
                    self._spans(_span(name, delivery, attempt, time.monotonic() - begun_s))
                await self._judge(delivery, attempt)
        except UNANSWERED as error:
            # Its lease runs out, and it is tried again.
            metrics.FAILURES.labels("attempt").inc()
            if self._trouble.is_news(repr(error)):
                log.warning("attempt left", action="attempt", channel=name, error=repr(error))
        finally:
            self._busy[delivery.domain] -= 1
            self._idle.append(sender)

    async def _attempt(self, sender: Sender, delivery: Delivery) -> Attempt:
        try:
            return await sender.attempt(delivery)
        except UNANSWERED:
            raise
        except Exception as error:
            # A fault of ours: a human sees it, and may send it when it is mended.
            metrics.FAILURES.labels("compose").inc()
            log.exception(
                "not written", action="compose", channel=self._channel.name, delivery=delivery.id
            )
            return Attempt("dead", f"not written: {type(error).__name__}")

    async def _judge(self, delivery: Delivery, attempt: Attempt) -> None:
        self._tell(attempt)
        match attempt.state:
            case "delayed":
                await self._delay(delivery, attempt)
            case "unknown":
                metrics.DOUBTS.labels(self._channel.name).inc()
                after_ms = self._channel.lease_ms_or_default
                await self._end(delivery, "unknown", attempt.reason, after_ms=after_ms)
            case _:
                await self._end(delivery, attempt.state, attempt.reason)

    async def _delay(self, delivery: Delivery, attempt: Attempt) -> None:
        next_s = time.time() + attempt.after_ms / 1000
        is_late = next_s > delivery.written_at.timestamp() + self._channel.life_ms / 1000
        if is_late or (delivery.until is not None and next_s > delivery.until.timestamp()):
            await self._end(delivery, "dead", f"too late: {attempt.reason}")
        else:
            await self._end(delivery, "delayed", attempt.reason, after_ms=attempt.after_ms)

    async def _end(
        self, delivery: Delivery, state: State, reason: str = "", *, after_ms: int = 0
    ) -> None:
        name = self._channel.name
        is_ours = await deliveries.end_attempt(
            self._pool, delivery, state, reason, after_ms=after_ms
        )
        metrics.ENDED.labels(name, state if is_ours else "late").inc()
        if state == "dead":
            log.warning("dead", action="dead", channel=name, delivery=delivery.id, reason=reason)

    def _tell(self, attempt: Attempt) -> None:
        """Say that nothing leaves: once, however many deliveries wait for it."""
        name = self._channel.name
        if attempt.state == "sent":
            if self._way_trouble.end():
                log.info("it leaves again", action="sent_again", channel=name)
        elif attempt.is_trouble and self._way_trouble.is_news(attempt.reason):
            log.warning("nothing leaves", action="send", channel=name, reason=attempt.reason)


def _span(channel: str, delivery: Delivery, attempt: Attempt, seconds: float) -> Span:
    """Return the span of an attempt that has ended just now; of whom it tells, it says nothing."""
    told: dict[str, str | int] = {
        "evently.channel": channel,
        "evently.message": delivery.kind,
        "evently.delivery": delivery.id,
        "evently.attempt": delivery.attempts,
        "evently.state": attempt.state,
    }
    error = attempt.state if attempt.state in {"dead", "delayed", "unknown"} else ""
    return Span(f"deliver {channel}", *ended_now(seconds), told, error=error)
