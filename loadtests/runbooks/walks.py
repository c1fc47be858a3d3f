"""
The walks: for each runbook the fault that it is for, made in an Evently that sells.

A walk makes its fault, does what the document says (`Scene.do_next`, `Scene.judge` does the rest),
and looks at what the runbook promises besides. A new runbook gets a walk in `WALKS`; how a fault is
cured is the document's alone, so that a walk stays as it is when a cure changes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from engine import keys
from engine.records import Booked, decode, encode
from evently.embedded import ValkeyServer
from evently.ports import free_port
from loadtests import harm
from loadtests.runbooks import servers
from loadtests.runbooks.document import Block
from loadtests.runbooks.scene import Scene, WalkFailed
from loadtests.server import send
from store import journal, redo

SHARD = 0
#: How long a server is away that comes back by itself.
AWAY_S = 6.0


class Walk(NamedTuple):
    """One way through a runbook."""

    name: str
    #: The runbook's heading.
    section: str
    act: Callable[[Scene], Awaitable[None]]
    settings: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    #: Runs on two servers of its own, `a` and `b`, in place of the embedded one.
    has_own_servers: bool = False


# Redis lost.


async def redis_deleted(scene: Scene) -> None:
    """Redis is killed in mid-sale and its folder deleted."""
    await scene.sell(30)
    with harm.redis_down(scene.server) as folder:
        harm.delete_data(folder)
    await scene.judge()


async def log_damaged(scene: Scene) -> None:
    """A command in the middle of the log is no command any more."""
    damage_log(scene)
    await scene.until_said("server_start_failed")
    await scene.judge()


async def log_aside(scene: Scene) -> None:
    """The same, and the log is given up."""
    damage_log(scene)
    await scene.until_said("server_start_failed")
    await scene.judge()


def damage_log(scene: Scene) -> None:
    """Kill Redis and put a letter where a length must be."""
    with harm.redis_down(scene.server) as folder:
        log = harm.newest_log(folder)
        raw = bytearray(log.read_bytes())
        raw[raw.index(b"\r\n$", len(raw) // 2) + 2] = ord("?")
        log.write_bytes(raw)


async def log_cut(scene: Scene) -> None:
    """The log loses its end while Redis runs; after the cure a restart finds everything."""
    harm.cut_tail(scene.server.data_path / "redis", tail_bytes=700)
    await scene.sell(10)
    await scene.do_next()
    with harm.redis_down(scene.server):
        pass
    await scene.judge()


# Events.


async def event_damaged(scene: Scene) -> None:
    """A key of the event is deleted; it is rebuilt while the document's commands look."""
    async with scene.redis() as redis:
        await redis.delete(keys.event(SHARD, scene.values["EVENT"]).persons)
    await scene.until_said("event_rebuilt")
    await scene.judge()


# PostgreSQL.


async def postgres_away(scene: Scene) -> None:
    """PostgreSQL is gone for a while; sales go on, and the log says so once."""
    with scene.server.supervisor_stopped():
        kill_postgres(scene)
        await scene.sell(20)
        await asyncio.sleep(AWAY_S)
        code, output = await scene.run("reconciler explain $EVENT")
        if code != 2 or len(output.splitlines()) != 1:
            raise WalkFailed(f"`explain` says {code}, {output!r} while PostgreSQL is away")
        await scene.sell(5)
    await scene.until_said("database_back")
    for action in ("database_away", "database_back"):
        count = scene.server.log_text().count(action)
        if count != 1:
            raise WalkFailed(f"the log says {action} {count} times")
    await scene.judge()


def kill_postgres(scene: Scene) -> None:
    """Kill PostgreSQL with all its backends, as a power cut would."""
    pids = scene.server.pids("postgres")
    for number in (signal.SIGSTOP, signal.SIGKILL):
        send(pids, number)


async def back_in_time(scene: Scene) -> None:
    """PostgreSQL comes back as it was before the last bookings, whose records Redis dropped."""
    data = postgres_data(scene)
    copy = scene.folder / "copy"
    await exchange(scene, lambda: subprocess.run(["cp", "-a", data, copy], check=True))
    await scene.drain()
    await scene.sell(30)
    await scene.drain()
    await scene.until("the journal was trimmed", lambda: is_trimmed(scene))

    def go_back() -> None:
        shutil.rmtree(data)
        subprocess.run(["cp", "-a", copy, data], check=True)

    await exchange(scene, go_back)
    await scene.until_frozen()
    await scene.judge()


