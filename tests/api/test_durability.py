"""What answers promise: levels reached or not, raised and never lowered; redo; receipts."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import make_mocked_request
from redis.asyncio import Redis

from api.http import SERVICES, wanted_durability
from engine import keys, redo
from engine.durability import Durability
from engine.receipts import derive_key, key_id, verify
from engine.redo import RedoBuffer
from evently.embedded import PostgresServer, ValkeyServer
from evently.ports import free_port
from tests.api.world import SHARD, TICKET_SIGNING_KEY, Event, Serve, World, check_problem
from tests.checks import ask, journal
from tests.conftest import PASSWORDS
from usecases.acks import Acks

SHORT_MS = 200
#: Records that may wait for PostgreSQL where it is to be reached.
BACKLOG_MAX = 20


async def empty(buffer: RedoBuffer) -> None:
    """Wait until a redo buffer keeps nothing."""
    while buffer.records:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def told_levels(world: World) -> dict[str, float]:
    """Return the counts of levels waited for."""
    text = (await world.call("GET", "/metrics")).text
    prefix = "evently_durability_total{"
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return {line.partition("{")[2].partition("}")[0]: float(line.split()[-1]) for line in lines}


async def test_level_is_raised_by_request(world: World, event: Event, user: str) -> None:
    """RFC 7240: a booking that asks for PostgreSQL is answered when it is there, and says so."""
    usual = await world.book(event, user, key="a")
    assert (201, "fsync") == (usual.status, usual.body["durability"])
    assert "Preference-Applied" not in usual.headers
    before = await told_levels(world)
    raised = await world.book(event, user, prefer="durability=database", key="b")
    assert (201, "database") == (raised.status, raised.body["durability"])
    assert "durability=database" == raised.headers["Preference-Applied"]
    row = await world.database.fetchval("SELECT id FROM bookings WHERE id = $1", raised.body["id"])
    assert raised.body["id"] == row
    name = 'level="database",result="reached"'
    after = await told_levels(world)
    assert 1 == after[name] - before.get(name, 0)


async def test_holds_and_confirmations_are_raised(world: World, event: Event, user: str) -> None:
    """Holding and confirming heed the preference as booking does; repetitions too."""
    item = {"tier_id": event["tiers"][0]["id"], "quantity": 1}
    headers = {"Prefer": 'foo; bar="a, b", durability="database"'}
    path = f"/v1/events/{event['id']}/holds"
    for _ in range(2):
        held = await world.call(
            "POST", path, token=user, key="k", json={"items": [item]}, headers=headers
        )
        assert (201, "database") == (held.status, held.body["durability"])
        assert "durability=database" == held.headers["Preference-Applied"]
    confirm = f"/v1/holds/{held.body['id']}/confirm"
    for _ in range(2):
        made = await world.call("POST", confirm, token=user, headers=headers)
        assert (201, "database") == (made.status, made.body["durability"])
        assert "durability=database" == made.headers["Preference-Applied"]


async def test_level_is_never_lowered(serve: Serve, event: Event, user: str) -> None:
    """A deployment that promises PostgreSQL does so whatever a request prefers."""
    async with serve(durability="database") as world:
        for key, prefer in enumerate(("", "durability=memory", "durability=fsync")):
            made = await world.book(event, user, prefer=prefer, key=str(key))
            assert (201, "database") == (made.status, made.body["durability"])
            assert "Preference-Applied" not in made.headers
        made = await world.book(event, user, prefer="durability=database", key="9")
        assert "durability=database" == made.headers["Preference-Applied"]


@pytest.mark.parametrize(
    ("floor", "replicas", "prefer", "level", "is_preferred"),
    [
        ("fsync", 0, ["durability=database"], "database", True),
        ("fsync", 0, ["Durability = DATABASE"], "database", True),
        ("fsync", 0, ['a, durability="database";x=1'], "database", True),
        ("fsync", 0, ["respond-async", "durability=database"], "database", True),
        ("fsync", 0, ["durability=fsync"], "fsync", True),
        ("fsync", 0, ["durability=memory"], "fsync", False),
        ("fsync", 0, ["durability=memory, durability=database"], "fsync", False),
        ("fsync", 0, ["durability=diamond"], "fsync", False),
        ("fsync", 0, ["durability"], "fsync", False),
        ("fsync", 0, ['x="durability=database"'], "fsync", False),
        ("fsync", 0, ['x="a,durability=database"'], "fsync", False),
        ("fsync", 0, ['"'], "fsync", False),
        # What it cannot give is rounded up.
        ("fsync", 0, ["durability=replicated"], "database", True),
        ("memory", 0, ["durability=fsync"], "database", True),
        ("memory", 0, ["durability=memory"], "memory", True),
        ("memory", 2, ["durability=replicated"], "database", True),
        ("database", 1, ["durability=replicated"], "database", False),
    ],
)
async def test_prefer_is_read(
    world: World,
    floor: Durability,
    replicas: int,
    prefer: list[str],
    level: str,
    is_preferred: bool,
) -> None:
    """The header is read as RFC 7240 has it, and a level that is not to be had is rounded up."""
    never: Any = None
    engine = world.client.app[SERVICES].engine
    acks = Acks(
        floor=floor, replicas_min=replicas, timeout_ms=1, engine=engine, watermark=never, waiters={}
    )
    request = make_mocked_request("POST", "/", headers=[("Prefer", one) for one in prefer])
    promise = acks.promise(wanted_durability(request), SHARD)
    assert (level, is_preferred) == promise[:2]


async def test_f24_database_level_while_postgresql_is_away(
    serve: Serve, event: Event, user: str, postgres: PostgresServer
) -> None:
    """F24: without PostgreSQL the level is unknown, never failed; the same key finds it later."""
    async with serve(durability_timeout_ms=SHORT_MS) as world:
        assert 201 == (await world.book(event, user, key="known")).status
        await world.settle()
        postgres.stop()
        try:
            usual = await world.book(event, user, key="a")
            assert (201, "fsync") == (usual.status, usual.body["durability"])
            unknown = await world.book(event, user, prefer="durability=database", key="b")
            check_problem(unknown, 503, "outcome_unknown")
            assert "1" == unknown.headers["Retry-After"]
            assert "database" == unknown.body["durability_wanted"]
            check_problem(
                await world.book(event, user, prefer="durability=database", key="a"),
                503,
                "outcome_unknown",
            )
        finally:
            postgres.start()
        for key in "ab":
            while (
                made := await world.book(event, user, prefer="durability=database", key=key)
            ) and (made.status != 201):
                check_problem(made, 503, "outcome_unknown")
            assert ("database", "true") == (
                made.body["durability"],
                made.headers["Idempotent-Replayed"],
            )


async def test_f24_pg_down(
    world: World, event: Event, redis: Redis, postgres: PostgresServer
) -> None:
    """F24, I4: without PostgreSQL sales go on to the limit, then 503; back again, it gets all."""
    assert 201 == (await world.book(event, world.token())).status
    await world.settle()
    seq = int(await ask(redis, "HGET", keys.meta(SHARD), "seq"))
    limit = await ask(redis, "HGET", keys.meta(SHARD), "backlog_max")
    acked, refused = [], None
    postgres.stop()
    try:
        await ask(redis, "HSET", keys.meta(SHARD), "backlog_max", BACKLOG_MAX)
        while refused is None:
            made = await world.book(event, world.token())
            if made.status == 201:
                acked.append(made.body["id"])
            else:
                refused = made
        check_problem(refused, 503, "backpressure")
        assert int(refused.headers["Retry-After"]) > 0
        assert BACKLOG_MAX == len(acked)
        assert seq + BACKLOG_MAX == int(await ask(redis, "HGET", keys.meta(SHARD), "seq"))
    finally:
        postgres.start()
        await ask(redis, "HSET", keys.meta(SHARD), "backlog_max", limit)
    await world.settle()
    rows = await world.database.fetch("SELECT id FROM bookings WHERE event_id = $1", event["id"])
    assert set(acked) < {row["id"] for row in rows}
    assert 2 + BACKLOG_MAX == 1 + len(rows)
    assert 201 == (await world.book(event, world.token())).status


async def test_f10_replicated_level(
    serve: Serve, event: Event, user: str, redis: Redis, server_dir: Path
) -> None:
    """F10: without its replica the level is unknown; once that follows, the same key finds it."""
    async with serve(replicas_min=1, durability_timeout_ms=SHORT_MS) as world:
        usual = await world.book(event, user, key="a")
        assert (201, "fsync") == (usual.status, usual.body["durability"])
        for key in "ab":
            unknown = await world.book(event, user, prefer="durability=replicated", key=key)
            check_problem(unknown, 503, "outcome_unknown")
        port = free_port()
        await ask(redis, "CONFIG SET", "port", port, "repl-diskless-sync-delay", 0)
        settings = {
            "replicaof": f"127.0.0.1 {port}",
            "masteruser": "coordinator",
            "masterauth": f'"{PASSWORDS["coordinator"]}"',
        }
        replica = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), settings=settings)
        replica.start()
        try:
            # A server that gets its first replica begins another history: the fence falls (F12).
            while "online" not in str(  # noqa: ASYNC110
                (await redis.info("replication")).get("slave0")
            ):
                await asyncio.sleep(0.01)
            await world.recover()
            for key in "abc":
                while (
                    made := await world.book(event, user, prefer="durability=replicated", key=key)
                ) and made.status != 201:
                    check_problem(made, 503, "outcome_unknown")
                assert "replicated" == made.body["durability"]
                assert "durability=replicated" == made.headers["Preference-Applied"]
        finally:
            replica.stop()
            await ask(redis, "CONFIG SET", "port", 0)
        check_problem(
            await world.book(event, user, prefer="durability=replicated", key="d"),
            503,
            "outcome_unknown",
        )


async def test_i4_epoch_that_ends_meanwhile_is_unknown(
    serve: Serve, event: Event, user: str, database: asyncpg.Pool
) -> None:
    """I4: a checkpoint that recovery moves is no promise; the repetition finds what is true."""
    async with serve(durability_timeout_ms=SHORT_MS) as world:
        await world.settle()
        epoch = world.client.app[SERVICES].engine.reign(SHARD).epoch
        async with database.acquire() as connection, connection.transaction():
            await connection.execute(
                "SELECT FROM shard_checkpoint WHERE shard = $1 AND epoch = $2 FOR UPDATE",
                SHARD,
                epoch,
            )
            answer = await world.book(event, user, prefer="durability=database")
            check_problem(answer, 503, "outcome_unknown")
        await world.settle()
        await world.recover()
        again = await world.book(event, user, prefer="durability=database")
        assert (201, "database", "true") == (
            again.status,
            again.body["durability"],
            again.headers["Idempotent-Replayed"],
        )


async def test_older_epoch_is_reached(world: World, event: Event, user: str) -> None:
    """A repetition of a booking from before a recovery finds it in PostgreSQL."""
    first = await world.book(event, user)
    await world.settle()
    await world.recover()
    again = await world.book(event, user, prefer="durability=database")
    assert (201, "true") == (again.status, again.headers["Idempotent-Replayed"])
    assert ("database", first.body["seq"]) == (again.body["durability"], again.body["seq"])


async def redo_rows(database: asyncpg.Pool, epoch: int) -> list[tuple[int, str]]:
    """Return what workers wrote of an epoch."""
    rows = await database.fetch(
        "SELECT seq, record FROM redo WHERE shard = $1 AND epoch = $2 ORDER BY seq", SHARD, epoch
    )
    return [tuple(row) for row in rows]


async def test_f5_f10_redo_is_written_on_fence(
    world: World, event: Event, user: str, database: asyncpg.Pool, redis: Redis
) -> None:
    """F5, F10: what PostgreSQL lacks when the door shuts stands in `redo`, as in the journal."""
    await world.settle()
    buffer = world.client.app[SERVICES].engine.shards[SHARD]._redo
    assert buffer is not None
    epoch = world.client.app[SERVICES].engine.reign(SHARD).epoch
    try:
        async with database.acquire() as connection, connection.transaction():
            # The persister gets no further than this.
            has = await connection.fetchval(
                "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2 FOR UPDATE",
                SHARD,
                epoch,
            )
            answers = [await world.book(event, user, key=key) for key in "abc"]
            assert {201} == {answer.status for answer in answers}
            await ask(redis, "SCRIPT FLUSH")
            check_problem(await world.book(event, user, key="d"), 503, "shard_recovering")
            await empty(buffer)
            rows = await redo_rows(database, epoch)
    finally:
        await world.recover()
    written = {entry.seq: entry.raw.decode() for entry in await journal(redis, SHARD, epoch)}
    assert [(has + n, written[has + n]) for n in (1, 2, 3)] == rows
    await database.execute("DELETE FROM redo WHERE shard = $1", SHARD)


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers that start from here on keep what they witness until their door shuts."""
    monkeypatch.setattr(redo, "LOOK_INTERVAL_S", 3_600)


