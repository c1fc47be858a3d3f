"""Redo of every kind: what the ledger takes of it, what it knows, and what comes late."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
import pytest

from engine.ids import new_id, offer_of_entry, ticket_id
from engine.records import (
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    EventCancelled,
    Expired,
    Extended,
    Held,
    Holder,
    Item,
    ItemCancelled,
    Joined,
    Left,
    Lost,
    Offered,
    Record,
    Released,
    Reopened,
    ScanRefused,
    Seats,
    TierCapacity,
    Transferred,
    Unblocked,
)
from store import audit, ledger, rebuild, redo
from store.sql import moment
from tests.checks import FAR_MS
from tests.store.records import AT_MS, booked, cancelled, entries
from tests.store.test_redo import claimed, conflicts, event, journal, merge, row

__all__ = ["claimed", "event"]


def of(event_id: str, kind: type[Any], **fields: Any) -> Any:
    """Make a record of version 2."""
    return kind(version=2, at_ms=AT_MS + 5, event_id=event_id, **fields)


def held(event_id: str, hold_id: str = "hold_1", *, expires_at_ms: int = FAR_MS) -> Held:
    """Make the record of a hold of one place."""
    record: Held = of(
        event_id,
        Held,
        hold_id=hold_id,
        user_id="usr_h",
        fingerprint="f",
        items=[Item(1, 1, 100)],
        expires_at_ms=expires_at_ms,
    )
    return record


def joined(event_id: str, user_id: str, join_no: int, entry_id: str = "") -> Joined:
    """Make the record of a joining for one place of the first tier."""
    record: Joined = of(
        event_id,
        Joined,
        entry_id=entry_id or new_id("wl"),
        user_id=user_id,
        fingerprint="f",
        tier_no=1,
        quantity=1,
        join_no=f"{join_no:012}",
        policy="strict",
        patience_ms=0,
        offer_ttl_ms=1_000,
        after_hold="",
    )
    return record


def ticket(record: Booked, kind: type[Any], number: int = 1, **fields: Any) -> Any:
    """Make the record of what became of a ticket."""
    told = {
        "ticket_id": ticket_id(record.booking_id, number),
        "booking_id": record.booking_id,
        "number": number,
        "ticket_version": 1,
        "holder_id": record.user_id,
        "gate": "-",
        "by": "usr_g",
    }
    return of(record.event_id, kind, **told | fields)


async def statuses(connection: asyncpg.Connection, event_id: str) -> dict[str, str]:
    """Return the waitlist entries of an event by their statuses."""
    rows = await connection.fetch(
        "SELECT id, status::text FROM waitlist_entries WHERE event_id = $1", event_id
    )
    return {each["id"]: each["status"] for each in rows}


async def test_f60_every_kind_is_taken(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F60, I4: whatever somebody was told stands in the ledger afterwards, none in conflict."""
    waits, goes = joined(event, "usr_w", 10**11 + 1), joined(event, "usr_l", 10**11 + 2)
    cut = of(
        event,
        ItemCancelled,
        booking_id=claimed.booking_id,
        user_id=claimed.user_id,
        booking_version=2,
        items=[Item(1, 1, 100)],
        left=[Item(1, 1, 100)],
        cuts="1x2x100/1-9-9-1x1x100#2",
        tickets=[2],
        holders=[Holder(2, "usr_x")],
    )
    hold_end = {"hold_id": "hold_1", "user_id": "usr_h"}
    records: list[Record] = [
        ticket(claimed, CheckedIn, scan_id="s1", scanned_at_ms=5, scans="s1:in:5:-:1:3:9"),
        ticket(claimed, ScanRefused, scans="s1:in:5:-:1:3:9"),
        ticket(claimed, CheckInUndone, scans="s1:in:5:-:1:3:9"),
        ticket(claimed, Transferred, ticket_version=2, holder_id="usr_x", scans="s1:in:5:-:1:3:9"),
        cut,
        held(event),
        of(event, Extended, **hold_end, expires_at_ms=FAR_MS + 1),
        of(event, Released, **hold_end, items=[Item(1, 1, 100)]),
        waits,
        goes,
        of(
            event, Left, entry_id=goes.entry_id, user_id="usr_l", tier_no=1, quantity=1, why="owner"
        ),
        of(event, Blocked, seats=[Seats(2, ("s1-1", "s1-2"))]),
        of(event, Unblocked, seats=[Seats(2, ("s1-2",))]),
        of(event, CapacitySet, tiers=[TierCapacity(1, 7)]),
        of(event, Closed, closes_at_ms=AT_MS),
        of(event, Reopened, closes_at_ms=FAR_MS),
        of(event, EventCancelled, closes_at_ms=AT_MS),
    ]
    merged = await merge(
        connection, shard, *(row(seq, record) for seq, record in enumerate(records, start=3))
    )

    assert [] == await conflicts(connection, shard)
    assert (len(records), 0, 0) == (merged.found, merged.known, merged.lost)
    assert records == (await journal(connection, shard))[2:]
    assert {waits.entry_id: "waiting", goes.entry_id: "left"} == await statuses(connection, event)
    assert 7 == await connection.fetchval(
        "SELECT capacity FROM tiers WHERE event_id = $1 AND tier_no = 1", event
    )
    assert "usr_x" == await connection.fetchval(
        "SELECT holder_id FROM tickets WHERE event_id = $1 AND id = $2",
        event,
        ticket_id(claimed.booking_id, 1),
    )
    assert "cancelled" == await connection.fetchval(
        "SELECT status::text FROM events WHERE id = $1", event
    )
    again = await merge(
        connection, shard, *(row(seq, record) for seq, record in enumerate(records, start=3))
    )
    assert (0, len(records), 0) == (again.found, again.known, again.conflicts)


