"""Old code and new beside each other: records of two versions, and scripts of two codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha1
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from engine import scripts
from engine.door import Reign
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.outcomes import Booked
from engine.records import CHECK_CHARS, Detail, Record
from engine.redis_client import connect
from evently.embedded import ValkeyServer
from persister.persister import Persister
from reconciler.recover.coordinator import Coordinator
from store import journal, reigns
from tests.checks import journal as read_journal
from tests.conftest import TIMEOUT_MS
from tests.engine.conftest import order, publish
from tests.persister.test_persister import last_seq, reach, running

KEPT = Path(__file__).parents[1] / "kept"

#: Returns the text of a script: a code, as far as an upgrade is concerned.
Code = Callable[[str], str]
#: Starts a worker that has a code.
Hire = Callable[..., Engine]

NAMES = scripts.NAMES
new_code: Code = scripts.source


def old_code(name: str) -> str:
    """Return the text of a script as it was before somebody changed it."""
    return f"{new_code(name)}-- as it was\n"


@pytest.fixture
async def hire(valkey: ValkeyServer, database: asyncpg.Pool, shard: int) -> AsyncIterator[Hire]:
    """Return what starts workers; their doors open by PostgreSQL's row."""
    engines: list[Engine] = []

    def start(code: Code = new_code) -> Engine:
        async def read_reign(number: int) -> Reign | None:
            if number != shard:
                await asyncio.Event().wait()  # The other shards belong to other tests.
            row = await reigns.read(database, shard)
            if row is None or row.state != "open":
                return None
            texts = [scripts.mark(code(name), row.nonce, row.records_version) for name in NAMES]
            shas = [sha1(text.encode(), usedforsecurity=False).hexdigest() for text in texts]
            return Reign(
                shard=shard, epoch=row.epoch, script_shas=dict(zip(NAMES, shas, strict=True))
            )

        client = connect(valkey.url, timeout_ms=TIMEOUT_MS)
        engines.append(Engine({"0": client}, read_reign, shards=[shard]))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        await engine.stop(timeout_s=5)


async def sell(engine: Engine, shard: int, event_id: str) -> None:
    """Book one place, as soon as the door is open."""
    one = order(event_id, new_id("usr"), (1, 1))
    assert isinstance(await patiently(lambda: engine.book(shard, one)), Booked)


async def show(engine: Engine, shard: int) -> str:
    """Publish an event, as soon as the door is open; return its id."""
    event_id = new_id("evt")
    await patiently(lambda: publish(engine, shard, event_id, 100))
    return event_id


async def patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the door is open."""
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        while True:
            try:
                return await ask()
            except ShardRecovering:
                await asyncio.sleep(0.01)


def strict_reader() -> msgspec.json.Decoder[Any]:
    """Return the reader of the code before version 2: it knows one version, and no other field."""
    options: Any = {"forbid_unknown_fields": True, "kw_only": True}
    lines = [line.split() for line in (KEPT / "fields_1.txt").read_text().splitlines()]
    known = {tag.rstrip(":"): fields for tag, *fields in lines}
    detail = [(field.name, field.type, None) for field in msgspec.structs.fields(Detail)]
    kinds: list[Any] = [msgspec.defstruct("Detail", detail, **options)]
    for kind in Record.__args__:
        tag = kind.__struct_config__.tag
        fields: list[Any] = []
        for field in msgspec.structs.fields(kind):
            own = {"version": Literal[1], "detail": kinds[0]}.get(field.name, field.type)
            is_needed = field.default is field.default_factory is msgspec.NODEFAULT
            if field.name in known.get(str(tag), ()):
                fields.append((field.name, own) if is_needed else (field.name, own, None))
        if tag in known:
            kinds.append(
                msgspec.defstruct(kind.__name__, fields, tag_field="kind", tag=tag, **options)
            )
    union: Any = kinds[1]
    for one in kinds[2:]:
        union |= one
    return msgspec.json.Decoder(union)


async def versions(database: asyncpg.Pool, shard: int, epoch: int, last: int) -> list[int]:
    """Return the versions of the records that PostgreSQL has of an epoch; the first ones' first."""
    found = await journal.records(database, shard=shard, epoch=epoch, first_seq=1, last_seq=last)
    return [msgspec.json.decode(found[seq][CHECK_CHARS:])["version"] for seq in sorted(found)]


