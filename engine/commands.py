"""
Commands: what callers ask of a shard, as values, and as the words their script takes.

A command that breaks its bounds is a bug in the caller and raises `BadCommand` before anything is
sent, because one bad command would otherwise fail the whole batch it travels in.

A command's fields are what its script takes of it, in that order, behind the event; where the
script takes them in another form, `words` says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.errors import BadCommand
from engine.ids import ORDER_PLACES_MAX
from engine.records import Rules, TierName
from engine.seats import BLOCK_SEATS_MAX, Section, is_wish, parse_seat_id

ORDER_LINES_MAX = 10

Line = tuple[int, int] | tuple[int, int, str]


class Order(NamedTuple):
    """Ask for places: of `book` for a booking at once, of `hold` for a while."""

    event_id: str
    #: The booking's or the hold's id, derived by `engine.ids`.
    id: str
    user_id: str
    #: Hash of the request; with a promo code, `~CODE` follows (`engine.ids.with_promo`).
    fingerprint: str
    #: JSON object kept with it.
    detail: bytes
    #: Tier_no and quantity, and for a seated tier perhaps a wish made by `engine.seats`; tiers
    #: distinct: 1..10 lines, 1..10 places in all.
    lines: tuple[Line, ...]
    #: How long a hold lasts, in ms; 0 for a booking.
    ttl_ms: int = 0
    #: Of a hold, a word for the address that it comes from; empty if that is not known.
    origin: str = ""

    def check(self) -> None:
        """Raise `BadCommand` if the lines break their bounds."""
        if len(self.lines) == 1 and len(self.lines[0]) == 2:
            tier_no, quantity = self.lines[0][:2]
            if tier_no >= 1 and 1 <= quantity <= ORDER_PLACES_MAX:
                return  # What most orders are.
        tiers = {line[0] for line in self.lines}
        places = sum(line[1] for line in self.lines)
        if (
            not 1 <= len(self.lines) <= ORDER_LINES_MAX
            or len(tiers) != len(self.lines)
            or places > ORDER_PLACES_MAX
            or any(line[1] < 1 or line[0] < 1 for line in self.lines)
            or any(len(line) == 3 and not is_wish(line[2], line[1]) for line in self.lines)
        ):
            raise BadCommand(f"an order has 1..10 places in distinct tiers, not {self.lines}")


class Own(NamedTuple):
    """Name a booking (`cancel`), a hold (`confirm`, `release`) or an entry (`leave`) of a user."""

    event_id: str
    id: str
    user_id: str


class Extend(NamedTuple):
    """Ask for a later deadline of a hold: `ttl_ms` from now, but no longer life than the most."""

    event_id: str
    id: str
    user_id: str
    ttl_ms: int
    #: Longest life of a hold, in ms from its beginning.
    life_max_ms: int
    #: Share of a tier's places, in percent, below which both are shorter; 0 for never.
    scarce_percent: int = 0
    #: How short they may get, in ms.
    ttl_min_ms: int = 0


class Join(NamedTuple):
    """Ask for places that return; `engine.waitlist` says what the figures mean."""

    event_id: str
    #: The entry's id, derived by `engine.ids`.
    id: str
    user_id: str
    fingerprint: str
    tier_no: int
    quantity: int
    #: `strict` or `skip`.
    policy: str
    #: How long a party that does not fit may stop a strict list, in ms.
    patience_ms: int
    #: How long an offer lasts at least, in ms, where the event does not say how long.
    offer_ttl_ms: int
    #: Entries that one tier's list may have.
    waiting_max: int
    #: What gives the first place, once: an expired hold of this person, or `booking_id/n` of a
    #: booking that was lost, of which the caller has seen the receipt; empty for none.
    after_hold: str = ""

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        return [*self[1:-1], self.after_hold or "-"]


class TierStock(NamedTuple):
    """One tier as it is loaded by `publish`."""

    capacity: int
    price_minor: int
    order_max: int
    #: Rules of its own; 0 for those that it does not have.
    order_min: int = 0
    person_max: int = 0
    opens_at_ms: int = 0
    closes_at_ms: int = 0
    #: Only a promo code that names the tier unlocks it.
    is_hidden: bool = False

    @property
    def rules(self) -> tuple[int, ...]:
        """Its rules, as `publish` takes them."""
        return (*self[3:-1], int(self.is_hidden))


class Promo(NamedTuple):
    """A promo code as it is loaded by `publish`."""

    code: str
    uses_max: int
    #: One of the two at most; an access code has none.
    percent: int
    amount_minor: int
    #: Tiers that it is for, and that it unlocks if they are hidden; all others if it names none.
    tier_nos: tuple[int, ...] = ()

    def word(self) -> str:
        """Write it as `publish` takes it."""
        tier_nos = "+".join(map(str, self.tier_nos))
        return f"{self.code}:{self.uses_max}:{self.percent}:{self.amount_minor}:{tier_nos}"


class Publish(NamedTuple):
    """Ask for an event's stock to be loaded; tiers are numbered from 1 in their order."""

    event_id: str
    fingerprint: str
    opens_at_ms: int
    closes_at_ms: int
    person_max: int
    tiers: tuple[TierStock, ...]
    #: Sections of seats, each loaded by `seat` before.
    section_count: int = 0
    #: At most 100.
    promos: tuple[Promo, ...] = ()
    rules: Rules = Rules()

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        words: list[Any] = [
            self.fingerprint,
            self.opens_at_ms,
            self.closes_at_ms,
            self.person_max,
            len(self.tiers),
        ]
        for tier in self.tiers:
            words += tier[:3]
        rules = [(no, *tier.rules) for no, tier in enumerate(self.tiers, 1) if any(tier.rules)]
        if self.section_count or rules:
            words.append(self.section_count)
        for rule in rules:
            words += rule
        if self.promos:
            words.append(",".join(promo.word() for promo in self.promos))
        if own := self.rules.given():
            words.append(",".join(f"{name}={value}" for name, value in own.items()))
        return words


