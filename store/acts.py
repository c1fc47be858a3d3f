"""
Acts: the log of what staff, organizers, admins and operators did; and the hash of each of its days.

Rows are only ever added: no role may change or delete one (`store.roles`). A day's hash is made of
its rows and of the hash of the day before, once nobody can add to the day, and is logged by whoever
makes it: with any later hash at hand, a row that was changed, added or taken out is noticed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import asyncpg

from engine.records import CheckedIn, CheckInUndone, ScanRefused, TicketChange
from store.sql import Executor, columns, query
from store.tenants import Connection

#: What is kept of an act's before and after, as JSON, in bytes.
JSON_BYTES_MAX = 65_536
WHY_CHARS_MAX = 1_000
ROWS_PER_READ = 2_000
#: Days that one call seals at most; the next goes on.
DAYS_MAX = 400
#: Behind all ids.
ID_MAX = 2**63 - 1
_NO_DAY = dt.date(1, 1, 1)
#: A gate that is none (`engine.records`).
_NO_GATE = "-"

_ACTS_OF_SCANS: Mapping[type, str] = {
    CheckedIn: "ticket.check_in",
    CheckInUndone: "ticket.undo",
    ScanRefused: "ticket.scan_refused",
}


class Actor(NamedTuple):
    """Who acts, and from where."""

    #: Id of an account, or `operator:<name>`.
    id: str
    role: str
    organizer_id: str | None = None
    #: The network of the address, in short form; or the host.
    origin: str = ""
    request_id: str = ""


class ActRow(NamedTuple):
    """One row; `outcome` is intended, done, refused or unknown, `before` and `after` JSON text."""

    id: int
    at: dt.datetime
    actor: str
    role: str
    organizer_id: str | None
    act: str
    subject: str
    outcome: str
    intent_id: int | None
    before: str | None
    after: str | None
    why: str
    origin: str
    request_id: str


class Sealed(NamedTuple):
    """A day's hash."""

    day: dt.date
    rows: int
    before: str
    hash: str


class Verdict(NamedTuple):
    """What became of the look at the hashes."""

    days: int
    rows: int
    #: The last day that agrees.
    last: Sealed | None
    #: What does not agree, each as a sentence.
    faults: list[str]


async def add(
    database: Executor,
    actor: Actor,
    act: str,
    subject: str,
    *,
    outcome: str = "done",
    intent_id: int | None = None,
    before: object = None,
    after: object = None,
    why: str = "",
) -> int:
    """
    Note an act; to be called within the transaction that does it, if PostgreSQL does it.

    Args:
        act: What was done, as `event.close`.

        subject: Id of what it was done to.

        before, after: What was changed, JSON; never a name, an address or a secret.
    """
    own_id: int = await database.fetchval(
        query("insert_act"),
        actor.id[:100],
        actor.role[:40],
        actor.organizer_id,
        act,
        subject[:200],
        outcome,
        intent_id,
        _json(before),
        _json(after),
        why.replace("\0", "")[:WHY_CHARS_MAX],
        actor.origin[:100],
        actor.request_id[:64],
    )
    return own_id


async def add_scans(
    connection: asyncpg.Connection,
    shard: int,
    epoch: int,
    changes: Sequence[tuple[int, TicketChange]],
) -> None:
    """Note the scans of a batch, given with their seqs, in the ledger's transaction."""
    rows = [
        (
            record.by or "?",
            _ACTS_OF_SCANS[type(record)],
            record.ticket_id,
            json.dumps(
                {"event_id": record.event_id, "scan_id": record.scan_id, "at_ms": record.at_ms}
            ),
            f"gate {record.gate}" if record.gate != _NO_GATE else "",
            seq,
        )
        for seq, record in changes
        if type(record) in _ACTS_OF_SCANS
    ]
    if rows:
        await connection.execute(query("insert_scan_acts"), shard, epoch, *columns(rows))


async def page(
    database: Executor,
    *,
    before_id: int,
    actor: str | None = None,
    subject: str | None = None,
    act: str | None = None,
    limit: int,
) -> list[ActRow]:
    """Return a page of acts, the newest first; None stands for any."""
    rows = await database.fetch(query("acts_page"), before_id, actor, subject, act, limit)
    return [ActRow(**row) for row in rows]


