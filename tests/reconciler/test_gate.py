"""F40, I8: tickets, cut bookings, capacities and cancelled events, checked while they change."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from engine import keys
from engine.commands import CancelItem, Order, Own, Reopen, Scan, SetCapacity, Transfer
from engine.emptier import Emptier
from engine.ids import new_id
from engine.outcomes import Applied, Refused
from tests.checks import FAR_MS, ask, make_booking_id, rows_of
from tests.reconciler.conftest import DETAIL, TIERS, BoxOffice, Shown
from tests.reconciler.test_repair import repair

CHECKS = 12
STAFF = 16
ALL = b"*"


async def one_of_each(office: BoxOffice, event: Shown) -> None:
    """Book, cut, scan, undo, give away, and change the sale: all records of this feature."""
    shard, engine, event_id = office.shard, office.engine, event.event_id
    users = [new_id("usr") for _ in range(5)]
    own = [await office.book(event_id, user, "k", (1, 3), (2, 2)) for user in users]
    replies: list[Any] = []
    replies.append(await engine.cancel_item(shard, cut(event_id, own[0], users[0], 1, (1, 1))))
    replies.append(await engine.cancel_item(shard, cut(event_id, own[0], users[0], 2, (2, 2))))
    replies.append(await engine.cancel_item(shard, cut(event_id, own[1], users[1], 1, (1, 2))))
    replies.append(await engine.cancel(shard, Own(event_id, own[1], users[1])))
    replies.append(
        await engine.cancel_item(shard, cut(event_id, own[4], users[4], 1, (1, 3), (2, 2)))
    )
    north = Scan(event_id, own[2], 1, 1, "north", users[4], "scan-0001", 1_700)
    replies.append(await engine.checkin(shard, north))
    late = await engine.checkin(shard, north._replace(gate="south", scan_id="scan-0002"))
    assert isinstance(late, Refused)
    replies.append(await engine.checkin(shard, Scan(event_id, own[2], 2, 1, "north", users[4])))
    replies.append(await engine.undo_checkin(shard, Scan(event_id, own[2], 2, 1, "-", users[4])))
    replies.append(await engine.transfer(shard, Transfer(event_id, own[3], 5, users[3], users[4])))
    replies.append(await engine.set_capacity(shard, SetCapacity(event_id, ((2, 900), (1, 2100)))))
    replies.append(await engine.close(shard, event_id))
    replies.append(await engine.reopen(shard, Reopen(event_id, FAR_MS - 5)))
    assert [True] * len(replies) == [isinstance(reply, Applied) for reply in replies]


def cut(
    event_id: str, booking_id: str, user_id: str, version: int, *lines: tuple[int, int]
) -> CancelItem:
    """Make the command that cancels some places."""
    return CancelItem(event_id, booking_id, user_id, version, lines)


@pytest.mark.parametrize("records_max", [1, 3, 1_000])
async def test_i8_any_batches_give_the_same_rows(office: BoxOffice, records_max: int) -> None:
    """I8, I15: however the journal is cut into batches, rows, records and Redis agree."""
    event = await office.add_event()
    await one_of_each(office, event)
    while True:
        result = await office.check()
        assert ([], []) == (result.violations, result.errors)
        if not await office.drain(records_max=records_max):
            break
    rows = await office.database.fetch(
        "SELECT status::text, version, total_minor FROM bookings WHERE event_id = $1"
        " ORDER BY status, version, total_minor",
        event.event_id,
    )
    price = [tier.price_minor for tier in TIERS]
    whole = 3 * price[0] + 2 * price[1]
    assert [
        ("cancelled", 2, whole),
        ("cancelled", 3, price[0] + 2 * price[1]),
        ("confirmed", 1, whole),
        ("confirmed", 1, whole),
        ("confirmed", 3, 2 * price[0]),
    ] == sorted(tuple(row) for row in rows)
    tiers = await office.database.fetch(
        "SELECT capacity FROM tiers WHERE event_id = $1 ORDER BY tier_no", event.event_id
    )
    assert [2100, 900] == [row["capacity"] for row in tiers]
    tickets = await office.database.fetch(
        "SELECT status, version, gate FROM tickets WHERE event_id = $1 AND seq IS NOT NULL"
        " ORDER BY seq",
        event.event_id,
    )
    assert [("checked_in", 1, "north"), ("undone", 1, "-"), ("valid", 2, "-")] == [
        tuple(row) for row in tickets
    ]


@pytest.mark.parametrize("is_drained", [False, True])
async def test_cancelled_event(office: BoxOffice, is_drained: bool) -> None:
    """A cancelled event is clean at every step, ends empty, and says so in PostgreSQL."""
    event = await office.add_event()
    await one_of_each(office, event)
    assert isinstance(await office.engine.cancel_event(office.shard, event.event_id), Applied)
    if is_drained:
        await office.drain()
    assert set() == await office.codes()
    await Emptier(office.engine.shards[office.shard]).turn()
    assert set() == await office.codes()
    await office.drain()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    row = await office.database.fetchrow(
        "SELECT status::text, cancelled_at IS NOT NULL, version > 1 FROM events WHERE id = $1",
        event.event_id,
    )
    assert row is not None
    assert ("cancelled", True, True) == tuple(row)
    live = "SELECT count(*) FROM bookings WHERE event_id = $1 AND status = 'confirmed'"
    assert 0 == await office.database.fetchval(live, event.event_id)


@pytest.mark.parametrize(
    ("key", "find", "replace", "code"),
    [
        ("tickets", b"checked_in ", b"valid ", "ticket_differs"),
        ("tickets", b"scan-0002", b"scan-0003", "ticket_differs"),
        ("tickets", b":refused:", b":unheard:", "value_unreadable"),
        ("tickets", b"north", b"south", "ticket_differs"),
        ("tickets", ALL, None, "ticket_differs"),
        ("tickets", ALL, b"nonsense", "value_unreadable"),
        ("bookings", b"-1x", b"-2x", "booking_differs"),
        ("bookings", b"/", b"//", "value_unreadable"),
        ("stock", b"2100", b"2000", "stock_differs"),
        ("stock", str(FAR_MS - 5).encode(), str(FAR_MS).encode(), "stock_differs"),
    ],
)
async def test_drift_is_found(
    office: BoxOffice, key: str, find: bytes, replace: bytes | None, code: str
) -> None:
    """What Redis has otherwise than the ledger is named."""
    event = await office.add_event()
    await one_of_each(office, event)
    await office.drain(records_max=1_000)
    name = getattr(keys.event(office.shard, event.event_id), key)
    rows = await rows_of(office.redis, name)
    field, value = next((f, v) for f, v in sorted(rows.items()) if find == ALL or find in v)
    if replace is None:
        await ask(office.redis, "HDEL", name, field)
    else:
        await ask(
            office.redis,
            "HSET",
            name,
            field,
            replace if find == ALL else value.replace(find, replace, 1),
        )
    result = await office.check()
    assert code in {violation.code for violation in result.violations}
    assert {event.event_id} == {violation.event_id for violation in result.violations}


async def test_changed_row_is_found(office: BoxOffice) -> None:
    """I8: a cut that PostgreSQL's row tells otherwise than its journal is named."""
    event = await office.add_event()
    await one_of_each(office, event)
    await office.drain()
    await office.database.execute(
        "UPDATE bookings SET cuts = replace(cuts, '-1x1x', '-1x2x') WHERE event_id = $1",
        event.event_id,
    )
    codes = {violation.code for violation in (await office.check()).violations}
    assert {"row_differs", "booking_differs"} <= codes


