"""Waitlist entries in the ledger: what records make of them, in one batch or in many."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from engine.ids import new_id
from engine.records import (
    Confirmed,
    Expired,
    Item,
    Joined,
    Left,
    Offered,
    Record,
    Released,
    Stalled,
)
from store import ledger, quarantine
from tests.store.records import AT_MS, entries

pytestmark = pytest.mark.usefixtures("open_row")

KINDS = (
    "joined",
    "stalled",
    "offered",
    "left",
    "limited",
    "released",
    "called off",
    "expired",
    "confirmed",
)


@pytest.fixture
def event() -> str:
    """Draw an event."""
    return new_id("evt")


def record(kind: str, event: str, name: str, user_id: str, number: int = 1) -> Record:
    """Make a record of one entry's life; *number* orders the list."""
    head: dict[str, Any] = {"version": 1, "at_ms": AT_MS + KINDS.index(kind), "event_id": event}
    entry, hold = f"wl_{name}", f"offer_{name}"
    items = [Item(1, 2, 100)]
    made: dict[str, Record] = {
        "joined": Joined(
            **head,
            entry_id=entry,
            user_id=user_id,
            fingerprint="f",
            tier_no=1,
            quantity=2,
            join_no=f"{number:012}",
            policy="strict",
            patience_ms=1,
            offer_ttl_ms=1,
            after_hold="",
        ),
        "stalled": Stalled(
            **head, entry_id=entry, user_id=user_id, tier_no=1, quantity=2, available=1
        ),
        "offered": Offered(
            **head,
            entry_id=entry,
            hold_id=hold,
            user_id=user_id,
            fingerprint="f",
            items=items,
            expires_at_ms=1,
            join_no=f"{number:012}",
            cause_seq=0,
            reason="turn",
            passed=[],
        ),
        "left": Left(**head, entry_id=entry, user_id=user_id, tier_no=1, quantity=2, why="owner"),
        "limited": Left(
            **head | {"version": 2},
            entry_id=entry,
            user_id=user_id,
            tier_no=1,
            quantity=2,
            why="limit",
        ),
        "called off": Released(
            **head | {"version": 2},
            hold_id=hold,
            user_id=user_id,
            items=items,
            reason="event_cancelled",
        ),
        "released": Released(**head, hold_id=hold, user_id=user_id, items=items),
        "expired": Expired(**head, hold_id=hold, user_id=user_id, items=items),
        "confirmed": Confirmed(
            **head,
            hold_id=hold,
            booking_id=f"bk_{name}",
            user_id=user_id,
            fingerprint="f",
            items=items,
            was_expired=False,
        ),
    }
    return made[kind]


async def write(connection: asyncpg.Connection, shard: int, *batches: list[Record]) -> None:
    """Write *batches* one after the other, as the persister does."""
    last_seq = await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    for batch in batches:
        last_seq = await ledger.write(
            connection,
            shard=shard,
            epoch=1,
            last_seq=last_seq,
            entries=entries(*batch, first_seq=last_seq + 1),
        )


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize(
    ("kinds", "status", "version"),
    [
        (("joined",), "waiting", 1),
        (("joined", "stalled"), "waiting", 1),
        (("joined", "stalled", "offered"), "offered", 2),
        (("joined", "left"), "left", 2),
        (("joined", "limited"), "limit", 2),
        (("joined", "offered", "called off"), "event_cancelled", 3),
        (("joined", "offered", "released"), "declined", 3),
        (("joined", "offered", "expired"), "expired", 3),
        (("joined", "stalled", "offered", "confirmed"), "accepted", 3),
    ],
)
async def test_entry_follows_its_records(
    connection: asyncpg.Connection,
    shard: int,
    event: str,
    kinds: tuple[str, ...],
    status: str,
    version: int,
    is_split: bool,
) -> None:
    """An entry is where its last record left it, however the records were cut into batches."""
    user_id = new_id("usr")
    records = [record(kind, event, "a", user_id) for kind in kinds]
    await write(connection, shard, *([[one] for one in records] if is_split else [records]))
    row = await connection.fetchrow("SELECT * FROM waitlist_entries WHERE event_id = $1", event)
    assert row is not None
    assert (status, version, user_id, 1, len(kinds)) == tuple(
        row[name] for name in ("status", "version", "user_id", "seq", "changed_seq")
    )
    assert ("stalled" in kinds, "offered" in kinds) == (
        row["stalled_at"] is not None,
        row["offered_at"] is not None,
    )


async def test_other_holds_are_no_entries(
    connection: asyncpg.Connection, shard: int, event: str
) -> None:
    """A hold that is no offer leaves the table alone."""
    head: dict[str, Any] = {"version": 1, "at_ms": AT_MS, "event_id": event}
    plain = Released(**head, hold_id="hold_a", user_id="u", items=[Item(1, 1, 1)])
    await write(connection, shard, [plain])
    query = "SELECT count(*) FROM waitlist_entries WHERE event_id = $1"
    assert 0 == await connection.fetchval(query, event)


async def test_end_and_new_start_in_one_batch(
    connection: asyncpg.Connection, shard: int, event: str
) -> None:
    """I9: who leaves and joins again within a batch has one live entry at each moment."""
    user_id = new_id("usr")
    await write(
        connection,
        shard,
        [record("joined", event, "a", user_id)],
        [record("left", event, "a", user_id), record("joined", event, "b", user_id, 2)],
    )
    rows = await connection.fetch(
        "SELECT id, status FROM waitlist_entries WHERE event_id = $1 ORDER BY id", event
    )
    assert [("wl_a", "left"), ("wl_b", "waiting")] == [tuple(row) for row in rows]


@pytest.mark.parametrize("is_same_person", [False, True])
async def test_i9_f29_is_restated(
    connection: asyncpg.Connection, shard: int, event: str, is_same_person: bool
) -> None:
    """I9, F29: two live entries of a person, and two entries of one place, are a conflict."""
    first, second = new_id("usr"), new_id("usr")
    other = (
        record("joined", event, "b", first, 2)
        if is_same_person
        else record("joined", event, "b", second, 1)
    )
    await write(connection, shard, [record("joined", event, "a", first), other])
    rows = await connection.fetch("SELECT id FROM waitlist_entries WHERE event_id = $1", event)
    assert ["wl_a"] == [row["id"] for row in rows]
    (conflict,) = await quarantine.conflicts(connection, shard)
    assert "wl_b" in conflict.record
