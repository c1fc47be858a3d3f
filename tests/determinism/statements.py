"""
What the statements of `store/queries` do to the model of PostgreSQL; `test_models.py` holds them
to the real ones.

Only those that workers, persister and coordinator use. One shard and one event, so neither is part
of a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from engine.records import CHECK_CHARS, Published, decode
from store.reigns import SESSION
from tests.determinism.postgres_server import Lock, Row, Statement, Transaction

Locks = Sequence[tuple[Lock, bool]]
LocksOf = Callable[..., Locks]

EVENT_ID = "evt_1"
REIGN: Lock = ("reign", 0)
STATEMENTS: dict[str, tuple[Statement, LocksOf]] = {}
#: How the records begin that a rebuild reads, behind their checks.
KINDS = tuple(f'{{"kind":"{kind}"' for kind in ("published", "held", "released", "confirmed"))
#: Rows that come by COPY: table -> what writes one.
COPIES: dict[str, Callable[[Transaction, Sequence[Any]], None]] = {}


def _no_locks(*_: Any) -> Locks:
    return ()


def _update_reign(*_: Any) -> Locks:
    return ((REIGN, True),)


def _share_reign(*_: Any) -> Locks:
    return ((REIGN, False),)


def _checkpoint(_shard: int, epoch: int, *_: Any) -> Locks:
    return ((("checkpoint", epoch), True),)


def _bookings(_shard: int, _epoch: int, ids: Sequence[str], *_: Any) -> Locks:
    return tuple((("booking", own_id), True) for own_id in ids)


def _statement(locks_of: LocksOf = _no_locks) -> Callable[[Statement], Statement]:
    def register(function: Statement) -> Statement:
        STATEMENTS[function.__name__] = (function, locks_of)
        return function

    return register


# Reigns.


def _reign(tx: Transaction) -> dict[str, Any] | None:
    row: dict[str, Any] | None = tx.get("reigns", 0)
    return row


def _change_reign(tx: Transaction, row: dict[str, Any], **changes: Any) -> list[Row]:
    tx.put("reigns", 0, {**row, **changes})
    return [Row(epoch=changes.get("epoch", row["epoch"]))]


def _fresh_reign(home: str) -> dict[str, Any]:
    """Return the row of a shard that nobody has opened yet."""
    return {
        "epoch": 0,
        "state": "recovering",
        "holder": "",
        "nonce": "",
        "home": home,
        "is_reserved": False,
        "redis_run_id": "",
        "redis_replid": "",
        "seen_seq": 0,
        "has_merged": False,
        "reason": "",
        "records_version": 2,
    }


@_statement()
def read_reign(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    row = _reign(tx)
    if row is not None and not row["epoch"]:
        return []
    names = (
        "epoch",
        "state",
        "nonce",
        "redis_run_id",
        "redis_replid",
        "seen_seq",
        "has_merged",
        "reason",
        "records_version",
        "home",
    )
    return [] if row is None else [Row(**{name: row[name] for name in names})]


@_statement()
def shards(tx: Transaction, *, now_s: float) -> list[Row]:
    row = _reign(tx)
    if row is None:
        return []
    names = ("epoch", "state", "home", "is_reserved")
    return [Row(shard=0, **{name: row[name] for name in names})]


@_statement()
def home_of(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    row = _reign(tx)
    return [] if row is None else [Row(home=row["home"])]


@_statement(_update_reign)
def begin_shards(
    tx: Transaction, numbers: list[int], homes: list[str], *, now_s: float
) -> list[Row]:
    if _reign(tx) is not None:
        return []
    _change_reign(tx, _fresh_reign(homes[0]), lease_until_s=now_s - 1)
    return [Row(shard=number) for number in numbers]


def _take_name(tx: Transaction, holder: str) -> None:
    if holder.startswith(SESSION):
        tx.take_name(holder)


def _is_worked_at(tx: Transaction, row: dict[str, Any], now_s: float) -> bool:
    """Whether a claim lasts: by its lease, unless its holder's session is gone."""
    is_gone = row["holder"].startswith(SESSION) and tx.is_free(row["holder"])
    return row["lease_until_s"] >= now_s and not is_gone


