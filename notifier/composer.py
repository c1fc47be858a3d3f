"""
The composer: from a delivery to the letter, by what is true when it leaves.

What a letter says of a booking is read from the ledger when it is sent, so that a late letter says
nothing that is over. A secret is read from the outbox and kept nowhere else: once it was used or is
over, there is nothing to send.
"""

from __future__ import annotations

import datetime as dt
from email.message import EmailMessage
from typing import NamedTuple

import asyncpg
import msgspec

from engine.seats import name_of, parse_seat_id, section_of
from notifier.kinds import KINDS, NEED_TOKEN, PROVE
from notifier.letter import NoAddress, Post, tag_of, write
from notifier.render import Brief, Content, Fact, brief, money, render, time_of
from papers.words import LANGUAGES, language_of
from store import deliveries, seats
from store.deliveries import Delivery, Recipient
from store.pool import Pool
from store.seats import Section

#: Booking, ticket: what the ids begin with.
_BOOKING, _TICKET, _ENTRY = "bk_", "tkt_", "wl_"
#: Seats that a letter names; of more than that it tells the number alone.
SEATS_MAX = 20


class Letter(NamedTuple):
    """What is to leave."""

    to: str
    message: EmailMessage


class Nothing(NamedTuple):
    """Why nothing leaves."""

    why: str
    is_suppressed: bool = False


class Composer:
    """Writes the letters of deliveries."""

    def __init__(self, pool: Pool, post: Post, *, public_url: str) -> None:
        self._pool = pool
        self._post = post
        self._public_url = public_url.rstrip("/")

    async def compose(self, delivery: Delivery) -> Letter | Nothing:
        """Return the letter of a delivery as it is now, or why there is none."""
        person = await self._person(delivery)
        if isinstance(person, Nothing):
            return person
        is_to_account = delivery.target == delivery.user_id
        if is_to_account and person.is_anothers:
            return Nothing("the address is another's")
        to = person.email if is_to_account else delivery.target
        if delivery.kind not in PROVE and await deliveries.why_suppressed(self._pool, to):
            return Nothing("the address takes nothing", is_suppressed=True)
        content = await self._content(delivery, person, is_to_account=is_to_account)
        if isinstance(content, Nothing):
            return content
        try:
            message = write(
                render(content, language_of(person.language)),
                self._post,
                to=to,
                name=content.name,
                tag=tag_of(delivery.fact, delivery.target),
                thread=delivery.booking_id,
            )
        except NoAddress:
            return Nothing("no address", is_suppressed=True)
        return Letter(to, message)

    async def brief(self, delivery: Delivery) -> Brief | Nothing:
        """Return what a delivery says in short to its person, as it is now."""
        person = await self._person(delivery)
        if isinstance(person, Nothing):
            return person
        content = await self._content(delivery, person, is_to_account=True)
        if isinstance(content, Nothing):
            return content
        return brief(content, language_of(person.language))

    async def _person(self, delivery: Delivery) -> Recipient | Nothing:
        """Return whom a delivery is to, if it still says anything and they are there."""
        if delivery.kind not in KINDS:
            return Nothing("no such message")
        if delivery.until is not None and delivery.until <= dt.datetime.now(dt.UTC):
            return Nothing("too late")
        person = await deliveries.recipient(self._pool, delivery.user_id)
        if person is None or person.is_erased or not delivery.target:
            return Nothing("nobody")
        return person

    async def _content(
        self, delivery: Delivery, person: Recipient, *, is_to_account: bool
    ) -> Content | Nothing:
        said = await self._said(delivery)
        if delivery.kind in NEED_TOKEN and "token" not in said:
            return Nothing("its secret is over")
        event_id = delivery.event_id or said.get("event_id")
        event = await deliveries.event_of(self._pool, event_id) if event_id else None
        if event_id and event is None:
            return Nothing("no event")
        if event is not None and event["ends_at"] <= dt.datetime.now(dt.UTC):
            return Nothing("too late")
        language = language_of(person.language)
        fields, facts, words = _of_payload(said, person), [], delivery.kind
        if event is not None:
            fields["event"] = event["name"]
            facts = _of_event(event, language)
            more, words = await self._of_subject(delivery, event, language)
            facts += more
            if delivery.until is not None:
                fields["until"] = time_of(delivery.until, event["timezone"], language)
                facts.append(Fact("until", fields["until"]))
        return Content(
            words=words,
            fields=fields,
            facts=facts,
            name=person.name if is_to_account or delivery.kind.startswith("account.") else "",
            organizer=event["organizer"] if event is not None else "",
            url=self._url(delivery, said, event_id or ""),
        )

    async def _said(self, delivery: Delivery) -> dict[str, str]:
        """Return what the outbox says of it."""
        if delivery.outbox_id is None:
            return {}
        text = await deliveries.payload(self._pool, delivery.outbox_id)
        return msgspec.json.decode(text or "{}", type=dict[str, str])

    async def _of_subject(
        self, delivery: Delivery, event: asyncpg.Record, language: str
    ) -> tuple[list[Fact], str]:
        """Return what stands there of a booking, ticket or entry, and the words of the letter."""
        subject = delivery.subject_id
        own = (self._pool, event["id"], subject)
        if subject.startswith(_BOOKING):
            booking = await deliveries.booking_of(*own)
            facts = [Fact("booking", subject)]
            if booking is None:
                return facts, delivery.kind
            if delivery.kind == "booking.cancelled" and booking["was_not_told"]:
                return facts, "booking.made_and_cancelled"
            if booking["status"] == "confirmed":
                currency = event["currency"]
                for line in await deliveries.lines_of(*own):
                    price = money(line["unit_price_minor"], currency, language)
                    facts.append(Fact("places", f"{line['quantity']} × {line['name']}, {price}"))
                    facts += await self._seats(event["id"], line["seat_ids"].split("+"), language)
                facts.append(Fact("total", money(booking["total_minor"], currency, language)))
            return facts, delivery.kind
        if subject.startswith(_TICKET):
            ticket = await deliveries.ticket_of(*own)
            if ticket is not None:
                own_seats = await self._seats(event["id"], [ticket["seat_id"]], language)
                return [_places(ticket["name"], 1), *own_seats], delivery.kind
        if subject.startswith(_ENTRY):
            entry = await deliveries.entry_of(*own)
            if entry is not None:
                return [_places(entry["name"], entry["quantity"])], delivery.kind
        return [], delivery.kind

    async def _seats(self, event_id: str, seat_ids: list[str], language: str) -> list[Fact]:
        """Return what stands on seats: section, row and seat."""
        places = [place for one in seat_ids[:SEATS_MAX] if (place := parse_seat_id(one))]
        sections = await seats.named(self._pool, {(event_id, number) for number, _ in places})
        names = [
            name
            for number, seat_no in places
            if (section := sections.get((event_id, number)))
            and (name := _seat(section, seat_no, language))
        ]
        return [Fact("seats", "; ".join(names))] if names else []

    def _url(self, delivery: Delivery, said: dict[str, str], event_id: str) -> str:
        page = KINDS[delivery.kind].page
        if not page:
            return ""
        named = {"about_id": delivery.subject_id, "event_id": event_id}
        return self._public_url + page.format_map(
            {"gift_id": "", "invitation_id": ""} | said | named
        )