async def test_lost_scan_is_found_and_written_again(office: BoxOffice) -> None:
    """I8: a scan that a ticket remembers has its row, or is named."""
    event = await office.add_event()
    await one_of_each(office, event)
    await office.drain()
    rows = "SELECT scan_id, what, gate FROM scans WHERE event_id = $1 ORDER BY seq"
    expected = [("scan-0001", "in", "north"), ("scan-0002", "refused", "south")]
    assert expected == [tuple(row) for row in await office.database.fetch(rows, event.event_id)]
    await office.database.execute(
        "DELETE FROM scans WHERE event_id = $1 AND what = 'refused'", event.event_id
    )
    assert {"scan_missing"} == await office.codes()
    await ask(office.redis, "HSET", keys.meta(office.shard), "layout", keys.LAYOUT_VERSION)
    outcome = await repair(office)
    assert ([], []) == (outcome.left, outcome.errors)
    assert expected == [tuple(row) for row in await office.database.fetch(rows, event.event_id)]


async def test_f40_gate_live(office: BoxOffice) -> None:
    """Checks while all verbs run, records are persisted and trimmed: 0 violations."""
    events = [await office.add_event() for _ in range(2)]
    stop = asyncio.Event()
    done: set[str] = set()
    tasks = [asyncio.create_task(bustle(office, events, n, stop, done)) for n in range(STAFF)]
    tasks.append(asyncio.create_task(office.persist(stop)))
    try:
        for _ in range(CHECKS):
            result = await office.check()
            assert ([], []) == (result.violations, result.errors)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert isinstance(await office.engine.cancel_event(office.shard, events[0].event_id), Applied)
    while await Emptier(office.engine.shards[office.shard]).turn():
        assert set() == await office.codes()
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    assert {"cut", "cancel", "scan", "undo", "transfer", "capacity", "close", "reopen"} == done


