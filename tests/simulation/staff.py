"""
What organizers and gates may do to an event, beside the buyers' model: amendments, capacities, the
sale's end, blocked seats, check-in and transfer. The style is that of `tests.simulation.model`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from engine.commands import Amend, Promo, TierAmendment
from engine.status import Status
from tests.checks import FAR_MS
from tests.simulation.model import RECLAIM_MAX, SEATED, Event, No, Ticket, Tier, no

#: Scans that a ticket remembers.
SCANS_MAX = 16


class StaffedEvent(Event):
    """An event with the verbs of staff as well."""

    #: When it ends, unless it is over.
    ends_at = FAR_MS

    def set_capacity(self, wants: tuple[tuple[int, int], ...], closes_at: int) -> Status:
        self._read(n for n, _ in wants)
        is_beyond = closes_at > self.ends_at or (bool(closes_at) and self.is_over)
        no(Status.EVENT_ENDED, is_beyond and not self.after_end)
        no(Status.TIER_HAS_SEATS, any(n == SEATED for n, _ in wants))
        is_same = all(self.tiers[n].capacity == capacity for n, capacity in wants)
        no(Status.REPLAYED, is_same and closes_at in {0, self.closes_at})
        for n, capacity in wants:
            if self.tiers[n].capacity - capacity > self.available(n) and self.held(n):
                self._reclaim(RECLAIM_MAX)
            least = self.held(n) + self.sold(n)
            no(Status.CAPACITY_BELOW_TAKEN, capacity < least)
        for n, capacity in wants:
            self.smaller |= {n} if capacity < self.tiers[n].capacity else set()
            self.tiers[n].capacity = capacity
        self.closes_at = closes_at or self.closes_at
        return Status.CAPACITY_SET

    def amend(self, asked: Amend) -> Status:
        """Mirror `lua/amend.lua`, but for the times that it is not asked to change here."""
        named = [one.tier_no for one in asked.tiers if one.tier_no in self.tiers]
        self._read([*named, *self.pool[1]] if asked.tiers or asked.pools else [])
        closes_at = asked.sale.get("closes_at_ms", self.closes_at)
        person_max = asked.sale.get("person_max", self.person_max)
        is_moved, is_beyond = closes_at != self.closes_at, closes_at > self.ends_at or self.is_over
        no(Status.EVENT_ENDED, is_moved and is_beyond and not self.after_end)
        no(Status.UNKNOWN_TIER, asked.pools and not self.pool[1])
        wants = {one.tier_no: self._amended(one) for one in asked.tiers}
        changes = {n: tier for n, tier in wants.items() if tier != self.tiers.get(n)}
        promos = {one.code: self._amended_promo(one, self.tiers | wants) for one in asked.promos}
        is_same = all(self.promos.get(code) == promo for code, promo in promos.items())
        places = asked.pools[0][1] if asked.pools else self.pool[0]
        is_same = is_same and not (changes or is_moved) and person_max == self.person_max
        no(Status.REPLAYED, is_same and places == self.pool[0])
        self._require_room(self.pool[1], places)
        for n, tier in changes.items():
            if n in self.tiers and tier.capacity != self.tiers[n].capacity:
                self._require_room((n,), tier.capacity)
        self.smaller |= set(self.pool[1]) if places < self.pool[0] else set()
        old = self.tiers
        self.smaller |= {n for n in changes if n in old and changes[n].capacity < old[n].capacity}
        self.tiers |= changes
        self.promos |= promos
        self.closes_at, self.person_max, self.pool = closes_at, person_max, (places, self.pool[1])
        return Status.AMENDED

    def limits(self) -> Counter[str]:
        """Return what a person may have, of all and of tier 1, and how often codes may be used."""
        uses = {code: uses_max for code, (uses_max, _) in self.promos.items()}
        return Counter(uses | {"event": self.person_max, "tier 1": self.tiers[1].person_max})

    def _amended(self, want: TierAmendment) -> Tier:
        """Return a tier as it would be."""
        tier = self.tiers.get(want.tier_no)
        if want.name is not None:
            no(Status.SALE_DIFFERS, tier is None and want.tier_no != len(self.tiers) + 1)
        elif tier is None:
            raise No(Status.UNKNOWN_TIER)
        asked = {
            "capacity": want.capacity,
            "price": want.price_minor,
            "order_max": want.order_max,
            "order_min": want.order_min,
            "person_max": want.person_max,
        }
        given: dict[str, Any] = {
            name: figure for name, figure in asked.items() if figure is not None
        }
        made = replace(tier or Tier(0, 0), **given)
        if want.name is not None:
            no(Status.SALE_DIFFERS, tier is not None and made != tier)
            return made
        assert tier is not None
        no(Status.TIER_HAS_SEATS, made.capacity != tier.capacity and want.tier_no == SEATED)
        no(Status.SALE_DIFFERS, bool(made.person_max) != bool(tier.person_max))
        no(Status.SALE_DIFFERS, made.order_min > made.order_max)
        return made

    def _amended_promo(self, want: Promo, tiers: dict[int, Tier]) -> tuple[int, tuple[int, ...]]:
        """Return a promo code as it would be; nobody changes what it is good for."""
        known = self.promos.get(want.code)
        no(Status.SALE_DIFFERS, not set(want.tier_nos) <= tiers.keys())
        no(Status.SALE_DIFFERS, known is not None and known[1] != want.tier_nos)
        return want.uses_max, want.tier_nos

    def _require_room(self, tier_nos: tuple[int, ...], capacity: int) -> None:
        """Refuse fewer places, for some tiers together, than are taken of them."""

        def taken() -> int:
            return sum(self.held(n) + self.sold(n) for n in tier_nos)

        if capacity < taken() and any(map(self.held, tier_nos)):
            self._reclaim(RECLAIM_MAX)
        no(Status.CAPACITY_BELOW_TAKEN, capacity < taken())

    def close(self) -> Status:
        no(Status.REPLAYED, not self.closes_at)
        self.closes_at = 0
        return Status.CLOSED

    def reopen(self, closes_at: int) -> Status:
        is_beyond = closes_at > self.ends_at or self.is_over
        no(Status.EVENT_ENDED, is_beyond and not self.after_end)
        no(Status.REPLAYED, self.closes_at == closes_at)
        self.closes_at = closes_at
        return Status.REOPENED

    def shift(self, verb: str, seats: tuple[str, ...]) -> Status:
        """Mirror `lua/block.lua` and `lua/unblock.lua`."""
        free = self.free()
        for seat in seats:
            no(Status.UNKNOWN_SEAT, not any(seat in row for row in self.rows))
            no(Status.SEAT_TAKEN, seat not in free | self.blocked)
        moved = set(seats) & (free if verb == "block" else self.blocked)
        no(Status.REPLAYED, not moved)
        self.blocked ^= moved
        self._read([SEATED])
        self.smaller |= {SEATED} if verb == "block" else set()
        return Status(f"{verb.upper()}ED")

    def checkin(self, own_id: str, number: int, version: int, by: str, scan_id: str) -> Status:
        self._repeat(own_id, number, scan_id, "in")
        ticket = self._ticket(own_id, number)
        no(Status.TICKET_SUPERSEDED, ticket.version != version)
        if ticket.status == "checked_in":
            scans = self._remember(ticket, scan_id, "refused")
            no(Status.ALREADY_CHECKED_IN, scans == ticket.scans)
            ticket.scans = scans
            return Status.SCAN_REFUSED
        scans = self._remember(ticket, scan_id, "in")
        self.tickets[own_id, number] = Ticket(ticket.holder, "checked_in", version, by, scans)
        return Status.CHECKED_IN

    def undo_checkin(self, own_id: str, number: int, version: int, by: str, scan_id: str) -> Status:
        self._repeat(own_id, number, scan_id, "undone")
        ticket = self._ticket(own_id, number)
        no(Status.TICKET_SUPERSEDED, ticket.version != version)
        no(Status.REPLAYED, ticket.status == "undone")
        no(Status.NOT_CHECKED_IN, ticket.status != "checked_in")
        scans = self._remember(ticket, scan_id, "undone")
        self.tickets[own_id, number] = Ticket(ticket.holder, "undone", version, by, scans)
        return Status.CHECK_IN_UNDONE

    def transfer(self, own_id: str, number: int, user: str, to: str) -> Status:
        ticket = self._ticket(own_id, number)
        no(Status.REPLAYED, (ticket.holder, ticket.by, ticket.status) == (to, user, "valid"))
        no(Status.NOT_FOUND, ticket.holder != user)
        is_back = to == self.bookings[own_id].user
        no(Status.NO_TRANSFERS, self.transfers == "none" and not is_back)
        no(Status.ALREADY_CHECKED_IN, ticket.status == "checked_in")
        self.tickets[own_id, number] = Ticket(to, "valid", ticket.version + 1, user, ticket.scans)
        return Status.TRANSFERRED

    def _repeat(self, own_id: str, number: int, scan_id: str, what: str) -> None:
        """Give a scan that came before its first answer."""
        ticket = self.tickets.get((own_id, number), Ticket(""))
        for before in [before for own, before in ticket.scans if own == scan_id]:
            no(Status.IDEMPOTENCY_KEY_REUSED, (before == "undone") != (what == "undone"))
            no(Status.ALREADY_CHECKED_IN, before == "refused")
            raise No(Status.REPLAYED)

    def _remember(self, ticket: Ticket, scan_id: str, what: str) -> tuple[tuple[str, str], ...]:
        is_new = scan_id != "-" and len(ticket.scans) < SCANS_MAX
        return (*ticket.scans, (scan_id, what)) if is_new else ticket.scans

    def _ticket(self, own_id: str, number: int) -> Ticket:
        booking = self.bookings.get(own_id)
        if booking is None or not 1 <= number <= len(booking.tickets):
            raise No(Status.NOT_FOUND)
        no(Status.TICKET_CANCELLED, booking.status == "cancelled" or number not in booking.own)
        return self.tickets.get((own_id, number)) or Ticket(booking.user)