class ShiftSeats(NamedTuple):
    """Ask for seats to be taken out of sale (`block`), or put back (`unblock`)."""

    event_id: str
    seat_ids: tuple[str, ...]

    def check(self) -> None:
        """Raise `BadCommand` if the seats break their bounds."""
        if (
            not 1 <= len(self.seat_ids) <= BLOCK_SEATS_MAX
            or len(set(self.seat_ids)) != len(self.seat_ids)
            or not all(map(parse_seat_id, self.seat_ids))
        ):
            raise BadCommand(f"1..{BLOCK_SEATS_MAX} distinct seats are needed")

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        return list(self.seat_ids)


class Seat(NamedTuple):
    """Ask for one section of an event's seats to be loaded."""

    event_id: str
    section: Section

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        return self.section.words()


class ReadSeats(NamedTuple):
    """Ask for the seat map, or for what changed in it since a version."""

    event_id: str
    #: -1 for all of it.
    since: int
    #: Of hidden tiers, those that it unlocks are told; `*` for all.
    promo_code: str


class ReadStock(NamedTuple):
    """Ask what is left of an event, for who has a promo code."""

    event_id: str
    promo_code: str


class EmptyEvent(NamedTuple):
    """Give back places of a cancelled event: holds, these bookings; and end its waitlist."""

    event_id: str
    booking_ids: Sequence[str]

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        return list(self.booking_ids)


class Expire(NamedTuple):
    """End an event's overdue holds, and forget those that ended long ago."""

    event_id: str
    #: Holds ended in one call at most.
    holds_max: int
    #: How long an ended hold is remembered, in ms.
    forget_ms: int
    #: By how much Redis's clock was ahead when holds were made that it takes for made later.
    ahead_ms: int = 0


class Scan(NamedTuple):
    """Let in on a ticket (`checkin`), or take that back (`undo_checkin`)."""

    event_id: str
    booking_id: str
    #: Of the ticket within its booking, from 1.
    number: int
    #: Of the ticket, as its code says.
    version: int
    #: Where; no blanks, `-` if not told.
    gate: str
    #: Who scans.
    user_id: str
    #: Of the scan, made where it was made, so that it counts once; `-` for none.
    scan_id: str = "-"
    #: When that was, Unix ms; 0 if it is not told.
    scanned_at_ms: int = 0


class Transfer(NamedTuple):
    """Give a ticket to somebody else."""

    event_id: str
    booking_id: str
    #: Of the ticket within its booking, from 1.
    number: int
    #: Its holder.
    user_id: str
    to_user_id: str


