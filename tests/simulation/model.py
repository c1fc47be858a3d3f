"""
What the scripts should do, in plain Python: the model that random histories are held against.

No clock and no bytes: who is overdue, and whose patience is over, the test says. No counters: they
are added up from bookings, holds and blocks. Which seats are the best the model does not know: it
checks those that were chosen, and adopts them. All else is as the headers in `lua/` say. At most
300 lines of code; what staff may do is in `tests.simulation.staff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.commands import Line
from engine.ids import entry_of_offer, offer_of_entry, promo_of
from engine.status import Status

Lines = tuple[Line, ...]
#: Entries that may wait, overdue holds that one sale ends, and the tier that has seats.
WAITING_MAX, RECLAIM_MAX, SEATED = 3, 50, 2


class No(Exception):
    """A refusal, or a replay, by its status."""


def no(status: Status, is_so: object) -> None:
    """Refuse with *status* if it *is_so*."""
    if is_so:
        raise No(status)


@dataclass
class Tier:
    """One tier and its rules; 0 is no rule. A promo code that names it unlocks a hidden one."""

    capacity: int
    order_max: int
    order_min: int = 0
    person_max: int = 0
    is_open: bool = True
    is_hidden: bool = False


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

    @property
    def tickets(self) -> list[tuple[int, int]]:
        """Tier and place within it of each ticket, in the order of its first items."""
        return [(n, nth) for n, count in self.first.items() for nth in range(1, count + 1)]


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


Kept = TypeVar("Kept", Owner, Entry)


@dataclass
class Ticket:
    """A ticket that something happened to; `status` is valid, checked_in or undone."""

    holder: str
    status: str = "valid"
    version: int = 1
    by: str = "-"
    #: Scans that it remembers: the id, and whether it was in, undone or refused.
    scans: tuple[tuple[str, str], ...] = ()


@dataclass
class Event:
    """One event as the model has it; its list, led by `policy`, is that of one tier."""

    tiers: dict[int, Tier]
    #: Of each promo code how many uses it has, and for which tiers; all if none.
    promos: dict[str, tuple[int, tuple[int, ...]]]
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
    #: How often each person has tried to book, at any event of the shard; none comes back here.
    attempts: Counter[str] = field(default_factory=Counter)
    attempts_max: int = 1_000_000
    #: Whether the present call has read the list's tier.
    is_read: bool = False

    def live(self) -> list[Owner]:
        """Bookings and holds that have places."""
        held = [hold for hold in self.holds.values() if hold.status == "held"]
        return held + [one for one in self.bookings.values() if one.status == "confirmed"]

    def held(self, tier_no: int) -> int:
        """Places that are held."""
        return sum(h.lines.get(tier_no, 0) for h in self.holds.values() if h.status == "held")

    def sold(self, tier_no: int) -> int:
        """Places that are sold."""
        return sum(owner.lines.get(tier_no, 0) for owner in self.live()) - self.held(tier_no)

    def available(self, tier_no: int) -> int:
        """Places that are free."""
        blocked = len(self.blocked) if tier_no == SEATED else 0
        return self.tiers[tier_no].capacity - self.held(tier_no) - self.sold(tier_no) - blocked

    def taken(self, user: str, tiers: Collection[int] = ()) -> int:
        """Places of the user's live bookings and holds, of all tiers or some."""
        mine = [owner.lines for owner in self.live() if owner.user == user]
        return sum(q for lines in mine for n, q in lines.items() if not tiers or n in tiers)

    def used(self, code: str) -> int:
        """Live bookings and holds with this promo code."""
        return [promo_of(owner.fingerprint) for owner in self.live()].count(code)

    def free(self) -> set[str]:
        """Seats that are free."""
        taken = self.blocked.union(*(owner.seats for owner in self.live()))
        return {seat for row in self.rows for seat in row} - taken

    def waiting(self) -> list[str]:
        """Entries that wait, in their order."""
        keys = [key for key, entry in self.entries.items() if entry.status == "waiting"]
        return sorted(keys, key=lambda key: self.entries[key].place)

    def run(self, verb: str, *words: object) -> Any:
        """Mirror a script: what it does, and then its offers to those who wait."""
        self.is_read = False
        try:
            return getattr(self, verb)(*words)
        except No as refusal:
            return refusal.args[0]
        finally:
            self._promote()

    def adopt(self, owner: Owner, seats: tuple[str, ...]) -> None:
        """Take the seats that were chosen; they must have been free, and as many as asked."""
        assert set(seats) <= self.free()
        assert len(set(seats)) == len(seats) == owner.lines.get(SEATED, 0)
        owner.seats = seats

    def book(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        if own_id not in self.bookings:
            self._read(line[0] for line in lines)
            no(Status.RATE_LIMITED, self.attempts[user] >= self.attempts_max)
            self.attempts[user] += 1
        self.bookings[own_id] = self._order(self.bookings.get(own_id), user, lines, fingerprint)
        self.bookings[own_id].status = "confirmed"
        return Status.BOOKED

    def hold(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        self.holds[own_id] = self._order(self.holds.get(own_id), user, lines, fingerprint)
        return Status.HELD

    def confirm(self, own_id: str, user: str) -> Status:
        hold, is_offer = _own(self.holds, own_id, user), own_id.startswith("offer_")
        no(Status.REPLAYED, hold.status == "confirmed")
        no(Status.HOLD_RELEASED, hold.status == "released")
        if hold.status == "expired":
            no(Status.HOLD_EXPIRED, is_offer)
            self._reacquire(hold)
        elif hold.overdue_at and (is_offer or any(map(self._is_waited, hold.lines))):
            self._end(own_id, "expired")
            raise No(Status.HOLD_EXPIRED)
        self._end(own_id, "confirmed")
        booking = Owner(user, hold.first, hold.fingerprint, "confirmed", hold.seats)
        self.bookings[f"bk_{own_id.partition('_')[2]}"] = booking
        return Status.CONFIRMED

    def release(self, own_id: str, user: str) -> Status:
        hold = _own(self.holds, own_id, user)
        no(Status.HOLD_CONFIRMED, hold.status == "confirmed")
        no(Status.REPLAYED, hold.status != "held")
        self._end(own_id, "released")
        return Status.RELEASED

    def extend(self, own_id: str, user: str) -> Status:
        """Mirror `lua/extend.lua`, asked for the longest life."""
        hold = _own(self.holds, own_id, user)
        no(Status.HOLD_CONFIRMED, hold.status == "confirmed")
        no(Status.HOLD_RELEASED, hold.status == "released")
        no(Status.HOLD_EXPIRED, hold.status == "expired" or hold.overdue_at)
        no(Status.EXTENSION_LIMIT, hold.is_extended or own_id.startswith("offer_"))
        hold.is_extended = True
        return Status.EXTENDED

    def cancel(self, own_id: str, user: str) -> Status:
        booking = _own(self.bookings, own_id, user)
        no(Status.REPLAYED, booking.status == "cancelled")
        booking.cuts.append(booking.lines)
        booking.status = "cancelled"
        self._read(booking.lines)
        return Status.CANCELLED

    def cancel_item(self, own_id: str, user: str, version: int, lines: Lines) -> Status:
        booking, cut = _own(self.bookings, own_id, user), {line[0]: line[1] for line in lines}
        left = booking.lines
        if version != len(booking.cuts) + 1 or booking.status == "cancelled":
            no(Status.REPLAYED, booking.cuts[version - 1 : version] == [cut])
            raise No(Status.VERSION_CHANGED)
        no(Status.NOT_IN_BOOKING, any(q > left.get(n, 0) for n, q in cut.items()))
        for number, (n, nth) in enumerate(booking.tickets, start=1):
            is_cut = left.get(n, 0) - cut.get(n, 0) < nth <= left.get(n, 0)
            is_in = self.tickets.get((own_id, number), Ticket("")).status == "checked_in"
            no(Status.ALREADY_CHECKED_IN, is_cut and is_in)
        if cut == left:
            return self.cancel(own_id, user)
        no(Status.NOT_IN_BOOKING, booking.seats)
        booking.cuts.append(cut)
        self._read(cut)
        return Status.ITEM_CANCELLED

    def join(
        self, own_id: str, user: str, tier_no: int, quantity: int, fingerprint: str, after: str
    ) -> Status:
        self._read([tier_no])
        _replay(self.entries.get(own_id), fingerprint)
        no(Status.SALE_CLOSED, not self.closes_at)
        self._check_line(tier_no, quantity)
        no(Status.LIMIT_REACHED, quantity > self.tiers[tier_no].capacity)
        self._find(tier_no, quantity)
        no(Status.LIMIT_REACHED, self._has_enough(user, {tier_no: quantity}))
        mine = [entry.status for entry in self.entries.values() if entry.user == user]
        no(Status.ALREADY_WAITING, {"waiting", "offered"} & set(mine))
        no(Status.PLACES_AVAILABLE, not self.waiting() and quantity <= self.available(tier_no))
        no(Status.WAITLIST_FULL, len(self.waiting()) >= WAITING_MAX)
        hold = self.holds.get(after, Owner("", {}, "", "unknown"))
        is_own = (hold.user, hold.status) == (user, "expired") and not after.startswith("offer_")
        fits = quantity <= hold.lines.get(tier_no, 0) and after not in self.used_first
        self.used_first |= {after} if is_own and fits else set()
        place = (not (is_own and fits), len(self.entries))
        self.entries[own_id] = Entry(user, tier_no, quantity, fingerprint, place)
        return Status.JOINED

    def leave(self, own_id: str, user: str) -> Status:
        self._read([self.entries[own_id].tier_no] if own_id in self.entries else [])
        entry = _own(self.entries, own_id, user)
        no(Status.HOLD_CONFIRMED, entry.status == "accepted")
        no(Status.REPLAYED, entry.status not in ("offered", "waiting"))
        if entry.status == "offered":
            self._end(offer_of_entry(own_id), "released")
        else:
            entry.status = "left"
        return Status.LEFT

    def sweep(self, holds_max: int) -> int:
        """Mirror `lua/expire.lua`; return how many holds it ends."""
        self.is_read = True
        return self._reclaim(holds_max)

    def _read(self, tier_nos: Iterable[int]) -> None:
        self.is_read |= self.list_tier in tier_nos

    def _is_waited(self, tier_no: int) -> bool:
        return tier_no == self.list_tier and bool(self.waiting())

    def _order(self, known: Owner | None, user: str, lines: Lines, fingerprint: str) -> Owner:
        """Check an order as `refuse` and `seat_order` of `lua/lib/` do; return it as a hold."""
        self._read(line[0] for line in lines)
        _replay(known, fingerprint)
        no(Status.SALE_CLOSED, not self.closes_at)
        wanted, code = {line[0]: line[1] for line in lines}, promo_of(fingerprint)
        uses_max, promo_tiers = self.promos.get(code, (0, ()))
        for n in wanted:
            no(Status.UNKNOWN_TIER, n not in self.tiers)
            no(Status.UNKNOWN_TIER, self.tiers[n].is_hidden and n not in promo_tiers)
        for n, quantity in wanted.items():
            self._check_line(n, quantity)
            self._find(n, quantity)
        no(Status.LIMIT_REACHED, self._has_enough(user, wanted))
        if code:
            is_other = promo_tiers and not wanted.keys() & promo_tiers
            no(Status.PROMO_UNKNOWN, is_other or not uses_max)
            self._reclaim(RECLAIM_MAX if self.used(code) >= uses_max else 0)
            no(Status.PROMO_EXHAUSTED, self.used(code) >= uses_max)
        short = [n for n, quantity in wanted.items() if quantity > self.available(n)]
        no(Status.SOLD_OUT, any(wanted[n] > self.available(n) + self.held(n) for n in short))
        no(Status.ALL_HELD, short or any(map(self._is_waited, wanted)))
        for _, quantity, *wishes in (line for line in lines if line[0] == SEATED):
            wish = str(wishes[0]) if wishes else "best"
            may_return = self._misses(quantity, wish) in (Status.SEAT_TAKEN, Status.NOT_TOGETHER)
            if may_return and self.held(SEATED):
                self._reclaim(RECLAIM_MAX)
            status = self._misses(quantity, wish)
            if status:
                raise No(status)
        return Owner(user, wanted, fingerprint, "held")

    def _check_line(self, tier_no: int, quantity: int) -> None:
        tier = self.tiers[tier_no]
        no(Status.SALE_NOT_OPEN, not tier.is_open)
        no(Status.LIMIT_REACHED, not tier.order_min <= quantity <= tier.order_max)

    def _has_enough(self, user: str, wanted: dict[int, int]) -> bool:
        """Tell whether the user would have more than a person may, of the event or of a tier."""
        limits = [(self.tiers[n].person_max, [n], quantity) for n, quantity in wanted.items()]
        limits.append((self.person_max, [], sum(wanted.values())))
        return any(most and self.taken(user, of) + more > most for most, of, more in limits)

    def _misses(self, quantity: int, wish: str) -> Status | None:
        free = self.free()
        if wish.startswith("best"):
            rows = "/".join("".join("-f"[seat in free] for seat in row) for row in self.rows)
            return None if "f" * quantity in rows or "split" in wish else Status.NOT_TOGETHER
        seats = set(wish.split("+"))
        if len(seats) != quantity or not {s for row in self.rows for s in row} >= seats:
            return Status.UNKNOWN_SEAT
        return None if free >= seats else Status.SEAT_TAKEN

    def _reacquire(self, hold: Owner) -> None:
        places, gone = sum(hold.lines.values()), Status.HOLD_EXPIRED
        no(gone, self.taken(hold.user) + places > self.person_max)
        self._reclaim(RECLAIM_MAX)
        code = promo_of(hold.fingerprint)
        no(gone, code and self.used(code) >= self.promos[code][0])
        for n, quantity in hold.lines.items():
            self._read([n])
            no(gone, quantity > self.available(n) or self._is_waited(n))
            no(gone, self._has_enough(hold.user, {n: quantity}))
            no(gone, n == SEATED and not self.free() >= set(hold.seats))

    def _find(self, tier_no: int, quantity: int) -> None:
        if quantity > self.available(tier_no) and self.held(tier_no):
            self._reclaim(RECLAIM_MAX)

    def _reclaim(self, holds_max: int) -> int:
        """End overdue holds, the oldest first; return how many."""
        overdue = [k for k, h in self.holds.items() if h.status == "held" and h.overdue_at]
        overdue = sorted(overdue, key=lambda key: self.holds[key].overdue_at)[:holds_max]
        for key in overdue:
            self._end(key, "expired")
        return len(overdue)

    def _end(self, own_id: str, status: str) -> None:
        self.holds[own_id].status = status
        self._read(self.holds[own_id].lines)
        if own_id.startswith("offer_"):
            ends = {"released": "declined", "expired": "expired", "confirmed": "accepted"}
            self.entries[entry_of_offer(own_id)].status = ends[status]

    def _promote(self) -> None:
        for key in self.waiting() if self.is_read and self.closes_at else []:
            entry, free = self.entries[key], self.available(self.list_tier)
            if free < 1:
                return
            lines = {entry.tier_no: entry.quantity}
            if self._has_enough(entry.user, lines):
                entry.status = "left"
            elif entry.quantity <= free:
                entry.status = "offered"
                self.holds[offer_of_entry(key)] = Owner(
                    entry.user, lines, entry.fingerprint, "held"
                )
            elif self.policy == "strict":
                entry.patience = entry.patience or 1
                if entry.patience == 1:
                    return


def _own(kept: dict[str, Kept], own_id: str, user: str) -> Kept:
    found = kept.get(own_id)
    if found is None or found.user != user:
        raise No(Status.NOT_FOUND)
    return found


def _replay(known: Owner | Entry | None, fingerprint: str) -> None:
    if known is not None:
        no(Status.IDEMPOTENCY_KEY_REUSED, known.fingerprint != fingerprint)
        raise No(Status.REPLAYED)
