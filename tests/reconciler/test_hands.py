"""A hand changes one thing in one of the stores: `check` tells it, `repair` mends what it can."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, cast

import asyncpg
import pytest

from engine import keys
from engine.commands import Join, Order, TierStock
from engine.ids import entry_id, hold_id, new_id
from engine.outcomes import Applied, Held
from evently.embedded import PostgresServer, ValkeyServer
from reconciler.event.snapshot import Reader
from reconciler.judge.check import judge_event, unknown_shards
from reconciler.judge.proof import prove
from store.pool import connect
from tests.checks import ask
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import DETAIL, BoxOffice
from tests.reconciler.hands import FREE_FIELDS, FREE_SCORES, NOT_WALKED, WALKED, Edit
from tests.reconciler.recovering import content, opened
from tests.reconciler.test_rebuild import everything
from tests.reconciler.test_repair import repair

#: See `make proofs`.
pytestmark = pytest.mark.slow

#: Keys of a shard besides those of its events.
OF_SHARD = ("meta", "events", "due", "cancelling", "log")


@pytest.fixture
async def office(
    shard: int, valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Return a shop that has one of each thing, all of it in both stores."""
    async with opened(shard, valkey, postgres, database) as office:
        await everything(office)
        await wait_and_hold(office)
        await add_people(office)
        await office.drain_all(records_max=200)
        assert set() == await office.codes()
        yield office


async def wait_and_hold(office: BoxOffice) -> None:
    """Let somebody wait and somebody hold, for certain."""
    event = (await office.add_event(tiers=(TierStock(2, 100, 2),))).event_id
    await office.book(event, new_id("usr"), "k", (1, 2))
    user = new_id("usr")
    own = entry_id(event_id=event, user_id=user, idempotency_key="k")
    join = Join(event, own, user, "print", 1, 1, "strict", 10**6, 10**6, 100)
    assert isinstance(await office.engine.join(office.shard, join), Applied)
    show = (await office.add_event()).event_id
    held = hold_id(event_id=show, user_id=user, idempotency_key="h")
    order = Order(show, held, user, "print", DETAIL, ((1, 2),), 600_000)
    assert isinstance(await office.engine.hold(office.shard, order), Held)


async def add_people(office: BoxOffice) -> None:
    """Give one buyer an account; in tests others have none, and nobody has deleted theirs."""
    await office.drain_all(records_max=200)
    await office.database.execute(
        "INSERT INTO users (id, email, name, password_hash)"
        " SELECT user_id, user_id || '@example.com', 'B', 'x' FROM bookings WHERE shard = $1"
        " AND user_id ~ '^usr_[0-9a-v]{26}$' LIMIT 1 ON CONFLICT DO NOTHING",
        office.shard,
    )


async def schema(database: asyncpg.Pool) -> dict[str, set[str]]:
    """Return the columns of each table that is no partition."""
    rows = await database.fetch(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND attnum > 0 AND NOT attisdropped"
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["relname"], set()).add(row["attname"])
    return found


async def test_f67_no_table_and_no_column_is_forgotten(database: asyncpg.Pool) -> None:
    """Whoever adds one says what becomes of a hand in it."""
    there = await schema(database)
    assert there.keys() == WALKED.keys() | NOT_WALKED.keys()
    assert {table: set(columns) - {""} for table, columns in WALKED.items()} == {
        table: there[table] for table in WALKED
    }
    assert all(isinstance(one, Edit) or one.why for own in WALKED.values() for one in own.values())
    names = {*keys.EventKeys._fields, *OF_SHARD}
    assert names <= {key.split(" ")[0] for key in (*REDIS, *names)}


def own_rows(table: str, there: set[str]) -> str:
    """Return the condition that a row is of the shop."""
    if table == "users":
        return "id IN (SELECT user_id FROM bookings WHERE shard = $1)"
    if table == "events":
        return "shard = $1 AND status <> 'draft'"
    if "shard" in there:
        return "shard = $1"
    return "event_id IN (SELECT id FROM events WHERE shard = $1 AND status <> 'draft')"


async def rows_of(office: BoxOffice, table: str, but: set[str]) -> set[str]:
    """Return what a table has of the shop, without some columns."""
    there = (await schema(office.database))[table]
    rows = await office.database.fetch(
        f"SELECT (to_jsonb(t) - $2::text[])::text AS text FROM {table} t"  # noqa: S608
        f" WHERE {own_rows(table, there)}",
        office.shard,
        list(but),
    )
    return {row["text"] for row in rows}


