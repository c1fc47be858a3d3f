"""
What is wrong with a shard, and what puts each of it right: a plan, made by reading alone.

A cure follows from the journal's records or there is none: rows are written again, values in Redis
become what the records make of them (`reconciler.event.image`). Which violation has which cure
stands in the tables below, and for the rest why there is none. `reconciler.repair.repairer` carries
a plan out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine import keys
from engine.records import Blocked, Record, Unblocked
from reconciler.event.hashes import scan_events
from reconciler.event.image import Change
from reconciler.event.journal import JournalReader
from reconciler.event.snapshot import Reader, groups
from reconciler.event.state import Placed, Sale
from reconciler.event.view import EventView
from reconciler.event.violation import Broken, Violation
from reconciler.judge.check import examine, judge, read_group, without_named
from reconciler.judge.proof import prove
from reconciler.recover.rewind import Hole, find_holes
from reconciler.repair.archive import OF_BATCH, OF_RECORD, Refile, find
from reconciler.repair.changes import (
    Impossible,
    changes,
    differing,
    differing_tickets,
    ticket_rows_differ,
)
from store import audit, ends
from store.waitlist import change_of

#: Violations whose cure is to write the booking's rows again.
OF_ROWS = frozenset(
    {
        "row_missing",
        "row_differs",
        "tickets_differ",
        "scan_missing",
        "total_differs",
        "seat_kept",
        "shard_differs",
        "line_without_booking",
        "ticket_without_booking",
        "row_beyond_checkpoint",
        "scan_row_differs",
    }
)
#: Violations whose cure is to write waitlist entries' rows again.
OF_QUEUE = frozenset({"entry_row_missing", "entry_row_differs"})
#: Violations whose cure is a value in Redis.
OF_REDIS = frozenset(
    {
        "stock_differs",
        "counter_unreadable",
        "counter_negative",
        "places_not_conserved",
        "sold_differs",
        "available_differs",
        "sold_without_owner",
        "held_without_owner",
        "person_differs",
        "hold_endless",
        "promo_differs",
        "seat_differs",
        "seats_not_counted",
        "booking_not_in_redis",
        "booking_differs",
        "ticket_differs",
        "blocked_differs",
        "waiting_differs",
    }
)
#: Violations whose cure is to load the event anew: what is in Redis beside counters and bookings
#: follows from rows and records, all of which PostgreSQL has once the journal is drained.
OF_RELOAD = frozenset(
    {
        "value_unreadable",
        "not_loaded",
        "hold_lost",
        "hold_differs",
        "hold_without_record",
        "deadline_differs",
        "deadline_of_nobody",
        "ended_differs",
        "entry_differs",
        "entry_not_in_redis",
        "list_differs",
        "list_count_differs",
        "pointer_differs",
        "offer_without_hold",
        "hold_without_offer",
        "sections_miscounted",
        "due_forgotten",
        "emptying_forgotten",
    }
)
#: Violations whose cure is to set the checkpoint where the journal's own rows end.
OF_CHECKPOINT = frozenset({"checkpoint_behind"})
#: Violations whose cure is to write the organizer's rows as the records have the sale.
OF_SALE_ROWS = frozenset(
    {"tier_row_differs", "event_row_differs", "event_status_differs", "promo_row_differs"}
)
#: While an event has one of these, what Redis must be cannot be told: its rows or records are not
#: all there, and places of an acknowledged booking would be sold again.
UNPROVED = (
    OF_ROWS
    | OF_QUEUE
    | OF_BATCH
    | OF_CHECKPOINT
    | {
        "rows_differ",
        "entry_row_without_record",
        "tier_row_missing",
        "row_without_record",
        "booking_lost",
        "entry_lost",
        "record_missing",
        "record_corrupt",
        "blocked_row_differs",
        "event_missing",
        "record_quarantined",
    }
)
#: Violations that a new epoch ends: counters of `meta` that the next opening sets, and events that
#: it rebuilds.
OF_OPENING = frozenset(
    {
        "meta_seq_behind",
        "persisted_seq_ahead",
        "epoch_differs",
        "door_differs",
        "claim_ahead",
        "key_lost",
    }
)
#: Violations that end where records are derived anew (`--pg`).
OF_REWIND = frozenset(
    {
        "trimmed_ahead",
        "record_missing",
        "booking_lost",
        "entry_lost",
        "epoch_behind",
        "published_without_record",
        "loaded_unpublished",
    }
)
#: Why nothing here puts the rest right.
WHY_NOT = {
    "row_without_record": "no record made it: whoever wrote it by hand must say what it is",
    "record_corrupt": "its content is gone: nobody knows what it said",
    "record_quarantined": "a human mends or gives it up: `quarantine replay`, `quarantine discard`",
    "record_in_conflict": "who keeps the place is for people to say: `quarantine list`",
    "record_missing": "it is in no stream and no worker's memory: `repair --pg --apply` derives "
    "what it can from rows and from Redis, and writes `lost` for the rest",
    "entry_row_without_record": "no record made it: whoever wrote it by hand must say what it is",
    "scan_without_record": "no record made it: whoever wrote it by hand must say what it is",
    "user_missing": "put the account back from a backup; what it bought stands, and is shown to it",
    "tier_row_missing": "its name and id were the API's: restore the row from a backup",
    "tier_not_published": "nobody sells it: delete the row, or say why it is there",
    "section_differs": "the organizer's row and Redis say different things: restore the row from a "
    "backup, or, if the row is right, `reconciler mend EVENT`",
    "shard_unknown": "write its row of `shard_epoch` again, from a backup or from Redis's `meta`",
    "layout_differs": "start the version of Evently that wrote it, or set `layout` back",
    "quarantine_not_replayed": "its record is not in the archive: set its state back to `held`",
    "checkpoint_went_back": "PostgreSQL went back in time: see the plan of `repair --pg`",
    "meta_missing": "Redis has lost the shard: `recover` rebuilds it from PostgreSQL",
    "event_missing": "the organizer's row was written by the API: restore it from a later backup",
    "ledger_ahead": "Redis is behind PostgreSQL: `recover` rebuilds it",
    "limit_exceeded": "who keeps what is for people to say",
    "oversold_then": "history is not changed",
}
WHY_NOT_ELSE = "no rule says which side is right: for people to judge"
#: The same beside something that is put right, from which it may follow.
WHY_NOT_YET = "told once what can be put right is: it may follow from that"


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What will be done about some violations of one event, or of the shard."""

    #: `rederive`, `requeue`, `refile`, `reblock`, `restate`, `set`, `reload`, `derive`, `settle` or
    #: `reopen`.
    verb: str
    #: `postgresql` or `redis`.
    store: str
    shard: int
    event_id: str | None
    violations: tuple[Violation, ...]
    #: What it changes, in words.
    effects: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    booking_ids: tuple[str, ...] = ()
    entry_ids: tuple[str, ...] = ()
    refiles: tuple[Refile, ...] = ()
    #: The sale as the records have it, of `restate`.
    sale: Sale | None = None