@_statement(_update_reign)
def first_claim(
    tx: Transaction, _shard: int, holder: str, lease: Any, nonce: str, home: str, *, now_s: float
) -> list[Row]:
    row = _reign(tx) or _fresh_reign(home)
    if (row["epoch"], row["home"]) != (0, home):
        return []
    _take_name(tx, holder)
    return _change_reign(
        tx, row, epoch=1, holder=holder, nonce=nonce, lease_until_s=now_s + lease.total_seconds()
    )


@_statement(_update_reign)
def claim(
    tx: Transaction,
    _shard: int,
    epoch: int,
    holder: str,
    lease: Any,
    nonce: str,
    home: str,
    *,
    now_s: float,
) -> list[Row]:
    row = _reign(tx)
    if (
        row is None
        or (row["epoch"], row["home"]) != (epoch, home)
        or (row["state"] == "recovering" and _is_worked_at(tx, row, now_s))
    ):
        return []
    _take_name(tx, holder)
    return _change_reign(
        tx,
        row,
        epoch=epoch + 1,
        state="recovering",
        holder=holder,
        nonce=nonce,
        reason="",
        lease_until_s=now_s + lease.total_seconds(),
    )


@_statement(_update_reign)
def move_home(
    tx: Transaction,
    _shard: int,
    epoch: int,
    holder: str,
    to: str,
    came_from: str,
    said_gone: str,
    *,
    now_s: float,
) -> list[Row]:
    row = _claimed(tx, epoch, holder)
    if row is None or row["state"] != "recovering":
        return []
    tx.put("moves", epoch, (came_from, to, said_gone))
    return _change_reign(tx, row, home=to, has_merged=True)


def _claimed(tx: Transaction, epoch: int, holder: str) -> dict[str, Any] | None:
    row = _reign(tx)
    if row is None or (row["epoch"], row["holder"]) != (epoch, holder):
        return None
    return row


@_statement(_update_reign)
def open_reign(
    tx: Transaction, _shard: int, epoch: int, holder: str, run_id: str, replid: str, *, now_s: float
) -> list[Row]:
    row = _claimed(tx, epoch, holder)
    if row is None or row["state"] != "recovering":
        return []
    return _change_reign(
        tx,
        row,
        state="open",
        redis_run_id=run_id,
        redis_replid=replid,
        seen_seq=0,
        has_merged=False,
        reason="",
    )


