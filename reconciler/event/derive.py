"""
Records from what they left behind: what an event's values in Redis say of the journal.

Pure functions of one event's values. A derived record stands at the place that the value names, or,
where only an order is known, between two places. What it is for: `reconciler.recover.rewind`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from engine.cuts import items_left, join_cuts, split_cuts
from engine.ids import entry_of_offer
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    Confirmed,
    Detail,
    EventCancelled,
    Expired,
    Extended,
    Held,
    Item,
    ItemCancelled,
    Joined,
    Left,
    Offered,
    Promo,
    Published,
    Record,
    Released,
    Reopened,
    Rules,
    ScanRefused,
    Seats,
    Section,
    Stalled,
    Tier,
    TierCapacity,
    TierName,
    Transferred,
    Unblocked,
)
from engine.seats import BLOCKED, letters
from engine.values import Booking, Hold, Ticket, WaitEntry, parse_items, parse_scans
from reconciler.event.view import InRedis
from store.waitlist import OFFER_PREFIX

#: Place after every other.
END = (1 << 62, 0)
#: `cause_seq` of an offer that was derived: whom it passed, and why, is not known.
UNKNOWN_CAUSE = -1

_TICKET_RECORDS: Mapping[str, type[CheckedIn] | type[CheckInUndone] | type[Transferred]] = {
    "checked_in": CheckedIn,
    "undone": CheckInUndone,
    "valid": Transferred,
}
_ENDS = {
    "accepted": "confirmed",
    "declined": "released",
    "expired": "expired",
    "event_cancelled": "released",
}
#: Why an entry left, by its status; those that say more than that are of version 2.
_LEFT: Mapping[str, Literal["owner", "limit", "too_large", "event_cancelled"]] = {
    "left": "owner",
    "limit": "limit",
    "too_large": "too_large",
    "event_cancelled": "event_cancelled",
}


class Derived(NamedTuple):
    """A record and its place; without one, it stands between two others."""

    record: Record
    place: tuple[int, int] | None
    after: tuple[int, int] = (0, 0)
    before: tuple[int, int] = END


def derive(
    remains: InRedis,
    known: Published | None,
    blocked_rows: Mapping[str, int],
    tail: Sequence[Record],
) -> Iterator[Derived]:
    """
    Yield what an event's values say of its records, whether or not anybody has lost them.

    Args:
        remains: The event in Redis.

        known: What was published as PostgreSQL knows it; None if it does not.

        blocked_rows: Its blocked seats as PostgreSQL knows them.

        tail: Its records that the streams still have behind the lost ones.
    """
    yield from _sale(remains, known)
    # Holds tell most of the records that they share with bookings and entries: they come first.
    for hold_id, hold in remains.holds.items():
        yield from _hold(remains, hold_id, hold)
    for entry_id, entry in remains.entries.items():
        yield from _entry(remains, entry_id, entry)
    for booking_id, booking in remains.bookings.items():
        yield from _booking(remains, booking_id, booking)
    for ticket_id, ticket in remains.tickets.items():
        yield from _ticket(remains, ticket_id, ticket)
    yield from _blocks(remains, blocked_rows, tail)


def _at(remains: InRedis, at_ms: int, version: int = 1) -> dict[str, Any]:
    """Return what every record of the event has."""
    return {"version": version, "at_ms": at_ms, "event_id": remains.event_id}


def _sale(remains: InRedis, known: Published | None) -> Iterator[Derived]:
    stock = remains.stock
    if "seq" not in stock:
        return
    tiers = [_tier(stock, no) for no in range(1, int(stock["tier_count"]) + 1)]
    closes_at_ms = int(stock["closes_at_ms"])
    rules = _rules(stock)
    published = Published(
        **_at(remains, int(stock["at_ms"])) | {"version": 2 if rules.given() else 1},
        fingerprint=stock["fingerprint"],
        opens_at_ms=int(stock["opens_at_ms"]),
        closes_at_ms=closes_at_ms,
        person_max=int(stock["person_max"]),
        tiers=tiers,
        sections=_sections(remains),
        promos=_promos(remains),
        rules=rules,
    )
    made = (int(stock["epoch"]), int(stock["seq"]))
    yield Derived(published, made)
    if "changed_seq" not in stock:
        return
    changed = (int(stock["changed_epoch"]), int(stock["changed_seq"]))
    at_ms, before = int(stock["changed_at_ms"]), known or published
    records: list[Record] = []
    if "cancelled_at_ms" in stock:
        records.append(EventCancelled(**_at(remains, at_ms), closes_at_ms=closes_at_ms))
    elif closes_at_ms <= at_ms or closes_at_ms < before.closes_at_ms:
        records.append(Closed(**_at(remains, at_ms), closes_at_ms=closes_at_ms))
    elif closes_at_ms > before.closes_at_ms:
        records.append(Reopened(**_at(remains, at_ms), closes_at_ms=closes_at_ms))
    if change := _amendment(before, published):
        records.append(Amended(**_at(remains, at_ms, 2), **change))
    was = {tier.tier_no: tier.capacity for tier in before.tiers}
    sizes = [
        TierCapacity(tier.tier_no, tier.capacity)
        for tier in tiers
        if was.get(tier.tier_no, tier.capacity) != tier.capacity
    ]
    pools = rules.pools if rules.pools != before.rules.pools else ""
    if sizes or pools:
        version = 2 if pools else 1
        records.append(CapacitySet(**_at(remains, at_ms, version), tiers=sizes, pools=pools))
    for number, record in enumerate(records):
        yield Derived(record, changed) if not number else Derived(record, None, made, changed)


def _amendment(before: Published, now: Published) -> dict[str, Any]:
    """
    Return what amendments have changed, but for capacities and the sale's end.

    How people called a new tier, Redis does not know: it gets an id and a name by its number.
    """
    old = {tier.tier_no: tier for tier in before.tiers}
    rules, were = now.rules, before.rules
    change: dict[str, Any] = {
        name: getattr(now, name)
        for name in ("opens_at_ms", "person_max")
        if getattr(now, name) != getattr(before, name)
    }
    change |= {
        name: getattr(rules, name)
        for name in ("ends_at_ms", "offer_ttl_ms", "after_end")
        if getattr(rules, name) != getattr(were, name)
    }
    tiers = [
        tier
        for tier in now.tiers
        if tier.tier_no not in old
        or tier != msgspec.structs.replace(old[tier.tier_no], capacity=tier.capacity)
    ]
    promos = [promo for promo in now.promos if promo not in before.promos]
    names = [
        TierName(tier.tier_no, f"tier_{now.event_id[4:-3]}{tier.tier_no:03}", f"#{tier.tier_no}")
        for tier in tiers
        if tier.tier_no not in old
    ]
    change |= {"tiers": tiers} if tiers else {}
    change |= {"promos": promos} if promos else {}
    return change | ({"names": names} if names else {})


def _rules(stock: Mapping[str, str]) -> Rules:
    given = {name: stock[name] for name in Rules.__struct_fields__ if name in stock}
    return msgspec.convert(given, Rules, strict=False)


def _tier(stock: Mapping[str, str], no: int) -> Tier:
    def figure(name: str) -> int:
        return int(stock.get(f"{no}.{name}") or 0)

    return Tier(
        no,
        figure("capacity"),
        figure("price_minor"),
        figure("order_max"),
        figure("order_min"),
        figure("person_max"),
        figure("opens_at_ms"),
        figure("closes_at_ms"),
        int(f"+{no}+" in stock.get("hidden", "")),
    )


def _sections(remains: InRedis) -> list[Section]:
    sections = []
    for name, layout in remains.seats.items():
        section_no, _, what = name.partition(".")
        if what == "layout":
            tier_no, _, rows = layout.partition(" ")
            count = sum(map(int, rows.split(",")))
            sections.append(Section(int(section_no), int(tier_no), count))
    return sorted(sections, key=lambda section: section.section_no)


def _promos(remains: InRedis) -> list[Promo]:
    promos = []
    for code, word in sorted(remains.promos.items()):
        if not code.endswith(".used"):
            uses_max, percent, amount_minor, tiers = word.split(":")
            promos.append(
                Promo(
                    code,
                    int(uses_max),
                    int(percent),
                    int(amount_minor),
                    [int(no) for no in tiers.split("+") if no],
                )
            )
    return promos


def _hold(remains: InRedis, hold_id: str, hold: Hold) -> Iterator[Derived]:
    made, changed = (hold.epoch, hold.seq), (hold.changed_epoch, hold.changed_seq)
    items = list(hold.items)
    is_offer = hold_id.startswith(OFFER_PREFIX)
    entry = remains.entries.get(entry_of_offer(hold_id)) if is_offer else None
    was_extended = hold.status == "held" and changed != made
    yield Derived(_beginning(remains, hold_id, hold, entry, was_extended=was_extended), made)
    # A hold does not keep when it ended; the entry of an offer does, and nothing depends on others.
    at_ms = hold.at_ms if hold.status == "released" else max(hold.at_ms, hold.expires_at_ms)
    if is_offer and entry is not None and (entry.changed_epoch, entry.changed_seq) == changed:
        at_ms = entry.changed_at_ms
    if was_extended:
        yield Derived(
            Extended(
                **_at(remains, at_ms),
                hold_id=hold_id,
                user_id=hold.user_id,
                expires_at_ms=hold.expires_at_ms,
            ),
            changed,
        )
    elif hold.status == "confirmed":
        booking_id = f"bk_{hold_id.partition('_')[2]}"
        booking = remains.bookings.get(booking_id)
        yield Derived(
            Confirmed(
                **_at(remains, booking.at_ms if booking else at_ms),
                hold_id=hold_id,
                booking_id=booking_id,
                user_id=hold.user_id,
                fingerprint=hold.fingerprint,
                items=items,
                was_expired=False,
                detail=_detail(hold),
            ),
            changed,
        )
    elif hold.status != "held":
        ended = _end(remains, at_ms, hold.status, hold_id, hold.user_id, items)
        yield Derived(_with_reason(ended, entry), changed)


def _beginning(
    remains: InRedis, hold_id: str, hold: Hold, entry: WaitEntry | None, *, was_extended: bool
) -> Offered | Held:
    items = list(hold.items)
    if hold_id.startswith(OFFER_PREFIX):
        return Offered(
            **_at(remains, hold.at_ms),
            entry_id=entry_of_offer(hold_id),
            hold_id=hold_id,
            user_id=hold.user_id,
            fingerprint=hold.fingerprint,
            items=items,
            expires_at_ms=hold.expires_at_ms,
            join_no=entry.join_no if entry else "0" * 12,
            cause_seq=UNKNOWN_CAUSE,
            reason="turn",
            passed=[],
        )
    return Held(
        **_at(remains, hold.at_ms),
        hold_id=hold_id,
        user_id=hold.user_id,
        fingerprint=hold.fingerprint,
        items=items,
        detail=_detail(hold),
        expires_at_ms=hold.expires_at_ms - was_extended,
    )


def _detail(hold: Hold) -> Detail:
    try:
        return msgspec.json.decode(hold.detail, type=Detail)
    except msgspec.MsgspecError:
        return Detail()  # Damaged; no rule depends on it.


def _entry(remains: InRedis, entry_id: str, entry: WaitEntry) -> Iterator[Derived]:
    stock = remains.stock
    made, changed = (entry.epoch, entry.seq), (entry.changed_epoch, entry.changed_seq)
    policy: Literal["strict", "skip"] = (
        "skip" if stock.get("waitlist.policy") == "skip" else "strict"
    )
    yield Derived(
        Joined(
            **_at(remains, entry.at_ms),
            entry_id=entry_id,
            user_id=entry.user_id,
            fingerprint=entry.fingerprint,
            tier_no=entry.tier_no,
            quantity=entry.quantity,
            join_no=entry.join_no,
            policy=policy,
            after_hold="",
            patience_ms=int(stock.get("waitlist.patience_ms") or 0),
            offer_ttl_ms=int(stock.get("waitlist.offer_ttl_ms") or 0),
        ),
        made,
    )
    if entry.stalled_at_ms:
        stalled = Stalled(
            **_at(remains, entry.stalled_at_ms),
            entry_id=entry_id,
            user_id=entry.user_id,
            tier_no=entry.tier_no,
            quantity=entry.quantity,
            available=0,
        )
        yield Derived(stalled, changed if entry.status == "waiting" else None, made, changed)
    if entry.status in _LEFT and entry.version == 2:
        why = _LEFT[entry.status]
        yield Derived(
            Left(
                **_at(remains, entry.changed_at_ms, 1 if why == "owner" else 2),
                entry_id=entry_id,
                user_id=entry.user_id,
                tier_no=entry.tier_no,
                quantity=entry.quantity,
                why=why,
            ),
            changed,
        )
    offer_id = f"{OFFER_PREFIX}{entry_id.partition('_')[2]}"
    if entry.status in _ENDS and entry.version > 2 and offer_id not in remains.holds:
        # Its offer ended so long ago that Redis has forgotten it.
        price = int(stock.get(f"{entry.tier_no}.price_minor") or 0)
        yield _end_of_offer(remains, entry, offer_id, [Item(entry.tier_no, entry.quantity, price)])


def _end_of_offer(remains: InRedis, entry: WaitEntry, offer_id: str, items: list[Item]) -> Derived:
    place = (entry.changed_epoch, entry.changed_seq)
    if entry.status == "accepted":
        booking_id = f"bk_{offer_id.partition('_')[2]}"
        return Derived(
            Confirmed(
                **_at(remains, entry.changed_at_ms),
                hold_id=offer_id,
                booking_id=booking_id,
                user_id=entry.user_id,
                fingerprint=entry.fingerprint,
                items=items,
                was_expired=False,
            ),
            place,
        )
    ended = _end(remains, entry.changed_at_ms, _ENDS[entry.status], offer_id, entry.user_id, items)
    return Derived(_with_reason(ended, entry), place)


def _end(
    remains: InRedis, at_ms: int, status: str, hold_id: str, user_id: str, items: list[Item]
) -> Released | Expired:
    kind = Released if status == "released" else Expired
    return kind(**_at(remains, at_ms), hold_id=hold_id, user_id=user_id, items=items)


def _with_reason(ended: Released | Expired, entry: WaitEntry | None) -> Released | Expired:
    """Let an offer's end say that it was the event's, if the entry does."""
    if isinstance(ended, Released) and entry is not None and entry.status == "event_cancelled":
        return msgspec.structs.replace(ended, reason="event_cancelled", version=2)
    return ended


def _booking(remains: InRedis, booking_id: str, booking: Booking) -> Iterator[Derived]:
    first, cuts = split_cuts(booking.cuts) if booking.cuts else (booking.items, [])
    yield Derived(
        Booked(
            **_at(remains, booking.at_ms),
            booking_id=booking_id,
            user_id=booking.user_id,
            fingerprint=booking.fingerprint,
            items=list(parse_items(first)),
        ),
        (booking.epoch, booking.seq),
    )
    for number, cut in enumerate(cuts, start=1):
        so_far = cuts[:number]
        yield Derived(
            ItemCancelled(
                **_at(remains, cut.at_ms) | {"version": 2 if cut.is_named else 1},
                booking_id=booking_id,
                user_id=booking.user_id,
                booking_version=1 + number,
                items=list(parse_items(cut.items)),
                left=list(parse_items(items_left(first, so_far))),
                cuts=join_cuts(first, so_far) or "",
                tickets=list(cut.named),
            ),
            (cut.epoch, cut.seq),
        )
    if booking.cancel_seq is not None:
        called_off_ms = int(remains.stock.get("cancelled_at_ms") or 0)
        at_ms = booking.cancelled_at_ms or 0
        yield Derived(
            Cancelled(
                **_at(remains, at_ms),
                booking_id=booking_id,
                user_id=booking.user_id,
                items=list(parse_items(booking.items)),
                reason="event_cancelled" if 0 < called_off_ms <= at_ms else "",
            ),
            (booking.cancel_epoch or 0, booking.cancel_seq),
        )


def _ticket(remains: InRedis, ticket_id: str, ticket: Ticket) -> Iterator[Derived]:
    """Yield its last change, and the scans that came after it and were refused."""
    _, middle, number = ticket_id.split("_")
    changed, past = (ticket.epoch, ticket.seq), parse_scans(ticket.scans)

    def about(place: tuple[int, int], at_ms: int, gate: str, by: str) -> dict[str, Any]:
        so_far = [scan for scan in past if (scan.epoch, scan.seq) <= place]
        own = next((scan for scan in so_far if (scan.epoch, scan.seq) == place), None)
        return _at(remains, at_ms) | {
            # Nothing but a reign of version 2 has made it, if there is any.
            "version": 2 if past else 1,
            "ticket_id": ticket_id,
            "booking_id": f"bk_{middle}",
            "number": int(number),
            "ticket_version": ticket.version,
            "holder_id": ticket.holder_id,
            "gate": gate,
            "by": by,
            "scan_id": own.scan_id if own else "",
            "scanned_at_ms": own.scanned_at_ms if own else 0,
            "scans": ",".join(scan.text for scan in so_far),
        }

    yield Derived(
        _TICKET_RECORDS[ticket.status](**about(changed, ticket.at_ms, ticket.gate, ticket.by)),
        changed,
    )
    for scan in past:
        place = (scan.epoch, scan.seq)
        if scan.what == "refused" and place > changed:
            # Who scanned is not kept.
            yield Derived(ScanRefused(**about(place, scan.at_ms, scan.gate, "-")), place)


def _blocks(remains: InRedis, rows: Mapping[str, int], tail: Sequence[Record]) -> Iterator[Derived]:
    """Yield what was blocked and unblocked in sum, before the records that the streams kept."""
    now: dict[str, int] = {}
    for section in _sections(remains):
        status = remains.seats.get(f"{section.section_no}.status", "")
        for seat_id, letter in letters(section.section_no, status):
            if letter == BLOCKED:
                now[seat_id] = section.tier_no
    for record in reversed(tail):
        if isinstance(record, Blocked | Unblocked):
            for group in record.seats:
                for seat_id in group.seat_ids:
                    if isinstance(record, Blocked):
                        now.pop(seat_id, None)
                    else:
                        now[seat_id] = group.tier_no
    at_ms = int(remains.stock.get("at_ms") or 0)
    made = (int(remains.stock.get("epoch") or 0), int(remains.stock.get("seq") or 0))
    for kind, seats in (
        (Blocked, {seat: no for seat, no in now.items() if seat not in rows}),
        (Unblocked, {seat: no for seat, no in rows.items() if seat not in now}),
    ):
        if seats:
            groups = [
                Seats(no, tuple(seat for seat in sorted(seats) if seats[seat] == no))
                for no in sorted(set(seats.values()))
            ]
            record = kind(**_at(remains, at_ms), seats=groups)
            yield Derived(record, None, made)