class CancelItem(NamedTuple):
    """Give back some places of a booking: so many of some tiers, or tickets that are named."""

    event_id: str
    booking_id: str
    user_id: str
    #: Of the booking, as the caller has seen it: what makes a repetition harmless.
    version: int
    #: Pairs of tier_no and quantity, tiers distinct: 1..10 lines; none if tickets are named.
    lines: tuple[tuple[int, int], ...]
    #: 1..10 distinct tickets, each by its number or by its seat.
    tickets: tuple[int | str, ...] = ()

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        names = [f"#{one}" if isinstance(one, int) else one for one in self.tickets]
        what = "+".join(names) if names else pairs(self.lines)
        return [self.booking_id, self.user_id, self.version, what]


class OfEvent(NamedTuple):
    """Name an event: one whose sale is to be closed, or that is called off."""

    event_id: str


class Reopen(NamedTuple):
    """Ask for another end of a sale."""

    event_id: str
    #: Unix ms, in the future by Redis time.
    closes_at_ms: int


class SetCapacity(NamedTuple):
    """Ask for other capacities of tiers and pools, and perhaps another end of the sale."""

    event_id: str
    #: Pairs of tier_no and capacity, tiers distinct: 1..100.
    tiers: tuple[tuple[int, int], ...]
    #: Unix ms, in the future by Redis time; 0 leaves it.
    closes_at_ms: int = 0
    #: Pairs of pool_no and capacity, pools distinct: up to 100; tiers may be none then. Lines of a
    #: refusal count these first.
    pools: tuple[tuple[int, int], ...] = ()

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        end = f";{self.closes_at_ms}" if self.closes_at_ms else ""
        return [",".join(filter(None, [*_pool_words(self.pools), pairs(self.tiers)])) + end]


class TierAmendment(NamedTuple):
    """What is to change of a tier on sale, or a new one with all figures; None leaves one."""

    tier_no: int
    capacity: int | None = None
    price_minor: int | None = None
    order_max: int | None = None
    order_min: int | None = None
    #: Of a tier that is there: only if it has such a limit, and above 0.
    person_max: int | None = None
    opens_at_ms: int | None = None
    closes_at_ms: int | None = None
    #: These two of a new one alone.
    is_hidden: bool | None = None
    sells_after_end: bool | None = None
    #: What people call a new one; None for a tier that is there.
    name: TierName | None = None

    def word(self) -> str:
        """Write it as `amend` takes it."""
        figures = ["-" if figure is None else str(int(figure)) for figure in self[1:-1]]
        return ":".join([f"{'+' if self.name else ''}{self.tier_no}", *figures])


class Amend(NamedTuple):
    """Ask for changes of an event on sale; what is not named stays."""

    event_id: str
    #: Those to change, of `opens_at_ms`, `closes_at_ms`, `ends_at_ms`, `person_max` and
    #: `offer_ttl_ms`.
    sale: dict[str, int]
    #: Up to 100, distinct; new ones last and in order.
    tiers: tuple[TierAmendment, ...] = ()
    #: Up to 100, distinct: new ones, and others with how often they may be used; 0: no more.
    promos: tuple[Promo, ...] = ()
    #: As of `SetCapacity`.
    pools: tuple[tuple[int, int], ...] = ()

    def words(self) -> list[Any]:
        """Return the words of the script that follow the event."""
        names = [tier.name for tier in self.tiers if tier.name]
        return [
            ",".join(f"{name}={value}" for name, value in self.sale.items()) or "-",
            ",".join(tier.word() for tier in self.tiers) or "-",
            ",".join(promo.word() for promo in self.promos) or "-",
            msgspec.json.encode(names).decode(),
            ",".join(_pool_words(self.pools)) or "-",
        ]


def _pool_words(pools: Iterable[tuple[int, int]]) -> list[str]:
    return [f"p{pool_no}:{capacity}" for pool_no, capacity in pools]


def pairs(numbers: Iterable[tuple[int, int]]) -> str:
    """Write pairs as one word, `1:2,3:4`; some scripts take them so."""
    return ",".join(f"{one}:{other}" for one, other in numbers)