@pytest.mark.usefixtures("never_looks")  # Before the world: its worker begins with it.
async def test_f4_nothing_is_written_of_what_recovery_drained(
    world: World, event: Event, user: str, database: asyncpg.Pool
) -> None:
    """F4: a worker that hears of a fence late looks into the journal, and has nothing to add."""
    buffer = world.client.app[SERVICES].engine.shards[SHARD]._redo
    assert buffer is not None
    epoch = world.client.app[SERVICES].engine.reign(SHARD).epoch
    for key in "ab":
        assert 201 == (await world.book(event, user, key=key)).status
    assert 3 == buffer.records  # The publishing as well.
    await world.settle()
    await world.recover()
    await empty(buffer)
    assert [] == await redo_rows(database, epoch)


async def test_receipt_of_a_booking(world: World, event: Event) -> None:
    """The answer of a booking carries a receipt that the published key verifies."""
    answers = await asyncio.gather(*(world.book(event, world.token()) for _ in range(20)))
    published = (await world.call("GET", "/v1/receipt-key")).body["data"]
    public = derive_key(TICKET_SIGNING_KEY).public_key().public_bytes_raw()
    assert [key_id(public).hex()] == [one["key_id"] for one in published]
    for answer in answers:
        body = answer.body
        receipt = verify(body["receipt"], {key_id(public): public})
        assert (body["id"], event["id"], body["seq"]) == (
            receipt.booking_id,
            receipt.event_id,
            receipt.seq,
        )
        records = await journal(world.redis, SHARD, receipt.epoch)
        record: Any = records[receipt.seq - 1].record
        assert (receipt.user_id, receipt.fingerprint, receipt.at_ms, list(receipt.items)) == (
            record.user_id,
            record.fingerprint,
            record.at_ms,
            record.items,
        )