@dataclass(slots=True)
class Plan:
    """What is wrong with a shard, and what can be done about it."""

    shard: int
    violations: list[Violation] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    #: What cannot be put right, and why.
    hopeless: list[tuple[Violation, str]] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    #: Records that the journal's archive lacks or has damaged.
    broken: list[Broken] = field(default_factory=list)


class Planner:
    """Plans the repair of one shard."""

    def __init__(self, shard: int, redis: Redis, database: asyncpg.Connection) -> None:
        """
        Args:
            shard: Number of the shard.

            redis: Client of its master.

            database: A connection of one's own.
        """
        self._shard = shard
        self._redis = redis
        self._database = database

    async def plan(self) -> Plan:
        """
        Look, and say what would be done. Reads only; safe at any time.

        On a live shard it tells what a repair would find; the repair itself plans anew.
        """
        plan = Plan(self._shard)
        plan.holes = await find_holes(self._redis, self._database, self._shard)
        proof = await prove(self._database, self._shard, lambda _: None)
        rows = await audit.events(self._database, self._shard)
        published = {row.id for row in rows if row.status != "draft"}
        loaded = await scan_events(self._redis, self._shard)
        reader = Reader(self._shard, self._redis, self._database, proof, bool(published))
        found: list[Violation] = list(proof.violations)
        plan.broken = proof.broken
        moments = [(epoch_of(v), v.seq) for v in found if v.code in OF_BATCH and v.seq]
        ahead = await self._ahead()
        refiles = await find(self._redis, self._database, self._shard, proof.broken, moments)
        for group in groups(sorted(published | loaded | proof.events.keys()), proof.counts):
            shard_view, views = await read_group(reader, group)
            found_here = judge(shard_view, views)
            if found_here:  # On a live shard, what a second look does not see was no drift (F40).
                again = {v.identity for v in (await examine(reader, group)).violations}
                found_here = [v for v in found_here if v.identity in again]
            found += found_here
            self._plan_sales(plan, views, [*proof.violations, *found_here])
            await self._plan_redis(plan, views, [*proof.violations, *found_here])
        plan.violations = without_named(found)
        self._plan_rest(plan, refiles, ahead)
        return plan

    async def _ahead(self) -> int | None:
        """Return where the journal's rows end, if the checkpoint of Redis's epoch passes it."""
        words: Any = self._redis.hmget(keys.meta(self._shard), ["epoch", "trimmed_seq"])
        epoch, trimmed_seq = (int(word or 0) for word in await words)
        there = await ends.read(self._database, self._shard, epoch)
        if there is None or there.last_seq <= there.end_seq or trimmed_seq > there.end_seq:
            return None
        return there.end_seq

    def _plan_sales(
        self, plan: Plan, views: Sequence[EventView], found: Sequence[Violation]
    ) -> None:
        """Plan what the organizer's rows must say: what was sold is right, not what was written."""
        for view in views:
            mine = _curable(plan, view, OF_SALE_ROWS, found)
            if not mine:
                continue
            effects = [
                f"{f'tier {v.tier_no}' if v.tier_no else 'event'} {v.subject}: "
                f"{v.found} -> {v.expected}"
                for v in mine
            ]
            plan.actions.append(
                _action(
                    "restate",
                    "postgresql",
                    self._shard,
                    view.event_id,
                    mine,
                    effects,
                    sale=view.state.sale,
                )
            )

    async def _plan_redis(
        self, plan: Plan, views: Sequence[EventView], found: Sequence[Violation]
    ) -> None:
        for view in views:
            mine = _curable(plan, view, OF_REDIS | OF_RELOAD, found)
            if not mine:
                continue
            if any(violation.code in OF_RELOAD for violation in mine):
                effects = ["loaded anew from PostgreSQL; others sell as soon as the shard is open"]
                reload = ("reload", "redis", self._shard, view.event_id, mine, effects)
                plan.actions.append(_action(*reload))
                continue
            wanted = sorted(differing(view))
            ticketed = {f"bk_{own_id.split('_')[1]}" for own_id in differing_tickets(view)}
            records = await history(
                self._database, self._shard, view.event_id, sorted({*wanted, *ticketed})
            )
            wrong_rows = ticket_rows_differ(view, records)
            if wrong_rows:
                self._plan_ticket_rows(plan, view, mine, wrong_rows)
                continue
            raw: dict[str, str] = {}
            if wanted:
                names = keys.event(self._shard, view.event_id)
                values: Any = await self._redis.hmget(names.bookings, wanted)
                raw = {
                    booking_id: value.decode(errors="replace")
                    for booking_id, value in zip(wanted, values, strict=True)
                    if value is not None
                }
            try:
                needed = changes(view, raw, records)
            except Impossible as error:
                plan.hopeless += [(violation, str(error)) for violation in mine]
                continue
            if not needed:
                plan.hopeless += [(violation, WHY_NOT_ELSE) for violation in mine]
                continue
            plan.actions.append(
                Action(
                    verb="set",
                    store="redis",
                    shard=self._shard,
                    event_id=view.event_id,
                    violations=mine,
                    changes=tuple(needed),
                    effects=tuple(
                        f"{change.where} {change.name}: {change.seen} -> {change.wanted}"
                        for change in needed
                    ),
                )
            )

    def _plan_ticket_rows(
        self, plan: Plan, view: EventView, mine: Sequence[Violation], booking_ids: Sequence[str]
    ) -> None:
        """Where Redis has of a ticket what its records say, it is the row that is wrong."""
        ids = tuple(booking_ids)
        effects = [f"rows of {booking_id} written again from its records" for booking_id in ids]
        words = ("rederive", "postgresql", self._shard, view.event_id, mine, effects)
        plan.actions.append(_action(*words, booking_ids=ids))

    def _of_archive(
        self, plan: Plan, shard_wide: Mapping[str, list[Violation]], refiles: Sequence[Refile]
    ) -> list[Action]:
        """Plan what is done to the journal as PostgreSQL has it, before anything else."""
        said = {
            "derive": [said_holes([hole]) for hole in plan.holes],
            "settle": ["the checkpoint is set to where the journal's own rows end"],
            "refile": [
                f"records {one.first_seq} to {one.last_seq} of epoch {one.epoch} written into the "
                "archive again"
                for one in refiles
            ],
        }
        return [
            _action(
                verb,
                "postgresql",
                self._shard,
                None,
                shard_wide.get(verb, ()),
                effects,
                refiles=tuple(refiles) if verb == "refile" else (),
            )
            for verb, effects in said.items()
            if shard_wide.get(verb) or (verb == "derive" and plan.holes)
        ]

    def _of_rows(self, verb: str, event_id: str, violations: Sequence[Violation]) -> Action:
        """Plan whose rows of one event are written again from their records."""
        booking_ids = sorted({v.booking_id for v in violations if v.booking_id})
        entry_ids = sorted({v.subject for v in violations}) if verb == "requeue" else []
        whose = {"rederive": booking_ids, "requeue": entry_ids, "reblock": ["blocked seats"]}[verb]
        return _action(
            verb,
            "postgresql",
            self._shard,
            event_id,
            violations,
            [f"rows of {one} written again from its records" for one in whose],
            booking_ids=tuple(booking_ids),
            entry_ids=tuple(entry_ids),
        )

    def _plan_rest(self, plan: Plan, refiles: Sequence[Refile], ahead: int | None) -> None:
        #: By verb and event: those whose rows are written again.
        rows: dict[tuple[str, str], list[Violation]] = defaultdict(list)
        shard_wide: dict[str, list[Violation]] = defaultdict(list)
        for violation in plan.violations:
            code, event_id = violation.code, violation.event_id
            if code in OF_REDIS | OF_RELOAD | OF_SALE_ROWS and event_id:
                continue  # Planned with its event.
            if code in OF_BATCH | OF_RECORD and any(one.has(violation) for one in refiles):
                shard_wide["refile"].append(violation)
                continue
            if code in OF_ROWS and violation.booking_id and event_id:
                rows["rederive", event_id].append(violation)
            elif code == "blocked_row_differs" and event_id:
                rows["reblock", event_id].append(violation)
            elif code in OF_QUEUE and event_id:
                rows["requeue", event_id].append(violation)
            elif code in OF_CHECKPOINT or _is_ahead(violation, ahead):
                shard_wide["settle"].append(violation)
            elif code in OF_OPENING:
                shard_wide["reopen"].append(violation)
            elif code in OF_REWIND and plan.holes:
                shard_wide["derive"].append(violation)
            else:
                plan.hopeless.append((violation, WHY_NOT.get(code, WHY_NOT_ELSE)))
        first = self._of_archive(plan, shard_wide, refiles)
        first += [self._of_rows(verb, key, its) for (verb, key), its in rows.items()]
        if shard_wide["reopen"]:
            plan.actions.append(
                _action(
                    "reopen",
                    "redis",
                    self._shard,
                    None,
                    shard_wide["reopen"],
                    ["by the next opening: counters of `meta` set, lost keys rebuilt"],
                )
            )
        # Rows first: what Redis must be follows from the records, whatever the rows were.
        plan.actions[:0] = first
        plan.hopeless = _not_yet(plan)


