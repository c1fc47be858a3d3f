"""
`evently retention`: what was kept long enough goes, and what people took back.

Each kind of data has its period (docs/PRIVACY.md). All is done in small transactions, kind by kind,
and may be cut off and begun anew anywhere. Run it once a day; `evently up` does.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from evently.beside import run_beside
from evently.operators import operator
from evently.settings import Settings
from store import acts, redaction, retention
from store.pool import connect

#: How far clocks and batches may be apart beyond what the settings say, in seconds.
MARGIN_S = 3_600
#: How long Redis remembers a hold that has ended, in seconds (`lua/lib/holds.lua`).
ENDED_HOLDS_S = 86_400
#: Seconds between two words on progress.
PROGRESS_INTERVAL_S = 1.0
#: From one run of `evently up` to the next, in seconds.
INTERVAL_S = 86_400.0

#: Before all that is kept.
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Tell = Callable[[str], None]


class Periods(NamedTuple):
    """How long each kind is kept, in days; 0: for ever."""

    texts: int
    acts: int
    outbox: int
    quarantine: int


@dataclass(kw_only=True)
class Run:
    """One run: what it may do, and how far it is."""

    database: asyncpg.Connection
    periods: Periods
    #: What began before has left Redis, and the workers' memory.
    forgotten: dt.datetime
    applies: bool
    tell: Tell
    now: dt.datetime
    #: How long a token of an erased account may have been good.
    tokens: dt.timedelta
    #: How many rows or records went, by kind.
    gone: dict[str, int] = field(default_factory=dict)
    _told_at_s: float = field(default_factory=time.monotonic)

    def since(self, days: int) -> dt.datetime:
        """Return the moment so many days ago; far back for a period without an end."""
        return self.now - dt.timedelta(days=days) if days else LONG_AGO

    def count(self, kind: str, rows: int) -> None:
        """Count what went, and say so now and then."""
        self.gone[kind] = self.gone.get(kind, 0) + rows
        if time.monotonic() - self._told_at_s >= PROGRESS_INTERVAL_S:
            self._told_at_s = time.monotonic()
            self.tell(f"{kind}: {self.gone[kind]} so far")


async def run(
    settings: Settings,
    *,
    applies: bool,
    tell: Tell = lambda _: None,
    now: dt.datetime | None = None,
) -> dict[str, int]:
    """
    Take what was kept long enough; return how much of each kind.

    Idempotency: what is gone is not found again.

    Args:
        applies: Do it; otherwise only count.

        tell: Hears of progress.

        now: The moment that periods are counted from, if it is another.
    """
    now = now or dt.datetime.now(dt.UTC)
    timeout_ms = settings.database_timeout_ms
    database = await connect(settings.database_url, timeout_ms=timeout_ms)
    try:
        one = Run(
            database=database,
            periods=Periods(
                settings.retention_texts_days,
                settings.retention_acts_days,
                settings.retention_outbox_days,
                settings.retention_quarantine_days,
            ),
            now=now,
            forgotten=now - forgotten_after(settings),
            tokens=dt.timedelta(seconds=settings.access_token_ttl_s),
            applies=applies,
            tell=tell,
        )
        steps = (
            _words,
            _order_notes,
            _quarantine,
            _outbox,
            _deliveries,
            _reminders,
            _invitations,
            _keys,
            _acts,
        )
        for step in steps:
            await step(one)
        if applies:
            await acts.add(database, operator(), "retention.run", "", after=one.gone)
        return one.gone
    finally:
        await database.close(timeout=timeout_ms / 1000)


def forgotten_after(settings: Settings) -> dt.timedelta:
    """Return after what time nothing of a record is left but in PostgreSQL."""
    in_redis_s = max(settings.journal_retention_s, ENDED_HOLDS_S + settings.hold_life_max_ms / 1000)
    in_one_batch_s = settings.journal_backlog_age_ms_max / 1000
    return dt.timedelta(seconds=in_redis_s + in_one_batch_s + MARGIN_S)


async def _words(one: Run) -> None:
    """What erased persons wrote, and what buyers of events that are long over did."""
    erased = await redaction.open_erasures(one.database)
    events = await retention.events_over(one.database, one.since(one.periods.texts))
    one.count("erasures", 0)
    one.count("words", 0)
    is_gone = redaction.of(erased, events)
    async for rows in redaction.redact_archive(
        one.database, is_gone, older_than=one.forgotten, applies=one.applies
    ):
        one.count("words", rows)
    others = await redaction.redact_others(
        one.database, is_gone, older_than=one.forgotten, applies=one.applies
    )
    one.count("words", others)
    if one.applies:
        # Nothing new can have come since tokens and holds of that time ended.
        asked_before = one.forgotten - one.tokens
        ended = await redaction.end_erasures(one.database, erased, asked_before=asked_before)
        one.count("erasures", ended)


async def _order_notes(one: Run) -> None:
    """What box offices noted on orders of events that are long over."""
    before = one.since(one.periods.texts)
    if not one.applies:
        one.count("order notes", await retention.count_order_notes(one.database, before))
        return
    await _repeat(one, "order notes", lambda: retention.blank_order_notes(one.database, before))


async def _quarantine(one: Run) -> None:
    older_than = one.since(one.periods.quarantine)

    async def blank() -> int:
        return await redaction.blank_quarantine(
            one.database, older_than=older_than, applies=one.applies
        )

    await _repeat(one, "quarantine", blank)


async def _outbox(one: Run) -> None:
    older_than = one.since(one.periods.outbox)
    if not one.applies:
        one.count("outbox", await retention.count_outbox(one.database, older_than))
        return
    await _repeat(one, "outbox", lambda: retention.prune_outbox(one.database, older_than))


async def _deliveries(one: Run) -> None:
    """What became of messages: as long as the messages themselves."""
    older_than = one.since(one.periods.outbox)
    if not one.applies:
        one.count("deliveries", await retention.count_deliveries(one.database, older_than))
        return
    await _repeat(one, "deliveries", lambda: retention.prune_deliveries(one.database, older_than))


async def _reminders(one: Run) -> None:
    """Who wished to be reminded of what is past: as long as the messages themselves."""
    older_than = one.since(one.periods.outbox)
    if not one.applies:
        one.count("reminders", await retention.count_reminders(one.database, older_than))
        return
    await _repeat(one, "reminders", lambda: retention.prune_reminders(one.database, older_than))


async def _invitations(one: Run) -> None:
    """Those that have ended: they have the address of somebody who may have no account."""
    if not one.applies:
        one.count("invitations", await retention.count_invitations(one.database, one.now))
        return
    await _repeat(one, "invitations", lambda: retention.prune_invitations(one.database, one.now))


async def _keys(one: Run) -> None:
    """Idempotency keys that have run out, with the answers that were kept by them."""
    if not one.applies:
        count = await retention.count_idempotency_keys(one.database, one.now)
        one.count("idempotency keys", count)
        return
    await _repeat(
        one, "idempotency keys", lambda: retention.prune_idempotency_keys(one.database, one.now)
    )


async def _acts(one: Run) -> None:
    """Whole days that have a hash, so that the rest can still be proved."""
    last_day = await retention.last_day_of_acts(one.database, one.since(one.periods.acts))
    one.count("acts", 0)
    if last_day is None:
        return
    if not one.applies:
        one.count("acts", await retention.count_acts(one.database, last_day))
        return
    # Noted before: `audit verify` then knows why rows are missing.
    after = {"last_day": str(last_day)}
    await acts.add(one.database, operator(), "retention.acts", "", after=after)
    await _repeat(one, "acts", lambda: retention.prune_acts(one.database, last_day))


async def _repeat(one: Run, kind: str, step: Callable[[], Awaitable[int]]) -> None:
    """Do a bounded step until it finds no more; once if nothing is to be changed."""
    one.count(kind, 0)
    while rows := await step():
        one.count(kind, rows)
        if not one.applies:
            break


async def every_day(settings: Settings, environ: Mapping[str, str]) -> None:
    """
    Let a day pass, then run the command in a process of its own; for `evently up`.

    Raises:
        ServerError: it did not end well; it is tried again the next day.
    """
    await asyncio.sleep(INTERVAL_S)
    await run_beside(settings, environ, "retention")