async def test_a_running_journal_goes_over_to_the_next_version(
    hire: Hire,
    coordinator: Coordinator,
    database: asyncpg.Pool,
    redis: Redis,
    persister: Persister,
    shard: int,
) -> None:
    """
    Until the version is raised, code before it reads all: the way back is open. Then both are read.
    """
    assert await reigns.set_records_version(database, shard, 1)  # As of a shard that was there.
    assert 2 == await coordinator.recover()
    worker, old = hire(), strict_reader()
    event_id = await show(worker, shard)
    async with running(persister) as task:
        await sell(worker, shard, event_id)
        await reach(task, database, shard, await last_seq(redis, shard), epoch=2)
        for entry in await read_journal(redis, shard, 2):
            old.decode(entry.raw[CHECK_CHARS:])

        assert await reigns.set_records_version(database, shard, 2)
        assert not await coordinator.is_well()
        assert 3 == await coordinator.recover()
        assert await coordinator.is_well()
        await sell(worker, shard, event_id)
        await sell(hire(), shard, event_id)
        with pytest.raises(msgspec.ValidationError):
            old.decode((await read_journal(redis, shard, 3))[0].raw[CHECK_CHARS:])
        await reach(task, database, shard, await last_seq(redis, shard), epoch=3)

        assert await reigns.set_records_version(database, shard, 1)  # Harmless, and possible.
        assert 4 == await coordinator.recover()
        await sell(worker, shard, event_id)
        await reach(task, database, shard, await last_seq(redis, shard), epoch=4)
    found = [await versions(database, shard, epoch, 9) for epoch in (2, 3, 4)]
    assert [[1, 1], [2, 2], [1]] == found
    assert 4 == await database.fetchval("SELECT count(*) FROM bookings WHERE shard = $1", shard)
    assert 0 == await database.fetchval("SELECT count(*) FROM quarantine WHERE shard = $1", shard)


async def test_code_that_cannot_read_the_records_stands_back(
    hire: Hire,
    coordinator: Coordinator,
    database: asyncpg.Pool,
    redis: Redis,
    persister: Persister,
    shard: int,
    reign: Reign,
) -> None:
    """Code of yesterday parks no record that it does not know, and opens and shuts nothing."""
    await database.execute("UPDATE shard_epoch SET records_version = 9 WHERE shard = $1", shard)
    before = await database.fetchrow("SELECT * FROM shard_epoch WHERE shard = $1", shard)
    worker = hire()
    for stands_back in (coordinator.is_well, coordinator.recover, persister._follow_one_reign):
        with pytest.raises(reigns.ReaderTooOld, match="version 9, this code reads up to 2"):
            await stands_back()
    with pytest.raises(ShardRecovering):
        await worker.book(shard, order(new_id("evt"), new_id("usr"), (1, 1)))
    assert before == await database.fetchrow("SELECT * FROM shard_epoch WHERE shard = $1", shard)


@pytest.fixture
async def acting(
    coordinator: Coordinator, database: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Code], Awaitable[bool]]:
    """Return what lets a coordinator of some code look once; it tells whether it began a reign."""
    await database.execute("DELETE FROM script_sets")  # Of other tests.

    async def act(code: Code) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(scripts, "source", code)
            if await coordinator.is_well():
                return False
            await coordinator.recover()
            assert await coordinator.is_well()
            return True

    return act


async def test_workers_of_both_codes_sell_in_one_reign(
    hire: Hire, acting: Callable[[Code], Awaitable[bool]], shard: int
) -> None:
    """The new coordinator begins one reign; then neither undoes what the other does, either way."""
    assert await acting(old_code)
    old = hire(old_code)
    event_id = await show(old, shard)
    new = hire(new_code)
    with pytest.raises(ShardRecovering):  # Nobody has loaded its scripts: it sells nothing yet.
        await new.book(shard, order(event_id, new_id("usr"), (1, 1)))

    assert await acting(new_code)
    for worker in (old, new):
        await sell(worker, shard, event_id)
    assert not await acting(old_code)
    assert not await acting(new_code)
    for worker in (hire(old_code), hire(new_code)):
        await sell(worker, shard, event_id)


@pytest.mark.parametrize(
    "cause", ["layout = 1", "records_version_max = 0", "texts = jsonb_build_object('book', 'no')"]
)
async def test_scripts_that_do_not_fit_are_not_loaded(
    hire: Hire,
    acting: Callable[[Code], Awaitable[bool]],
    database: asyncpg.Pool,
    shard: int,
    cause: str,
) -> None:
    """Of other keys, of too old a version, or no script: its workers stay shut, the others sell."""
    assert await acting(old_code)
    await database.execute(f"UPDATE script_sets SET {cause}")  # noqa: S608
    assert await acting(new_code)
    new, old = hire(new_code), hire(old_code)
    event_id = await show(new, shard)
    await sell(new, shard, event_id)
    with pytest.raises(ShardRecovering):
        await old.book(shard, order(event_id, new_id("usr"), (1, 1)))