async def bustle(
    office: BoxOffice, events: list[Shown], seed: int, stop: asyncio.Event, done: set[str]
) -> None:
    """Do anything at random until told to stop; note in *done* what was ever applied."""
    chance = random.Random(seed)
    shard, engine = office.shard, office.engine
    number = 0
    while not stop.is_set():
        number += 1
        event_id, user = chance.choice(events).event_id, new_id("usr")
        own = make_booking_id(event_id, user, str(number))
        lines = ((1, chance.randint(1, 3)), (2, 1))
        await engine.book(shard, Order(event_id, own, user, "print", DETAIL, lines))
        version, ticket = 1, chance.randint(1, 3)
        for _ in range(4):
            verb = chance.choice(["cut"] * 4 + ["cancel", "scan", "undo", "transfer", "sale"])
            reply: Any
            match verb:
                case "cut":
                    command = cut(event_id, own, user, version, (chance.randint(1, 2), 1))
                    reply = await engine.cancel_item(shard, command)
                    version += isinstance(reply, Applied)
                case "cancel":
                    reply = await engine.cancel(shard, Own(event_id, own, user))
                case "scan":
                    scan = Scan(event_id, own, ticket, 1, "n", user, f"scan-{chance.randint(1, 9)}")
                    reply = await engine.checkin(shard, scan)
                case "undo":
                    await engine.checkin(shard, Scan(event_id, own, ticket, 1, "n", user))
                    reply = await engine.undo_checkin(
                        shard, Scan(event_id, own, ticket, 1, "-", user)
                    )
                case "transfer":
                    command_to = Transfer(event_id, own, ticket, user, new_id("usr"))
                    reply = await engine.transfer(shard, command_to)
                case _:
                    verb = chance.choice(["capacity", "close", "reopen"])
                    if verb == "capacity":
                        tiers = ((chance.randint(1, 2), chance.randint(900, 3_000)),)
                        reply = await engine.set_capacity(shard, SetCapacity(event_id, tiers))
                    elif verb == "close":
                        reply = await engine.close(shard, event_id)
                        await engine.reopen(shard, Reopen(event_id, FAR_MS - number))
                    else:
                        reply = await engine.reopen(
                            shard, Reopen(event_id, FAR_MS - chance.randint(1, 9_999))
                        )
            if isinstance(reply, Applied):
                done.add(verb)
        await asyncio.sleep(chance.random() * 0.1)
