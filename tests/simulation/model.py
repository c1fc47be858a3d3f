"""
What the scripts should do, in plain Python: the model that random histories are held against.

No clock and no bytes: who is overdue, and whose patience is over, the test says. No counters: they
are added up from bookings, holds and blocks. Which seats are the best the model does not know: it
checks those that were chosen, and adopts them. All else is as the headers in `lua/` say. At most
300 lines of code; what staff may do is in `tests.simulation.staff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.commands import Line
from engine.ids import entry_of_offer, offer_of_entry, promo_of
from engine.status import Status

Lines = tuple[Line, ...]
#: Tickets, each by its number or its seat.
Names = tuple[int | str, ...]
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
    #: Whether its own window is over, and what a place of it costs.
    is_closed: bool = False
    price: int = 100


@dataclass
class Owner:
    """A booking (confirmed, cancelled) or a hold (held, released, expired, confirmed)."""

    user: str
    #: Places by tier, in order: those it was made with.
    first: dict[int, int]
    fingerprint: str
    status: str
    #: Those it was made with.
    first_seats: tuple[str, ...] = ()
    #: Of a hold: deadline, once it has passed. Of a booking: the tickets each change of it took.
    overdue_at: int = 0
    #: Of a hold: when it was made, by a clock that has been set back since.
    ahead_at: int = 0
    #: Of a hold: price of each tier as promised.
    prices: dict[int, int] = field(default_factory=dict)
    is_extended: bool = False
    cuts: list[set[int]] = field(default_factory=list)

    @property
    def tickets(self) -> dict[int, tuple[int, str]]:
        """Tier and seat of each ticket, numbered in the order of its first items."""
        seats = iter(self.first_seats)
        tiers = [n for n, count in self.first.items() for _ in range(count)]
        return {k: (n, next(seats, "") if n == SEATED else "") for k, n in enumerate(tiers, 1)}

    @property
    def own(self) -> dict[int, tuple[int, str]]:
        """The tickets that it has, or had when it ended."""
        gone = set[int]().union(*(self.cuts[:-1] if self.status == "cancelled" else self.cuts))
        return {number: one for number, one in self.tickets.items() if number not in gone}

    @property
    def lines(self) -> dict[int, int]:
        """Places that it has, or had when it ended, by tier."""
        return dict(Counter(n for n, _ in self.own.values()))

    @property
    def seats(self) -> tuple[str, ...]:
        """Seats that it has, or had when it ended."""
        return tuple(seat for _, seat in self.own.values() if seat)


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
    """One event as the model has it; each tier has a list, all led by `policy`."""

    tiers: dict[int, Tier]
    #: Of each promo code how many uses it has, and for which tiers; all if none.
    promos: dict[str, tuple[int, tuple[int, ...]]]
    person_max: int
    rows: tuple[tuple[str, ...], ...]
    closes_at: int
    policy: str = "strict"
    #: Whose a ticket is that was given away: its holder's or its buyer's; or none can be.
    transfers: str = "holder"
    bookings: dict[str, Owner] = field(default_factory=dict)
    holds: dict[str, Owner] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    tickets: dict[tuple[str, int], Ticket] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    used_first: set[str] = field(default_factory=set)
    #: How often each person has tried to book, at any event of the shard; none comes back here.
    attempts: Counter[str] = field(default_factory=Counter)
    attempts_max: int = 1_000_000
    #: Holds that a person, and an address, may have open, and who comes from which address.
    open_max: tuple[int, int] = (1_000_000, 1_000_000)
    origins: dict[str, str] = field(default_factory=dict)
    #: Whether the event is over, and which tiers are sold all the same.
    is_over: bool = False
    after_end: tuple[int, ...] = ()
    #: How many places some tiers share, and which; none share any if there are none.
    pool: tuple[int, tuple[int, ...]] = (0, ())
    #: Tiers that the present call has read, and that it has made smaller.
    read: set[int] = field(default_factory=set)
    smaller: set[int] = field(default_factory=set)

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

    def mates(self, tier_no: int) -> tuple[int, ...]:
        """The tier, or all that share places with it."""
        return self.pool[1] if tier_no in self.pool[1] else (tier_no,)

    def left(self, tier_no: int, before: Lines = (), *, without_holds: bool = False) -> int:
        """Places that can be had of a tier, if the lines before have theirs."""
        own = self.available(tier_no) + self.held(tier_no) * without_holds
        if tier_no not in self.pool[1]:
            return own
        taken = sum(self.sold(n) + self.held(n) * (not without_holds) for n in self.pool[1])
        spoken = sum(line[1] for line in before if line[0] in self.pool[1])
        return max(0, min(own, self.pool[0] - taken - spoken))

    def taken(self, user: str, tiers: Collection[int] = (), *, decided: bool = False) -> int:
        """Places of the user's live bookings and holds, of all tiers or some; or those decided."""
        of = [one for one in self.live() if one.status == "confirmed" or not decided]
        mine = [owner.lines for owner in of if owner.user == user]
        return sum(q for lines in mine for n, q in lines.items() if not tiers or n in tiers)

    def used(self, code: str) -> int:
        """Live bookings and holds with this promo code."""
        return [promo_of(owner.fingerprint) for owner in self.live()].count(code)

    def free(self) -> set[str]:
        """Seats that are free."""
        taken = self.blocked.union(*(owner.seats for owner in self.live()))
        return {seat for row in self.rows for seat in row} - taken

    def waiting(self, tier_no: int) -> list[str]:
        """Entries that wait for a tier, in their order."""
        of = [(one.place, key) for key, one in self.entries.items() if one.tier_no == tier_no]
        return [key for _, key in sorted(of) if self.entries[key].status == "waiting"]

    def run(self, verb: str, *words: object) -> Any:
        """Mirror a script: what it does, and then its offers to those who wait."""
        self.read, self.smaller = set(), set()
        try:
            return getattr(self, verb)(*words)
        except No as refusal:
            return refusal.args[0]
        finally:
            served = [n for n in sorted(self.read & self.tiers.keys()) if self._is_served(n)]
            for group in dict.fromkeys(map(self.mates, served)):
                self._promote([n for n in group if n in served])

    def adopt(self, owner: Owner, seats: tuple[str, ...]) -> None:
        """Take the seats that were chosen; they must have been free, and as many as asked."""
        assert set(seats) <= self.free()
        assert len(set(seats)) == len(seats) == owner.lines.get(SEATED, 0)
        owner.first_seats = seats

    def book(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        self._try(own_id, self.bookings, user, [line[0] for line in lines])
        self.bookings[own_id] = self._order(self.bookings.get(own_id), user, lines, fingerprint)
        self.bookings[own_id].status = "confirmed"
        return Status.BOOKED

    def hold(self, own_id: str, user: str, lines: Lines, fingerprint: str) -> Status:
        self._try(own_id, self.holds, user, [line[0] for line in lines])
        hold = self._order(self.holds.get(own_id), user, lines, fingerprint, self._has_open)
        hold.prices = {n: self.tiers[n].price for n in hold.first}
        self.holds[own_id] = hold
        return Status.HELD

    def confirm(self, own_id: str, user: str) -> Status:
        hold, is_offer = _own(self.holds, own_id, user), own_id.startswith("offer_")
        no(Status.REPLAYED, hold.status == "confirmed")
        no(Status.HOLD_RELEASED, hold.status == "released")
        if hold.status == "held" and hold.overdue_at:
            self._end(own_id, "expired")
        no(Status.HOLD_EXPIRED, hold.status == "expired" and is_offer)
        no(Status.EVENT_ENDED, any(map(self._has_ended, hold.lines)))
        if hold.status == "expired":
            self._reacquire(hold)
        self._end(own_id, "confirmed")
        booking = Owner(user, hold.first, hold.fingerprint, "confirmed", hold.first_seats)
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
        self._check_sale()
        for n in hold.lines:
            self._check_window(n)
        no(Status.EXTENSION_LIMIT, hold.is_extended or own_id.startswith("offer_"))
        hold.is_extended = True
        return Status.EXTENDED

    def cancel(self, own_id: str, user: str) -> Status:
        booking = _own(self.bookings, own_id, user)
        no(Status.REPLAYED, booking.status == "cancelled")
        return self._give_back(own_id, booking, set(booking.own))

    def cancel_item(self, own_id: str, user: str, version: int, what: Lines | Names) -> Status:
        """Mirror `lua/cancel_item.lua`: some places by tier, or tickets by number or seat."""
        booking = _own(self.bookings, own_id, user)
        is_over = version != len(booking.cuts) + 1 or booking.status == "cancelled"
        done = booking.cuts[version - 1] if is_over and version <= len(booking.cuts) else set()
        among = done if is_over else set(booking.own)
        names = {name for name in what if not isinstance(name, tuple)}
        named = {n for n in among if {n, booking.tickets[n][1]} & names}
        counts = Counter(booking.tickets[n][0] for n in among)
        wanted = {one[0]: one[1] for one in what if isinstance(one, tuple)}
        if is_over:
            is_same = len(names) == len(named) == len(done) if names else counts == wanted
            no(Status.REPLAYED, done and is_same)
            raise No(Status.VERSION_CHANGED)
        no(Status.NOT_IN_BOOKING, len(names) > len(named))
        no(Status.NOT_IN_BOOKING, any(q > counts[n] for n, q in wanted.items()))
        no(Status.SEATS_NOT_NAMED, 0 < wanted.get(SEATED, 0) < counts[SEATED])
        for n, going in (wanted or Counter(booking.tickets[k][0] for k in named)).items():
            no(Status.BELOW_MINIMUM, 0 < counts[n] - going < self.tiers[n].order_min)
        for n, quantity in wanted.items():
            mine = [k for k in among if booking.tickets[k][0] == n]
            fates = {k: self._fate(own_id, booking, k) for k in mine}
            no(Status.ALREADY_CHECKED_IN, quantity > len(mine) - [*fates.values()].count("in"))
            plain = sorted(k for k in mine if not fates[k])
            no(Status.TICKET_TRANSFERRED, quantity > len(plain))
            named |= set(plain[-quantity:])
        return self._give_back(own_id, booking, named)

    def _fate(self, own_id: str, booking: Owner, number: int) -> str:
        """Say whether somebody is in on a ticket, or else than its buyer has it."""
        ticket = self.tickets.get((own_id, number), Ticket(booking.user))
        return "in" if ticket.status == "checked_in" else "given" * (ticket.holder != booking.user)

    def _give_back(self, own_id: str, booking: Owner, numbers: set[int]) -> Status:
        fates = {self._fate(own_id, booking, number) for number in numbers}
        no(Status.ALREADY_CHECKED_IN, "in" in fates)
        no(Status.TICKET_TRANSFERRED, "given" in fates and self.transfers != "buyer")
        is_end = numbers == set(booking.own)
        booking.cuts.append(numbers)
        booking.status = "cancelled" if is_end else "confirmed"
        self._read(booking.tickets[number][0] for number in numbers)
        return Status.CANCELLED if is_end else Status.ITEM_CANCELLED

    def join(
        self, own_id: str, user: str, tier_no: int, quantity: int, fingerprint: str, after: str
    ) -> Status:
        self._try(own_id, self.entries, user, [tier_no])
        self._read([tier_no])
        _replay(self.entries.get(own_id), fingerprint)
        self._check_sale()
        self._check_line(tier_no, quantity)
        no(Status.PARTY_TOO_LARGE, quantity > self._most(tier_no))
        self._find(tier_no, quantity)
        no(Status.LIMIT_REACHED, self._has_enough(user, {tier_no: quantity}))
        ahead, mine = self.waiting(tier_no), [e for e in self.entries.values() if e.user == user]
        statuses = {entry.status for entry in mine if entry.tier_no == tier_no}
        no(Status.ALREADY_WAITING, {"waiting", "offered"} & statuses)
        is_kept = self._is_kept(tier_no)
        no(Status.PLACES_AVAILABLE, not is_kept and quantity <= self.left(tier_no))
        no(Status.WAITLIST_FULL, len(ahead) >= WAITING_MAX)
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

    def sweep(self, holds_max: int, is_behind: bool) -> int:
        """Mirror `lua/expire.lua`; return how many holds it ends."""
        self._read(self.tiers)
        count = self._reclaim(holds_max)
        live = [k for k, h in self.holds.items() if h.status == "held" and not h.overdue_at]
        ahead = [key for key in live if is_behind and self.holds[key].ahead_at]
        last = sorted(ahead, key=lambda key: -self.holds[key].ahead_at)[:holds_max]
        for key in last:
            self._end(key, "expired")
        return count + len(last)

    def _read(self, tier_nos: Iterable[int]) -> None:
        self.read |= {mate for n in tier_nos for mate in self.mates(n)}

    def _is_served(self, tier_no: int) -> bool:
        is_over = not self.closes_at or self.tiers[tier_no].is_closed or self._has_ended(tier_no)
        return bool(self.waiting(tier_no)) and not is_over

    def _is_kept(self, tier_no: int) -> bool:
        """Tell whether free places of a tier are for those who wait for it, or for a mate."""
        for n in self.mates(tier_no) if not self.waiting(tier_no) else ():
            parties = [self.entries[key].quantity for key in self.waiting(n)]
            if self._is_served(n) and min(parties) <= self.available(n):
                return True
        return bool(self.waiting(tier_no))

    def _most(self, tier_no: int) -> int:
        """Places that a tier can ever have free: those that are not blocked."""
        most = self.tiers[tier_no].capacity - (len(self.blocked) if tier_no == SEATED else 0)
        return min(most, self.pool[0]) if tier_no in self.pool[1] else most

    def _try(self, own_id: str, known: Collection[str], user: str, tier_nos: Iterable[int]) -> None:
        """Count an attempt, unless it repeats what is known."""
        if own_id not in known:
            self._read(tier_nos)
            no(Status.RATE_LIMITED, self.attempts[user] >= self.attempts_max)
            self.attempts[user] += 1

    def _has_open(self, user: str) -> bool:
        """Tell whether a person, or their address, has as many holds open as may be."""
        held = [(key, hold) for key, hold in self.holds.items() if hold.status == "held"]
        mine = [h.user for k, h in held if k.startswith("hold_") and not h.overdue_at]
        near = [self.origins.get(one) for one in mine].count(self.origins.get(user))
        return mine.count(user) >= self.open_max[0] or near >= self.open_max[1]

    def _has_ended(self, tier_no: int) -> bool:
        return self.is_over and tier_no not in self.after_end

    def _check_sale(self) -> None:
        no(Status.EVENT_ENDED, self.is_over and not self.after_end)
        no(Status.SALE_CLOSED, not self.closes_at)

    def _order(
        self,
        known: Owner | None,
        user: str,
        lines: Lines,
        fingerprint: str,
        has_open: Callable[[str], bool] = lambda _: False,
    ) -> Owner:
        """Check an order as `refuse` and `seat_order` of `lua/lib/` do; return it as a hold."""
        self._read(line[0] for line in lines)
        _replay(known, fingerprint)
        wanted = {line[0]: line[1] for line in lines}
        self._check_rules(user, wanted, promo_of(fingerprint))
        plain = tuple(wanted.items())
        for k, (n, quantity) in enumerate(plain):
            no(Status.SOLD_OUT, quantity > self.left(n, plain[:k], without_holds=True))
        for k, (n, quantity) in enumerate(plain):
            no(Status.ALL_HELD, quantity > self.left(n, plain[:k]))
            no(Status.KEPT_FOR_WAITLIST, self._is_kept(n))
        no(Status.TOO_MANY_HOLDS, has_open(user))
        for _, quantity, *wishes in (line for line in lines if line[0] == SEATED):
            wish = str(wishes[0]) if wishes else "best"
            may_return = self._misses(quantity, wish) in (Status.SEAT_TAKEN, Status.NOT_TOGETHER)
            if may_return and self.held(SEATED):
                self._reclaim(RECLAIM_MAX)
            status = self._misses(quantity, wish)
            if status:
                raise No(status)
        return Owner(user, wanted, fingerprint, "held")

    def _check_rules(self, user: str, wanted: dict[int, int], code: str) -> None:
        self._check_sale()
        uses_max, promo_tiers = self.promos.get(code, (0, ()))
        for n in wanted:
            no(Status.UNKNOWN_TIER, n not in self.tiers)
            is_unlocked = uses_max and n in promo_tiers
            no(Status.UNKNOWN_TIER, self.tiers[n].is_hidden and not is_unlocked)
        for k, (n, quantity) in enumerate(wanted.items()):
            self._check_line(n, quantity)
            self._find(n, quantity, tuple(wanted.items())[:k])
        no(Status.LIMIT_REACHED, self._has_enough(user, wanted))
        if code:
            is_other = promo_tiers and not wanted.keys() & promo_tiers
            no(Status.PROMO_UNKNOWN, is_other or code not in self.promos)
            self._reclaim(RECLAIM_MAX if self.used(code) >= uses_max else 0)
            no(Status.PROMO_EXHAUSTED, self.used(code) >= uses_max)

    def _check_window(self, tier_no: int) -> None:
        no(Status.SALE_NOT_OPEN, not self.tiers[tier_no].is_open)
        no(Status.EVENT_ENDED, self._has_ended(tier_no))
        no(Status.SALE_CLOSED, self.tiers[tier_no].is_closed)

    def _check_line(self, tier_no: int, quantity: int) -> None:
        tier = self.tiers[tier_no]
        self._check_window(tier_no)
        no(Status.LIMIT_REACHED, not tier.order_min <= quantity <= tier.order_max)

    def _has_enough(self, user: str, wanted: dict[int, int], *, decided: bool = False) -> bool:
        """Tell whether the user would have more than a person may, of the event or of a tier."""
        limits = [(self.tiers[n].person_max, [n], quantity) for n, quantity in wanted.items()]
        limits.append((self.person_max, [], sum(wanted.values())))
        return any(
            most and self.taken(user, of, decided=decided) + more > most
            for most, of, more in limits
        )

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
        self._read(hold.lines)
        self._check_rules(hold.user, hold.lines, promo_of(hold.fingerprint))
        lines = tuple(hold.lines.items())
        for k, (n, quantity) in enumerate(lines):
            no(Status.HOLD_EXPIRED, quantity > self.left(n, lines[:k]) or self._is_kept(n))
            if n == SEATED and not self.free() >= set(hold.seats):
                self._reclaim(RECLAIM_MAX)
            no(Status.HOLD_EXPIRED, n == SEATED and not self.free() >= set(hold.seats))
        now = {n: self.tiers[n].price for n in hold.lines}
        no(Status.PRICE_CHANGED, hold.prices != now)

    def _find(self, tier_no: int, quantity: int, before: Lines = ()) -> None:
        left = self.left(tier_no, before)
        if quantity > left and self.left(tier_no, before, without_holds=True) > left:
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
            own = self.entries[entry_of_offer(own_id)]
            own.status = ends[status]
            others = [one for one in self.entries.values() if one.user == own.user]
            self._read(one.tier_no for one in others if one.status == "waiting")

    def _promote(self, tier_nos: list[int]) -> None:
        """Offer what is left to those who wait, of tiers that share places as one."""
        for key in [key for n in self.smaller.intersection(tier_nos) for key in self.waiting(n)]:
            if self.entries[key].quantity > self._most(self.entries[key].tier_no):
                self.entries[key].status = "too_large"
        stopped: set[int] = set()
        keys = [key for n in tier_nos for key in self.waiting(n)]
        for key in sorted(keys, key=lambda key: self.entries[key].place):
            entry = self.entries[key]
            if entry.tier_no in stopped or self._offer(key, entry):
                continue
            stopped.add(entry.tier_no)
            if entry.quantity <= self.available(entry.tier_no):
                return  # It is the pool that has too little.

    def _offer(self, key: str, entry: Entry) -> bool:
        """Lead one of those who wait a step on; return False if the list stops at them."""
        free = self.left(entry.tier_no)
        if free < 1:
            return False
        lines = {entry.tier_no: entry.quantity}
        if self._has_enough(entry.user, lines, decided=True):
            entry.status = "limit"
        elif entry.quantity > self._most(entry.tier_no):
            entry.status = "too_large"
        elif self._has_enough(entry.user, lines):
            pass  # Their turn comes when what they have open is decided.
        elif entry.quantity <= free:
            entry.status = "offered"
            self.holds[offer_of_entry(key)] = Owner(entry.user, lines, entry.fingerprint, "held")
        elif self.policy == "strict":
            entry.patience = entry.patience or 1
            return entry.patience != 1
        return True


def _own(kept: dict[str, Kept], own_id: str, user: str) -> Kept:
    found = kept.get(own_id)
    if found is None or found.user != user:
        raise No(Status.NOT_FOUND)
    return found


def _replay(known: Owner | Entry | None, fingerprint: str) -> None:
    if known is not None:
        no(Status.IDEMPOTENCY_KEY_REUSED, known.fingerprint != fingerprint)
        raise No(Status.REPLAYED)
