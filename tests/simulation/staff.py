"""
What organizers and gates may do to an event, beside the buyers' model: capacities, the sale's end,
blocked seats, check-in and transfer. The style is that of `tests.simulation.model`.
"""

from __future__ import annotations

from engine.status import Status
from tests.checks import FAR_MS
from tests.simulation.model import RECLAIM_MAX, SEATED, Event, No, Ticket, no

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
