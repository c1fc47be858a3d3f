"""Reminders: in time, to who has a ticket or has asked; never twice, whatever clocks do."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.ids import new_id, ticket_id
from engine.records import Item, Joined, Offered, Transferred
from engine.tasks import end
from notifier import account, bounces
from notifier.follower import Teller
from notifier.reminders import of_offers
from store import preferences, reminders
from store.deliveries import NewDelivery
from tests.conftest import TIMEOUT_MS
from tests.notifier.conftest import PUBLIC_URL, House
from tests.store.records import AT_MS, booked, cancelled

HOUR = dt.timedelta(hours=1)


class Stage:
    """An event that starts at a known time, whose reminders are made by a clock in hand."""

    def __init__(self, house: House, event: str, starts_at: dt.datetime) -> None:
        self.house = house
        self.event = event
        self.starts_at = starts_at

    async def plan(self, before: dt.timedelta) -> int:
        """Make all reminders by a clock that shows so long before the start; return how many."""
        count = await self.count()
        while await self.house.follower.plan(self.house.connection, now=self.starts_at - before):
            pass
        return await self.count() - count

    async def count(self) -> int:
        """Return how many reminders there are."""
        counted: int = await self.house.pool.fetchval(
            "SELECT count(*) FROM deliveries WHERE lane = 3"
        )
        return counted

    async def move(self, **times: dt.datetime) -> None:
        """Give the event other times."""
        for name, moment in times.items():
            # Of a column that a test names.
            await self.house.pool.execute(
                f"UPDATE events SET {name} = $2 WHERE id = $1",  # noqa: S608
                self.event,
                moment,
            )

    async def why(self) -> set[str]:
        """Return why reminders were not sent."""
        rows = await self.house.pool.fetch(
            "SELECT reason FROM deliveries WHERE lane = 3 AND state = 'skipped'"
        )
        return {row["reason"] for row in rows}


@pytest.fixture
async def stage(house: House) -> AsyncIterator[Stage]:
    """Return an event that starts in 20 hours; it is over with the test."""
    event = await house.event()
    starts_at = dt.datetime.now(dt.UTC).replace(microsecond=0) + 20 * HOUR
    await house.pool.execute(
        "UPDATE events SET status = 'published', published_at = now(), starts_at = $2,"
        " ends_at = $2::timestamptz + interval '3 hours' WHERE id = $1",
        *(event, starts_at),
    )
    yield Stage(house, event, starts_at)
    await house.pool.execute(
        "UPDATE events SET status = 'cancelled', cancelled_at = now() WHERE id = $1", event
    )


def given(record: Any, number: int, holder: str) -> Transferred:
    """Give a ticket of a booking away."""
    return Transferred(
        version=1,
        at_ms=AT_MS,
        event_id=record.event_id,
        ticket_id=ticket_id(record.booking_id, number),
        booking_id=record.booking_id,
        number=number,
        ticket_version=2,
        holder_id=holder,
        gate="-",
        by=record.user_id,
    )


async def test_holders_are_reminded(stage: Stage) -> None:
    """Who has a good ticket is reminded once, by a letter that can be ended; nobody else is."""
    house = stage.house
    buyer, friend, giver, gone = [
        await house.person(name) for name in ("Buyer", "Friend", "Giver", "Gone")
    ]
    twice, gift, over = [booked(stage.event, user_id=one) for one in (buyer, giver, gone)]
    await house.write(twice, booked(stage.event, user_id=buyer), gift, over, given(gift, 1, friend))
    await house.write(cancelled(over))
    assert 2 == await stage.plan(20 * HOUR)
    await house.pool.execute("DELETE FROM deliveries WHERE lane <> 3")
    async with house.working():
        await house.until(sent=2)
    letters = {str(one["To"]).partition(" ")[0]: one for one in house.mail.letters()}
    assert {"Buyer", "Friend"} == set(letters)
    letter = letters["Buyer"]
    assert "Tomorrow: Summer Night" == letter["Subject"]
    token = preferences.token_of(await preferences.secret(house.pool), buyer, "reminders")
    page, post = (f"{PUBLIC_URL}{at}/unsubscribe?token={token}" for at in ("", "/v1"))
    by_mail = f"mailto:bounces@example.org?subject=unsubscribe%20{token}"
    assert f"<{post}>, <{by_mail}>" == letter["List-Unsubscribe"]
    assert "List-Unsubscribe=One-Click" == letter["List-Unsubscribe-Post"]
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        assert page in body.get_content()
    assert (0, 0) == (await stage.plan(20 * HOUR), await stage.plan(13 * HOUR))
    assert 2 == await stage.plan(3 * HOUR)
    said = await house.pool.fetchval(
        "SELECT kind FROM deliveries WHERE state = 'waiting' AND user_id = $1", buyer
    )
    assert "reminder.soon" == said


async def test_f44_clocks_jump(stage: Stage) -> None:
    """F44: too early, too late, forth and back: a reminder is made once, in its time, or never."""
    await stage.house.write(booked(stage.event, user_id=await stage.house.person()))
    assert 0 == await stage.plan(25 * HOUR)
    assert 0 == await stage.plan(11 * HOUR)
    assert 0 == await stage.plan(HOUR)
    assert 0 == await stage.plan(-HOUR)
    assert 1 == await stage.plan(13 * HOUR)
    for hours in (25, 23, 13, 11, 24):
        assert 0 == await stage.plan(hours * HOUR)
    assert 1 == await stage.plan(2 * HOUR)
    for hours in (24, 3, 2, 0):
        assert 0 == await stage.plan(hours * HOUR)


async def test_f44_a_restart_in_the_middle(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """F44: a step that is cut off leaves nothing; who comes after it goes on where it began."""
    house = stage.house
    people = [await house.person() for _ in range(5)]
    await house.write(*[booked(stage.event, user_id=one) for one in people])
    monkeypatch.setattr("notifier.reminders.PAGE_MAX", 2)
    now = stage.starts_at - 20 * HOUR
    assert await house.follower.plan(house.connection, now=now)
    assert 2 == await stage.count()

    async def dies(*_: object) -> list[Any]:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        await Teller("", timeout_ms=TIMEOUT_MS, fans=[dies]).plan(house.connection, now=now)
    assert 2 == await stage.count()
    house.follower = Teller("", timeout_ms=TIMEOUT_MS, fans=[account.fan])
    assert 3 == await stage.plan(20 * HOUR)
    rows = await house.pool.fetch("SELECT user_id FROM deliveries WHERE lane = 3")
    assert sorted(people) == sorted(row["user_id"] for row in rows)
    # Where it stood is lost, as with an older copy of the table: the facts are known all the same.
    await house.pool.execute("DELETE FROM reminder_plans")
    assert 0 == await stage.plan(20 * HOUR)


async def test_a_postponed_event(stage: Stage) -> None:
    """What was made for the old time is not sent, and the new time has reminders of its own."""
    house = stage.house
    await house.write(booked(stage.event, user_id=await house.person()))
    assert 1 == await stage.plan(20 * HOUR)
    later = stage.starts_at + 7 * 24 * HOUR
    await stage.move(ends_at=later + 3 * HOUR, starts_at=later)
    assert 0 == await stage.plan(20 * HOUR)
    async with house.working():
        await house.until(skipped=1)
    assert {"it is at another time now"} == await stage.why()
    stage.starts_at = later
    assert 1 == await stage.plan(20 * HOUR)
    async with house.working():
        await house.until(skipped=1, sent=1)


async def test_what_ended_is_not_reminded_of(stage: Stage) -> None:
    """A booking or an event that ended between making and sending is not reminded of."""
    house = stage.house
    person, other = await house.person(), await house.person()
    record, stays = booked(stage.event, user_id=person), booked(stage.event, user_id=other)
    await house.write(record, stays)
    assert 2 == await stage.plan(20 * HOUR)
    await house.write(cancelled(record))
    async with house.working():
        await house.until(skipped=1, sent=1)
    assert {"no ticket"} == await stage.why()
    assert 2 == await stage.plan(3 * HOUR) + 1
    await house.pool.execute(
        "UPDATE events SET status = 'cancelled', cancelled_at = now() WHERE id = $1", stage.event
    )
    async with house.working():
        await house.until(skipped=2, sent=1)
    assert {"no ticket", "the event is cancelled"} == await stage.why()
    await house.pool.execute("DELETE FROM reminder_plans")
    assert 0 == await stage.plan(20 * HOUR)


async def test_what_is_not_wanted(stage: Stage) -> None:
    """What is muted is not made, or not sent if it was; by mail as well; the rest is told."""
    house = stage.house
    before, after, other = [await house.person() for _ in range(3)]
    await house.write(*[booked(stage.event, user_id=one) for one in (before, after, other)])
    await preferences.mute(house.pool, before, [("reminders", "mail")])
    await preferences.mute(house.pool, other, [("sales", "mail"), ("reminders", "push")])
    assert 2 == await stage.plan(20 * HOUR)
    token = preferences.token_of(await preferences.secret(house.pool), after, "reminders")
    mail = f"From: x@example.org\r\nSubject: Unsubscribe {token}\r\n\r\n".encode()
    for _ in range(2):
        found = bounces.read_end(mail)
        assert token == found
        assert "no more letters of reminders" in await bounces.end_letters(house.pool, found)
    assert "no letter of ours" == await bounces.end_letters(house.pool, token[:-1] + "z")
    assert bounces.read_end(b"Subject: hello\r\n\r\nunsubscribe") is None
    async with house.working():
        await house.until(skipped=1, sent=1)
    assert {"not wanted"} == await stage.why()
    [letter] = house.mail.letters()
    assert await house.address_of(other) == letter["X-Recipient"]


async def test_two_thousand_holders_are_a_step(stage: Stage) -> None:
    """A page of holders is planned in one transaction, however long the rest is."""
    records = [booked(stage.event, user_id=new_id("usr")) for _ in range(2_100)]
    await stage.house.write(*records)
    now = stage.starts_at - 20 * HOUR
    for count in (2_000, 2_100):
        assert await stage.house.follower.plan(stage.house.connection, now=now)
        assert count == await stage.count()
    assert not await stage.house.follower.plan(stage.house.connection, now=now)


async def test_who_follows_reminds(stage: Stage, database_url: str) -> None:
    """Whoever follows the archive makes reminders beside that, all pages of them."""
    house = stage.house
    await house.write(*[booked(stage.event, user_id=await house.person()) for _ in range(3)])
    follower = Teller(database_url, timeout_ms=TIMEOUT_MS, fans=[account.fan])
    task = asyncio.create_task(follower.run())
    try:
        async with house.working():
            await house.until(sent=9)  # Of each: the letter, the message in the account, this.
    finally:
        await end(task)
    assert 3 == await stage.count()


async def test_a_sale_that_opens_soon(stage: Stage) -> None:
    """Who asked is told a quarter of an hour before, by both clocks; who no longer asks is not."""
    house = stage.house
    opens_at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(minutes=10)
    await stage.move(sale_opens_at=opens_at)
    asks, ends, _quiet = [await house.person() for _ in range(3)]
    await house.pool.execute("UPDATE users SET timezone = 'Asia/Tokyo' WHERE id = $1", asks)
    for one in (asks, ends):
        assert await reminders.ask(house.pool, stage.event, one, most=9)
    stage.starts_at = opens_at
    minute = dt.timedelta(minutes=1)
    assert (0, 0) == (await stage.plan(16 * minute), await stage.plan(minute / 2))
    assert (2, 0) == (await stage.plan(15 * minute), await stage.plan(2 * minute))
    await reminders.end(house.pool, stage.event, ends)
    async with house.working():
        await house.until(skipped=1, sent=1)
    [letter] = house.mail.letters()
    assert await house.address_of(asks) == letter["X-Recipient"]
    assert "The sale for Summer Night opens soon" == letter["Subject"]
    body = letter.get_body(("plain",))
    assert body is not None
    assert 2 == body.get_content().count("Sale opens: ")
    assert "(Asia/Tokyo)" in body.get_content()
    # It opens later: what is told then is another fact.
    await stage.move(sale_opens_at=opens_at + HOUR)
    stage.starts_at = opens_at + HOUR
    assert 1 == await stage.plan(15 * minute)


def test_half_of_an_offer() -> None:
    """The second message of an offer is due when half of its time is over; short ones have none."""
    now = dt.datetime.now(dt.UTC)
    offer = NewDelivery(
        fact="waitlist.offered/wl_x/usr_x/offer_x",
        target="usr_x",
        kind="waitlist.offered",
        lane=1,
        user_id="usr_x",
        event_id="evt_x",
        subject_id="wl_x",
        booking_id=None,
        outbox_id=None,
        shard=0,
        epoch=1,
        seq=1,
        until=now + HOUR,
    )
    [ending] = of_offers([offer, offer._replace(until=now + HOUR / 20)], now)
    assert now + HOUR / 2 == ending.due_at
    assert ("offer.ending/wl_x/usr_x/offer_x", 1) == (ending.fact, ending.lane)
    assert [] == of_offers([offer._replace(until=now - HOUR)], now)


async def test_an_offer_whose_time_is_half_over(house: House) -> None:
    """Who has not answered is told once more when half of the time is over; who has is not."""
    event = await house.event()
    common: dict[str, Any] = {"version": 1, "at_ms": AT_MS, "event_id": event}
    for number, length_s in ((1, 3_600), (2, 3_600), (3, 60)):
        waiter, entry = await house.person(f"N{number}"), new_id("wl")
        until_ms = round(1000 * (time.time() + length_s))
        joined = Joined(
            **common,
            entry_id=entry,
            user_id=waiter,
            fingerprint="f",
            tier_no=1,
            quantity=2,
            join_no=f"{number:012}",
            policy="strict",
            patience_ms=0,
            offer_ttl_ms=0,
            after_hold="",
        )
        offered = Offered(
            **common,
            entry_id=entry,
            hold_id=entry.replace("wl_", "offer_"),
            user_id=waiter,
            fingerprint="f",
            items=[Item(1, 2, 4550)],
            expires_at_ms=until_ms,
            join_no=f"{number:012}",
            cause_seq=0,
            reason="turn",
            passed=[],
        )
        await house.write(joined, offered)
    await house.follow()
    async with house.working():
        await house.until(sent=3, waiting=2)
    ahead = await house.pool.fetch(
        "SELECT extract(epoch FROM due_at - now())::int AS s FROM deliveries"
        " WHERE kind = 'offer.ending'"
    )
    assert all(1_700 < row["s"] <= 1_800 for row in ahead)
    await house.pool.execute(
        "UPDATE waitlist_entries SET status = 'declined' WHERE event_id = $1 AND join_no LIKE '%2'",
        event,
    )
    await house.hurry()
    async with house.working():
        await house.until(sent=4, skipped=1)
    last = house.mail.letters()[-1]
    assert "Half your time is over: Summer Night" == last["Subject"]
    assert str(last["To"]).startswith("N1 ")
    assert last["List-Unsubscribe"] is None