async def test_f60_what_contradicts_the_ledger_is_kept(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F60, F29: a place in the list, a ticket, seats or places that another has are conflicts."""
    first = joined(event, "usr_w", 10**11 + 1)
    inside = ticket(claimed, CheckedIn)
    bad: list[Record] = [
        joined(event, "usr_w", 10**11 + 2),
        joined(event, "usr_v", 10**11 + 1),
        ticket(claimed, CheckedIn, by="usr_other", gate="south", scan_id="s2", scanned_at_ms=1),
        ticket(booked(event), CheckedIn),
        of(event, Unblocked, seats=[Seats(2, ("s1-1", "s1-7"))]),
        of(event, CapacitySet, tiers=[TierCapacity(1, 1)]),
        held(new_id("evt")),
    ]
    blocked = of(event, Blocked, seats=[Seats(2, ("s1-1",))])
    good: list[Record] = [first, inside, blocked]
    merged = await merge(
        connection, shard, *(row(seq, one) for seq, one in enumerate([*good, *bad], start=3))
    )

    assert (3, len(bad)) == (merged.found, merged.conflicts)
    assert [
        "its person waits for that tier already",
        "somebody else has its place in the list",
        "somebody is in on the ticket",
        "there is no such booking",
        "not all of the seats are blocked",
        "tier 1 has 2 places taken",
        "the event is not on sale",
    ] == [reason for _, reason in await conflicts(connection, shard)]


async def test_f60_what_owes_nobody_anything_is_known(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """An end of what is over, and what the list did by itself, is known; no end is a conflict."""
    entry = new_id("wl")
    offered = of(
        event,
        Offered,
        entry_id=entry,
        hold_id=offer_of_entry(entry),
        user_id="usr_w",
        fingerprint="f",
        items=[Item(1, 1, 100)],
        expires_at_ms=FAR_MS,
        join_no=f"{10**11 + 1}",
        cause_seq=0,
        reason="turn",
        passed=[],
    )
    hold = {"user_id": "u", "items": [Item(1, 1, 100)]}
    over: list[Record] = [
        of(event, Released, hold_id="hold_9", **hold),
        of(event, Released, hold_id=offer_of_entry(entry), **hold),
        of(event, Expired, hold_id="hold_9", **hold),
        of(event, Left, entry_id=entry, user_id="u", tier_no=1, quantity=1, why="owner"),
        offered,
    ]
    merged = await merge(
        connection, shard, *(row(seq, one) for seq, one in enumerate(over, start=3))
    )

    assert (2, 3, 0) == (merged.found, merged.known, merged.conflicts)
    assert [] == await conflicts(connection, shard)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("way", ["released", "left", "declined"])
async def test_f61_what_was_given_up_does_not_come_back(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked, way: str, is_late: bool
) -> None:
    """F61: who tells late of a hold or a joining whose end somebody was told brings it not back."""
    item = {"user_id": "usr_h", "items": [Item(1, 1, 100)]}
    wl = joined(event, "usr_h", 10**11 + 1)
    ways: dict[str, tuple[Record, Record]] = {
        "released": (held(event), of(event, Released, hold_id="hold_1", **item)),
        "left": (
            wl,
            of(event, Left, entry_id=wl.entry_id, user_id="u", tier_no=1, quantity=1, why="owner"),
        ),
        "declined": (wl, of(event, Released, hold_id=offer_of_entry(wl.entry_id), **item)),
    }
    began, ended = ways[way]
    if is_late:  # Its own place is given up as well.
        await merge(connection, shard, row(5, booked(event)))
    first = await merge(connection, shard, row(4, ended))
    late = await merge(connection, shard, row(3, began))

    assert (1, 0) == (first.found, first.conflicts)
    assert (0, 1, 0) == (late.found, late.known, late.conflicts)
    records = await journal(connection, shard)
    assert (Lost, type(ended)) == (type(records[2]), type(records[-1]))
    assert {} == await statuses(connection, event)
    for rows in ([row(4, ended)], [row(3, began), row(4, ended)]):
        again = await merge(connection, shard, *rows)
        assert (0, len(rows), 0) == (again.found, again.known, again.conflicts)


OF_BOOKINGS = (
    "UPDATE bookings SET epoch = 2, seq = 1 WHERE id = $1",
    "SELECT status::text FROM bookings WHERE id = $1",
)
OF_ENTRIES = (
    "UPDATE waitlist_entries SET epoch = 2, seq = 1 WHERE id = $1",
    "SELECT status::text FROM waitlist_entries WHERE id = $1",
)


@pytest.mark.parametrize("kind", ["cancelled", "left"])
async def test_f61_an_end_of_what_came_again_is_for_people(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked, kind: str
) -> None:
    """F61, I8: the key came again after its end was lost: which is meant, nobody here can know."""
    wl = joined(event, "usr_h", 10**11 + 1)
    await merge(connection, shard, row(4, wl))
    left = of(event, Left, entry_id=wl.entry_id, user_id="u", tier_no=1, quantity=1, why="owner")
    (move, look), own_id, status, end = {
        "cancelled": (OF_BOOKINGS, claimed.booking_id, "confirmed", cancelled(claimed)),
        "left": (OF_ENTRIES, wl.entry_id, "waiting", left),
    }[kind]
    await connection.execute(move, own_id)
    early = msgspec.structs.replace(end, at_ms=AT_MS - 1)
    merged = await merge(connection, shard, row(5, early))
    assert (0, 0, 1) == (merged.found, merged.known, merged.conflicts)
    assert status == await connection.fetchval(look, own_id)


async def test_f61_an_end_by_a_clock_that_was_set_back(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61, F34: what stands behind its booking ends it, whatever the clock said."""
    early = cancelled(claimed, at_ms=AT_MS - 3_600_000)
    merged = await merge(connection, shard, row(4, early))
    assert (1, 0, 0, 0) == (merged.found, merged.late, merged.known, merged.conflicts)


async def test_f61_an_end_stands_behind_what_it_ends(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61, I8: what was told later than it stands, by a worker of an old reign, is a new record."""
    await connection.execute(OF_BOOKINGS[0], claimed.booking_id)
    more = [row(4, cancelled(claimed)), row(5, booked(event))]
    merged = await merge(connection, shard, *more)
    assert (2, 1, 0) == (merged.found, merged.late, merged.conflicts)
    records = await journal(connection, shard)
    assert [Lost, Lost, Booked, Cancelled] == [type(record) for record in records[2:]]
    again = await merge(connection, shard, *more)
    assert (0, 2, 0) == (again.found, again.known, again.conflicts)


async def test_f60_a_publishing_and_what_follows(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F60: an event whose publishing only a worker knows is on sale again, with its bookings."""
    [made] = [one for one in await journal(connection, shard) if one.event_id == event][:1]
    await connection.execute("UPDATE events SET status = 'draft' WHERE id = $1", event)
    await connection.execute("DELETE FROM bookings WHERE event_id = $1", event)
    many = booked(event, (1, 5, 100))
    merged = await merge(
        connection, shard, row(3, made), row(4, many), row(5, booked(event)), row(6, made)
    )

    assert (2, 2) == (merged.found, merged.conflicts)
    assert ["tier 1 has 0 places left", "the event was published before"] == [
        reason for _, reason in await conflicts(connection, shard)
    ]


async def test_i1_what_tiers_share_is_merged_once(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """I1: records that would oversell a pool are in conflict, whichever of its tiers they name."""
    await connection.execute("UPDATE events SET pools = 'p4t1t2t' WHERE id = $1", event)
    merged = await merge(
        connection,
        shard,
        row(3, booked(event, (1, 1, 100), (2, 2, 100))),
        row(4, booked(event, (1, 1, 100), (2, 1, 100))),
        row(5, booked(event, (2, 1, 100))),
        row(6, of(event, CapacitySet, tiers=[], pools="p3t1t2t")),
        row(7, of(event, CapacitySet, tiers=[], pools="p5t1t2t")),
        row(8, booked(event, (2, 1, 100))),
    )

    assert (3, 3) == (merged.found, merged.conflicts)
    assert [
        "the tiers share 4 places, and 2 are left",
        "the tiers share 4 places, and 0 are left",
        "4 of the places that tiers share are taken",
    ] == [reason for _, reason in await conflicts(connection, shard)]
    pools = await connection.fetchval("SELECT pools FROM events WHERE id = $1", event)
    assert "p5t1t2t" == pools


async def test_f61_late_witness_is_taken_at_the_end(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61: a place that was given up is no other record: what stood there is a new one now."""
    late, last = booked(event), booked(event)
    await merge(connection, shard, row(5, last))
    wl = joined(event, "usr_w", 10**11 + 1)
    more = [row(3, late), row(4, wl)]
    merged = await merge(connection, shard, *more)

    assert (2, 2, 0) == (merged.found, merged.late, merged.conflicts)
    records = await journal(connection, shard)
    assert [Lost, Lost] == [type(record) for record in records[2:4]]
    assert [last, late, wl] == records[4:]
    found = await connection.fetchrow(
        "SELECT epoch, seq FROM bookings WHERE event_id = $1 AND id = $2", event, late.booking_id
    )
    assert (1, 6) == tuple(found or ())
    again = await merge(connection, shard, *more)
    assert (0, 2, 0) == (again.found, again.known, again.conflicts)


async def test_f61_late_witness_finds_its_places_taken(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61, I1: what somebody else has by now stays theirs; the late one is kept as a conflict."""
    await merge(connection, shard, row(6, booked(event, (1, 3, 100))))
    end = cancelled(claimed)
    merged = await merge(
        connection, shard, row(3, booked(event, (1, 2, 100))), row(4, booked(event)), row(5, end)
    )

    assert (1, 1, 2) == (merged.found, merged.late, merged.conflicts)
    assert [(3, "tier 1 has 0 places left"), (4, "tier 1 has 0 places left")] == await conflicts(
        connection, shard
    )
    assert isinstance((await journal(connection, shard))[-1], type(end))


async def test_f61_a_late_joining_has_a_place_of_its_own(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61, I9: whose number went to somebody else meanwhile waits behind them."""
    await merge(connection, shard, row(5, joined(event, "usr_1", 10**11 + 1)))
    merged = await merge(connection, shard, row(3, joined(event, "usr_2", 10**11 + 1)))

    assert (1, 1, 0) == (merged.found, merged.late, merged.conflicts)
    rows = await connection.fetch(
        "SELECT user_id FROM waitlist_entries WHERE event_id = $1 ORDER BY join_no", event
    )
    assert ["usr_1", "usr_2"] == [each["user_id"] for each in rows]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda made: of(made.event_id, Closed, closes_at_ms=1), "the sale may have been changed"),
        (lambda made: ticket(made, CheckedIn), "the ticket may have been shown since"),
    ],
)
async def test_f61_what_people_must_judge(
    connection: asyncpg.Connection, shard: int, claimed: Booked, make: Any, reason: str
) -> None:
    """F61: what an organizer or a gate did then may have been overtaken."""
    await merge(connection, shard, row(5, booked(claimed.event_id)))
    merged = await merge(connection, shard, row(3, make(claimed)))

    assert (0, 1) == (merged.found, merged.conflicts)
    [(seq, told)] = await conflicts(connection, shard)
    assert 3 == seq
    assert reason in told


async def test_f61_a_place_that_was_in_conflict_stays_so(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61: people may have made a conflict good; nobody books it a second time."""
    many = booked(event, (1, 4, 100))
    await merge(connection, shard, row(3, many), row(4, cancelled(claimed)))
    assert [(3, "tier 1 has 3 places left")] == await conflicts(connection, shard)
    newer = msgspec.structs.replace(many, version=2)
    merged = await merge(connection, shard, row(3, newer))

    assert (0, 1) == (merged.found, merged.conflicts)
    assert 2 == len(await conflicts(connection, shard))


async def test_f61_late_records_of_many_epochs_stand_in_the_last(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F61: a hold that is over by then owes nobody anything; one that lives is there again."""
    await merge(connection, shard, row(5, booked(event)))
    await redo.write(
        connection,
        shard=shard,
        worker="w",
        rows=[row(3, held(event, "hold_2")), row(4, held(event, "hold_3", expires_at_ms=1))],
    )
    merged = await redo.merge(
        connection,
        shard=shard,
        holder="recover-test",
        epochs=[1],
        rows=await redo.read(connection, shard),
    )

    assert (1, 1, 1, 0) == (merged.found, merged.late, merged.known, merged.conflicts)
    assert held(event, "hold_2") == (await journal(connection, shard))[-1]


async def test_f64_late_records_hide_no_hold(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F64: a batch of records that are older than those before it does not begin the reading."""
    younger = msgspec.structs.replace(held(event), at_ms=AT_MS + 10_000_000)
    older = msgspec.structs.replace(booked(event), at_ms=AT_MS + 1)
    for last_seq, record in ((2, younger), (3, older)):
        await ledger.write(
            connection,
            shard=shard,
            epoch=1,
            last_seq=last_seq,
            entries=entries(record, first_seq=last_seq + 1),
            holder="recover-test",
        )

    async def read(at_ms: int) -> list[int]:
        async with audit.begin(connection):
            found = rebuild.journal_since(connection, shard, moment(at_ms))
            return [batch.first_seq async for batch in found]

    assert [1, 3, 4] == await read(AT_MS + 9_000_000)
    assert [1, 3, 4] == await read(AT_MS)
    assert [4] == await read(AT_MS + 99_000_000)