async def apply(
    office: BoxOffice, table: str, edit: Edit, used: set[str]
) -> Callable[[], Awaitable[object]] | None:
    """Change a row that nothing has changed yet; return what puts it back, None without a row."""
    there = (await schema(office.database))[table]
    where = " AND ".join(filter(None, (own_rows(table, there), edit.where)))
    row = await office.database.fetchrow(
        "SELECT to_jsonb(t)::text AS text, ctid::text AS at, tableoid AS part"  # noqa: S608
        f" FROM {table} t WHERE {where} AND to_jsonb(t)::text <> ALL($2)"
        " ORDER BY t::text LIMIT 1",
        office.shard,
        list(used),
    )
    if row is None:
        return None
    own = f"ctid = '{row['at']}'::tid AND tableoid = {row['part']}"
    verb = f"DELETE FROM {table}"  # noqa: S608
    if edit.change:
        verb = f"UPDATE {table} SET {edit.change}"  # noqa: S608
    names = ", ".join(sorted(there - {"promo_code"}))
    new = await office.database.fetchval(f"{verb} WHERE {own} RETURNING to_jsonb({table})::text")
    assert new is not None
    used |= {row["text"], new}

    async def undo() -> None:
        async with office.database.acquire() as connection, connection.transaction():
            await connection.execute(
                f"DELETE FROM {table} WHERE to_jsonb({table}) = $1::jsonb",  # noqa: S608
                new,
            )
            await connection.execute(
                f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608
                f" FROM jsonb_populate_record(NULL::{table}, $1::jsonb)",
                row["text"],
            )

    return undo


async def require_mended(office: BoxOffice, what: object, codes: set[str]) -> None:
    """Have all of it found and put right."""
    found = await office.codes()
    assert set() == codes - found, (what, found)
    outcome = await repair(office)
    left = [(v.code, v.message, v.expected, v.found) for v in outcome.left]
    assert ([], []) == (left, outcome.errors), what
    assert outcome.epoch is not None, what
    result = await office.check()
    wrong = [(v.code, v.message, v.expected, v.found) for v in result.violations]
    assert ([], []) == (wrong, result.errors), what


#: What a repair writes besides, and nobody compares.
COUNTED = {"events": {"version"}, "shard_checkpoint": {"changed_at", "bytes"}}
WHOLE = ("journal", "shard_epoch", "shard_checkpoint")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("table", WALKED)
async def test_f67_a_hand_in_postgresql(office: BoxOffice, table: str) -> None:
    """Each row that is deleted and each column that is changed is told, and mended if it can be."""
    edits = {name: one for name, one in WALKED[table].items() if isinstance(one, Edit)}
    but = COUNTED.get(table, set())
    before = await rows_of(office, table, but)
    told_of = [(name, one) for name, one in edits.items() if not one.is_mended]
    for name, edit in told_of:  # One at a time: they are put back by hand.
        undo = await apply(office, table, edit, set())
        assert undo is not None, (table, name)
        plan = (await repair(office, applies=False)).plan
        assert edit.code in {v.code for v in plan.violations}, (table, name)
        told = {v.code for v, why in plan.hopeless if why}
        told |= {v.code for action in plan.actions for v in action.violations}
        assert edit.code in told, (table, name)
        await undo()
    todo = {name: one for name, one in edits.items() if one.is_mended}
    while todo:
        used: set[str] = set()
        done: dict[str, Edit] = {}
        for name, edit in todo.items():
            if not (table in WHOLE and done) and await apply(office, table, edit, used):
                done[name] = edit
        assert done, f"the shop has no row of {table} for {list(todo)}"
        await require_mended(office, list(done), {edit.code for edit in done.values()})
        if table not in WHOLE:
            assert before == await rows_of(office, table, but), list(done)
        todo = {name: edit for name, edit in todo.items() if name not in done}


def shape(name: str) -> str:
    """Return a field's name without what differs from one of its kind to the next."""
    return re.sub(r"[a-z]+_[0-9a-v]{26}|\d+", "N", name)


def changed(value: bytes) -> bytes:
    """Return another value of the same form: with another first figure, or letter."""
    text = value.decode()
    for pattern in (r"(?<![\w.:])\d\d+(?![\w.])", r"\d", r"[a-z]"):
        found = re.search(pattern, text)
        if found:
            word = found.group()
            new = str(int(word) + 1) if word.isdigit() else "z"
            return (text[: found.start()] + new + text[found.end() :]).encode()
    return b"x"


def is_free(what: str) -> bool:
    """Tell whether nothing need be told of a field."""
    return any(re.fullmatch(pattern, what) for pattern in FREE_FIELDS)


REDIS = keys.EventKeys._fields