def _of_payload(said: dict[str, str], person: Recipient) -> dict[str, str]:
    """Return the fields that sentences may name, whichever of them are told."""
    return {
        "giver": person.name,
        "device": said.get("device", ""),
        "issuer": said.get("issuer", ""),
        "passkey": said.get("name", ""),
        "team": said.get("organizer_name", ""),
        "role": said.get("role", ""),
        "until": "",
    }


def _of_event(event: asyncpg.Record, language: str) -> list[Fact]:
    zone = event["timezone"]
    facts = [
        Fact("event", event["name"]),
        Fact("when", time_of(event["starts_at"], zone, language)),
    ]
    if event["doors_at"] is not None:
        facts.append(Fact("doors", time_of(event["doors_at"], zone, language)))
    where = ", ".join(filter(None, (event["venue"], event["address"])))
    return [*facts, Fact("where", where)] if where else facts


def _places(tier: str, quantity: int) -> Fact:
    return Fact("places", f"{quantity} × {tier}")


def _seat(section: Section, seat_no: int, language: str) -> str:
    """Return what stands on a seat of a section; empty if it has no such seat."""
    loaded = section_of(section.section_no, section.tier_no, section.row_seats, section.kinds)
    found = name_of(loaded, msgspec.json.decode(section.rows), seat_no)
    return LANGUAGES[language].place(section.name, *found) if found else ""
