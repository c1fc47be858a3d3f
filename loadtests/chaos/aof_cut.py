"""
AOF-cut sweep (rig R2): Redis's log is cut at a byte, and what comes back is judged.

A seeded workload runs through the real scripts under `appendfsync always`; what each command left
behind is remembered. Then, for each cut, a Valkey starts on a shortened copy of the log beside a
copy of the database. Guarantees that are checked: a script's effect is there whole or not at all;
the restarted Redis sells nothing before recovery; recovery opens the shard only where both stores
agree, and then PostgreSQL has every record that Redis has. `kill -9` proves none of this: the
page cache survives it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from engine import keys, scripts
from engine.commands import Order, Own, Publish, TierStock
from engine.door import Reign
from engine.engine import Engine
from engine.homes import ONLY_SERVER
from engine.ids import booking_id, hold_id, new_id
from engine.redis_client import connect as connect_redis
from engine.seats import Section
from engine.values import unmarked
from evently.embedded import ValkeyServer
from evently.embedded.valkey import LOG_FOLDER
from loadtests.harm import newest_log
from persister.persister import Options, Persister
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.decide import CannotOpen
from store import reigns
from store.migrate import migrate
from store.pool import connect as connect_database

SHARD = 0
TIMEOUT_MS = 20_000
COMMANDS = 40
#: Of the last commands, so many are not in PostgreSQL yet, and so many more are cut into.
BEHIND = 3
CUT_INTO = 5
HOLD_TTL_MS = 3_600_000
FAR_MS = 9_000_000_000_000

#: Type and content of every key.
State = dict[bytes, Any]


class Mark(NamedTuple):
    """What a command left behind."""

    log_bytes: int
    seq: int
    state: State


class Sweep:
    """One workload, and any number of cuts into its end."""

    def __init__(self, folder: Path, server_url: str, *, seed: int) -> None:
        """
        Args:
            folder: For the servers' data; short, since sockets lie in it.

            server_url: A PostgreSQL in which databases may be made.

            seed: Of the workload.
        """
        self._folder = folder
        self._server_url = server_url
        self._choices = random.Random(f"cut-{seed}")
        self._marks: list[Mark] = []
        self._shas: list[str] = []
        self._template = f"cut_{secrets.token_hex(6)}"

    async def prepare(self) -> None:
        """Run the workload; PostgreSQL has all of it but the last commands."""
        await self._execute(self._server_url, "CREATE DATABASE", self._template)
        url = self._url(self._template)
        await migrate(url)
        valkey = ValkeyServer(self._folder / "first")
        valkey.start()
        redis = connect_redis(valkey.url, timeout_ms=TIMEOUT_MS)
        try:
            database = await connect_database(url, timeout_ms=TIMEOUT_MS)
            await Coordinator(SHARD, redis, database, backlog_records_max=100_000).recover()
            row = await reigns.read(database, SHARD)
            await database.close()
            assert row is not None, "recovered"
            self._shas = list(scripts.shas(row.nonce).values())
            await self._work(
                valkey,
                redis,
                url,
                Reign(shard=SHARD, epoch=row.epoch, script_shas=scripts.shas(row.nonce)),
            )
        finally:
            await redis.aclose()
            valkey.kill()

    def offsets(self) -> list[int]:
        """Return every byte within the last commands at which the log can be cut, shuffled."""
        first, last = self._marks[-CUT_INTO - 1].log_bytes, self._marks[-1].log_bytes
        found = list(range(first, last + 1))
        self._choices.shuffle(found)
        return found

    def borders(self) -> list[int]:
        """Return the cuts at the ends of the last commands, and one byte before each."""
        return sorted(mark.log_bytes - by for mark in self._marks[-CUT_INTO:] for by in (0, 1))

    async def cut(self, log_bytes: int) -> list[str]:
        """Start a Valkey on a log of *log_bytes* and recover; return what is wrong."""
        folder = self._folder / f"cut-{log_bytes}"
        shutil.copytree(self._folder / "first" / LOG_FOLDER, folder / LOG_FOLDER)
        with newest_log(folder).open("r+b") as log:
            log.truncate(log_bytes)
        name = f"cut_{secrets.token_hex(6)}"
        await self._execute(self._server_url, "CREATE DATABASE", name, "TEMPLATE", self._template)
        valkey = ValkeyServer(folder)
        valkey.start()
        redis = connect_redis(valkey.url, timeout_ms=TIMEOUT_MS)
        try:
            return [
                f"cut at {log_bytes}: {text}"
                for text in await self._judge(log_bytes, redis, self._url(name))
            ]
        finally:
            await redis.aclose()
            valkey.kill()
            shutil.rmtree(folder)
            await self._execute(self._server_url, "DROP DATABASE", name, "WITH (FORCE)")

    async def _judge(self, log_bytes: int, redis: Redis, url: str) -> list[str]:
        whole = [mark for mark in self._marks if mark.log_bytes <= log_bytes][-1]
        wrong = []
        state = await snapshot(redis)
        if state != whole.state:
            keys_changed = sorted(
                key.decode()
                for key in state.keys() | whole.state.keys()
                if state.get(key) != whole.state.get(key)
            )
            wrong.append(
                f"the state is not the one that record {whole.seq} left behind: "
                f"{', '.join(keys_changed)}"
            )
        for sha in self._shas:
            try:
                await _ask(redis, "EVALSHA", sha, 1, keys.meta(SHARD), 1)
            except NoScriptError:
                continue
            wrong.append("a script ran before recovery")
        database = await connect_database(url, timeout_ms=TIMEOUT_MS)
        try:
            wrong += await self._recover(whole, redis, database)
        finally:
            await database.close()
        return wrong

    async def _recover(self, whole: Mark, redis: Redis, database: asyncpg.Connection) -> list[str]:
        """Recover, and compare what is open then with what may be."""
        is_ahead = self._persisted.seq > whole.seq
        try:
            await Coordinator(SHARD, redis, database, backlog_records_max=100_000).recover()
        except CannotOpen as error:
            # Shut is right where PostgreSQL knows more than Redis and nobody rebuilds it.
            return [] if is_ahead else [f"stayed shut although both agree: {error}"]
        bookings = {row["id"]: row["status"] for row in await database.fetch(_STATUSES)}
        expected = _statuses(whole.state if not is_ahead else self._persisted.state)
        now = _statuses(await snapshot(redis))
        wrong = []
        if bookings != expected:
            wrong.append(f"PostgreSQL has {len(bookings)} bookings, not the {len(expected)}")
        if now != expected:
            wrong.append(f"Redis opened with {len(now)} bookings, not the {len(expected)}")
        return wrong

    async def _work(self, valkey: ValkeyServer, redis: Redis, url: str, reign: Reign) -> None:
        async def read_reign(_: int) -> Reign:
            return reign

        client = connect_redis(valkey.url, timeout_ms=TIMEOUT_MS)
        engine = Engine({ONLY_SERVER: client}, read_reign, shards=[SHARD])
        engine.start()
        while not engine.is_open:  # noqa: ASYNC110  A door tells nobody that it opened.
            await asyncio.sleep(0.01)
        event = new_id("evt")
        section = Section(1, 1, (20, 20))
        await engine.seat(SHARD, event, section)
        tiers = (TierStock(section.seats, 100, 10), TierStock(200, 100, 10))
        await engine.publish(SHARD, Publish(event, "p", 0, FAR_MS, 1_000, tiers, 1))
        live: list[Own] = []
        await self._mark(redis)
        for number in range(COMMANDS):
            if number == COMMANDS - BEHIND:
                await self._persist(valkey, redis, url)
            await self._command(engine, redis, event, number, live)
        await engine.stop(timeout_s=TIMEOUT_MS / 1000)

    async def _command(
        self, engine: Engine, redis: Redis, event: str, number: int, live: list[Own]
    ) -> None:
        """Book, hold and confirm, or cancel; a mark behind each script call."""
        user, key = new_id("usr"), f"k{number}"
        seats = f"s1-{1 + number % 20}"
        line: Any = self._choices.choice([(1, 1, seats), (1, 1, "best"), (2, 3)])
        words = (user, "f", b"{}", (line,))
        names = {"event_id": event, "user_id": user, "idempotency_key": key}
        match self._choices.randrange(4):
            case 0 if live:
                await engine.cancel(SHARD, live.pop(self._choices.randrange(len(live))))
            case 1:
                own = Own(event, hold_id(**names), user)
                await engine.hold(SHARD, Order(event, own.id, *words, HOLD_TTL_MS))
                await self._mark(redis)
                await engine.confirm(SHARD, own)
            case _:
                own = Own(event, booking_id(**names), user)
                await engine.book(SHARD, Order(event, own.id, *words))
                live.append(own)
        await self._mark(redis)

    async def _mark(self, redis: Redis) -> None:
        """Remember what there is; nothing else writes meanwhile, so the log ends here."""
        state = await snapshot(redis)
        size = newest_log(self._folder / "first").stat().st_size
        seq = int(state[keys.meta(SHARD).encode()][b"seq"])
        self._marks.append(Mark(size, seq, state))

    async def _persist(self, valkey: ValkeyServer, redis: Redis, url: str) -> None:
        """Let PostgreSQL have everything so far."""
        blocking = connect_redis(valkey.url, timeout_ms=None)
        persister = Persister(
            {ONLY_SERVER: blocking},
            url,
            Options(
                shard=SHARD, records_max=100, retention_s=86_400, database_timeout_ms=TIMEOUT_MS
            ),
        )
        running = asyncio.create_task(persister.run())
        seq = self._marks[-1].seq
        name = keys.meta(SHARD)
        while int(await redis.hget(name, "persisted_seq") or 0) < seq:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        persister.stop()
        await running
        await blocking.aclose()
        self._persisted = self._marks[-1]

    def _url(self, name: str) -> str:
        return urlsplit(self._server_url)._replace(path=f"/{name}").geturl()

    async def _execute(self, url: str, *words: str) -> None:
        """Run a statement about a database; its name, which is ours, cannot be a parameter."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(" ".join(words))
        finally:
            await connection.close()


