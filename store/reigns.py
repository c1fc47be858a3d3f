"""
Reigns: who may act on a shard, and under which epoch, as rows of `shard_epoch`.

Every step is a compare-and-set, so that of any number of coordinators at most one gets on (F41).
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from engine.homes import ONLY_SERVER
from engine.records import VERSIONS
from store.ledger import LedgerError
from store.sql import Executor, query

#: Time a claim lasts unless it is renewed; another coordinator may take the shard after it, or at
#: once when the claimant's session is gone. Safety never rests on either: whoever lost the claim
#: can change nothing (F41).
CLAIM_LEASE = dt.timedelta(seconds=10)
#: How the name of a claimant begins that has a lock for as long as its session lives.
SESSION = "session:"

#: Sets of scripts that a reign knows: of the code that opened it, and of what ran before or beside.
SETS_KEPT = 3


class ReignRow(NamedTuple):
    """A shard's row: `state` is recovering, open or frozen."""

    epoch: int
    state: str
    nonce: str
    redis_run_id: str
    redis_replid: str
    #: The last record that a fenced worker had seen acknowledged; 0 if none has said.
    seen_seq: int
    #: Whether the ledger got records from workers since the shard was last opened.
    has_merged: bool
    reason: str
    #: Of the records that the reign's scripts write.
    records_version: int = 1
    #: Name of the server that the shard lives on; empty if it was opened before homes had names.
    home: str = ""


class ShardRow(NamedTuple):
    """One of the shards that there are."""

    shard: int
    #: 0 while nobody has opened it.
    epoch: int
    state: str
    home: str
    #: Whether it takes only events that are put there by hand.
    is_reserved: bool


class Move(NamedTuple):
    """A change of home."""

    came_from: str
    to: str
    #: Why a human says that the old home is gone, where it cannot be fenced; else empty.
    said_gone: str = ""


class NoShard(LedgerError):
    """There is no shard of that number."""


class ReaderTooOld(LedgerError):
    """The shard's records are of a version that this code cannot read: newer code must run."""


async def read(database: Executor, shard: int) -> ReignRow | None:
    """
    Return the shard's row, or None if no coordinator has ever claimed it.

    Raises:
        ReaderTooOld: see its docstring.
    """
    found = await database.fetchrow(query("read_reign"), shard)
    if found is None:
        return None
    row = ReignRow(**found)
    if row.records_version > VERSIONS[-1]:
        raise ReaderTooOld(
            f"shard {shard} has records of version {row.records_version}, this code reads up to "
            f"{VERSIONS[-1]}"
        )
    return row


async def shards(database: Executor) -> list[ShardRow]:
    """Return all shards that there are, opened or not, by number."""
    return [ShardRow(**row) for row in await database.fetch(query("shards"))]


async def changes(database: Executor) -> dict[int, tuple[str, dt.datetime]]:
    """Return by shard why its row is as it is, if that is told, and since when."""
    rows = await database.fetch(query("reign_changes"))
    return {row["shard"]: (row["reason"], row["changed_at"]) for row in rows}


async def since(database: Executor) -> tuple[bool, dt.datetime] | None:
    """Return whether all shards are open, and since when; None while there is none."""
    row = await database.fetchrow(query("sale_since"))
    return None if row is None or row["since"] is None else (row["is_open"], row["since"])


async def begin(database: Executor, count: int, servers: Sequence[str]) -> bool:
    """
    Say which shards a new deployment has; False if there are shards already.

    Args:
        count: How many.

        servers: Names that they live on by turns.
    """
    numbers = range(count)
    homes = [servers[number % len(servers)] for number in numbers]
    return bool(await database.fetch(query("begin_shards"), list(numbers), homes))


async def add(database: Executor, home: str, *, is_reserved: bool) -> int | None:
    """Add a shard that lives at *home*; return its number, None if another command was faster."""
    number: int | None = await database.fetchval(query("add_shard"), home, is_reserved)
    return number


async def home_of(database: Executor, shard: int, servers: Sequence[str]) -> str:
    """
    Return the name of the server that a shard lives on, and write it down if nobody has.

    Before homes had names, shard *n* lived on number *n* modulo the length of the list.

    Args:
        servers: Names of all servers, in the order of the list.

    Raises:
        NoShard: there is no such shard.
    """
    home: str | None = await database.fetchval(query("home_of"), shard)
    if home is None:
        raise NoShard(f"there is no shard {shard}")
    if not home:
        await database.fetchval(query("name_home"), shard, servers[shard % len(servers)])
        home = await database.fetchval(query("home_of"), shard)
    assert home, "it was written down, here or by somebody else"
    return home


async def set_records_version(database: Executor, shard: int, version: int) -> bool:
    """
    Say of which version records shall be written; False if there is no such shard.

    The coordinator begins a new reign for it, with scripts that write so.
    """
    return await database.fetchval(query("set_records_version"), shard, version) is not None


