"""Changed events are told by the change itself: whoever writes, once, and never a flood."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.ids import new_id
from store import users
from store.notices import EVENTS
from store.tenants import Connection

INSERT = (
    "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at, ends_at,"
    " sale_opens_at, sale_closes_at, person_max, status, publishing_at)"
    " SELECT id, $2, 0, 'E', 'UTC', 'EUR', now(), now(), now(), now() + interval '1 day', 9,"
    " $3::event_status, CASE WHEN $3 = 'draft' THEN NULL ELSE now() END FROM unnest($1::text[]) id"
)


class Ear:
    """What was heard of changed events, by notices."""

    def __init__(self, writer: Connection, listener: Connection) -> None:
        self.writer = writer
        self._listener = listener
        self.heard: list[str] = []

    async def of(self, *statements: str, ids: list[str]) -> list[str]:
        """Return the notices of some statements in one transaction; `$1` is the ids."""
        await self._drain()
        self.heard.clear()
        async with self.writer.transaction():
            for statement in statements:
                await self.writer.execute(statement, ids)
        await self._drain()
        return list(self.heard)

    async def _drain(self) -> None:
        """Wait for what was told before: it comes with the end of what is asked, or before it."""
        for _ in range(3):
            await self._listener.execute("SELECT 1")

    def hear(self, *notice: object) -> None:
        """Take a notice."""
        self.heard.append(str(notice[3]))


@pytest.fixture
async def ear(database: asyncpg.Pool) -> AsyncIterator[Ear]:
    """Listen as the API does."""
    async with database.acquire() as writer, database.acquire() as listener:
        ear = Ear(writer, listener)
        await listener.add_listener(EVENTS, ear.hear)
        yield ear
        await listener.remove_listener(EVENTS, ear.hear)


async def make(database: asyncpg.Pool, count: int, status: str = "published") -> list[str]:
    """Make events with a tier each; return their ids, in order."""
    organizer_id = await users.add_organizer(database, "House")
    ids = sorted(new_id("evt") for _ in range(count))
    await database.execute(INSERT, ids, organizer_id, status)
    await database.execute(
        "INSERT INTO tiers SELECT id, 1, 'tier_' || substr(id, 5), 'Floor', 100, 5, 10"
        " FROM unnest($1::text[]) id",
        ids,
    )
    return ids


CHANGES = [
    "UPDATE events SET name = 'F' WHERE id = ANY ($1::text[])",
    "UPDATE tiers SET capacity = 6 WHERE event_id = ANY ($1::text[])",
    "INSERT INTO sections (event_id, section_no, tier_no, name, row_seats, kinds, rows)"
    " SELECT id, 1, 1, 'S', '5', '', '[]' FROM unnest($1::text[]) id",
    "DELETE FROM sections WHERE event_id = ANY ($1::text[])",
    "DELETE FROM tiers WHERE event_id = ANY ($1::text[])",
    "INSERT INTO tiers SELECT id, 1, 'tier_' || substr(id, 5), 'Floor', 100, 5, 10"
    " FROM unnest($1::text[]) id",
]


async def test_each_change_is_told_once(database: asyncpg.Pool, ear: Ear) -> None:
    """Whatever of an event changes is told with its id, and once for all of a transaction."""
    ids = await make(database, 3)
    for change in CHANGES:
        assert [" ".join(ids)] == await ear.of(change, ids=ids), change
    assert [" ".join(ids)] == await ear.of(*CHANGES, ids=ids)
    nothing = "UPDATE events SET name = 'G' WHERE id = ANY ($1::text[]) AND false"
    assert [] == await ear.of(nothing, ids=ids)


async def test_drafts_are_nobodys(database: asyncpg.Pool, ear: Ear) -> None:
    """Drafts are remembered by nobody and told to nobody, until their publishing begins."""
    ids = await make(database, 2, "draft")
    assert [] == await ear.of(*CHANGES, ids=ids)
    begin = "UPDATE events SET publishing_at = now() WHERE id = ANY ($1::text[])"
    assert [" ".join(ids)] == await ear.of(begin, ids=ids)


async def test_many_are_any(database: asyncpg.Pool, ear: Ear) -> None:
    """What does not fit into a notice is told as "any": one notice, however many there are."""
    ids = await make(database, 101)
    assert [" ".join(ids[:100])] == await ear.of(CHANGES[0], ids=ids[:100])
    assert [""] == await ear.of(*CHANGES, ids=ids)