@_statement(_update_reign)
def note_merged(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    row = _reign(tx)
    if row is not None:
        _change_reign(tx, row, has_merged=True)
    return []


@_statement(_update_reign)
def freeze_reign(
    tx: Transaction, _shard: int, epoch: int, holder: str, reason: str, *, now_s: float
) -> list[Row]:
    row = _claimed(tx, epoch, holder)
    return [] if row is None else _change_reign(tx, row, state="frozen", reason=reason)


@_statement(_update_reign)
def note_seen(
    tx: Transaction, _shard: int, epoch: int, seen_seq: int, *, now_s: float
) -> list[Row]:
    row = _reign(tx)
    if row is not None and (
        row["epoch"] == epoch or (row["epoch"] == epoch + 1 and row["state"] == "recovering")
    ):
        _change_reign(tx, row, seen_seq=max(row["seen_seq"], seen_seq))
    return []


@_statement(_update_reign)
def doubt_reign(
    tx: Transaction, _shard: int, epoch: int, reason: str, *, now_s: float
) -> list[Row]:
    row = _reign(tx)
    if row is not None and row["epoch"] == epoch and row["state"] == "open":
        _change_reign(tx, row, state="recovering", lease_until_s=now_s, reason=reason)
    return []


@_statement(_update_reign)
def renew_claim(
    tx: Transaction, _shard: int, epoch: int, holder: str, lease: Any, *, now_s: float
) -> list[Row]:
    row = _claimed(tx, epoch, holder)
    if row is None or row["state"] != "recovering":
        return []
    return _change_reign(tx, row, lease_until_s=now_s + lease.total_seconds())


@_statement(_update_reign)
def release_claim(
    tx: Transaction, _shard: int, epoch: int, holder: str, *, now_s: float
) -> list[Row]:
    row = _claimed(tx, epoch, holder)
    if row is not None and row["state"] == "recovering":
        _change_reign(tx, row, lease_until_s=now_s - 1)
    return []


@_statement(_update_reign)
def freeze_open(
    tx: Transaction, _shard: int, epoch: int, reason: str, *, now_s: float
) -> list[Row]:
    row = _reign(tx)
    if row is not None and row["epoch"] == epoch and row["state"] == "open":
        _change_reign(tx, row, state="frozen", reason=reason)
    return []


@_statement(_share_reign)
def share_reign(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    row = _reign(tx)
    if row is None:
        return []
    return [Row(epoch=row["epoch"], state=row["state"], holder=row["holder"])]


@_statement()
def horizon(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    place, row = tx.get("checkpoints", epoch), _reign(tx)
    is_open = row is not None and (row["epoch"], row["state"]) == (epoch, "open")
    return [Row(last_seq=-1 if place is None else place[0], is_open=is_open)]


# Checkpoints and the journal.


@_statement()
def ensure_checkpoint(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    if tx.get("checkpoints", epoch) is None:
        tx.put("checkpoints", epoch, (0, 0))
    return []


@_statement(_checkpoint)
def lock_checkpoint(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    place = tx.get("checkpoints", epoch)
    return [] if place is None else [Row(last_seq=place[0], bytes=place[1])]


def _end(tx: Transaction, epoch: int) -> int:
    journal: dict[Any, Any] = tx.all("journal")
    return max((last for (its, _), (last, _) in journal.items() if its == epoch), default=0)


@_statement(_checkpoint)
def lock_place(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    place = tx.get("checkpoints", epoch)
    if place is None:
        return []
    return [Row(last_seq=place[0], bytes=place[1], end_seq=_end(tx, epoch))]


@_statement()
def read_place(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    place = tx.get("checkpoints", epoch)
    return [] if place is None else [Row(last_seq=place[0], end_seq=_end(tx, epoch))]


@_statement()
def adopt_checkpoint(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    if tx.get("checkpoints", epoch) is not None or not _end(tx, epoch):
        return []
    tx.put("checkpoints", epoch, (0, 0))
    return [Row(epoch=epoch)]


@_statement()
def places(tx: Transaction, _shard: int, since: int | None, *, now_s: float) -> list[Row]:
    found = tx.all("checkpoints")
    since = max(found, default=0) - 2 if since is None else since
    return [
        Row(
            epoch=epoch,
            last_seq=found[epoch][0],
            end_seq=_end(tx, epoch) if epoch >= since else found[epoch][0],
        )
        for epoch in sorted(found)
    ]


@_statement()
def read_checkpoint(tx: Transaction, _shard: int, epoch: int, *, now_s: float) -> list[Row]:
    place = tx.get("checkpoints", epoch)
    return [] if place is None else [Row(last_seq=place[0])]


@_statement(_checkpoint)
def move_checkpoint(
    tx: Transaction,
    _shard: int,
    epoch: int,
    last_seq: int,
    new_seq: int,
    size: int,
    *,
    now_s: float,
) -> list[Row]:
    place = tx.get("checkpoints", epoch)
    if place is None or place[0] != last_seq:
        return []
    tx.put("checkpoints", epoch, (new_seq, place[1] + size))
    return [Row(bytes=place[1] + size)]


@_statement()
def checkpoints(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    places = tx.all("checkpoints")
    return [Row(epoch=epoch, last_seq=places[epoch][0]) for epoch in sorted(places)]


@_statement()
def insert_journal(
    tx: Transaction,
    _shard: int,
    epoch: int,
    first_seq: int,
    last_seq: int,
    _first_at_ms: Any,
    records: str,
    *,
    now_s: float,
) -> list[Row]:
    _insert(tx, "journal", (epoch, first_seq), (last_seq, records))
    return []


@_statement()
def journal_records(
    tx: Transaction, _shard: int, epoch: int, first_seq: int, last_seq: int, *, now_s: float
) -> list[Row]:
    return [
        Row(first_seq=first, records=records)
        for (its_epoch, first), (last, records) in sorted(tx.all("journal").items())
        if its_epoch == epoch and last >= first_seq and first <= last_seq
    ]


# Rows of the sale.


def _insert(tx: Transaction, table: str, key: Any, row: Any) -> None:
    if tx.get(table, key) is not None:
        raise asyncpg.UniqueViolationError(f"{table} has {key} already")
    tx.put(table, key, row)


@_statement()
def publish_events(
    tx: Transaction, event_ids: Sequence[str], _at: Sequence[Any], *, now_s: float
) -> list[Row]:
    for event_id in event_ids:
        row = tx.get("events", event_id)
        if row is not None and row["status"] == "draft":
            tx.put("events", event_id, {**row, "status": "published"})
    return []


def _booking(own_id: str, values: Sequence[Any]) -> dict[str, Any]:
    names = (
        "event_id",
        "user_id",
        "status",
        "version",
        "epoch",
        "seq",
        "created_at",
        "fingerprint",
        "cancelled_epoch",
        "cancelled_seq",
        "cancelled_at",
    )
    return {"id": own_id, **dict(zip(names, values, strict=True))}


def _copy_booking(tx: Transaction, row: Sequence[Any]) -> None:
    own_id, event_id, user_id, status, version, _, _, epoch, seq, created_at, cancelled_at = row[
        :11
    ]
    values = (
        event_id,
        user_id,
        status,
        version,
        epoch,
        seq,
        created_at,
        row[11],
        row[15],
        row[16],
        cancelled_at,
    )
    _insert(tx, "bookings", own_id, _booking(own_id, values))


def _copy_item(tx: Transaction, row: Sequence[Any]) -> None:
    _insert(tx, "items", (row[1], row[2]), tuple(row[3:6]))


def _copy_ticket(tx: Transaction, row: Sequence[Any]) -> None:
    _insert(tx, "tickets", row[1], row[2])


COPIES |= {"bookings": _copy_booking, "items": _copy_item, "tickets": _copy_ticket}


def _copied(table: str, rows: Sequence[Sequence[Any]]) -> Locks:
    if table != "bookings":
        return ()
    return tuple((("booking", row[0]), True) for row in rows)


@_statement(_copied)
def copy(tx: Transaction, table: str, rows: Sequence[Sequence[Any]], *, now_s: float) -> list[Row]:
    for row in rows:
        COPIES[table](tx, row)
    return []


@_statement(_bookings)
def insert_bookings(
    tx: Transaction, _shard: int, epoch: int, *columns: Sequence[Any], now_s: float
) -> list[Row]:
    made = []
    for (
        own_id,
        event_id,
        user_id,
        status,
        version,
        _,
        seq,
        created_at,
        cancelled_at,
        fingerprint,
        _,
        _,
        _,
        cancelled_seq,
    ) in zip(*columns, strict=True):
        if tx.get("bookings", own_id) is None:
            values = (
                event_id,
                user_id,
                status,
                version,
                epoch,
                seq,
                created_at,
                fingerprint,
                None if cancelled_seq is None else epoch,
                cancelled_seq,
                cancelled_at,
            )
            tx.put("bookings", own_id, _booking(own_id, values))
            made.append(Row(id=own_id))
    return made


@_statement()
def foreign_bookings(
    tx: Transaction,
    _shard: int,
    epoch: int,
    _events: Sequence[str],
    ids: Sequence[str],
    seqs: Sequence[int],
    *,
    now_s: float,
) -> list[Row]:
    return [
        Row(id=own_id)
        for own_id, seq in zip(ids, seqs, strict=True)
        if (row := tx.get("bookings", own_id)) is not None
        and (row["epoch"], row["seq"]) != (epoch, seq)
    ]


@_statement()
def insert_items(tx: Transaction, *columns: Sequence[Any], now_s: float) -> list[Row]:
    for _, own_id, line, tier_no, quantity, price, _ in zip(*columns, strict=True):
        if tx.get("items", (own_id, line)) is None:
            tx.put("items", (own_id, line), (tier_no, quantity, price))
    return []


@_statement()
def insert_tickets(tx: Transaction, *columns: Sequence[Any], now_s: float) -> list[Row]:
    for _, own_id, booking_id, *_ in zip(*columns, strict=True):
        if tx.get("tickets", own_id) is None:
            tx.put("tickets", own_id, booking_id)
    return []


@_statement()
def cancel_bookings(
    tx: Transaction,
    epoch: int,
    _events: Sequence[str],
    ids: Sequence[str],
    at: Sequence[Any],
    seqs: Sequence[int],
    *,
    now_s: float,
) -> list[Row]:
    for own_id, moment, seq in zip(ids, at, seqs, strict=True):
        row = tx.get("bookings", own_id)
        if row is not None and row["status"] == "confirmed":
            tx.put(
                "bookings",
                own_id,
                {
                    **row,
                    "status": "cancelled",
                    "version": row["version"] + 1,
                    "cancelled_at": moment,
                    "cancelled_epoch": epoch,
                    "cancelled_seq": seq,
                },
            )
    return []


# Who waits.


@_statement()
def insert_waitlist_entries(
    tx: Transaction, _shard: int, epoch: int, *columns: Sequence[Any], now_s: float
) -> list[Row]:
    made = []
    for (
        _,
        own_id,
        user_id,
        tier_no,
        quantity,
        join_no,
        status,
        version,
        fingerprint,
        seq,
        joined_at,
        _,
        _,
        changed_seq,
        changed_at,
    ) in zip(*columns, strict=True):
        if tx.get("entries", own_id) is None:
            entry = {
                "user_id": user_id,
                "tier_no": tier_no,
                "quantity": quantity,
                "join_no": join_no,
                "status": status,
                "version": version,
                "fingerprint": fingerprint,
                "place": (epoch, seq, joined_at),
                "changed": (epoch, changed_seq, changed_at),
            }
            tx.put("entries", own_id, entry)
            made.append(Row(id=own_id))
    return made


@_statement()
def foreign_entries(
    tx: Transaction,
    epoch: int,
    _events: Sequence[str],
    ids: Sequence[str],
    seqs: Sequence[int],
    *,
    now_s: float,
) -> list[Row]:
    return [
        Row(id=own_id)
        for own_id, seq in zip(ids, seqs, strict=True)
        if (entry := tx.get("entries", own_id)) is not None and entry["place"][:2] != (epoch, seq)
    ]


@_statement()
def change_waitlist_entries(
    tx: Transaction, epoch: int, *columns: Sequence[Any], now_s: float
) -> list[Row]:
    for _, own_id, status, version, _, _, seq, at in zip(*columns, strict=True):
        entry = tx.get("entries", own_id)
        if entry is not None and entry["changed"][:2] < (epoch, seq):
            changes = {"status": status, "version": version}
            given = {name: value for name, value in changes.items() if value is not None}
            tx.put("entries", own_id, {**entry, **given, "changed": (epoch, seq, at)})
    return []


# What faults leave behind.


@_statement()
def insert_quarantine(
    tx: Transaction,
    _shard: int,
    epoch: int,
    seqs: Sequence[int],
    records: Sequence[bytes],
    reasons: Sequence[str],
    *,
    now_s: float,
) -> list[Row]:
    for seq, raw, reason in zip(seqs, records, reasons, strict=True):
        if tx.get("quarantine", (epoch, seq)) is None:
            tx.put("quarantine", (epoch, seq), (raw, reason))
    return []


@_statement()
def note_damaged(_tx: Transaction, *_: Any, now_s: float) -> list[Row]:
    return []  # Nothing is mended alone in the model.


@_statement()
def keep_scripts(_tx: Transaction, *_: Any, now_s: float) -> list[Row]:
    return []  # All processes are of one code.


@_statement()
def kept_scripts(_tx: Transaction, *_: Any, now_s: float) -> list[Row]:
    return []


@_statement()
def count_held(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    return [Row(count=len(tx.all("quarantine")))]


@_statement()
def insert_conflicts(
    tx: Transaction, _shard: int, *columns: Sequence[Any], now_s: float
) -> list[Row]:
    for epoch, seq, record, reason in zip(*columns, strict=True):
        if tx.get("conflicts", (epoch, seq, record)) is None:
            tx.put("conflicts", (epoch, seq, record), reason)
    return []


@_statement()
def write_redo(
    tx: Transaction, _shard: int, worker: str, *columns: Sequence[Any], now_s: float
) -> list[Row]:
    for epoch, seq, record in zip(*columns, strict=True):
        if tx.get("redo", (epoch, seq, worker)) is None:
            tx.put("redo", (epoch, seq, worker), record)
    return []


@_statement()
def has_redo(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    return [Row(exists=bool(tx.all("redo")))]


@_statement()
def read_redo(tx: Transaction, _shard: int, *, now_s: float) -> list[Row]:
    distinct = {(epoch, seq, record) for (epoch, seq, _), record in tx.all("redo").items()}
    return [Row(epoch=epoch, seq=seq, record=record) for epoch, seq, record in sorted(distinct)]


@_statement()
def delete_redo(tx: Transaction, _shard: int, *columns: Sequence[Any], now_s: float) -> list[Row]:
    done = set(zip(*columns, strict=True))
    for (epoch, seq, worker), record in dict(tx.all("redo")).items():
        if (epoch, seq, record) in done:
            tx.put("redo", (epoch, seq, worker), None)
    return []


@_statement()
def redo_bookings(
    tx: Transaction, _events: Sequence[str], ids: Sequence[str], *, now_s: float
) -> list[Row]:
    names = ("id", "user_id", "status", "fingerprint", "version", "created_at", "epoch", "seq")
    rows = [row for own_id in ids if (row := tx.get("bookings", own_id)) is not None]
    return [Row(**{name: row[name] for name in names}) for row in rows]


@_statement()
def redo_capacities(tx: Transaction, event_ids: Sequence[str], *, now_s: float) -> list[Row]:
    return [
        Row(
            event_id=event_id,
            tier_no=tier_no,
            capacity=capacity,
            left_places=capacity - sold_places(tx, event_id, tier_no),
        )
        for event_id in event_ids
        if (row := tx.get("events", event_id)) is not None and row["status"] != "draft"
        for tier_no, capacity in row["capacities"].items()
    ]


@_statement()
def redo_seats(
    _tx: Transaction, _events: Sequence[str], _seats: Sequence[str], *, now_s: float
) -> list[Row]:
    return []


@_statement()
def redo_events(tx: Transaction, event_ids: Sequence[str], *, now_s: float) -> list[Row]:
    rows = {event_id: tx.get("events", event_id) for event_id in event_ids}
    return [
        Row(id=event_id, status=row["status"], pools="") for event_id, row in rows.items() if row
    ]


@_statement()
def redo_journal(
    tx: Transaction, _shard: int, epoch: int, seqs: Sequence[int], *, now_s: float
) -> list[Row]:
    return [
        Row(first_seq=first_seq, records=text)
        for (its_epoch, first_seq), (last_seq, text) in sorted(tx.all("journal").items())
        if its_epoch == epoch and any(first_seq <= seq <= last_seq for seq in seqs)
    ]


@_statement()
def events_by_ids(
    tx: Transaction, event_ids: Sequence[str], _organizer: str | None, *, now_s: float
) -> list[Row]:
    rows = {event_id: tx.get("events", event_id) for event_id in event_ids}
    texts = ("organizer_id", "name", "description", "category", "venue", "timezone", "currency")
    moments = ("starts_at", "ends_at", "sale_opens_at", "sale_closes_at", "created_at")
    return [
        Row(
            id=event_id,
            shard=0,
            status=row["status"],
            person_max=100,
            version=1,
            published_at=None,
            **dict.fromkeys(texts, ""),
            **dict.fromkeys(moments),
        )
        for event_id, row in rows.items()
        if row
    ]


@_statement()
def redo_entries(
    tx: Transaction,
    _events: Sequence[str],
    ids: Sequence[str],
    user_ids: Sequence[str],
    join_nos: Sequence[str],
    *,
    now_s: float,
) -> list[Row]:
    names = ("user_id", "fingerprint", "tier_no", "status", "join_no")
    return [
        Row(
            event_id=EVENT_ID,
            id=own_id,
            joined_at=entry["place"][2],
            epoch=entry["place"][0],
            seq=entry["place"][1],
            **{name: entry[name] for name in names},
        )
        for own_id, entry in tx.all("entries").items()
        if own_id in ids
        or entry["join_no"] in join_nos
        or (entry["user_id"] in user_ids and entry["status"] in {"waiting", "offered"})
    ]


@_statement()
def redo_last_joins(tx: Transaction, _events: Sequence[str], *, now_s: float) -> list[Row]:
    last: dict[int, str] = {}
    for entry in tx.all("entries").values():
        last[entry["tier_no"]] = max(last.get(entry["tier_no"], ""), entry["join_no"])
    return [Row(event_id=EVENT_ID, tier_no=no, join_no=join_no) for no, join_no in last.items()]


@_statement()
def rebuild_journal_since(tx: Transaction, _shard: int, _since: Any, *, now_s: float) -> list[Row]:
    # A history is shorter than the life of a hold: what is asked for is all of it.
    return [
        Row(epoch=epoch, first_seq=first_seq, last_seq=last_seq, records=records)
        for (epoch, first_seq), (last_seq, records) in sorted(tx.all("journal").items())
    ]


@_statement()
def everything(tx: Transaction, *, now_s: float) -> list[Row]:
    """Stands for the reads of a rebuild, which happen while nothing is written."""
    published = None
    records = []
    for (epoch, first_seq), (_, text) in sorted(tx.all("journal").items()):
        for seq, line in enumerate(text.split("\n"), start=first_seq):
            if line.startswith(KINDS, CHECK_CHARS):
                record = decode(line.encode())
                if isinstance(record, Published):
                    published = (epoch, seq, record)
                else:
                    records.append((epoch, seq, record))
    return [
        Row(
            events=tx.all("events"),
            bookings=tx.all("bookings"),
            items=tx.all("items"),
            entries=tx.all("entries"),
            published=published,
            records=records,
        )
    ]


def sold_places(tx: Transaction, event_id: str, its_tier_no: int) -> int:
    """Return the places of a tier's confirmed bookings."""
    bookings = tx.all("bookings")
    return sum(
        quantity
        for (own_id, _), (tier_no, quantity, _) in tx.all("items").items()
        if tier_no == its_tier_no
        and (row := bookings.get(own_id)) is not None
        and (row["event_id"], row["status"]) == (event_id, "confirmed")
    )
