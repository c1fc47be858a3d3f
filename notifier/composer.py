"""
The composer: from a delivery to the letter, by what is true when it leaves.

What a letter says of a booking is read from the ledger when it is sent, so that a late letter says
nothing that is over. A secret is read from the outbox and kept nowhere else: once it was used or is
over, there is nothing to send.
"""

from __future__ import annotations

import datetime as dt
from email.message import EmailMessage
from typing import Literal, NamedTuple
from urllib.parse import quote

import asyncpg
import msgspec

from notifier.enclosures import Encloser, booking_of
from notifier.kinds import KINDS, MADE_AND_CANCELLED, NEED_TOKEN, PROVE, TOPICS
from notifier.letter import NOTHING, NoAddress, Post, tag_of, write
from notifier.places import seats_of
from notifier.reminders import mark_of
from notifier.render import Brief, Content, Fact, brief, money, render
from papers.formats import time_of
from papers.words import LANGUAGES, language_of
from store import deliveries, preferences, reminders, tickets
from store.deliveries import Delivery, Recipient
from store.pool import Pool

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

    def __init__(
        self, pool: Pool, post: Post, *, public_url: str, encloser: Encloser | None = None
    ) -> None:
        """
        Args:
            encloser: Makes what lies in letters; None: they have nothing in them but their text.
        """
        self._pool = pool
        self._encloser = encloser
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
        if await self._is_muted(delivery, "mail"):
            return Nothing("not wanted")
        content = await self._content(
            delivery, person, is_to_account=is_to_account, encloser=self._encloser
        )
        if isinstance(content, Nothing):
            return content
        end_url, ends = await self._ends(delivery)
        content = content._replace(end_url=end_url)
        try:
            message = write(
                render(content, language_of(person.language)),
                self._post,
                to=to,
                name=content.name,
                tag=tag_of(delivery.fact, delivery.target),
                thread=delivery.booking_id,
                ends=ends,
                enclosed=content.enclosed,
            )
        except NoAddress:
            return Nothing("no address", is_suppressed=True)
        return Letter(to, message)

    async def brief(self, delivery: Delivery) -> Brief | Nothing:
        """Return what a delivery says in short to its person, as it is now."""
        person = await self._person(delivery)
        if isinstance(person, Nothing):
            return person
        if await self._is_muted(delivery, "push"):
            return Nothing("not wanted")
        content = await self._content(delivery, person, is_to_account=True, encloser=None)
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

    async def _is_muted(self, delivery: Delivery, channel: Literal["mail", "push"]) -> bool:
        topic = TOPICS.get(delivery.kind)
        if topic is None:
            return False
        return (topic, channel) in await preferences.muted_of(self._pool, delivery.user_id)

    async def _ends(self, delivery: Delivery) -> tuple[str, list[str]]:
        """
        Return the page that ends letters of this kind, and all ways to; none if none may be.

        The page is the site's; programs of mail post to the API (RFC 8058).
        """
        topic = TOPICS.get(delivery.kind)
        if topic is None:
            return "", []
        key = await preferences.secret(self._pool)
        token = preferences.token_of(key, delivery.user_id, topic)
        page = f"{self._public_url}/unsubscribe?token={quote(token)}"
        url = f"{self._public_url}/v1/unsubscribe?token={quote(token)}"
        by_mail = f"mailto:{self._post.bounces}?subject=unsubscribe%20{quote(token)}"
        return page, [url, by_mail] if self._post.bounces else [url]

    async def _content(
        self,
        delivery: Delivery,
        person: Recipient,
        *,
        is_to_account: bool,
        encloser: Encloser | None,
    ) -> Content | Nothing:
        said = await self._said(delivery)
        if delivery.kind in NEED_TOKEN and "token" not in said:
            return Nothing("its secret is over")
        event_id = delivery.event_id or said.get("event_id")
        event = await deliveries.event_of(self._pool, event_id) if event_id else None
        if event_id and event is None:
            return Nothing("no event")
        if delivery.kind == "event.changed" and not await self._has_it(delivery):
            return Nothing("no place any more")
        if event is not None and event["ends_at"] <= dt.datetime.now(dt.UTC):
            return Nothing("too late")
        if event is not None and (why := await self._why_over(delivery, event)):
            return Nothing(why)
        language = language_of(person.language)
        fields, facts, words = _of_payload(said, person), [], delivery.kind
        enclosed = NOTHING
        if event is not None:
            fields["event"] = event["name"]
            facts = _of_event(event, language) + _before(said, event, language)
            more, words = await self._of_subject(delivery, event, language)
            facts += more
            if delivery.kind == "sale.opens_soon":
                facts += _of_opening(event, person, language)
            if delivery.until is not None and delivery.kind not in TOPICS:
                fields["until"] = time_of(delivery.until, event["timezone"], language)
                facts.append(Fact("until", fields["until"]))
            if encloser is not None and words != MADE_AND_CANCELLED:
                enclosed = await encloser.of(delivery, event, person, language)
        return Content(
            words=words,
            fields=fields,
            facts=facts,
            name=person.name if is_to_account or delivery.kind.startswith("account.") else "",
            organizer=event["organizer"] if event is not None else "",
            url=self._url(delivery, said, event_id or ""),
            enclosed=enclosed,
        )

    async def _has_it(self, delivery: Delivery) -> bool:
        """Tell whether somebody has the booking or ticket still that they are told of."""
        booking_id = booking_of(delivery.subject_id)
        found = await tickets.of_bookings(self._pool, [(delivery.event_id or "", booking_id)])
        return any(
            one.status != "cancelled"
            and (one.owner_id if delivery.subject_id == booking_id else one.holder_id)
            == delivery.user_id
            and delivery.subject_id in {one.id, booking_id}
            for one in found.get(booking_id, [])
        )

    async def _why_over(self, delivery: Delivery, event: asyncpg.Record) -> str:
        """Return why what was planned has lost its sense meanwhile; empty: it has not."""
        kind, event_id = delivery.kind, event["id"]
        if kind == "offer.ending":
            entry = await deliveries.entry_of(self._pool, event_id, delivery.subject_id)
            is_open = entry is not None and entry["status"] == "offered"
            return "" if is_open else "the offer has ended"
        if kind not in TOPICS:
            return ""
        is_sale = TOPICS[kind] == "sales"
        moment = event["sale_opens_at"] if is_sale else event["starts_at"]
        if delivery.fact.rpartition("/")[2] != mark_of(moment):
            return "it is at another time now"
        if event["status"] == "cancelled":
            return "the event is cancelled"
        if is_sale:
            is_asked = await reminders.is_asked(self._pool, event_id, delivery.user_id)
            return "" if is_asked else "not wanted"
        has_ticket = await tickets.is_holder(self._pool, event_id, delivery.user_id)
        return "" if has_ticket else "no ticket"

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
                return facts, MADE_AND_CANCELLED
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
        found = await seats_of(self._pool, event_id, seat_ids[:SEATS_MAX])
        names = [LANGUAGES[language].place(*seat) for seat in found.values()]
        return [Fact("seats", "; ".join(names))] if names else []

    def _url(self, delivery: Delivery, said: dict[str, str], event_id: str) -> str:
        page = KINDS[delivery.kind].page
        if not page:
            return ""
        named = {"about_id": delivery.subject_id, "event_id": event_id}
        return self._public_url + page.format_map(
            {"gift_id": "", "invitation_id": "", "organizer_id": ""} | said | named
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
        "host": said.get("host", ""),
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


def _of_opening(event: asyncpg.Record, person: Recipient, language: str) -> list[Fact]:
    """Return when the sale opens: by the venue's clock, and by the reader's."""
    zones = dict.fromkeys((event["timezone"], person.timezone or event["timezone"]))
    return [Fact("opens", time_of(event["sale_opens_at"], zone, language)) for zone in zones]


def _before(said: dict[str, str], event: asyncpg.Record, language: str) -> list[Fact]:
    """Return when and where an event was to be before it changed, as far as that is another."""
    if "old_starts_at" not in said:
        return []
    facts = []
    starts_at = dt.datetime.fromisoformat(said["old_starts_at"])
    old, new = (starts_at, said["old_timezone"]), (event["starts_at"], event["timezone"])
    if old != new:
        facts.append(Fact("was_when", time_of(*old, language)))
    if (said["old_venue"], said["old_address"]) != (event["venue"], event["address"]):
        where = ", ".join(filter(None, (said["old_venue"], said["old_address"])))
        facts += [Fact("was_where", where)] if where else []
    return facts


def _places(tier: str, quantity: int) -> Fact:
    return Fact("places", f"{quantity} × {tier}")
