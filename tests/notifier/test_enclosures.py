"""Tickets in hand by mail: the right ones, as they should look; no letter is lost by a paper."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import icalendar
import msgspec
import pytest

from engine.ids import ticket_id
from engine.records import Booked, Holder, Item, ItemCancelled, Transferred
from engine.ticket_codes import TicketCode, TicketCodes, ticket_key_id
from notifier.enclosures import Encloser
from papers.press import Press, PressBusy, PressFailed
from papers.values import CodeImage, Paper, TicketSheets
from store.sealed import seal
from tests.notifier import looks
from tests.notifier.conftest import SIGNING_KEY, House
from tests.papers.looks import LARGE, pages
from tests.papers.test_tickets import codes_in, text_of
from tests.store.records import AT_MS, booked, cancelled

CODES = TicketCodes(SIGNING_KEY)


def enclosed(letter: EmailMessage) -> dict[str, Any]:
    """Return what a letter encloses, by file name."""
    return {
        str(part.get_filename()): part.get_payload(decode=True)
        for part in letter.walk()
        if part.get_filename()
    }


def codes_of(pdf: bytes) -> list[str]:
    """Return the code of each page of a PDF, as a scanner reads it."""
    return [code for page in pages(pdf, scale=LARGE) for code in codes_in(page)]


def entry_of(letter: EmailMessage) -> tuple[str, str, int]:
    """Return method, UID and sequence of a letter's entry for calendars."""
    read = icalendar.Calendar.from_ical(enclosed(letter)["event.ics"])
    [event] = read.walk("VEVENT")
    [part] = [one for one in letter.walk() if one.get_content_type() == "text/calendar"]
    assert str(read["METHOD"]) == part.get_param("method")
    return str(read["METHOD"]), str(event["UID"]), int(str(event["SEQUENCE"]))


def text_in(letter: EmailMessage) -> str:
    """Return the text of a letter."""
    body = letter.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def given(record: Booked, number: int, holder: str) -> Transferred:
    """Make the record by which a booking's ticket gets another holder."""
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


