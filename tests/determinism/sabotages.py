"""
Safeguards taken out one at a time, of the code and of the models: each must be missed by a seed.

`loadtests/chaos/sabotage.toml` does the same to the text of the code; here it is done in place, so
that a test can look at many in a few seconds, and to what Lua and SQL do, which is modelled.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from engine import keys, reads
from engine.engine import Engine
from engine.outcomes import Booked
from engine.redo import RedoBuffer
from engine.replicas import GroupWaiter
from engine.shard import Shard
from persister import persister
from reconciler.recover import coordinator as recovery
from reconciler.recover import decide, drain
from reconciler.recover.redeem import Redeemer
from store import ledger
from store.redo_judge import Judge
from store.watermark import Watermark
from tests.determinism import postgres_server, scripts, statements, world
from tests.determinism.all_scripts import SCRIPTS
from tests.determinism.postgres_server import Row, Transaction
from tests.determinism.redis_client import SimulatedWire
from tests.determinism.redis_server import RedisServer

Replaced = tuple[Any, str, Any]


def _no_compare_and_set() -> list[Replaced]:
    """The checkpoint is moved whatever it is."""

    async def enter(self: Any) -> bool:
        state = await ledger._hold_reign(self._connection, self._shard, self._epoch, self._holder)
        return state == "frozen"

    def move(
        tx: Transaction,
        _shard: int,
        epoch: int,
        _last_seq: int,
        new_seq: int,
        size: int,
        *,
        now_s: float,
    ) -> list[Row]:
        assert now_s >= 0
        tx.put("checkpoints", epoch, (new_seq, size))
        return [Row(bytes=size)]

    # The advisory lock saves work alone: without it two persisters do write.
    return [
        (ledger._Writer, "_enter", enter),
        (
            world,
            "STATEMENTS",
            {
                **statements.STATEMENTS,
                "move_checkpoint": (move, statements.STATEMENTS["move_checkpoint"][1]),
            },
        ),
        *_no_advisory_lock(),
    ]


def _no_advisory_lock() -> list[Replaced]:
    return [(postgres_server.Locks, "take_advisory", lambda *_: True)]


def _no_epoch_row() -> list[Replaced]:
    """A batch is written whoever has the shard, and wherever the checkpoint is."""

    async def hold(*_: Any) -> str:
        return "open"

    return [(ledger, "_hold_reign", hold), *_no_compare_and_set()]


def _told_before_commit() -> list[Replaced]:
    """Redis is told of a batch before it is written."""
    write_batch = ledger.write_batch

    async def write(connection: Any, **words: Any) -> Any:
        reign = _reigns[-1]
        reign._place = ledger.Place(words["entries"][-1].seq, 0)
        await reign._note()
        return await write_batch(connection, **words)

    _reigns: list[Any] = []
    step = persister._Reign._step

    async def remember(self: Any) -> None:
        _reigns.append(self)
        await step(self)

    return [(ledger, "write_batch", write), (persister._Reign, "_step", remember)]


def _no_drain() -> list[Replaced]:
    """Recovery leaves in the journal what PostgreSQL lacks."""

    async def run(*_: Any, **__: Any) -> None:
        return

    return [(drain.Drain, "run", run)]


def _keeps_always() -> list[Replaced]:
    """Recovery keeps what Redis has, without a look at PostgreSQL."""
    return [(recovery, "decide", lambda _evidence: decide.Path("keep", "sabotage"))]


def _ignores_seen() -> list[Replaced]:
    """Recovery does not ask what workers saw acknowledged."""
    choose = decide.decide

    def blind(evidence: Any) -> Any:
        return choose(dataclasses.replace(evidence, seen_seq=0))

    return [(recovery, "decide", blind)]


def _no_redo() -> list[Replaced]:
    """Workers forget what they have answered."""
    return [(RedoBuffer, "keep", lambda *_, **__: None)]


def _redo_not_judged() -> list[Replaced]:
    """Redo goes into the ledger whatever is there."""
    return [(Judge, "refuse", lambda *_: "")]


def _no_look_at_the_server() -> list[Replaced]:
    """A worker does not ask which server it has, nor does a script what the caller has seen."""
    return [(Shard, "look_at", lambda *_: None), *_no_seen_check()]


def _no_seen_check() -> list[Replaced]:
    enter = scripts.enter

    def blind(server: RedisServer, belief: str, *, states: Sequence[str] = ("open",)) -> int:
        return enter(server, belief.partition(":")[0], states=states)

    return [(scripts, "enter", blind)]


def _no_epoch_check() -> list[Replaced]:
    """Scripts do not compare epochs, nor does a worker look at its server."""

    def blind(server: RedisServer, _belief: str, *, states: Sequence[str] = ("open",)) -> int:
        assert states
        return int(server.state.meta.get("seq", 0))

    return [(scripts, "enter", blind), (Shard, "look_at", lambda *_: None)]


def _database_level_at_once() -> list[Replaced]:
    """Level `database` is answered before PostgreSQL has it."""

    async def reach(*_: Any, **__: Any) -> bool:
        return True

    return [(Watermark, "reach_while_open", reach)]


def _claim_without_compare() -> list[Replaced]:
    """Any coordinator may claim, whatever it saw and whoever works."""

    def claim(
        tx: Transaction,
        _shard: int,
        _epoch: int,
        holder: str,
        lease: Any,
        nonce: str,
        _home: str,
        *,
        now_s: float,
    ) -> list[Row]:
        row = tx.get("reigns", 0)
        return statements._change_reign(
            tx,
            row,
            state="recovering",
            holder=holder,
            nonce=nonce,
            lease_until_s=now_s + lease.total_seconds(),
        )

    return [_statement("claim", claim)]


def _door_set_without_claim() -> list[Replaced]:
    """Recovery opens a Redis that has lost what was fenced, or loaded."""
    return [_claim_script(lambda state, own: state.meta.update(claim=own, loaded=own))]


def _rebuild_without_mark() -> list[Replaced]:
    """Recovery opens a Redis that has lost some of what was loaded."""

    def mark(state: Any, own: str) -> None:
        if state.meta.get("claim") == own:
            state.meta["loaded"] = own

    return [_claim_script(mark)]


def _no_fence_of_the_old_home() -> list[Replaced]:
    """A shard leaves a home that goes on selling."""
    fence, leave = recovery.Coordinator._fence, recovery.Coordinator.leave

    async def left(self: Any, to: str, *, said_gone: str = "") -> int | None:
        self.is_leaving = True
        try:
            return await leave(self, to, said_gone=said_gone)
        finally:
            self.is_leaving = False

    async def fenced(self: Any, epoch: int, *, is_forced: bool) -> Any:
        if not getattr(self, "is_leaving", False):
            return await fence(self, epoch, is_forced=is_forced)
        names = ("epoch", "seq", "layout", "trimmed_seq", "state")
        found = await self._redis.hmget(keys.meta(0), names)
        pairs = zip(names, found, strict=True)
        return decide.Meta.of({name.encode(): word for name, word in pairs if word is not None})

    return [(recovery.Coordinator, "leave", left), (recovery.Coordinator, "_fence", fenced)]


def _no_watcher() -> list[Replaced]:
    """Nobody hears from PostgreSQL that a reign is over."""
    return [(Shard, "heed", lambda *_: None)]


def _no_home_in_the_claim() -> list[Replaced]:
    """Any coordinator claims a shard, wherever it takes it to live."""

    def claim(tx: Transaction, *words: Any, now_s: float) -> list[Row]:
        row = tx.get("reigns", 0)
        home = words[-1] if row is None else row["home"]
        return statements.claim(tx, *words[:-1], home, now_s=now_s)

    return [_statement("claim", claim)]


def _no_look_at_the_home() -> list[Replaced]:
    """A process opens its door also where it knows no server of the home's name."""
    return [(Shard, "_why_not", lambda *_: "")]