async def test_receipt_of_a_confirmation(world: World, event: Event, user: str) -> None:
    """A confirmed hold has a receipt, and a repeated confirmation one that says the same."""
    item = {"tier_id": event["tiers"][0]["id"], "quantity": 2}
    held = await world.call(
        "POST", f"/v1/events/{event['id']}/holds", token=user, key="k", json={"items": [item]}
    )
    path = f"/v1/holds/{held.body['id']}/confirm"
    answers = [await world.call("POST", path, token=user) for _ in range(2)]
    public = derive_key(TICKET_SIGNING_KEY).public_key().public_bytes_raw()
    one, other = (verify(a.body["receipt"], {key_id(public): public}) for a in answers)
    assert one == other
    assert (answers[0].body["id"], 2) == (one.booking_id, one.items[0].quantity)


async def test_receipts_can_be_switched_off(serve: Serve, event: Event, user: str) -> None:
    """Without receipts, bookings are answered without one, and no key is published."""
    async with serve(receipts="off", redo_records_max=0) as world:
        made = await world.book(event, user)
        assert (201, None) == (made.status, made.body["receipt"])
        assert [] == (await world.call("GET", "/v1/receipt-key")).body["data"]
        assert world.client.app[SERVICES].engine.shards[SHARD]._redo is None


async def test_f13_a_wiped_shard_denies_no_booking(
    world: World, event: Event, database: asyncpg.Pool, redis: Redis
) -> None:
    """F13: of a booking that PostgreSQL lacks, a Redis that has lost its shard is no witness."""
    token = world.token()
    await world.settle()
    epoch = world.client.app[SERVICES].engine.reign(SHARD).epoch
    meta, aside = keys.meta(SHARD), f"{keys.meta(SHARD)}:aside"
    async with database.acquire() as connection, connection.transaction():
        # The persister gets no further than this.
        await connection.fetchval(
            "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2 FOR UPDATE",
            SHARD,
            epoch,
        )
        made = await world.book(event, token, (1, 1))
        assert 201 == made.status
        await ask(redis, "RENAME", meta, aside)
        try:
            read = await world.call("GET", made.headers["Location"], token=token)
            gone = await world.cancel(made.body["id"], token)
        finally:
            await ask(redis, "RENAME", aside, meta)
    check_problem(read, 503, "catching_up")
    check_problem(gone, 503, "catching_up")
