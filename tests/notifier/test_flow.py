"""From a fact to a letter: each once, in order, never before the ledger has it (F44)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest

from engine.ids import new_id, ticket_id
from engine.records import Expired, Item, ItemCancelled, Joined, Left, Offered, Transferred
from notifier.follower import Teller
from papers.formats import time_of
from store import deliveries, outbox
from tests.conftest import TIMEOUT_MS
from tests.notifier.conftest import PUBLIC_URL, House
from tests.notifier.test_enclosures import codes_of, enclosed, entry_of, given, text_in
from tests.store.records import AT_MS, booked, cancelled


async def test_f44_a_booking_becomes_a_letter(house: House) -> None:
    """A booking that the ledger has is told to its person: what, when, where, how much."""
    event = await house.event()
    buyer = await house.person()
    record = booked(event, (1, 2, 4550), user_id=buyer)
    await house.write(record)
    [letter] = await house.send(sent=1)
    assert await house.address_of(buyer) == letter["X-Recipient"]
    assert "Your booking for Summer Night" == letter["Subject"]
    assert "Park Stage via Evently <tickets@example.org>" == letter["From"]
    assert "auto-generated" == letter["Auto-Submitted"]
    assert letter["List-Unsubscribe"] is None
    assert re.fullmatch(r"bounces\+\d+-[0-9a-f]{24}@example\.org", letter["X-Sender"])
    body = letter.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    for said in ("Hello Ada,", record.booking_id, "2 × Floor, 45.50 EUR", "91.00 EUR", "Park"):
        assert said in text
    assert f"{PUBLIC_URL}/b/{record.booking_id}" in text
    html = letter.get_body(("html",))
    assert html is not None
    assert "2 × Floor, 45.50 EUR" in html.get_content()


async def test_f44_each_fact_is_told_once(house: House) -> None:
    """A fact that comes again, in another epoch or after a restart of all, makes no letter."""
    event = await house.event()
    record = booked(event, user_id=await house.person())
    await house.write(record)
    await house.send(sent=1)
    await house.pool.execute("DELETE FROM told WHERE shard = $1", house.shard)
    assert 1 == await house.follow()
    await house.pool.execute(
        "INSERT INTO journal (shard, epoch, first_seq, last_seq, first_at, records)"
        " SELECT shard, 2, first_seq, last_seq, first_at, records FROM journal WHERE shard = $1",
        house.shard,
    )
    await house.pool.execute(
        "INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, 2, 1)", house.shard
    )
    assert 1 == await house.follow()
    assert 0 == await house.follow()
    assert {"sent": 1} == await house.states()
    assert 1 == len(house.mail.letters())


#: Of the two letters of a booking, the first of which is refused at first.
SPANS = [("delayed", "delayed"), ("sent", ""), ("sent", "")]


async def test_letters_of_a_booking_are_one_thread_in_order(house: House) -> None:
    """The letters of a booking leave in order, although many workers are idle, as one thread."""
    event, buyer = await house.event(), await house.person()
    record = booked(event, (1, 2, 4550), user_id=buyer)
    await house.write(record)
    await house.follow()
    house.mail.orders.give(recipient=["450 4.2.0 later"])
    async with house.working():
        await house.until(delayed=1)
        change = ItemCancelled(
            version=1,
            at_ms=AT_MS + 1,
            event_id=event,
            booking_id=record.booking_id,
            user_id=buyer,
            booking_version=2,
            items=[Item(1, 1, 4550)],
            left=[Item(1, 1, 4550)],
            cuts="",
        )
        await house.write(change)
        await house.follow()
        await asyncio.sleep(0.2)
        assert {"delayed": 1, "waiting": 1} == await house.states()
        await house.hurry()
        await house.until(sent=2)
    first, second = house.mail.letters()
    assert "Your booking for Summer Night" == first["Subject"]
    assert "Your booking for Summer Night has changed" == second["Subject"]
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]
    told = [(one.name, one.attributes["evently.state"], one.error) for one in house.spans]
    assert [("deliver mail", state, error) for state, error in SPANS] == told
    assert buyer not in str(house.spans)


async def test_a_cancelled_booking_that_was_not_told(house: House) -> None:
    """A confirmation that has not left when its booking ends becomes one letter that says both."""
    record = booked(await house.event(), user_id=await house.person())
    await house.write(record, cancelled(record))
    [letter] = await house.send(sent=1, superseded=1)
    assert "Your booking for Summer Night was made and cancelled" == letter["Subject"]


async def test_resets_pass_confirmations(house: House) -> None:
    """What somebody waits for leaves before all confirmations that were there before it."""
    event = await house.event()
    await house.write(*[booked(event, user_id=await house.person()) for _ in range(20)])
    await house.follow()
    person = await house.person()
    await house.tell("account.reset", person, to="x@example.net", token="secret-token")
    await house.follow()
    async with house.working(workers=1):
        await house.until(sent=21)
    first = house.mail.letters()[0]
    assert "Choose a new password" == first["Subject"]
    body = first.get_body(("plain",))
    assert body is not None
    assert f"{PUBLIC_URL}/reset#token=secret-token" in body.get_content()


async def test_a_secret_that_is_over_is_not_sent(house: House) -> None:
    """A link that was used, or is over, is in no letter any more."""
    await house.tell("account.reset", await house.person(), to="x@example.net")
    assert [] == await house.send(skipped=1)


async def test_a_domain_gets_three_at_a_time(house: House) -> None:
    """However many workers are idle, three letters go to a domain at a time, and all arrive."""
    event = await house.event()
    people = [await house.person(domain="slow.example") for _ in range(30)]
    await house.write(*[booked(event, user_id=person) for person in people])
    await house.send(sent=30)
    assert 3 >= int((house.mail.folder / "most").read_text())


async def test_tickets_and_waitlists_are_told(house: House) -> None:
    """Who gets a ticket and who gave it, who is offered places and who waits no more, are told."""
    event = await house.event()
    giver, holder, waiter = [await house.person(name) for name in ("Giver", "Holder", "Waiter")]
    record = booked(event, user_id=giver)
    entry = new_id("wl")
    offer = entry.replace("wl_", "offer_")
    common: dict[str, Any] = {"version": 1, "at_ms": AT_MS, "event_id": event}
    until_ms = round(1000 * (time.time() + 3_600))
    gave = Transferred(
        **common,
        ticket_id=ticket_id(record.booking_id, 1),
        booking_id=record.booking_id,
        number=1,
        ticket_version=2,
        holder_id=holder,
        gate="-",
        by=giver,
    )
    joined = Joined(
        **common,
        entry_id=entry,
        user_id=waiter,
        fingerprint="f",
        tier_no=1,
        quantity=2,
        join_no="000000000001",
        policy="strict",
        patience_ms=0,
        offer_ttl_ms=0,
        after_hold="",
    )
    offered = Offered(
        **common,
        entry_id=entry,
        hold_id=offer,
        user_id=waiter,
        fingerprint="f",
        items=[Item(1, 2, 4550)],
        expires_at_ms=until_ms,
        join_no="000000000001",
        cause_seq=0,
        reason="turn",
        passed=[],
    )
    await house.write(record, gave, joined, offered)
    # An offer is told of once more when half of its time is over.
    letters = await house.send(sent=4, waiting=1)
    said = {(str(one["To"]).partition(" ")[0], one["Subject"]) for one in letters}
    assert said == {
        ("Giver", "Your booking for Summer Night"),
        ("Giver", "You gave a ticket for Summer Night away"),
        ("Holder", "You have a ticket for Summer Night"),
        ("Waiter", "Places for Summer Night are kept for you"),
    }
    over = Expired(**common, hold_id=offer, user_id=waiter, items=[Item(1, 2, 4550)])
    left = Left(**common, entry_id=new_id("wl"), user_id=waiter, tier_no=1, quantity=1, why="limit")
    await house.write(over, left)
    assert 6 == len(await house.send(sent=6, waiting=1))


async def test_an_offer_that_is_over_is_not_told(house: House) -> None:
    """An offer whose end has come before its letter left is told to nobody."""
    record = Offered(
        version=1,
        at_ms=AT_MS,
        event_id=await house.event(),
        entry_id=new_id("wl"),
        hold_id=new_id("offer"),
        user_id=await house.person(),
        fingerprint="f",
        items=[Item(1, 2, 4550)],
        expires_at_ms=1_000,
        join_no="000000000001",
        cause_seq=0,
        reason="turn",
        passed=[],
    )
    await house.write(record)
    assert [] == await house.send(skipped=1)


async def test_who_only_claims_a_proved_address_is_not_written_to(house: House) -> None:
    """Whoever has proved an address gets no letters of accounts that only claim it."""
    claimer = await house.person()
    owner = await house.person()
    await house.pool.execute("UPDATE users SET is_claim = true WHERE id = $1", claimer)
    email = await house.address_of(claimer)
    await house.pool.execute(
        "UPDATE users SET email = $2, email_verified_at = now() WHERE id = $1", owner, email
    )
    await house.write(booked(await house.event(), user_id=claimer))
    assert [] == await house.send(skipped=1)


async def test_letters_are_in_their_readers_language(house: House) -> None:
    """German and Arabic readers get their own words, and the Arabic letter runs to the left."""
    event = await house.event(name="حفل صيفي")
    people = [await house.person("ليلى", language=one) for one in ("de-AT", "ar", "xx")]
    await house.write(*[booked(event, user_id=one) for one in people])
    letters = await house.send(sent=3)
    found = {str(one["Content-Language"]): one for one in letters}
    assert {"de", "ar", "en"} == set(found)
    assert "Ihre Buchung für حفل صيفي" == found["de"]["Subject"]
    html = found["ar"].get_body(("html",))
    assert html is not None
    assert '<html lang="ar" dir="rtl">' in html.get_content()


async def test_a_message_of_newer_code_is_skipped(house: House) -> None:
    """A kind that this version does not know stops nothing."""
    person = await house.person()
    await house.tell("account.of_tomorrow", person)
    await house.tell("account.password_changed", person)
    assert 1 == len(await house.send(skipped=1, sent=1))


async def test_what_was_before_is_not_told(house: House) -> None:
    """A cursor that stands where the archive ends makes no letters of what is before it."""
    record = booked(await house.event(), user_id=await house.person())
    await house.write(record)
    place = deliveries.Cursor(house.shard, 1, house.seq)
    async with house.connection.transaction():
        await deliveries.note_told(house.connection, place)
    assert 0 == await house.follow()


async def test_s43_an_erased_person_is_told_nothing(house: House) -> None:
    """S43: who was erased before a letter left gets none, and no row has their address."""
    person = await house.person()
    await house.write(booked(await house.event(), user_id=person))
    await house.follow()
    await house.pool.execute("UPDATE users SET erased_at = now() WHERE id = $1", person)
    assert [] == await house.send(skipped=1)


async def test_an_event_that_moves_is_told_to_all(
    enclosing: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who has places is told once of another start and place, with new tickets, and nobody else.

    However many pages they are, and if the notifier begins anew in the middle.
    """
    monkeypatch.setattr(deliveries, "BOOKINGS_MAX", 2)
    house = enclosing
    event = await house.event()
    people = [await house.person(f"P{number}") for number in range(6)]
    records = [booked(event, (1, 2, 4550), user_id=one) for one in people[:5]]
    gift = given(records[0], 2, people[5])
    await house.write(*records, gift, cancelled(records[4]))
    await house.send(sent=7, superseded=1)
    house.mail.clear()
    row = await house.pool.fetchrow(
        "UPDATE events SET starts_at = starts_at + interval '1 day', venue = 'Hall', version = 2,"
        " ends_at = ends_at + interval '1 day' WHERE id = $1"
        " RETURNING starts_at - interval '1 day' AS old",
        event,
    )
    assert row is not None
    old = {"old_starts_at": row["old"].isoformat(), "old_timezone": "Europe/Berlin"}
    old |= {"old_venue": "Park", "old_address": ""}
    async with house.pool.acquire() as connection, connection.transaction():
        await outbox.event_changed(connection, event, old)
    assert 1 == await house.follow()
    house.follower = Teller("", timeout_ms=TIMEOUT_MS)
    while await house.follow():
        pass
    await house.write(cancelled(records[3]))
    letters = await house.send(sent=12, superseded=1, skipped=1)
    told = {str(one["To"]).partition(" ")[0]: one for one in letters}
    mine = told.pop("P3")
    assert "Your booking for Summer Night is cancelled" == mine["Subject"]
    assert {"P0", "P1", "P2", "P5"} == set(told)
    for name, letter in told.items():
        assert "Summer Night takes place at another time or place" == letter["Subject"]
        text = text_in(letter)
        assert 1 == text.count("Where: Hall")
        assert "Before: where: Park" in text
        before = time_of(row["old"], "Europe/Berlin", "en")
        assert f"Before: when: {before}" in text
        files = enclosed(letter)
        assert (1 if name in {"P0", "P5"} else 2) == len(codes_of(files["tickets.pdf"]))
    uid = f"{ticket_id(records[0].booking_id, 2)}@evently"
    assert ("PUBLISH", uid, 5) == entry_of(told["P5"])
    assert ("PUBLISH", f"{records[1].booking_id}@evently", 3) == entry_of(told["P1"])
