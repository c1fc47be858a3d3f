"""
The follower: makes deliveries of what the archive and the outbox give to tell, and of reminders.

One at a time: it holds a session lock, and who comes second waits. Guarantees: deliveries are made
in the transaction that moves the cursor, or marks the row, so a kill at any point loses and doubles
nothing; and a fact that comes again, in another epoch, is known by what it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Sequence

import asyncpg
import structlog

from engine.lasting import Lasting
from notifier import metrics, reminders
from notifier.channel import Fan
from notifier.kinds import ENDS, TOPICS, channels_of, lane_of
from store import deliveries, preferences
from store.deliveries import NewDelivery
from store.outbox import Notice
from store.pool import UNANSWERED, connect
from store.preferences import Muted

log = structlog.get_logger()

#: Pause between two looks while there is nothing to tell, in seconds.
LOOK_INTERVAL_S = 0.25
BACK_OFF_S = 1.0
#: Batches of the archive that become deliveries in one transaction, each of up to some thousand.
BATCHES_MAX = 4
#: From one note that a notifier works to the next, and count of what is due, in seconds.
BEAT_INTERVAL_S = 5.0
#: Pause between two looks for reminders while there is none to make, in seconds.
PLAN_INTERVAL_S = 5.0
#: Advisory lock that keeps a second follower waiting.
LOCK_SPACE = 0x45564E4F

_BOOKING = "bk_"


class Teller:
    """Follows the archive and the outbox until its task is cancelled."""

    def __init__(self, database_url: str, *, timeout_ms: int, fans: Sequence[Fan] = ()) -> None:
        self._database_url = database_url
        self._fans = fans
        self._timeout_ms = timeout_ms
        self._trouble = Lasting()
        #: The row of the outbox that is being told, and behind which booking it goes on.
        self._spread_to = (0, "")
        #: Set when there is something new to send.
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Follow for ever; what fails is told once and tried again."""
        while True:
            try:
                await self._follow()
            except UNANSWERED as error:
                metrics.FAILURES.labels("follow").inc()
                if self._trouble.is_news(repr(error)):
                    log.warning("nothing is followed", action="follow", error=repr(error))
            await asyncio.sleep(BACK_OFF_S)

    async def _follow(self) -> None:
        connection = await connect(self._database_url, timeout_ms=self._timeout_ms)
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1, 0)", LOCK_SPACE):
                return  # Another follows.
            if self._trouble.end():
                log.info("followed again", action="follow_again")
            beat_at_s = plan_at_s = 0.0
            while True:
                if time.monotonic() >= beat_at_s:
                    beat_at_s = time.monotonic() + BEAT_INTERVAL_S
                    await deliveries.beat(connection)
                    await self._measure(connection)
                is_planning = False
                if time.monotonic() >= plan_at_s:
                    is_planning = await self.plan(connection)
                    plan_at_s = 0.0 if is_planning else time.monotonic() + PLAN_INTERVAL_S
                if not await self.step(connection) and not is_planning:
                    await asyncio.sleep(LOOK_INTERVAL_S)
        finally:
            with contextlib.suppress(*UNANSWERED):
                await connection.close(timeout=self._timeout_ms / 1000)

    async def step(self, connection: asyncpg.Connection) -> int:
        """Make deliveries of some that are to be told; return how many facts were looked at."""
        count = 0
        for place in await deliveries.untold(connection):
            told = await deliveries.read_told(connection, place, batches_max=BATCHES_MAX)
            new = [_of_notice(place, notice) for notice in told.notices]
            async with connection.transaction():
                await self._add(connection, new)
                await deliveries.note_told(connection, place._replace(last_seq=told.last_seq))
            count += told.last_seq - place.last_seq
        async with connection.transaction():
            taken = await deliveries.take_outbox(connection)
            await self._add(connection, [_of_row(row) for row in taken])
        count += len(taken) + await self._spread(connection)
        if count:
            self.news.set()
        return count

    async def plan(self, connection: asyncpg.Connection, *, now: dt.datetime | None = None) -> bool:
        """
        Make some of the reminders whose time has come; return whether there may be more.

        Args:
            now: None: as the database says.
        """
        async with connection.transaction():
            new = await reminders.plan(connection, now=now)
            await self._add(connection, new or [])
        if new:
            self.news.set()
        return new is not None

    async def _spread(self, connection: asyncpg.Connection) -> int:
        """
        Tell some of those who have bookings of an event that has changed; return 1 if there are.

        Where it goes on is kept here alone: after a restart it begins anew, which tells nobody
        twice.
        """
        async with connection.transaction():
            row = await deliveries.wide_row(connection)
            if row is None:
                return 0
            number, after_id = self._spread_to
            after_id = after_id if number == row.id else ""
            people, last_id = await deliveries.concerned(connection, row, after_id)
            await self._add(connection, [_of_change(row, one) for one in people])
        self._spread_to = (row.id, last_id)
        return 1

    async def _add(self, connection: asyncpg.Connection, new: list[NewDelivery]) -> None:
        """Make the deliveries of some facts: by mail, and by what else their people have."""
        if not new:
            return
        facts = [*new, *reminders.of_offers(new, dt.datetime.now(dt.UTC))]
        more = [one for fan in self._fans for one in await fan(connection, facts)]
        # What organizers alone are told has no person to write to.
        mailed = [one for one in facts if one.user_id and "mail" in channels_of(one.kind)]
        wanted = await _wanted(connection, [*mailed, *more])
        if wanted:
            await deliveries.add(connection, wanted, _ended(mailed))

    async def _measure(self, connection: asyncpg.Connection) -> None:
        for lane in await deliveries.depths(connection):
            metrics.DEPTH.labels(str(lane.lane)).set(lane.depth)
            metrics.AGE_SECONDS.labels(str(lane.lane)).set(lane.age_ms / 1000)
        metrics.DEAD.set(await deliveries.count_dead(connection))


