"""Faults of Redis: its scripts, keys, journal, memory, disk, log, data, clock and rank."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

from engine import keys
from evently.embedded import ValkeyServer
from evently.embedded.valkey import LOG_FOLDER
from evently.ports import free_port
from loadtests import harm
from loadtests.server import LOOPBACK, send

if TYPE_CHECKING:
    from loadtests.chaos.nemesis import Fault, Nemesis

MIB = 1024 * 1024
CUT_BYTES_MAX = 20_000
HOUR_S = 3_600.0
#: How long the persister sleeps before the journal is shortened, so that something is lost with it.
PERSISTER_SLEEP_S = 0.4
#: Beyond every record that a journal will ever have.
LAST_SEQ = 2**60
#: Records by which the checkpoint is moved.
CHECKPOINT_RECORDS = 20
#: A port of ours at which nobody listens.
NOBODY = 1
#: Longest time in which a replica has copied an empty server.
COPY_TIMEOUT_S = 5.0
_CHECKPOINT = """
UPDATE shard_checkpoint SET last_seq = greatest(0, last_seq + $2)
WHERE shard = $1 AND epoch = (SELECT max(epoch) FROM shard_checkpoint WHERE shard = $1)
"""


def _one(nemesis: Nemesis, fault: Fault) -> str:
    """Return the name of the server that is struck."""
    names = nemesis.site.names
    return names[fault.number % len(names)]


async def _shard(nemesis: Nemesis, fault: Fault) -> tuple[int, str]:
    """Return the shard that is struck, and the name of its server."""
    homes = sorted((await nemesis.site.homes()).items())
    return random.Random(fault.number).choice(homes)


async def flush_scripts(nemesis: Nemesis, fault: Fault) -> None:
    """Forget all scripts (F15)."""
    await nemesis.site.redis_of(_one(nemesis, fault)).script_flush("SYNC")


async def flush_all(nemesis: Nemesis, fault: Fault) -> None:
    """Delete every key (F13)."""
    await nemesis.site.redis_of(_one(nemesis, fault)).flushall()


async def lose_key(nemesis: Nemesis, fault: Fault) -> None:
    """Delete one key of an event, as an eviction policy or a hand does (F45)."""
    choices = random.Random(fault.number)
    shard, home = await _shard(nemesis, fault)
    redis = nemesis.site.redis_of(home)
    found: Any = await redis.smembers(keys.events(shard))
    events = sorted(event_id.decode() for event_id in found)
    if events:
        key = getattr(keys.event(shard, choices.choice(events)), fault.target)
        nemesis.note(f"deleted {key}: {await redis.delete(key)}")


async def shorten_journal(nemesis: Nemesis, fault: Fault) -> None:
    """Take what PostgreSQL does not have yet out of the journal, by XTRIM or DEL."""
    shard, home = await _shard(nemesis, fault)
    redis = nemesis.site.redis_of(home)
    pids = nemesis.site.send("persister", signal.SIGSTOP)
    try:
        await asyncio.sleep(PERSISTER_SLEEP_S)
        epoch = int(await redis.hget(keys.meta(shard), "epoch") or 0)
        journal = keys.journal(shard, epoch)
        if fault.number % 2:
            gone: Any = await redis.delete(journal)
        else:
            gone = await redis.xtrim(journal, minid=f"{LAST_SEQ}-1", approximate=False)
        nemesis.note(f"took {gone} off {journal}")
    finally:
        send(pids, signal.SIGCONT)


async def edit_checkpoint(nemesis: Nemesis, fault: Fault) -> None:
    """Move PostgreSQL's checkpoint by hand, back or ahead."""
    shard, _ = await _shard(nemesis, fault)
    by = CHECKPOINT_RECORDS if fault.target.endswith("ahead") else -CHECKPOINT_RECORDS
    database = await nemesis.site.database()
    try:
        nemesis.note(f"shard {shard}: {await database.execute(_CHECKPOINT, shard, by)} by {by}")
    finally:
        await database.close(timeout=5)


