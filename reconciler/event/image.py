"""
The image of an event: what Redis must keep of it, made of its state and of who has its places.

One picture for three: `check` names where Redis differs from it, a repair sets what differs, a
rebuild loads it whole. The forms are those of the scripts (docs/DATA.md). Bookings are no part of
it: each is a value by itself (`engine.values`), and a rebuild streams them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.commands import Promo
from engine.ids import is_beyond, promo_of
from engine.pools import Pool, parse
from engine.records import Joined
from engine.seats import BLOCKED, FREE, HELD, ROW_END, SOLD, parse_seat_id
from engine.values import Booking, Hold, WaitEntry, entry_text, member
from reconciler.event.state import Sale
from store.audit import SectionRow

#: `join_no` of those who joined without a first place begins here (`lua/join.lua`).
JOIN_NO_BASE = 100_000_000_000
#: Rules that a tier may have; one without has no such fields.
TIER_RULES = ("order_min", "person_max", "opens_at_ms", "closes_at_ms")
#: The map's version after a rebuild is above all that clients may have seen: an epoch has fewer
#: changes than this.
VERSIONS_PER_EPOCH = 1_000_000_000

#: Fields of a tier whose absence says zero.
_ZERO = (*TIER_RULES, "waiting")

Fields = dict[str, str]


class Change(NamedTuple):
    """One value in Redis; None stands for no value."""

    #: A key of the event: stock, bookings, persons, deadlines, seats, tickets or promos.
    where: str
    name: str
    seen: str | None
    wanted: str | None


@dataclass(slots=True)
class Image:
    """Collects who has an event's places, and writes it as Redis keeps it."""

    sale: Sale
    entries: Mapping[str, WaitEntry]
    sections: Sequence[SectionRow] = ()
    sold: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    blocked: Counter[int] = field(default_factory=Counter)
    #: Places by person, and by `person/tier` of tiers with a limit per person.
    persons: Counter[str] = field(default_factory=Counter)
    #: Those of them that the box office has sold beyond what one may have.
    beyond: Counter[str] = field(default_factory=Counter)
    promo_uses: Counter[str] = field(default_factory=Counter)
    #: Who has each seat, as (letter, owner): one, if all is well.
    owners: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _limited: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        tiers = self.sale.published.tiers
        self._limited = frozenset(tier.tier_no for tier in tiers if tier.person_max)

    @property
    def has_tier_limits(self) -> bool:
        """Tell whether any tier has a limit per person."""
        return bool(self._limited)

    def take_booking(self, booking_id: str, booking: Booking) -> None:
        """Give a live booking its places."""
        for tier_no, quantity in booking.lines:
            self.sold[tier_no] += quantity
        self._count(booking.user_id, booking.lines, booking.fingerprint)
        self.own(SOLD, booking_id, booking.seat_ids)

    def take_hold(self, hold_id: str, hold: Hold) -> None:
        """Give a live hold its places."""
        for tier_no, quantity in hold.lines:
            self.held[tier_no] += quantity
        self._count(hold.user_id, hold.lines, hold.fingerprint)
        self.own(HELD, hold_id, hold.seat_ids)

    def block(self, seats: Mapping[str, int]) -> None:
        """Take seats, given with their tiers, out of the sale."""
        self.blocked.update(seats.values())
        self.own(BLOCKED, "the organizer", seats)

    def own(self, letter: str, owner: str, seat_ids: Iterable[str]) -> None:
        """Give somebody seats."""
        for seat_id in seat_ids:
            self.owners.setdefault(seat_id, []).append((letter, owner))

    def available(self, tier_no: int) -> int:
        """Return the places of a tier that are nobody's; below zero if it is oversold."""
        tiers = self.sale.published.tiers
        capacity = next((tier.capacity for tier in tiers if tier.tier_no == tier_no), 0)
        return capacity - self.sold[tier_no] - self.held[tier_no] - self.blocked[tier_no]

    @property
    def pools(self) -> list[tuple[Pool, int]]:
        """Return the pools, each with what its tiers have left; below zero if it is oversold."""
        rule = self.sale.published.rules.pools
        return [(one, one.left(self.sold + self.held)) for one in parse(rule)] if rule else []

    def fits(self, hold: Hold) -> bool:
        """Tell whether a hold finds its places free."""
        places = Counter[int]()
        for tier_no, quantity in hold.lines:
            places[tier_no] += quantity
        return all(
            item.quantity <= self.available(item.tier_no)
            and not any(seat in self.owners for seat in item.seat_ids)
            for item in hold.items
        ) and all(
            sum(places[tier_no] for tier_no in pool.tier_nos) <= max(0, left)
            for pool, left in self.pools
        )

    def stock(self) -> Fields:
        """Return `stock`: the sale and its tiers' counters."""
        record, sale = self.sale.published, self.sale
        fields: dict[str, object] = {
            "fingerprint": record.fingerprint,
            "epoch": sale.epoch,
            "seq": sale.seq,
            "at_ms": record.at_ms,
            "opens_at_ms": record.opens_at_ms,
            "closes_at_ms": record.closes_at_ms,
            "person_max": record.person_max,
            "tier_count": len(record.tiers),
        }
        waiting = Counter[int]()
        for entry in self.entries.values():
            waiting[entry.tier_no] += entry.status == "waiting"
        for tier in record.tiers:
            n = tier.tier_no
            fields |= {
                f"{n}.capacity": tier.capacity,
                f"{n}.available": self.available(n),
                f"{n}.held": self.held[n],
                f"{n}.sold": self.sold[n],
                f"{n}.blocked": self.blocked[n],
                f"{n}.price_minor": tier.price_minor,
                f"{n}.order_max": tier.order_max,
            }
            if n in waiting:
                fields[f"{n}.waiting"] = waiting[n]
            sections = [str(s.section_no) for s in record.sections if s.tier_no == n]
            if sections:
                fields[f"{n}.sections"] = ",".join(sections)
            rules = {f"{n}.{name}": getattr(tier, name) for name in TIER_RULES}
            if tier.is_hidden or any(rules.values()):
                fields |= rules
        fields |= record.rules.given()
        hidden = [str(tier.tier_no) for tier in record.tiers if tier.is_hidden]
        if hidden:
            fields["hidden"] = f"+{'+'.join(hidden)}+"
        if sale.changed is not None:
            names = ("changed_epoch", "changed_seq", "changed_at_ms")
            fields |= dict(zip(names, sale.changed, strict=True))
        if sale.cancelled_at_ms is not None:
            fields["cancelled_at_ms"] = sale.cancelled_at_ms
        return {name: str(value) for name, value in fields.items()}

    def stock_changes(self, seen: Mapping[str, str]) -> Iterator[Change]:
        """Yield where *seen* in `stock` is not as it must be; how lists are led, it may say."""
        wanted = self.stock()
        for tier in self.sale.published.tiers:
            for name in _ZERO:
                wanted.setdefault(f"{tier.tier_no}.{name}", "0")
        # A tier that was never published has no counters, whoever has places of it.
        wanted |= {f"{n}.sold": str(sold) for n, sold in self.sold.items()}
        hidden, got = wanted.pop("hidden", None), seen.get("hidden")
        if set((hidden or "").split("+")) - {""} != set((got or "").split("+")) - {""}:
            yield Change("stock", "hidden", got, hidden)
        if "pools" in seen and "pools" not in wanted:
            yield Change("stock", "pools", seen["pools"], None)
        for name, value in wanted.items():
            default = "0" if name.rpartition(".")[2] in _ZERO else None
            if seen.get(name, default) != value:
                yield Change("stock", name, seen.get(name), value)

    def promo_changes(self, seen: Mapping[str, str]) -> Iterator[Change]:
        """Yield where *seen* in `promos` is not as it must be."""
        wanted = self.promos()
        for name in sorted(wanted.keys() | seen.keys()):
            if wanted.get(name) != seen.get(name):
                yield Change("promos", name, seen.get(name), wanted.get(name))

    def promos(self) -> Fields:
        """Return `promos`: each code's rule and its uses."""
        fields: Fields = {}
        for promo in self.sale.published.promos:
            word = Promo(
                promo.code, promo.uses_max, promo.percent, promo.amount_minor, tuple(promo.tier_nos)
            ).word()
            fields[promo.code] = word.partition(":")[2]
            fields[f"{promo.code}.used"] = str(self.promo_uses[promo.code])
        return fields

    def seats(self, epoch: int) -> Fields:
        """Return `seats` as the first of an epoch; empty for an event without."""
        if not self.sections:
            return {}
        fields = {
            "version": str(epoch * VERSIONS_PER_EPOCH),
            "count": str(len(self.sale.published.sections)),
        }
        letters = self.letters()
        for section in self.sections:
            no = section.section_no
            rows = ROW_END.join(FREE * int(count) for count in section.row_seats.split(","))
            fields[f"{no}.layout"] = f"{section.tier_no} {section.row_seats}"
            fields[f"{no}.kinds"] = section.kinds
            fields[f"{no}.status"] = lettered(no, rows, letters)
        return fields

    def letters(self) -> dict[tuple[int, int], str]:
        """Return the letters of all seats that are not free, by section and seat."""
        return {
            numbers: its[0][0]
            for seat_id, its in self.owners.items()
            if (numbers := parse_seat_id(seat_id)) is not None
        }

    def entry_fields(self, firsts: Mapping[str, str]) -> Fields:
        """
        Return `entries`: entries, each person's last one by tier, and used first places.

        Args:
            firsts: Entries that used the first place of a hold, by that hold.
        """
        fields: Fields = {}
        in_order = sorted(self.entries.items(), key=lambda pair: (pair[1].epoch, pair[1].seq))
        for entry_id, entry in in_order:
            fields[entry_id] = entry_text(entry)
            fields[f"{entry.tier_no}:{entry.user_id}"] = entry_id
        return fields | {f"first:{hold_id}": entry_id for hold_id, entry_id in firsts.items()}

    def members(self) -> list[str]:
        """Return the members of `waitlist`."""
        waiting = (pair for pair in self.entries.items() if pair[1].status == "waiting")
        return [member(entry_id, entry) for entry_id, entry in waiting]

    def list_rules(self, last: Joined) -> Fields:
        """Return how the list is led since the *last* joining, as `stock` has it."""
        numbers = [int(entry.join_no) for entry in self.entries.values()]
        joined = max((n - JOIN_NO_BASE for n in numbers if n > JOIN_NO_BASE), default=0)
        return {
            "waitlist.policy": last.policy,
            "waitlist.patience_ms": str(last.patience_ms),
            "waitlist.offer_ttl_ms": str(last.offer_ttl_ms),
            "waitlist.joined": str(joined),
            "waitlist.first": str(max((n for n in numbers if n < JOIN_NO_BASE), default=0)),
        }

    def counts(self, user_id: str, lines: Iterable[tuple[int, int]]) -> Iterator[tuple[str, int]]:
        """Yield which counts of `persons` have *lines* in them, and how many places."""
        total = 0
        for tier_no, quantity in lines:
            total += quantity
            if tier_no in self._limited:
                yield f"{user_id}/{tier_no}", quantity
        yield user_id, total

    def _count(self, user_id: str, lines: Iterable[tuple[int, int]], fingerprint: str) -> None:
        for name, places in self.counts(user_id, lines):
            self.persons[name] += places
            if is_beyond(fingerprint):
                self.beyond[name] += places
        self.promo_uses[promo_of(fingerprint)] += 1


def lettered(section_no: int, rows: str, letters: Mapping[tuple[int, int], str]) -> str:
    """Return a section's status, whose rows end where those of *rows* do."""
    return "".join(
        ROW_END if letter == ROW_END else letters.get((section_no, seat_no), FREE)
        for seat_no, letter in enumerate(rows, start=1)
    )
