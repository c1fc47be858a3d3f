"""
Reminders: what is told because its time has come, and not because something has happened.

Guarantees: nobody is reminded of the same twice, whatever clocks and restarts do: a reminder is a
fact of its kind, event, person and the moment that it is about, and how far they were made stands
beside them in the same transaction. One that would come too late is not made. An event that is
moved has another moment: what was made for the old one is not sent (`notifier.composer`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from notifier.kinds import lane_of
from store import reminders, tickets
from store.deliveries import NewDelivery
from store.reminders import Moment, Plan
from store.sql import InTransaction

#: Tickets, or people, that one step looks at.
PAGE_MAX = 2_000
#: An offer that is shorter is not told of twice.
OFFER_MIN = dt.timedelta(minutes=4)
_OFFERED, _ENDING = "waitlist.offered", "offer.ending"


class Reminder(NamedTuple):
    """When people are reminded, and until when that makes sense."""

    kind: str
    moment: Moment
    #: Before the moment.
    lead: dt.timedelta
    latest: dt.timedelta


REMINDERS = (
    Reminder("sale.opens_soon", "opening", dt.timedelta(minutes=15), dt.timedelta(minutes=1)),
    Reminder("reminder.soon", "start", dt.timedelta(hours=3), dt.timedelta(hours=1)),
    Reminder("reminder.day_before", "start", dt.timedelta(hours=24), dt.timedelta(hours=12)),
)


async def plan(
    connection: InTransaction, *, now: dt.datetime | None = None
) -> list[NewDelivery] | None:
    """
    Return the next reminders whose time has come, and note that they were made.

    Atomicity: within the caller's transaction, which makes the deliveries. Cost: a page of the
    tickets of one event.

    Args:
        now: None: as the database says.

    Returns:
        None if nothing is due; none if nobody of this page is to be reminded.
    """
    for reminder in REMINDERS:
        due = await reminders.due(
            connection,
            reminder.moment,
            reminder.kind,
            lead=reminder.lead,
            latest=reminder.latest,
            now=now,
        )
        if due is not None:
            read = _who_asked if reminder.moment == "opening" else _holders
            people, last_id, is_done = await read(connection, due)
            await reminders.note(
                connection, due._replace(last_id=last_id), reminder.kind, is_done=is_done
            )
            return [_delivery(reminder, due, person) for person in people]
    return None


def mark_of(moment: dt.datetime) -> str:
    """Return what tells reminders of one moment from those of another, in ms."""
    return str(round(moment.timestamp() * 1000))


def of_offers(new: Sequence[NewDelivery], now: dt.datetime) -> list[NewDelivery]:
    """Return what is told of offers when half of their time is over, if they are open then."""
    return [
        one._replace(
            kind=_ENDING,
            fact=one.fact.replace(_OFFERED, _ENDING, 1),
            lane=lane_of(_ENDING),
            due_at=now + (one.until - now) / 2,
        )
        for one in new
        if one.kind == _OFFERED and one.until is not None and one.until - now >= OFFER_MIN
    ]


async def _holders(connection: InTransaction, due: Plan) -> tuple[list[str], str, bool]:
    """Return who has good tickets, of a page of them."""
    page = await tickets.of_event(
        connection, due.event_id, after_id=due.last_id, limit=PAGE_MAX, changed_alone=False
    )
    people = dict.fromkeys(one.holder_id for one in page if one.is_good)
    return list(people), page[-1].id if page else due.last_id, len(page) < PAGE_MAX


async def _who_asked(connection: InTransaction, due: Plan) -> tuple[list[str], str, bool]:
    people = await reminders.who_asked(connection, due.event_id, due.last_id, limit=PAGE_MAX)
    return people, people[-1] if people else due.last_id, len(people) < PAGE_MAX


def _delivery(reminder: Reminder, due: Plan, person: str) -> NewDelivery:
    return NewDelivery(
        fact=f"{reminder.kind}/{due.event_id}/{person}/{mark_of(due.planned_for)}",
        target=person,
        kind=reminder.kind,
        lane=lane_of(reminder.kind),
        user_id=person,
        event_id=due.event_id,
        subject_id=due.event_id,
        booking_id=None,
        outbox_id=None,
        shard=None,
        epoch=None,
        seq=None,
        until=due.planned_for - reminder.latest,
    )