async def fill_memory(nemesis: Nemesis, fault: Fault) -> None:
    """Let Redis have no more memory than it uses (F16)."""
    name = _one(nemesis, fault)
    redis = nemesis.site.redis_of(name)
    config: Any = await redis.config_get("maxmemory")
    nemesis.memory_max.setdefault(name, config["maxmemory"])
    memory: Any = await redis.info("memory")
    await redis.config_set("maxmemory", max(1, int(memory["used_memory"]) - MIB))
    await asyncio.sleep(fault.duration_s)
    await nemesis.restore_memory()


async def fill_disk(nemesis: Nemesis, fault: Fault) -> None:
    """Let Redis's files grow by some bytes more: it dies at a write that does not fit (F18)."""
    name = _one(nemesis, fault)
    folder = nemesis.site.redis_folder(name) / LOG_FOLDER
    sizes = [path.stat().st_size for path in folder.glob("*.incr.aof")]
    for pid in nemesis.site.redis_pids(name):
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        limit = max(sizes, default=0) + fault.number % 3_000
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
    await asyncio.sleep(fault.duration_s)


async def cut_log(nemesis: Nemesis, fault: Fault) -> None:
    """Kill Redis and cut the tail of its log: a disk that lied about fsync (F5)."""
    with nemesis.site.redis_down(_one(nemesis, fault)) as folder:
        log = harm.newest_log(folder)
        size = log.stat().st_size
        cut = min(size, 1 + fault.number % CUT_BYTES_MAX)
        os.truncate(log, size - cut)
        nemesis.note(f"cut {cut} of {size} bytes off {log.name}")


async def wipe_redis(nemesis: Nemesis, fault: Fault) -> None:
    """Kill Redis and delete what it has on disk: it comes back empty (F6)."""
    with nemesis.site.redis_down(_one(nemesis, fault)) as folder:
        shutil.rmtree(folder / LOG_FOLDER)


async def move_clock(nemesis: Nemesis, fault: Fault) -> None:
    """Set Redis's clock an hour back or ahead while it runs, and right again (F34)."""
    pair = nemesis.site.pair
    assert pair is not None, "the site of this fault is wide"
    clock = pair.servers[_one(nemesis, fault)].clock
    if clock is None:
        nemesis.note("skipped: this machine has no compiler, so that clocks cannot be moved")
        return
    clock.set(-HOUR_S if fault.target == "back" else HOUR_S)
    await asyncio.sleep(fault.duration_s)
    clock.set(0)


async def demote(nemesis: Nemesis, fault: Fault) -> None:
    """Make Redis a replica of nobody who answers, and a master again: it keeps its data (F12)."""
    redis = nemesis.site.redis_of(_one(nemesis, fault))
    await redis.replicaof(LOOPBACK, NOBODY)
    await asyncio.sleep(fault.duration_s)
    await redis.replicaof("NO", "ONE")


async def demote_below(nemesis: Nemesis, fault: Fault) -> None:
    """Make Redis a replica of an empty one, which it copies, and a master again (F12, F14)."""
    site, port = nemesis.site, free_port()
    folder = site.server.data_path.with_name(f"stranger-{port}")
    stranger = ValkeyServer(folder, port=port)
    stranger.start()
    redis = site.redis_of(_one(nemesis, fault))
    try:
        await redis.replicaof(LOOPBACK, port)
        # No timeout around it: redis-py may swallow what ends it.
        deadline_s = time.monotonic() + COPY_TIMEOUT_S
        has_copied = False
        while not has_copied and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
            has_copied = (await redis.info("replication")).get("master_link_status") == "up"
        nemesis.note("copied an empty server" if has_copied else "copied nothing in time")
        await asyncio.sleep(fault.duration_s)
    finally:
        with contextlib.suppress(*nemesis.away):
            await redis.replicaof("NO", "ONE")
        stranger.kill()
