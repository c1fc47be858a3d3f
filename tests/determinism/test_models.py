"""The models do what the real servers do: random calls of scripts and statements, side by side."""

from __future__ import annotations

import datetime as dt
import random
import re
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine import keys
from engine.calls import call_of
from engine.commands import Order
from engine.door import Reign
from engine.records import CHECK_CHARS, FIELD, raw_records
from engine.verbs import VERBS
from reconciler.recover.loader import recovery_script
from store.sql import query
from tests.checks import FAR_MS, ask, lines_of, rows_of
from tests.determinism.all_scripts import SCRIPTS
from tests.determinism.judge import Judge
from tests.determinism.loop import VirtualLoop
from tests.determinism.postgres_server import TABLES, Transaction
from tests.determinism.redis_server import RedisServer
from tests.determinism.statements import STATEMENTS

CALLS = 150
#: Of many calls, how many are of a script.
CALLED = {
    "publish": 1,
    "book": 8,
    "cancel": 4,
    "hold": 6,
    "confirm": 4,
    "release": 2,
    "join": 4,
    "leave": 2,
    "availability": 1,
    "persisted": 3,
    "waitmark": 1,
    "claim": 2,
}
EVENT = "evt_1"
CAPACITY = 6
META = ("epoch", "state", "seq", "persisted_seq", "trimmed_seq", "claim", "loaded")
DOOR = {
    "epoch": "1",
    "state": "open",
    "seq": "0",
    "persisted_seq": "0",
    "backlog_max": "100000",
    "layout": str(keys.LAYOUT_VERSION),
}

_MOMENT = re.compile(rb"\d{13}")


@pytest.mark.parametrize("seed", range(4))
async def test_scripts(redis: Redis, shard: int, reign: Reign, seed: int) -> None:
    """Replies, the door, bookings and the journal are the same after each call."""
    rng = random.Random(seed)
    judge = Judge({1: CAPACITY, 2: 1})
    server = RedisServer(VirtualLoop(), SCRIPTS, judge)
    judge.follow({table: {} for table in TABLES} | {"checkpoints": {1: (CALLS, 0)}})
    server.state.meta = dict(DOOR)
    for _ in range(CALLS):
        verb, words = _script_call(rng, int(server.state.meta.get("seq", 0)))
        claimed = [keys.meta(shard)]
        own = claimed if verb == "claim" else VERBS[verb].keys.names(shard, 1, [EVENT])
        try:
            expected = SCRIPTS[verb](server, own, [_text(word) for word in words])
        except ResponseError as error:
            expected = str(error)
        try:
            if verb == "claim":
                text = recovery_script("claim")
                found: Any = await ask(redis, "EVAL", text, len(own), *own, *words)
            else:
                sha = reign.script_shas[verb]
                found = await ask(redis, "EVALSHA", sha, len(own), *own, *words)
        except ResponseError as error:
            found = str(error)
        if verb == "claim" and not isinstance(found, str):
            found, expected = bool(found), bool(expected)
        if verb == "availability" and not isinstance(found, str):
            [found], [expected] = found[0][:1], expected[0][:1]  # The model has no rules.
        if verb == "book" and not isinstance(found, str):
            expected, found = expected.split(b"\n"), lines_of(found, words)
        assert _plain(expected) == _plain(found), (verb, words)
        await _same_state(redis, shard, server)


def _script_call(rng: random.Random, seq: int) -> tuple[str, list[Any]]:
    verb = rng.choices(list(CALLED), list(CALLED.values()))[0]
    belief = rng.choice(("1", "1", "1", f"1:{seq}", f"1:{seq + 1}", "2"))
    if verb == "publish":
        tiers = (CAPACITY, 100, 10, 1, 100, 10)
        return verb, [belief, EVENT, rng.choice("fg"), 1, FAR_MS, 100, 2, *tiers]
    if verb in {"book", "hold"}:
        prefix, ttl_ms = ("bk", 0) if verb == "book" else ("hold", 10_000_000)
        orders = [
            Order(
                EVENT,
                f"{prefix}_{rng.randint(1, 9)}",
                "usr_1",
                rng.choice("fffg"),
                b"{}",
                ((1, rng.randint(1, 2)),),
                ttl_ms,
            )
            for _ in range(rng.randint(1, 3))
        ]
        if verb == "book" and rng.random() < 0.2:
            orders = [Order(EVENT, "bk_host", "usr_host", "f", b"{}", ((2, 1),))]
        return verb, [belief, *call_of(VERBS[verb], 0, 1, orders).words]
    if verb == "cancel":
        return verb, [belief, EVENT, 1, f"bk_{rng.randint(1, 9)}", rng.choice(("usr_1", "usr_2"))]
    if verb in {"confirm", "release"}:
        owner = rng.choice(("usr_1", "usr_1", "usr_2"))
        return verb, [belief, EVENT, 1, f"hold_{rng.randint(1, 9)}", owner]
    if verb == "join":
        n, fingerprint = rng.randint(1, 5), rng.choice("fffg")
        own = (f"wl_{n}", f"usr_{rng.choice((n, 1))}", fingerprint, 2, rng.choice((1, 1, 2)))
        return verb, [belief, EVENT, 1, *own, "strict", 0, 60_000, 3, "-", 0, 0]
    if verb == "leave":
        return verb, [belief, EVENT, 1, f"wl_{rng.randint(1, 5)}", f"usr_{rng.randint(1, 5)}"]
    if verb == "persisted":
        persisted_seq = rng.randint(0, seq + 1)
        trim_seq = rng.randint(0, persisted_seq)
        return verb, [belief, persisted_seq, trim_seq, 0, rng.choice(("open", "open", "lost"))]
    if verb == "availability":
        return verb, [belief, ""]
    if verb == "waitmark":
        return verb, [belief]
    verb_of_claim = rng.choice(("fence", "begin", "set", "open", "open"))
    fields = [] if verb_of_claim == "fence" else ["epoch", 1, "state", "open", "trimmed_seq", 0]
    if verb_of_claim == "begin" and rng.random() < 0.5:
        fields[3] = "rebuilding"
    if verb_of_claim == "set":
        fields = ["loaded", 1]
    return verb, [rng.choice((1, 1, 2)), verb_of_claim, *fields]