def _not_yet(plan: Plan) -> list[tuple[Violation, str]]:
    """Put nothing before people that may follow from what is put right."""
    mended = {action.event_id for action in plan.actions}
    return [
        (v, WHY_NOT_YET if why == WHY_NOT_ELSE and mended & {None, v.event_id} else why)
        for v, why in plan.hopeless
    ]


async def history_of_entries(
    database: asyncpg.Connection, shard: int, event_id: str, entry_ids: Sequence[str]
) -> list[Placed]:
    """Return all records of some waitlist entries of one event, in order."""
    wanted, found = set(entry_ids), []
    async with audit.begin(database):
        reader = JournalReader(shard, {})
        async for batch in audit.journal(database, shard):
            for placed in reader.read(batch):
                change = change_of(placed.record)
                if placed.record.event_id == event_id and change and change.entry_id in wanted:
                    found.append(placed)
    return found


async def history(
    database: asyncpg.Connection, shard: int, event_id: str, booking_ids: Sequence[str]
) -> dict[str, list[Placed]]:
    """Return all records of some bookings of one event, and of its blocks under an empty id."""
    found: dict[str, list[Placed]] = defaultdict(list)
    wanted = set(booking_ids)
    async with audit.begin(database):
        reader = JournalReader(shard, {})
        async for batch in audit.journal(database, shard):
            for placed in reader.read(batch):
                if placed.record.event_id == event_id:
                    name = _owner(placed.record)
                    if name in wanted or name == "":
                        found[name].append(placed)
    return found


