"""
What the scripts should do, in plain Python: the model that random histories are held against.

No clock and no bytes: who is overdue, and whose patience is over, the test says. No counters: they
are added up from bookings, holds and blocks. Which seats are the best the model does not know: it
checks those that were chosen, and adopts them. All else is as the headers in `lua/` say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.commands import Line
from engine.ids import entry_of_offer, offer_of_entry
from engine.status import Status

Lines = tuple[Line, ...]
#: Overdue holds that one sale ends at most.
RECLAIM_MAX = 50
#: Entries that may wait.
WAITING_MAX = 3
#: The tier that has seats.
SEATED = 2


@dataclass
class Tier:
    """One tier."""

    capacity: int
    order_max: int


@dataclass
class Owner:
    """A booking (confirmed, cancelled) or a hold (held, released, expired, confirmed)."""

    user: str
    #: Places by tier, in order: those it was made with.
    first: dict[int, int]
    fingerprint: str
    status: str
    seats: tuple[str, ...] = ()
    #: Of a hold: deadline, once it has passed. Of a booking: what each change of it took away.
    overdue_at: int = 0
    is_extended: bool = False
    cuts: list[dict[int, int]] = field(default_factory=list)

    @property
    def lines(self) -> dict[int, int]:
        """Places that it has, or had when it ended."""
        cuts = self.cuts[:-1] if self.status == "cancelled" else self.cuts
        left = {n: q - sum(cut.get(n, 0) for cut in cuts) for n, q in self.first.items()}
        return {n: quantity for n, quantity in left.items() if quantity}


@dataclass
class Entry:
    """A waitlist entry; `patience` is 0 before it stopped the list, 1 since, 2 when it is over."""

    user: str
    tier_no: int
    quantity: int
    fingerprint: str
    #: False and a number for a first place, else True and a number.
    place: tuple[bool, int]
    status: str = "waiting"
    patience: int = 0


@dataclass
class Ticket:
    """A ticket that something happened to; `status` is valid, checked_in or undone."""

    holder: str
    status: str = "valid"
    version: int = 1
    by: str = "-"


@dataclass
class Event:
    """One event as the model has it; its list, led by `policy`, is that of one tier."""

    tiers: dict[int, Tier]
    person_max: int
    rows: tuple[tuple[str, ...], ...]
    closes_at: int
    policy: str = "strict"
    list_tier: int = 1
    bookings: dict[str, Owner] = field(default_factory=dict)
    holds: dict[str, Owner] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    tickets: dict[tuple[str, int], Ticket] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    used_first: set[str] = field(default_factory=set)
    #: Of the present call: it has read the list's tier; it has ended overdue holds.
    is_read: bool = False
    is_reclaimed: bool = False

    def live(self) -> Iterable[Owner]:
        """Bookings and holds that have places."""
        owners = [*self.bookings.values(), *self.holds.values()]
        of_hold = {id(hold) for hold in self.holds.values()}
        return [o for o in owners if o.status == ("held" if id(o) in of_hold else "confirmed")]

    def held(self, tier_no: int) -> int:
        """Places that are held."""
        return sum(h.lines.get(tier_no, 0) for h in self.holds.values() if h.status == "held")

    def sold(self, tier_no: int) -> int:
        """Places that are sold."""
        return sum(o.lines.get(tier_no, 0) for o in self.live()) - self.held(tier_no)

    def available(self, tier_no: int) -> int:
        """Places that are free."""
        blocked = len(self.blocked) if tier_no == SEATED else 0
        return self.tiers[tier_no].capacity - self.held(tier_no) - self.sold(tier_no) - blocked

    def taken(self, user: str) -> int:
        """Places of the user's live bookings and holds."""
        return sum(sum(o.lines.values()) for o in self.live() if o.user == user)

    def free(self) -> set[str]:
        """Seats that are free."""
        taken = self.blocked.union(*(owner.seats for owner in self.live()))
        return {seat for row in self.rows for seat in row} - taken

    def waiting(self) -> list[str]:
        """Entries that wait, in their order."""
        keys = [key for key, entry in self.entries.items() if entry.status == "waiting"]
        return sorted(keys, key=lambda key: self.entries[key].place)

    def run(self, verb: str, *words: object) -> Status:
        """Mirror a script: what it does, and then its offers to those who wait."""
        self.is_read = self.is_reclaimed = False
        status: Status = getattr(self, verb)(*words)
        self._promote()
        return status

    def adopt(self, owner: Owner, seats: tuple[str, ...]) -> None:
        """Take the seats that were chosen; they must have been free, and as many as asked."""
        assert set(seats) <= self.free()
        assert len(set(seats)) == len(seats) == owner.lines.get(SEATED, 0)
        owner.seats = seats

    def book(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        return self._order(self.bookings, Status.BOOKED, own_id, user, lines, fingerprint)

    def hold(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        return self._order(self.holds, Status.HELD, own_id, user, lines, fingerprint)

    def confirm(self, own_id: str, user: str) -> Status:
        hold = self.holds.get(own_id)
        if hold is None or hold.user != user:
            return Status.NOT_FOUND
        if hold.status == "confirmed":
            return Status.REPLAYED
        if hold.status == "released":
            return Status.HOLD_RELEASED
        is_offer = own_id.startswith("offer_")
        if hold.status == "expired":
            if is_offer or not self._reacquire(hold):
                return Status.HOLD_EXPIRED
        elif hold.overdue_at and (is_offer or any(map(self._is_waited, hold.lines))):
            self._end(own_id, "expired")
            return Status.HOLD_EXPIRED
        self._end(own_id, "confirmed")
        self.bookings[f"bk_{own_id.partition('_')[2]}"] = Owner(
            user, hold.first, hold.fingerprint, "confirmed", hold.seats
        )
        return Status.CONFIRMED

    def release(self, own_id: str, user: str) -> Status:
        hold = self.holds.get(own_id)
        if hold is None or hold.user != user:
            return Status.NOT_FOUND
        if hold.status != "held":
            return Status.HOLD_CONFIRMED if hold.status == "confirmed" else Status.REPLAYED
        self._end(own_id, "released")
        return Status.RELEASED

    def extend(self, own_id: str, user: str) -> Status:
        """Mirror `lua/extend.lua`, asked for the longest life."""
        hold = self.holds.get(own_id)
        if hold is None or hold.user != user:
            return Status.NOT_FOUND
        if hold.status in ("confirmed", "released"):
            return Status(f"HOLD_{hold.status.upper()}")
        if hold.status == "expired" or hold.overdue_at:
            return Status.HOLD_EXPIRED
        if hold.is_extended or own_id.startswith("offer_"):
            return Status.EXTENSION_LIMIT
        hold.is_extended = True
        return Status.EXTENDED

    def cancel(self, own_id: str, user: str) -> Status:
        booking = self.bookings.get(own_id)
        if booking is None or booking.user != user:
            return Status.NOT_FOUND
        if booking.status == "cancelled":
            return Status.REPLAYED
        booking.cuts.append(booking.lines)
        booking.status = "cancelled"
        self._read(booking.lines)
        return Status.CANCELLED

    def cancel_item(self, own_id: str, user: str, version: int, lines: Lines) -> Status:
        booking, cut = self.bookings.get(own_id), {line[0]: line[1] for line in lines}
        if booking is None or booking.user != user:
            return Status.NOT_FOUND
        if version != len(booking.cuts) + 1 or booking.status == "cancelled":
            past = booking.cuts[version - 1 : version]
            return Status.REPLAYED if past == [cut] else Status.VERSION_CHANGED
        left = booking.lines
        if any(quantity > left.get(n, 0) for n, quantity in cut.items()):
            return Status.NOT_IN_BOOKING
        for number, (n, nth) in enumerate(_tickets(booking), start=1):
            ticket = self.tickets.get((own_id, number))
            is_cut = left.get(n, 0) - cut.get(n, 0) < nth <= left.get(n, 0)
            if is_cut and ticket and ticket.status == "checked_in":
                return Status.ALREADY_CHECKED_IN
        if cut == left:
            return self.cancel(own_id, user)
        if booking.seats:
            return Status.NOT_IN_BOOKING
        booking.cuts.append(cut)
        self._read(cut)
        return Status.ITEM_CANCELLED

    def join(
        self, own_id: str, user: str, tier_no: int, quantity: int, fingerprint: str, after: str
    ) -> Status:
        self._read([tier_no])
        known = self.entries.get(own_id)
        if known is not None:
            return _replay(known.fingerprint, fingerprint)
        if not self.closes_at:
            return Status.SALE_CLOSED
        tier = self.tiers[tier_no]
        if quantity > min(tier.order_max, tier.capacity):
            return Status.LIMIT_REACHED
        if quantity > self.available(tier_no) and self.held(tier_no):
            self._reclaim(RECLAIM_MAX)
        if self.taken(user) + quantity > self.person_max:
            return Status.LIMIT_REACHED
        if any(e.user == user and e.status in ("waiting", "offered")
               for e in self.entries.values()):  # fmt: skip
            return Status.ALREADY_WAITING
        if not self.waiting() and quantity <= self.available(tier_no):
            return Status.PLACES_AVAILABLE
        if len(self.waiting()) >= WAITING_MAX:
            return Status.WAITLIST_FULL
        hold = self.holds.get(after)
        is_first = (
            hold is not None and hold.user == user and hold.status == "expired"
            and not after.startswith("offer_") and after not in self.used_first
            and quantity <= hold.lines.get(tier_no, 0)
        )  # fmt: skip
        if is_first:
            self.used_first.add(after)
        place = (not is_first, len(self.entries))
        self.entries[own_id] = Entry(user, tier_no, quantity, fingerprint, place)
        return Status.JOINED

    def leave(self, own_id: str, user: str) -> Status:
        entry = self.entries.get(own_id)
        self._read([entry.tier_no] if entry else [])
        if entry is None or entry.user != user:
            return Status.NOT_FOUND
        if entry.status == "accepted":
            return Status.HOLD_CONFIRMED
        if entry.status == "offered":
            self._end(offer_of_entry(own_id), "released")
        elif entry.status == "waiting":
            entry.status = "left"
        else:
            return Status.REPLAYED
        return Status.LEFT

    def set_capacity(self, wants: tuple[tuple[int, int], ...]) -> Status:
        self._read(n for n, _ in wants)
        if any(n == SEATED for n, _ in wants):
            return Status.UNKNOWN_TIER
        if all(self.tiers[n].capacity == capacity for n, capacity in wants):
            return Status.REPLAYED
        for n, capacity in wants:
            if capacity < self.tiers[n].capacity - self.available(n) and self.held(n):
                self._reclaim(RECLAIM_MAX)
            if capacity < self.tiers[n].capacity - self.available(n):
                return Status.CAPACITY_BELOW_TAKEN
        for n, capacity in wants:
            self.tiers[n].capacity = capacity
        return Status.CAPACITY_SET

    def close(self) -> Status:
        status = Status.CLOSED if self.closes_at else Status.REPLAYED
        self.closes_at = 0
        return status

    def reopen(self, closes_at: int) -> Status:
        status = Status.REPLAYED if self.closes_at == closes_at else Status.REOPENED
        self.closes_at = closes_at
        return status

    def shift(self, verb: str, seats: tuple[str, ...]) -> Status:
        """Mirror `lua/block.lua` and `lua/unblock.lua`."""
        known, free = {seat for row in self.rows for seat in row}, self.free()
        for seat in seats:
            if seat not in known:
                return Status.UNKNOWN_SEAT
            if seat not in free | self.blocked:
                return Status.SEAT_TAKEN
        moved = set(seats) & (free if verb == "block" else self.blocked)
        self.blocked ^= moved
        if moved and verb == "unblock":
            self._read([SEATED])
        return Status(f"{verb.upper()}ED") if moved else Status.REPLAYED

    def checkin(self, own_id: str, number: int, version: int, by: str) -> Status:
        ticket = self._ticket(own_id, number)
        if isinstance(ticket, Status):
            return ticket
        if ticket.version != version:
            return Status.TICKET_SUPERSEDED
        if ticket.status == "checked_in":
            return Status.ALREADY_CHECKED_IN
        ticket.status, ticket.by = "checked_in", by
        self.tickets[own_id, number] = ticket
        return Status.CHECKED_IN

    def undo_checkin(self, own_id: str, number: int, version: int, by: str) -> Status:
        ticket = self._ticket(own_id, number)
        if isinstance(ticket, Status):
            return ticket
        if ticket.version != version:
            return Status.TICKET_SUPERSEDED
        if ticket.status != "checked_in":
            return Status.REPLAYED if ticket.status == "undone" else Status.NOT_CHECKED_IN
        ticket.status, ticket.by = "undone", by
        return Status.CHECK_IN_UNDONE

    def transfer(self, own_id: str, number: int, user: str, to: str) -> Status:
        ticket = self._ticket(own_id, number)
        if isinstance(ticket, Status):
            return ticket
        if (ticket.holder, ticket.by, ticket.status) == (to, user, "valid"):
            return Status.REPLAYED
        if ticket.holder != user:
            return Status.NOT_FOUND
        if ticket.status == "checked_in":
            return Status.ALREADY_CHECKED_IN
        self.tickets[own_id, number] = Ticket(to, "valid", ticket.version + 1, user)
        return Status.TRANSFERRED

    def sweep(self, holds_max: int) -> int:
        """Mirror `lua/expire.lua`; return how many holds it ends."""
        self.is_read = True
        count = self._reclaim(holds_max)
        self._promote()
        return count

    def _read(self, tier_nos: Iterable[int]) -> None:
        self.is_read |= self.list_tier in tier_nos

    def _is_waited(self, tier_no: int) -> bool:
        return tier_no == self.list_tier and bool(self.waiting())

    def _order(self, kept: dict[str, Owner], done: Status, own_id: str, user: str, lines: Lines,
               fingerprint: str) -> Status:  # fmt: skip
        self._read(line[0] for line in lines)
        known = kept.get(own_id)
        if known is not None:
            return _replay(known.fingerprint, fingerprint)
        refusal = self._refuse(user, {line[0]: line[1] for line in lines}) or self._refuse_seats(
            [line for line in lines if line[0] == SEATED]
        )
        if refusal is not None:
            return refusal
        status = "confirmed" if done is Status.BOOKED else "held"
        kept[own_id] = Owner(user, {line[0]: line[1] for line in lines}, fingerprint, status)
        return done

    def _refuse(self, user: str, lines: dict[int, int]) -> Status | None:
        if not self.closes_at:
            return Status.SALE_CLOSED
        if any(n not in self.tiers for n in lines):
            return Status.UNKNOWN_TIER
        for n, quantity in lines.items():
            if quantity > self.tiers[n].order_max:
                return Status.LIMIT_REACHED
            if quantity > self.available(n) and self.held(n):
                self._reclaim(RECLAIM_MAX)
        if self.taken(user) + sum(lines.values()) > self.person_max:
            return Status.LIMIT_REACHED
        if any(q > self.available(n) + self.held(n) for n, q in lines.items()):
            return Status.SOLD_OUT
        if any(q > self.available(n) or self._is_waited(n) for n, q in lines.items()):
            return Status.ALL_HELD
        return None

    def _refuse_seats(self, lines: list[Line]) -> Status | None:
        for _, quantity, *wishes in lines:
            wish = str(wishes[0]) if wishes else "best"
            status = self._misses(quantity, wish)
            if status in (Status.SEAT_TAKEN, Status.NOT_TOGETHER) and self.held(SEATED):
                if self.is_reclaimed:
                    return status
                self._reclaim(RECLAIM_MAX)
                status = self._misses(quantity, wish)
            return status
        return None

    def _misses(self, quantity: int, wish: str) -> Status | None:
        free = self.free()
        if wish.startswith("best"):
            rows = ("".join("-f"[seat in free] for seat in row) for row in self.rows)
            is_together = any("f" * quantity in row for row in rows)
            return None if is_together or "split" in wish else Status.NOT_TOGETHER
        seats = wish.split("+")
        if len(set(seats)) != quantity or not {s for row in self.rows for s in row} >= set(seats):
            return Status.UNKNOWN_SEAT
        return None if free >= set(seats) else Status.SEAT_TAKEN

    def _reacquire(self, hold: Owner) -> bool:
        if self.taken(hold.user) + sum(hold.lines.values()) > self.person_max:
            return False
        self._reclaim(RECLAIM_MAX)
        for n, quantity in hold.lines.items():
            self._read([n])
            if quantity > self.available(n) or self._is_waited(n):
                return False
            if n == SEATED and not self.free() >= set(hold.seats):
                return False
        return True

    def _reclaim(self, holds_max: int) -> int:
        """End overdue holds, the oldest first; return how many."""
        self.is_reclaimed = True
        overdue = [k for k, h in self.holds.items() if h.status == "held" and h.overdue_at]
        overdue = sorted(overdue, key=lambda key: self.holds[key].overdue_at)[:holds_max]
        for key in overdue:
            self._end(key, "expired")
        return len(overdue)

    def _end(self, own_id: str, status: str) -> None:
        hold = self.holds[own_id]
        hold.status = status
        self._read(hold.lines)
        if own_id.startswith("offer_"):
            ends = {"released": "declined", "expired": "expired", "confirmed": "accepted"}
            self.entries[entry_of_offer(own_id)].status = ends[status]

    def _promote(self) -> None:
        for key in self.waiting() if self.is_read and self.closes_at else []:
            entry, free = self.entries[key], self.available(self.list_tier)
            if free < 1:
                return
            if self.taken(entry.user) + entry.quantity > self.person_max:
                entry.status = "left"
            elif entry.quantity <= free:
                entry.status = "offered"
                self.holds[offer_of_entry(key)] = Owner(
                    entry.user, {entry.tier_no: entry.quantity}, entry.fingerprint, "held"
                )
            elif self.policy == "strict":
                entry.patience = entry.patience or 1
                if entry.patience == 1:
                    return

    def _ticket(self, own_id: str, number: int) -> Ticket | Status:
        booking = self.bookings.get(own_id)
        places = _tickets(booking) if booking else []
        if booking is None or not 1 <= number <= len(places):
            return Status.NOT_FOUND
        tier_no, nth = places[number - 1]
        if booking.status == "cancelled" or nth > booking.lines.get(tier_no, 0):
            return Status.TICKET_CANCELLED
        return self.tickets.get((own_id, number)) or Ticket(booking.user)


def _tickets(booking: Owner) -> list[tuple[int, int]]:
    """Tier and place within it of each ticket, in the order of its first items."""
    return [(n, nth) for n, quantity in booking.first.items() for nth in range(1, quantity + 1)]


def _replay(known: str, fingerprint: str) -> Status:
    return Status.REPLAYED if known == fingerprint else Status.IDEMPOTENCY_KEY_REUSED
