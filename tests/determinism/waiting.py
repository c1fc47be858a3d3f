"""
What `join` and `leave` do, as far as the simulation needs it; see `scripts`.

Whoever waits does so for a tier whose one place is sold and never comes back, so nobody is offered
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.keys import EventKeys
from tests.determinism import scripts
from tests.determinism.holding import each
from tests.determinism.redis_server import RedisServer, State, epoch_of
from tests.determinism.scripts import BOOK_KEYS, append, body_of

#: Words of one joining, and what is added to the numbers of those without a first place.
JOIN_WORDS = 13
JOIN_NO_BASE = 100_000_000_000


def join(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/join.lua`; without limits."""
    last_seq = scripts.enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - BOOK_KEYS) // len(EventKeys._fields)
    state, bodies = server.state, list[bytes]()
    replies: list[list[Any]] = []
    for at in range(1 + events, len(args), JOIN_WORDS):
        entry_id, user_id, fingerprint, tier_no, quantity, policy, patience, ttl, most = args[
            at + 1 : at + 10
        ]
        row = state.entries.get(entry_id)
        if row is not None:
            _, _, *place, _, its_fingerprint = row.split(" ")[:7]
            is_known = its_fingerprint == fingerprint
            replies.append(
                [b"REPLAYED", *(word.encode() for word in place)]
                if is_known
                else [b"IDEMPOTENCY_KEY_REUSED"]
            )
            continue
        refusal = _refuse(state, user_id, tier_no, int(quantity), int(most))
        if refusal:
            replies.append(refusal)
            continue
        joined = int(state.stock["joined"]) + 1
        state.stock["joined"] = str(joined)
        join_no, seq = f"{joined + JOIN_NO_BASE:012}", last_seq + len(bodies) + 1
        bodies.append(
            body_of(
                server,
                "joined",
                args[1],
                f'"entry_id":"{entry_id}","user_id":"{user_id}","fingerprint":"{fingerprint}",'
                f'"tier_no":{tier_no},"quantity":{quantity},"join_no":"{join_no}",'
                f'"policy":"{policy}","patience_ms":{patience},"offer_ttl_ms":{ttl},'
                f'"after_hold":""',
            )
        )
        place = [str(epoch), str(seq), str(server.now_ms)]
        own = (user_id, fingerprint, tier_no, quantity, join_no, "0")
        state.entries[entry_id] = " ".join(("waiting 1", *place, *own, *place))
        replies.append([b"JOINED", b"%d" % epoch, b"%d" % seq, server.now_ms, bodies[-1]])
    append(server, names[1], last_seq, bodies)
    return replies


def _refuse(state: State, user_id: str, tier_no: str, quantity: int, most: int) -> list[Any]:
    """Say why somebody cannot wait; empty if they can."""
    stock = state.stock
    if not stock:
        return [b"NOT_ON_SALE"]
    if quantity > int(stock[f"{tier_no}.capacity"]):
        return [b"PARTY_TOO_LARGE", int(stock[f"{tier_no}.capacity"])]
    waiting = {
        words[5]: entry_id
        for entry_id, row in state.entries.items()
        if (words := row.split(" "))[0] == "waiting" and words[7] == tier_no
    }
    if user_id in waiting:
        return [b"ALREADY_WAITING", waiting[user_id].encode()]
    available = int(stock[f"{tier_no}.available"])
    if not waiting and quantity <= available:
        return [b"PLACES_AVAILABLE", available]
    return [b"WAITLIST_FULL", len(waiting)] if len(waiting) >= most else []


def leave(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/leave.lua`; of those without an offer."""

    def work(epoch: int, seq: int, entry_id: str, user_id: str) -> tuple[list[Any], bytes | None]:
        words = server.state.entries.get(entry_id, "").split(" ")
        if len(words) < 14 or words[5] != user_id:
            return [b"NOT_FOUND"], None
        if words[0] != "waiting":
            return [b"REPLAYED", *(word.encode() for word in words[11:])], None
        body = body_of(
            server,
            "left",
            args[1],
            f'"entry_id":"{entry_id}","user_id":"{user_id}","tier_no":{words[7]},'
            f'"quantity":{words[8]},"why":"owner"',
        )
        place = (str(epoch), str(seq), str(server.now_ms))
        server.state.entries[entry_id] = " ".join(("left 2", *words[2:11], *place))
        return [b"LEFT", b"%d" % epoch, b"%d" % seq, server.now_ms, body], body

    return each(server, names, args, work)