async def keep_scripts(database: Executor, texts: Mapping[str, str], *, layout: int) -> None:
    """
    Keep the texts of the scripts of this code, so that coordinators of other code load them too.

    Idempotency: the same texts are kept once; it is noted when they were last loaded.

    Args:
        texts: As `engine.scripts.source` has them.

        layout: Version of the keys that they write.
    """
    text = json.dumps(texts, sort_keys=True)
    digest = sha256(text.encode()).hexdigest()
    await database.execute(query("keep_scripts"), digest, layout, VERSIONS[-1], text)


async def kept_scripts(database: Executor, *, layout: int, version: int) -> list[str]:
    """
    Return the texts of the scripts of the last sets that were kept, each once.

    Args:
        layout, version: Only of sets that know these keys and can write such records.
    """
    rows = await database.fetch(query("kept_scripts"), layout, version, SETS_KEPT)
    return sorted({text for row in rows for text in json.loads(row["texts"]).values()})


async def horizon(database: Executor, shard: int, epoch: int) -> tuple[int, bool]:
    """Return the last record that PostgreSQL has of *epoch* (-1: none), and whether it reigns."""
    row = await database.fetchrow(query("horizon"), shard, epoch)
    assert row is not None, "the query always returns one row"
    return row["last_seq"], row["is_open"]


def make_holder(kind: str) -> str:
    """Make the unique name of a recovery that claims over a connection of its own."""
    return f"{SESSION}{kind}-{secrets.token_hex(8)}"


async def claim(
    database: Executor,
    shard: int,
    *,
    seen: ReignRow | None,
    holder: str,
    nonce: str,
    home: str = ONLY_SERVER,
) -> int | None:
    """
    Claim the shard for recovery.

    Args:
        seen: The row on which the decision to claim rests.

        holder: Unique name of this recovery; one that `make_holder` made is bound to the session,
            so *database* must be the connection that the recovery works over, no pool.

        nonce: Marks the scripts of the reign to come.

        home: Where the claimant takes the shard to live; a claim that is wrong about it fails, so
            that no other server is opened (I20).

    Returns:
        The new epoch, or None if another coordinator was faster, or the shard lives elsewhere.
    """
    if seen is None:
        epoch: int | None = await database.fetchval(
            query("first_claim"), shard, holder, CLAIM_LEASE, nonce, home
        )
    else:
        epoch = await database.fetchval(
            query("claim"), shard, seen.epoch, holder, CLAIM_LEASE, nonce, home
        )
    return epoch


async def move_home(database: Executor, shard: int, move: Move, *, epoch: int, holder: str) -> bool:
    """Let the shard live at another server; False if the claim was lost meanwhile (I21)."""
    words = (epoch, holder, move.to, move.came_from, move.said_gone)
    return await database.fetchval(query("move_home"), shard, *words) is not None


async def publish_open(
    database: Executor, shard: int, *, epoch: int, holder: str, redis_run_id: str, redis_replid: str
) -> bool:
    """Publish the shard as open; False if the claim was lost meanwhile."""
    row = await database.fetchval(
        query("open_reign"), shard, epoch, holder, redis_run_id, redis_replid
    )
    return row is not None


async def note_seen(
    database: Executor, shard: int, *, epoch: int, seen_seq: int, has_lost: bool
) -> None:
    """
    Say what a worker that was fenced has seen, so that recovery does not open over its loss.

    Idempotency: repeating changes nothing; an epoch that is long over is left alone.

    Args:
        seen_seq: The last record seen acknowledged in *epoch*.

        has_lost: Redis has shown that it has fewer: shut the shard, since it may look well to
            everybody else.
    """
    await database.execute(query("note_seen"), shard, epoch, seen_seq)
    if has_lost:
        reason = f"a worker saw record {seen_seq} acknowledged, and Redis has it no more"
        await database.execute(query("doubt_reign"), shard, epoch, reason)


async def freeze(database: Executor, shard: int, *, epoch: int, holder: str, reason: str) -> bool:
    """Leave the shard shut until a human has looked; False if the claim was lost meanwhile."""
    row = await database.fetchval(query("freeze_reign"), shard, epoch, holder, reason)
    return row is not None


async def renew(database: Executor, shard: int, *, epoch: int, holder: str) -> bool:
    """Keep a claim for another `CLAIM_LEASE`; False if it was lost."""
    row = await database.fetchval(query("renew_claim"), shard, epoch, holder, CLAIM_LEASE)
    return row is not None


async def release(database: Executor, shard: int, *, epoch: int, holder: str) -> None:
    """Give up a claim, so that the next recovery may begin at once; nothing if it was lost."""
    await database.execute(query("release_claim"), shard, epoch, holder)


async def thaw(database: Executor, shard: int) -> bool:
    """Let coordinators try a frozen shard again; False if it is not frozen."""
    return await database.fetchval(query("thaw_reign"), shard) is not None


async def raise_epoch(
    database: Executor, shard: int, *, epoch: int, holder: str, to_epoch: int
) -> bool:
    """Lift a claim to a later epoch (F31); False if the claim was lost meanwhile."""
    row = await database.fetchval(query("raise_epoch"), shard, epoch, holder, to_epoch)
    return row is not None