def _owner(record: Record) -> str | None:
    if isinstance(record, Blocked | Unblocked):
        return ""
    return getattr(record, "booking_id", None)


def _curable(
    plan: Plan, view: EventView, codes: frozenset[str], found: Sequence[Violation]
) -> tuple[Violation, ...]:
    """Return the event's violations of *codes*; none while it cannot be told what is right."""
    mine = tuple(v for v in found if v.event_id == view.event_id and v.code in codes)
    first = next(
        (v for v in found if v.code in UNPROVED and v.event_id in {None, view.event_id}), None
    )
    if mine and first is not None:
        why = f"told once {first.code} is put right"
        plan.hopeless += [(violation, why) for violation in mine]
        return ()
    return mine


def _is_ahead(violation: Violation, end_seq: int | None) -> bool:
    """Tell whether a violation is of a checkpoint that counts records behind the journal's end."""
    if end_seq is None:
        return False
    is_behind = violation.code == "record_missing" and (violation.seq or 0) > end_seq
    return is_behind or violation.code == "ledger_ahead"


def epoch_of(violation: Violation) -> int:
    """Return the epoch that a violation of the archive names."""
    return int(violation.subject)


def said_holes(holes: Sequence[Hole]) -> str:
    """Say which records PostgreSQL does not have."""
    return "; ".join(
        f"records {hole.first_seq} to {hole.last_seq} of epoch {hole.epoch} are not in PostgreSQL, "
        f"{hole.lost} of them in no stream"
        for hole in holes
    )


def _action(
    verb: str,
    store: str,
    shard: int,
    event_id: str | None,
    violations: Sequence[Violation],
    effects: Sequence[str],
    *,
    booking_ids: tuple[str, ...] = (),
    entry_ids: tuple[str, ...] = (),
    refiles: tuple[Refile, ...] = (),
    sale: Sale | None = None,
) -> Action:
    return Action(
        verb=verb,
        store=store,
        shard=shard,
        event_id=event_id,
        violations=tuple(violations),
        effects=tuple(effects),
        booking_ids=booking_ids,
        entry_ids=entry_ids,
        refiles=refiles,
        sale=sale,
    )