def _persister_stays() -> list[Replaced]:
    """A persister follows a home that its shard has left."""

    async def silent(*_: Any) -> None:
        return

    return [(persister._Reign, "_explain_silence", silent)]


def _keeps_connections() -> list[Replaced]:
    """A worker goes on asking a master that was replaced."""
    return [(SimulatedWire, "leave", lambda *_: None), (reads, "_leads_to", lambda *_: True)]


def _no_look_behind_reads() -> list[Replaced]:
    """What a plain read does not find is not there, whatever Redis has become."""

    async def read(
        self: Any, shard: int, event_id: str, key: str, own_ids: Sequence[str]
    ) -> dict[str, bytes]:
        name = getattr(keys.event(shard, event_id), key)
        [rows] = await self._shard(shard).ask(("HMGET", name, *own_ids))
        return {own: row for own, row in zip(own_ids, rows, strict=True) if row is not None}

    return [(Engine, "_read_rows", read)]


def _no_receipts() -> list[Replaced]:
    """What only a buyer can prove is not booked again."""

    async def book(*_: Any) -> Booked:
        return Booked(1, 1, 1, True, ())

    return [(Redeemer, "_book", book)]


def _no_replicas() -> list[Replaced]:
    """Level `replicated` waits for nobody."""

    async def reach(*_: Any, **__: Any) -> bool:
        return True

    return [(GroupWaiter, "reach", reach)]


def _claim_script(before: Callable[[Any, str], None]) -> Replaced:
    claim = scripts.claim

    def sabotaged(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> Any:
        if args[1] == "open":
            before(server.state, args[0])
        return claim(server, names, args)

    return (world, "SCRIPTS", {**SCRIPTS, "claim": sabotaged})


def _statement(name: str, function: Any) -> Replaced:
    _, locks = statements.STATEMENTS[name]
    return (world, "STATEMENTS", {**statements.STATEMENTS, name: (function, locks)})


#: Name -> what is replaced.
SABOTAGES: dict[str, Callable[[], list[Replaced]]] = {
    "checkpoint's compare-and-set": _no_compare_and_set,
    "epoch row of every batch": _no_epoch_row,
    "commit before the note": _told_before_commit,
    "drain": _no_drain,
    "decision": _keeps_always,
    "what workers saw": _ignores_seen,
    "redo": _no_redo,
    "judgement of redo": _redo_not_judged,
    "look at the server": _no_look_at_the_server,
    "epoch check of scripts": _no_epoch_check,
    "wait for PostgreSQL": _database_level_at_once,
    "claim's compare-and-set": _claim_without_compare,
    "claim that stands at opening": _door_set_without_claim,
    "mark behind what was loaded": _rebuild_without_mark,
    "fence of the old home": _no_fence_of_the_old_home,
    "watcher": _no_watcher,
    "home in the claim": _no_home_in_the_claim,
    "no server of that name": _no_look_at_the_home,
    "persister's look at a quiet home": _persister_stays,
    "connections that end with their server": _keeps_connections,
    "wait for replicas": _no_replicas,
    "reign behind what is not found": _no_look_behind_reads,
    "receipts": _no_receipts,
}


def without(name: str) -> contextlib.ExitStack:
    """Take a safeguard out, for a context."""
    return _replace(SABOTAGES[name]())


def without_advisory_lock() -> contextlib.ExitStack:
    """Let any number of persisters follow one shard: no safeguard, hence not in the table."""
    return _replace(_no_advisory_lock())


def _replace(replaced: list[Replaced]) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    for owner, attribute, value in replaced:
        stack.enter_context(patch.object(owner, attribute, value))
    return stack