@pytest.mark.timeout(600)
@pytest.mark.parametrize("key", REDIS)
async def test_f67_a_hand_in_an_event_in_redis(office: BoxOffice, key: str) -> None:
    """Each kind of field, deleted and changed: told, and mended from what PostgreSQL has."""
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    known = await prove(connection, office.shard, lambda _: None)
    reader = Reader(office.shard, office.redis, connection, known, has_published_events=True)
    before = await content(office)
    seen: set[str] = set()
    last: dict[str, Callable[[], Awaitable[object]]] = {}
    for event_id in sorted(await ask(office.redis, "SMEMBERS", keys.events(office.shard))):
        names = keys.event(office.shard, event_id.decode())
        name = getattr(names, key)
        is_set = name in keys.sorted_sets(names)
        for field in await fields_of(office, name, is_set=is_set):
            for verb in ("deleted", "changed"):
                kind, what = f"{shape(field)} {verb}", f"{key} {field}"
                if kind in seen or is_free(what) or (verb == "changed" and key in FREE_SCORES):
                    continue
                again = partial(
                    touch, office, name, field, is_set=is_set, deletes=verb == "deleted"
                )
                undo = await again()
                if undo is None:
                    continue
                seen.add(kind)
                _, [view] = await reader.read([event_id.decode()])
                assert judge_event(view), (what, verb)
                await undo()
                last[f"{name} {field}"] = cast("Callable[[], Awaitable[object]]", again)
    await connection.close()
    assert seen or key == "promos", key
    for repeat in last.values():
        await repeat()
    await require_mended(office, key, set())
    assert plain(before) == plain(await content(office))


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return what Redis has, without what is said anew by whoever joins next."""
    return {
        name: {key: one for key, one in value.items() if not is_free(f"stock {_text(key)}")}
        if name.endswith(":stock")
        else value
        for name, value in found.items()
    }


def _text(field: bytes) -> str:
    return field.decode()


async def fields_of(office: BoxOffice, name: str, *, is_set: bool) -> list[str]:
    """Return the fields or members of a key, without its mark."""
    words = ("ZRANGE", name, 0, -1) if is_set else ("HKEYS", name)
    found = [field.decode() for field in await ask(office.redis, *words)]
    return sorted(field for field in found if field != keys.MARK)


async def touch(
    office: BoxOffice, name: str, field: str, *, is_set: bool, deletes: bool
) -> Callable[[], Awaitable[object]] | None:
    """Delete or change a field; return what puts it back, None if it changes nothing."""
    redis = office.redis
    if is_set:
        score = await ask(redis, "ZSCORE", name, field)
        words: Any = ("ZREM", name, field) if deletes else ("ZINCRBY", name, 1000, field)
        await ask(redis, *words)
        return lambda: ask(redis, "ZADD", name, score, field)
    value = await ask(redis, "HGET", name, field)
    if deletes and value in {b"0", b""}:
        return None  # What is not there says the same.
    words = ("HDEL", name, field) if deletes else ("HSET", name, field, changed(value))
    await ask(redis, *words)
    return lambda: ask(redis, "HSET", name, field, value)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("key", OF_SHARD)
async def test_f67_a_hand_in_a_shard_in_redis(office: BoxOffice, key: str) -> None:
    """The door, the lists and the journal of a shard."""
    shard, redis = office.shard, office.redis
    own = keys.meta(shard)
    for field, value, code in {
        "meta": [
            ("seq", "1", "meta_seq_behind"),
            ("state", "frozen", "door_differs"),
            ("claim", "7777", "claim_ahead"),
            ("persisted_seq", "777777", "persisted_seq_ahead"),
        ]
    }.get(key, []):
        await ask(redis, "HSET", own, field, value)
        await require_mended(office, f"meta {field}", {code})
    if key == "meta":
        layout = await ask(redis, "HGET", own, "layout")
        await ask(redis, "HSET", own, "layout", 77)
        assert "layout_differs" in await office.codes()
        await ask(redis, "HSET", own, "layout", layout)
        await ask(redis, "DEL", own)
        assert "meta_missing" in await office.codes()
        return
    if key == "log":
        epoch = int(await ask(redis, "HGET", own, "epoch"))
        show = (await office.add_event()).event_id
        await office.book(show, new_id("usr"), "k", (1, 1))
        await ask(redis, "DEL", keys.journal(shard, epoch))
        assert {"record_missing"} <= await office.codes()
        return
    await ask(redis, "DEL", getattr(keys, key)(shard))
    lists = {"events": "not_loaded", "due": "due_forgotten", "cancelling": "emptying_forgotten"}
    await require_mended(office, key, {lists[key]})


async def test_f67_a_deleted_shard_is_told(office: BoxOffice) -> None:
    """A shard whose row is gone is named, though nothing lists it any more."""
    row = await office.database.fetchrow(
        "DELETE FROM shard_epoch WHERE shard = $1 RETURNING to_jsonb(shard_epoch)::text AS text",
        office.shard,
    )
    assert row is not None
    connection = await connect(office.database_url, timeout_ms=TIMEOUT_MS)
    found = await unknown_shards(connection)
    await connection.close()
    assert ("shard_unknown", office.shard) in {(one.code, one.shard) for one in found}