def _plain(reply: Any) -> Any:
    """Return a reply without moments, numbers as text."""
    if isinstance(reply, list):
        # How soon a hold ends is not modelled.
        its = reply[:3] if reply[:1] == [b"ALL_HELD"] else reply
        return [_plain(one) for one in its]
    text = reply.encode() if isinstance(reply, str) else reply
    text = text if isinstance(text, bytes) else str(text).encode()
    if text.startswith(b"ALL_HELD "):
        text = b" ".join(text.split(b" ")[:3])
    return _MOMENT.sub(b"T", text)


async def _same_state(redis: Redis, shard: int, server: RedisServer) -> None:
    state, own = server.state, keys.event(shard, EVENT)
    door = await ask(redis, "HMGET", keys.meta(shard), *META)
    assert [state.meta.get(name, "").encode() for name in META] == [word or b"" for word in door]
    rows = await rows_of(redis, own.bookings)
    seen = {bytes(key).decode(): _plain(row) for key, row in rows.items()}
    assert {key: _plain(row) for key, row in state.bookings.items()} == seen
    for key, expected in ((own.holds, state.holds), (own.entries, state.entries)):
        rows = await rows_of(redis, key)
        # Beside the entries stand names of who waits.
        seen = {name.decode(): _plain(row) for name, row in rows.items() if b":" not in name}
        assert {name: _plain(row) for name, row in expected.items()} == seen
    for name in ("1.available", "1.held", "2.available"):
        figure = await ask(redis, "HGET", own.stock, name)
        assert state.stock.get(name, "").encode() == (figure or b"")
    entries = await ask(redis, "XRANGE", keys.journal(shard, 1), "-", "+")
    read = [(entry_id, _bodies(fields[b"records"])) for entry_id, fields in _pairs(entries)]
    assert [(b"%d-1" % seq, _bodies(text)) for seq, text in state.journals.get(1, [])] == read


def _pairs(entries: Any) -> Any:
    return [
        (
            entry_id,
            fields if isinstance(fields, dict) else dict(zip(*[iter(fields)] * 2, strict=True)),
        )
        for entry_id, fields in entries
    ]


def _bodies(text: bytes) -> list[bytes]:
    """Return the records of an entry by themselves, without their checks."""
    return [_plain(raw[CHECK_CHARS:]) for _, raw in raw_records(b"999-1", {FIELD: text})]


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


@pytest.mark.parametrize("seed", range(3))
async def test_statements(database: asyncpg.Pool, shard: int, seed: int) -> None:
    """What coordinators, persister and workers ask of reigns, checkpoints and redo is answered."""
    rng = random.Random(seed)
    tables: dict[str, dict[Any, Any]] = {table: {} for table in TABLES}
    for _ in range(CALLS):
        name, args = _statement_call(rng, tables)
        tx = Transaction(tables)
        expected = [dict(row) for row in STATEMENTS[name][0](tx, shard, *args, now_s=0.0)]
        for table, rows in tx.written.items():
            merged = {**tables[table], **rows}
            tables[table] = {key: row for key, row in merged.items() if row is not None}
        found = [dict(row) for row in await database.fetch(query(name), shard, *args)]
        assert expected == found, (name, args)


def _statement_call(
    rng: random.Random, tables: dict[str, dict[Any, Any]]
) -> tuple[str, tuple[Any, ...]]:
    epoch = rng.randint(1, max(1, tables["reigns"].get(0, {"epoch": 1})["epoch"]))
    holder, lease = rng.choice("ab"), dt.timedelta(seconds=rng.choice((-60, 60)))
    seq, records, home = rng.randint(0, 3), rng.choice(("x", "y")), rng.choice("ppq")
    calls: dict[str, tuple[Any, ...]] = {
        "read_reign": (),
        "first_claim": (holder, lease, "n", home),
        "claim": (epoch, holder, lease, "n", home),
        "home_of": (),
        "open_reign": (epoch, holder, "run", "history"),
        "freeze_reign": (epoch, holder, "why"),
        "note_seen": (epoch, seq),
        "doubt_reign": (epoch, "why"),
        "freeze_open": (epoch, "why"),
        "note_merged": (),
        "renew_claim": (epoch, holder, lease),
        "release_claim": (epoch, holder),
        "share_reign": (),
        "horizon": (epoch,),
        "ensure_checkpoint": (epoch,),
        "lock_checkpoint": (epoch,),
        "read_checkpoint": (epoch,),
        "move_checkpoint": (epoch, seq, seq + 1, 10),
        "checkpoints": (),
        "write_redo": (holder, [epoch], [seq + 1], [records]),
        "has_redo": (),
        "read_redo": (),
        "delete_redo": ([epoch], [seq + 1], [records]),
        "count_held": (),
        "insert_conflicts": ([epoch], [seq + 1], [records], ["why"]),
    }
    if epoch not in tables["moves"]:
        calls["move_home"] = (epoch, holder, rng.choice("pq"), "p", rng.choice(("", "it burned")))
    name = rng.choice(list(calls))
    return name, calls[name]