async def _wanted(connection: asyncpg.Connection, new: list[NewDelivery]) -> list[NewDelivery]:
    """Return those of deliveries that nobody has muted."""
    topics = [
        Muted(one.user_id, TOPICS[one.kind], one.channel) for one in new if one.kind in TOPICS
    ]
    if not topics:
        return new
    muted = await preferences.muted_among(connection, topics)
    return [
        one
        for one in new
        if one.kind not in TOPICS or (one.user_id, TOPICS[one.kind], one.channel) not in muted
    ]


def _of_notice(place: deliveries.Cursor, notice: Notice) -> NewDelivery:
    return NewDelivery(
        fact=f"{notice.kind}/{notice.subject_id}/{notice.user_id}/{notice.mark}",
        target=notice.user_id,
        kind=notice.kind,
        lane=lane_of(notice.kind),
        user_id=notice.user_id,
        event_id=notice.event_id,
        subject_id=notice.subject_id,
        booking_id=_booking_of(notice.subject_id),
        outbox_id=None,
        shard=place.shard,
        epoch=place.epoch,
        seq=notice.seq,
        until=deliveries.until_of(notice),
    )


def _of_row(row: deliveries.TakenRow) -> NewDelivery:
    """Return the delivery of a row: a mended record's as the archive would have it."""
    mark = row.mark if row.shard is not None else f"row {row.id}"
    return NewDelivery(
        fact=f"{row.kind}/{row.subject_id}/{row.user_id}/{mark}",
        target=row.target or row.user_id,
        kind=row.kind,
        lane=lane_of(row.kind),
        user_id=row.user_id,
        event_id=row.event_id,
        subject_id=row.subject_id,
        booking_id=_booking_of(row.subject_id),
        outbox_id=row.id,
        shard=row.shard,
        epoch=row.epoch,
        seq=row.seq,
        until=row.until,
    )


def _of_change(row: deliveries.WideRow, one: deliveries.Concerned) -> NewDelivery:
    """Return the delivery of an event's change to somebody whom it concerns."""
    kind = "event.changed"
    return NewDelivery(
        fact=f"{kind}/{one.subject_id}/{one.user_id}/row {row.id}",
        target=one.user_id,
        kind=kind,
        lane=lane_of(kind),
        user_id=one.user_id,
        event_id=row.event_id,
        subject_id=one.subject_id,
        booking_id=one.booking_id,
        outbox_id=row.id,
        shard=None,
        epoch=None,
        seq=None,
        until=None,
    )


def _booking_of(subject_id: str) -> str | None:
    return subject_id if subject_id.startswith(_BOOKING) else None


def _ended(new: list[NewDelivery]) -> list[tuple[str, str]]:
    """Return the bookings that end with these, and who is told so."""
    return [(one.booking_id, one.target) for one in new if one.kind in ENDS and one.booking_id]