@pytest.mark.parametrize("name", looks.LOOKS)
def test_reads_as_it_should(name: str) -> None:
    """A letter says, and is made of, what it was when somebody looked at it."""
    golden = (looks.GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert golden == looks.said(looks.letter(looks.LOOKS[name]))


async def test_one_ticket_is_in_the_letter(enclosing: House) -> None:
    """One ticket: its code stands in the HTML, and in the PDF; both are the ticket's own."""
    house = enclosing
    event, buyer = await house.event(), await house.person("山田太郎", language="de")
    record = booked(event, (1, 1, 4550), user_id=buyer)
    await house.write(record)
    [letter] = await house.send(sent=1)
    assert list(looks.parts(letter)) == [
        "multipart/mixed inline",
        "  multipart/alternative inline",
        "    text/plain inline",
        "    multipart/related inline",
        "      text/html inline",
        "      image/png inline code.png <code@evently>",
        "  application/pdf attachment tickets.pdf",
        "  text/calendar attachment method=PUBLISH event.ics",
    ]
    code = CODES.issue(TicketCode(event, record.booking_id, 1, 1, 1))
    files = enclosed(letter)
    assert [code] == codes_of(files["tickets.pdf"])
    assert "山田太郎" in text_of(files["tickets.pdf"])
    assert files["code.png"].startswith(b"\x89PNG")
    assert ("PUBLISH", f"{record.booking_id}@evently", 2) == entry_of(letter)
    assert "Ihr Ticket liegt als PDF bei" in text_in(letter)


async def test_several_tickets_are_one_file(enclosing: House) -> None:
    """Ten tickets are ten pages of one PDF, and none of them stands for all in the letter."""
    house = enclosing
    event = await house.event()
    record = booked(event, (1, 10, 4550), user_id=await house.person())
    await house.write(record)
    [letter] = await house.send(sent=1)
    assert {"tickets.pdf", "event.ics"} == set(enclosed(letter))
    codes = [CODES.issue(TicketCode(event, record.booking_id, no, 1, 1)) for no in range(1, 11)]
    assert codes == codes_of(enclosed(letter)["tickets.pdf"])
    assert "Your 10 tickets are enclosed" in text_in(letter)


async def test_each_has_their_own(enclosing: House) -> None:
    """
    Who was given a ticket gets it alone, and the giver's later letters are without it.

    Whose ticket ends is told so by the calendar as well: the same UID, a higher sequence.
    """
    house = enclosing
    event, giver, holder = await house.event(), await house.person(), await house.person("Holder")
    record = booked(event, (1, 3, 4550), user_id=giver)
    await house.write(record, given(record, 2, holder))
    letters = await house.send(sent=3)
    told = {str(one["Subject"]): one for one in letters}
    gift = told["You have a ticket for Summer Night"]
    code = CODES.issue(TicketCode(event, record.booking_id, 2, 1, 2))
    assert [code] == codes_of(enclosed(gift)["tickets.pdf"])
    assert "Ticket 2 of 3" in text_of(enclosed(gift)["tickets.pdf"])
    assert "Holder" in text_of(enclosed(gift)["tickets.pdf"])
    uid = f"{ticket_id(record.booking_id, 2)}@evently"
    assert ("PUBLISH", uid, 4) == entry_of(gift)
    assert {} == enclosed(told["You gave a ticket for Summer Night away"])
    house.mail.clear()

    change = ItemCancelled(
        version=1,
        at_ms=AT_MS + 1,
        event_id=event,
        booking_id=record.booking_id,
        user_id=giver,
        booking_version=2,
        items=[Item(1, 1, 4550)],
        left=[Item(1, 2, 4550)],
        cuts="1x3x4550/1-9-9-1x1x4550#3",
    )
    await house.write(change)
    [changed] = await house.send(sent=4)
    assert 1 == len(codes_of(enclosed(changed)["tickets.pdf"]))
    assert "code.png" in enclosed(changed)
    assert ("PUBLISH", f"{record.booking_id}@evently", 3) == entry_of(changed)
    house.mail.clear()

    holders = [Holder(2, holder)]
    await house.write(msgspec.structs.replace(cancelled(record), version=2, holders=holders))
    letters = await house.send(sent=6)
    entries = {entry_of(one) for one in letters}
    assert {("CANCEL", uid, 6), ("CANCEL", f"{record.booking_id}@evently", 4)} == entries
    assert [{"event.ics"}] * 2 == [set(enclosed(one)) for one in letters]


class Faulty(Press):
    """A press that refuses some papers, in a way and a number of times."""

    def __init__(self, error: Exception, times: int, *kinds: type) -> None:
        super().__init__()
        self.error, self.times, self.kinds = error, times, kinds or (TicketSheets,)

    async def draw(self, paper: Paper) -> bytes:
        """Draw, or not."""
        if isinstance(paper, self.kinds) and self.times:
            self.times -= 1
            raise self.error
        return await super().draw(paper)


@pytest.mark.parametrize("error", [PressBusy("no"), PressFailed("no")], ids=["busy", "failed"])
async def test_no_letter_is_lost_by_a_paper(house: House, error: Exception) -> None:
    """What cannot be drawn is behind the link, and is in the letter when that is sent again."""
    times = 2 if isinstance(error, PressBusy) else 1
    press = Faulty(error, times)
    house.encloser = Encloser(house.pool, press, SIGNING_KEY)
    record = booked(await house.event(), (1, 1, 4550), user_id=await house.person())
    await house.write(record)
    house.mail.orders.give(text=["keep, drop"])
    [first] = await house.send(unknown=1)
    assert {"code.png", "event.ics"} == set(enclosed(first))
    assert "not enclosed in this mail: you find it at the address below" in text_in(first)
    await house.hurry()
    _, second = await house.send(sent=1)
    assert first["Message-ID"] == second["Message-ID"]
    assert {"code.png", "tickets.pdf", "event.ics"} == set(enclosed(second))
    await press.close()


async def test_a_dead_press_is_asked_again(house: House) -> None:
    """A process that died under a paper costs no letter anything."""
    press = Faulty(PressBusy("gone"), 1, TicketSheets, CodeImage)
    house.encloser = Encloser(house.pool, press, SIGNING_KEY)
    await house.write(booked(await house.event(), user_id=await house.person()))
    [letter] = await house.send(sent=1)
    assert {"code.png", "tickets.pdf", "event.ics"} == set(enclosed(letter))
    await press.close()


async def test_what_weighs_too_much_is_behind_the_link(house: House) -> None:
    """A file that providers would refuse is not enclosed, counted as base64 has it."""
    press = Press()
    house.encloser = Encloser(house.pool, press, SIGNING_KEY, bytes_max=20_000)
    await house.write(booked(await house.event(), (1, 9, 1), user_id=await house.person()))
    [letter] = await house.send(sent=1)
    assert {"event.ics"} == set(enclosed(letter))
    assert "Your 9 tickets are not enclosed" in text_in(letter)
    await press.close()


async def test_s3_codes_are_of_the_key_that_signs(enclosing: House) -> None:
    """S3: a key that was added signs codes in letters from its time on, as it does in the API."""
    house, other = enclosing, "u" * 43
    kid = ticket_key_id(other)
    await house.pool.execute(
        "INSERT INTO signing_keys (kid, purpose, is_setting, sealed, signs_at)"
        " VALUES ($1, 'tickets', false, $2, now() - interval '1 s')",
        kid,
        seal(SIGNING_KEY, "tickets", kid, other.encode()),
    )
    try:
        record = booked(await house.event(), user_id=await house.person())
        await house.write(record)
        [letter] = await house.send(sent=1)
    finally:
        await house.pool.execute("DELETE FROM signing_keys WHERE kid = $1", kid)
    code = TicketCodes(other).issue(TicketCode(record.event_id, record.booking_id, 1, 1, 1))
    assert [code] == codes_of(enclosed(letter)["tickets.pdf"])