#: Of `meta`, what commands of the sale write.
_OWN_FIELDS = (b"epoch", b"state", b"seq", b"bytes")
_STATUSES = "SELECT id, status::text FROM bookings"


async def snapshot(redis: Redis) -> State:
    """Return the content of every key."""
    found: State = {}
    async for key in redis.scan_iter(count=1_000):
        match await redis.type(key):
            case b"hash":
                fields = await _ask(redis, "HGETALL", key)
                if key == keys.meta(SHARD).encode():
                    # What PostgreSQL has is noted between the commands, not by them.
                    fields = {name: fields.get(name) for name in _OWN_FIELDS}
                found[key] = fields
            case b"set":
                found[key] = await _ask(redis, "SMEMBERS", key)
            case b"zset":
                found[key] = await _ask(redis, "ZRANGE", key, 0, -1, "WITHSCORES")
            case _:
                found[key] = await _ask(redis, "XRANGE", key, "-", "+")
    return found


def _statuses(state: State) -> dict[str, str]:
    """Return the status of each booking that a state has."""
    return {
        booking_id.decode(): unmarked(row).split()[0].decode()
        for key, content in state.items()
        if key.endswith(b":bookings")
        for booking_id, row in content.items()
        if booking_id != keys.MARK.encode()
    }


async def _ask(redis: Redis, *words: Any) -> Any:
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]
