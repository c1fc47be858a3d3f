"""
What a letter encloses: tickets as one PDF, an entry for calendars, the code of a single ticket.

Drawn by the functions that the API's papers come from (`papers.holding`), in the press's process,
for a bounded time. Guarantees: only who has a ticket gets it, and only while it is good; no letter
is given up for a paper. What cannot be drawn is left out and counted, the letter says where it is,
and the next attempt draws it anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import structlog

from engine.ticket_codes import TicketCode, TicketCodes, ticket_key_id
from notifier import metrics
from notifier.kinds import ENDINGS, TICKETS
from notifier.letter import Enclosed
from notifier.places import seats_of
from papers.holding import HeldTickets, TicketPlace, entry_of, occasion_of, sheets_of
from papers.press import Press, PressBusy, PressFailed
from papers.values import CodeImage, Occasion, Paper
from store import deliveries, events, keys, tickets
from store.deliveries import Delivery, Recipient
from store.pool import Pool
from store.sealed_keys import Purpose, Settled
from store.tickets import Ticket

log = structlog.get_logger()

#: How long all papers of one letter may take, in seconds: less than what a lease has to spare.
PAPERS_S_MAX = 20.0
#: What a letter may weigh, in bytes as it is sent: large providers take twice as much.
LETTER_BYTES_MAX = 5_000_000
#: What base64 and its line ends make of a byte.
BASE64_COST = 1.37
#: How long keys are known, in seconds, as in the API: one that was retired signs no more.
KEYS_FRESH_S = 2.0


class Encloser:
    """Makes what letters enclose."""

    def __init__(
        self, pool: Pool, press: Press, signing_key: str, *, bytes_max: int = LETTER_BYTES_MAX
    ) -> None:
        """
        Args:
            signing_key: The setting for tickets' codes.

            bytes_max: What a letter may weigh with what it encloses.

        Raises:
            ValueError: the setting is no key.
        """
        self._pool = pool
        self._press = press
        self._bytes_max = bytes_max
        kids: dict[Purpose, str] = {"tickets": ticket_key_id(signing_key)}
        self._settled = Settled({"tickets": signing_key}, kids)
        self._codes = TicketCodes(signing_key)
        self._fresh_until_s = 0.0

    async def of(
        self, delivery: Delivery, event: asyncpg.Record, person: Recipient, language: str
    ) -> Enclosed:
        """
        Return what a delivery's letter encloses.

        Cost: five queries at most, and its papers (docs/decisions/0031-tickets-by-typst.md).
        """
        if delivery.kind not in TICKETS | ENDINGS:
            return Enclosed()
        booking_id = booking_of(delivery.subject_id)
        own = await deliveries.booking_of(self._pool, event["id"], booking_id)
        found = await tickets.of_bookings(self._pool, [(event["id"], booking_id)])
        all_of_it = found.get(booking_id, [])
        is_of_ticket = delivery.subject_id != booking_id
        about = [
            one
            for one in all_of_it
            if not is_of_ticket
            or (one.id == delivery.subject_id and one.holder_id == delivery.user_id)
        ]
        is_over = delivery.kind in ENDINGS
        live = [one for one in about if is_over or one.status != "cancelled"]
        if own is None or not live:
            return Enclosed()
        good = [one for one in live if not is_over and one.holder_id == delivery.user_id]
        places = await self._places(live)
        said = HeldTickets(
            booking_id=booking_id,
            occasion=_occasion(event),
            places=tuple((one.number, places[one.number]) for one in live),
            of_count=len(all_of_it),
            holder=person.name,
            language=language,
        )
        entry = entry_of(
            said,
            delivery.subject_id,
            sequence=own["version"] + event["version"] + is_of_ticket * live[0].version,
            changed_at=own["cancelled_at"] or own["created_at"],
            is_cancelled=is_over,
        )
        plan = Enclosed(ticket_count=len(good), is_cancelled=is_over)
        said = said._replace(places=tuple((one.number, places[one.number]) for one in good))
        return await self._drawn(plan, entry, said, good)

    async def _drawn(
        self, plan: Enclosed, entry: Paper, said: HeldTickets, good: Sequence[Ticket]
    ) -> Enclosed:
        """Draw what is planned, as far as it can be in time: the entry first, which is little."""
        try:
            async with asyncio.timeout(PAPERS_S_MAX):
                plan = plan._replace(entry=await self._draw(entry))
                if good:
                    codes = await self._codes_of(good)
                    if len(codes) == 1:
                        image = CodeImage(text=codes[0], is_png=True)
                        plan = plan._replace(code=await self._draw(image))
                    pdf = await self._draw(sheets_of(said, codes))
                    if pdf is not None and len(pdf) * BASE64_COST > self._bytes_max:
                        metrics.PAPERS.labels("too_large").inc()
                        pdf = None
                    plan = plan._replace(tickets=pdf)
        except TimeoutError:
            metrics.PAPERS.labels("late").inc()
        return plan

    async def _draw(self, paper: Paper) -> bytes | None:
        """Draw a paper; one more try if the process that draws has ended."""
        for _ in range(2):
            try:
                made = await self._press.draw(paper)
            except PressBusy:
                metrics.PAPERS.labels("busy").inc()
            except PressFailed as error:
                metrics.PAPERS.labels("failed").inc()
                log.error("a paper cannot be drawn", action="paper", error=str(error)[:200])
                return None
            else:
                metrics.PAPERS.labels("drawn").inc()
                return made
        return None

    async def _codes_of(self, good: Sequence[Ticket]) -> list[str]:
        """Return the codes of tickets, by the key that signs now."""
        if time.monotonic() > self._fresh_until_s:
            fresh_until_s = time.monotonic() + KEYS_FRESH_S
            rows = await keys.read(self._pool)
            kid = self._settled.signing(rows, "tickets")
            if kid is not None:
                secret = self._settled.secrets_of(rows, "tickets")[kid]
                self._codes = TicketCodes(secret.decode())
            self._fresh_until_s = fresh_until_s
        return [
            self._codes.issue(
                TicketCode(one.event_id, one.booking_id, one.number, one.tier_no, one.version)
            )
            for one in good
        ]

    async def _places(self, found: Sequence[Ticket]) -> dict[int, TicketPlace]:
        """Return the places of tickets of one booking, by their numbers."""
        event_id = found[0].event_id
        tiers = await events.tiers_of(self._pool, [event_id])
        names = {tier.tier_no: tier.name for tier in tiers.get(event_id, [])}
        ids = {one.number: one.seat_id for one in found if one.seat_id}
        seats = await seats_of(self._pool, event_id, ids.values())
        return {
            one.number: TicketPlace(names.get(one.tier_no, ""), *seats.get(one.seat_id or "", ()))
            for one in found
        }


def booking_of(subject_id: str) -> str:
    """Return the booking that a booking's or a ticket's id is of."""
    prefix, _, rest = subject_id.partition("_")
    return subject_id if prefix == "bk" else f"bk_{rest.rpartition('_')[0]}"


def _occasion(event: asyncpg.Record) -> Occasion:
    names = ("name", "venue", "address", "organizer", "starts_at", "ends_at", "doors_at")
    return occasion_of(**{name: event[name] for name in names}, timezone=event["timezone"])