async def exchange(scene: Scene, act: Callable[[], object]) -> None:
    """Stop PostgreSQL in order, do something to its files, and let it be started again."""
    with scene.server.supervisor_stopped():
        oldest = scene.server.pids("postgres")[:1]
        send(oldest, signal.SIGINT)
        while scene.server.pids("postgres"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.to_thread(act)


def postgres_data(scene: Scene) -> Path:
    """Return the folder of PostgreSQL's files."""
    note = scene.server.data_path / "postgres.place"
    home = Path(note.read_text().strip()) if note.exists() else scene.server.data_path / "postgres"
    return home / "data"


async def is_trimmed(scene: Scene) -> bool:
    """Tell whether Redis has dropped all that PostgreSQL had."""
    async with scene.redis() as redis:
        seq, trimmed = await redis.hmget(keys.meta(SHARD), ["seq", "trimmed_seq"])
        if int(trimmed or 0) < int(seq or 0):
            await scene.sell(1)  # The persister trims when it has something to note.
            return False
        return True


async def lag(scene: Scene) -> None:
    """The persister stands still for a while, and sales go on."""
    pids = scene.server.pids("persister")
    send(pids, signal.SIGSTOP)
    try:
        await scene.sell(20)
        await scene.do_all()
    finally:
        send(pids, signal.SIGCONT)
    await scene.judge()


# The stores disagree.


async def drift(scene: Scene) -> None:
    """A hand has changed a counter in Redis."""
    async with scene.redis() as redis:
        stock = keys.event(SHARD, scene.values["EVENT"]).stock
        await redis.hincrby(stock, "1.available", 3)
    await scene.judge()


async def records_lost(scene: Scene) -> None:
    """Records are deleted from the journal before PostgreSQL had them, and no worker remembers."""
    if await lose_records(scene):
        await scene.do_all()
    await scene.judge()


async def given_up(scene: Scene) -> None:
    """The same, and what only Redis had is given up."""
    if await lose_records(scene):
        await scene.do_all()
    else:
        scene.skip("the coordinator had cured it by itself")
    await scene.judge(may_lose=True)


async def lose_records(scene: Scene) -> bool:
    """Delete records that only Redis and the buyers have; tell whether the shard is frozen."""
    persisters = scene.server.pids("persister")
    send(persisters, signal.SIGSTOP)
    for _ in range(5):  # One after the other: each is an entry of its own.
        await scene.sell(1)
    workers = scene.server.pids("api")
    send(workers, signal.SIGSTOP)  # What they remember ends with them.
    async with scene.redis() as redis:
        epoch = int(await redis.hget(keys.meta(SHARD), "epoch") or 0)
        name = keys.journal(SHARD, epoch)
        # As a hand with XTRIM does: all that PostgreSQL lacks, but for the last.
        last: Any = await redis.xrevrange(name, count=5)
        await redis.xdel(name, *(entry for entry, _ in last[1:]))
    send(workers, signal.SIGKILL)
    send(persisters, signal.SIGCONT)
    return await scene.settles(epoch)


async def violations_left(scene: Scene) -> None:
    """Somebody has written a booking into PostgreSQL by hand: no repair knows whose it is."""
    event_id = scene.values["EVENT"]
    stray = f"bk_{event_id[4:]}"
    async with scene.database() as database:
        await database.execute(
            "INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard,"
            " epoch, seq, created_at, fingerprint)"
            " VALUES ($1, $2, 'usr_x', 'confirmed', 1, 0, $3, 1, 1, now(), 'f')",
            stray,
            event_id,
            SHARD,
        )
    code, output = await scene.run("reconciler repair --apply")
    if code != 1:
        raise WalkFailed(f"a repair of what nobody can repair says {code}:\n{output}")
    await scene.do_next()
    async with scene.database() as database:
        await database.execute("DELETE FROM bookings WHERE id = $1", stray)
    await scene.judge()


async def quarantine(scene: Scene) -> None:
    """PostgreSQL refuses a record for a while."""
    async with scene.database() as database:
        await database.execute(
            "ALTER TABLE bookings ADD CONSTRAINT poison CHECK (total_minor < 0) NOT VALID"
        )
        try:
            await scene.sell(1)
            await scene.until_frozen()
        finally:
            await database.execute("ALTER TABLE bookings DROP CONSTRAINT poison")
    await scene.do_next()
    _, output = await scene.run("reconciler quarantine list --json")
    [row] = json.loads(output)["quarantine"]
    file = scene.folder / "record.json"
    file.write_text(row["record"][8:])
    scene.values |= {"EPOCH": str(row["epoch"]), "SEQ": str(row["seq"]), "FILE": str(file)}
    await scene.judge()


async def conflict(scene: Scene) -> None:
    """A worker remembers another booking at a place of the journal."""
    epoch = (await scene.reign()).epoch
    async with scene.database() as database:
        records = await journal.records(
            database, shard=SHARD, epoch=epoch, first_seq=1, last_seq=1_000
        )
        seq, booked = next(
            (seq, record)
            for seq, text in sorted(records.items())
            if isinstance(record := decode(text.encode()), Booked)
        )
        other = msgspec.structs.replace(booked, booking_id=booked.booking_id[:-4] + "0000")
        row = redo.Row(epoch, seq, encode(other).decode())
        await redo.write(database, shard=SHARD, worker="another", rows=[row])
    await scene.settles(epoch)
    scene.values |= {"EPOCH": str(epoch), "SEQ": str(seq)}
    await scene.judge()


async def admin_reset(scene: Scene) -> None:
    """The new password lets in, and the old one does no more."""
    told = scene.server.data_path / "admin.password"
    old = told.read_text().strip()
    await scene.do_next()
    new = told.read_text().strip()
    email = scene.server.settings.admin_email
    async with aiohttp.ClientSession(scene.server.base_url) as session:
        statuses = []
        for password in (old, new):
            words = {"email": email, "password": password}
            async with session.post("/v1/auth/login", json=words) as response:
                statuses.append(response.status)
    if old == new or statuses != [401, 200]:
        raise WalkFailed(f"old and new password get {statuses}")
    await scene.judge()


async def admin_add(scene: Scene) -> None:
    """The new account logs in, and may do what admins do."""
    email = "operator@evently.localhost"
    scene.values["EMAIL"] = email
    await scene.do_next()
    password = (scene.server.data_path / "admin.password").read_text().strip()
    words = {"email": email, "password": password}
    async with aiohttp.ClientSession(scene.server.base_url) as session:
        async with session.post("/v1/auth/login", json=words) as response:
            token = (await response.json()).get("access_token")
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get("/v1/admin/users", headers=headers) as response:
            if response.status != 200:
                raise WalkFailed(f"the new admin gets {response.status}")
    await scene.judge()


@asynccontextmanager
async def staged(walk: Walk, folder: Path, blocks: list[Block]) -> AsyncIterator[Scene]:
    """Open the scene of a walk, and take all of it down in the end."""
    pair: tuple[ValkeyServer, ...] = ()
    settings = dict(walk.settings)
    if walk.has_own_servers:
        pair = tuple(ValkeyServer(folder / name, port=free_port()) for name in "ab")
        for name, server in zip("ab", pair, strict=True):
            server.start()
            # An address that can be given to another server, as a failover does.
            (folder / f"{name}.sock").symlink_to(server.socket_path)
        settings["redis_url"] = ",".join(f"{name}=unix://{folder}/{name}.sock" for name in "ab")
    scene = Scene(folder, blocks, **settings)
    scene.own_servers = pair
    try:
        await scene.open()
        yield scene
    finally:
        try:
            await scene.server.stop()
        finally:
            for server in pair:
                server.kill()


WALKS = (
    Walk("redis-deleted", "Redis lost", redis_deleted),
    Walk("log-damaged", "Redis lost", log_damaged),
    Walk("log-aside", "Redis lost", log_aside),
    Walk("log-cut", "Redis lost", log_cut),
    Walk("event-damaged", "An event is damaged", event_damaged),
    Walk("postgres-away", "PostgreSQL lost", postgres_away),
    Walk("back-in-time", "PostgreSQL lost", back_in_time, {"journal_retention_s": 0}),
    Walk("lag", "Lag", lag),
    Walk("drift", "Drift", drift),
    Walk("records-lost", "Frozen shard", records_lost),
    Walk("given-up", "Frozen shard", given_up),
    Walk("violations-left", "Frozen shard", violations_left),
    Walk("quarantine", "A record is in quarantine", quarantine),
    Walk("conflict", "A record is in conflict", conflict),
    Walk("failover", "Failover", servers.failover, has_own_servers=True),
    Walk("move", "A shard moves", servers.move, has_own_servers=True),
    Walk("shards-add", "A shard moves", servers.shards_add, has_own_servers=True),
    Walk("server-gone", "A shard moves", servers.server_gone, has_own_servers=True),
    Walk("admin-add", "There is no admin", admin_add),
    Walk("admin-reset", "The admin's password is lost", admin_reset),
)