async def seal(connection: Connection, *, days_max: int = DAYS_MAX) -> list[Sealed]:
    """
    Give a hash to every day that is over and has none; return those of this call.

    Idempotency: who comes second changes nothing.
    Cost: nothing but one look while no day is over; then the rows of the day are read. Acts wait
    for the moment in which nobody else's is under way.
    """
    if not await connection.fetch(query("days_to_seal"), 1):
        return []
    async with connection.transaction():
        await connection.execute(query("lock_acts"))
    made = []
    for row in await connection.fetch(query("days_to_seal"), days_max):
        day: dt.date = row["day"]
        before = await connection.fetchval(query("hash_of_day"), day - dt.timedelta(days=1)) or ""
        rows, digest = await _hash(connection, day, before)
        if await connection.fetchval(query("insert_act_day"), day, rows, before, digest):
            made.append(Sealed(day, rows, before, digest))
    return made


async def unsealed(database: Executor) -> list[dt.date]:
    """Return days that are over, have acts, and have no hash; at most `DAYS_MAX`."""
    return [row["day"] for row in await database.fetch(query("unsealed_days"), DAYS_MAX)]


async def verify(connection: Connection, known: Mapping[dt.date, str] | None = None) -> Verdict:
    """
    Compare every day's hash with its rows, each with the day before, and all with the *known* ones.

    Args:
        known: Hashes that were kept elsewhere, such as in the log, by day.
    """
    pruned = await connection.fetchval(query("acts_pruned_until")) or ""
    faults: list[str] = []
    days = total = 0
    last: Sealed | None = None
    wanted = dict(known or {})
    while True:
        start = last.day if last else _NO_DAY
        found = [Sealed(*row) for row in await connection.fetch(query("sealed_days"), start, 100)]
        for one in found:
            if last is not None and (one.day - last.day).days != 1:
                faults.append(f"{last.day} to {one.day}: days between have no hash any more")
            elif last is not None and one.before != last.hash:
                faults.append(f"{one.day}: does not continue the hash of the day before")
            rows, digest = await _hash(connection, one.day, one.before)
            is_pruned = str(one.day) <= pruned  # Perhaps not all of it yet.
            if not is_pruned and (rows, digest) != (one.rows, one.hash):
                faults.append(f"{one.day}: {rows} rows are not the {one.rows} that were hashed")
            if one.day in wanted and wanted.pop(one.day) != one.hash:
                faults.append(f"{one.day}: its hash is not the one that was kept elsewhere")
            days, total, last = days + 1, total + rows, one
        if not found:
            break
    faults += [f"{day}: has no hash, and one was kept elsewhere" for day in wanted]
    faults += [
        f"{day}: is over and has no hash"
        for day in await unsealed(connection)
        if last is None or day < last.day
    ]
    return Verdict(days, total, last, faults)


async def _hash(connection: Connection, day: dt.date, before: str) -> tuple[int, str]:
    """Return the number of a day's rows, and their hash behind that of the day before."""
    digest = sha256(f"{day} {before}\n".encode())
    count, last_id = 0, 0
    while True:
        rows = await connection.fetch(query("acts_of_day"), day, last_id, ROWS_PER_READ)
        for row in rows:
            # A list, so that no value can take another's place.
            digest.update(json.dumps(list(row), ensure_ascii=True, separators=(",", ":")).encode())
            digest.update(b"\n")
        count += len(rows)
        if len(rows) < ROWS_PER_READ:
            return count, digest.hexdigest()
        last_id = rows[-1]["id"]


def _json(value: object) -> str | None:
    """Write what is kept with an act; what is too long is left out, and its size told."""
    if value is None:
        return None
    raw = json.dumps(value, ensure_ascii=False, default=_plain).encode(errors="replace")
    # PostgreSQL keeps no NUL; half, since its own way of writing JSON may be a little longer.
    if len(raw) > JSON_BYTES_MAX // 2 or b"\\u0000" in raw:
        return json.dumps({"left_out_bytes": len(raw)})
    return raw.decode()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)
