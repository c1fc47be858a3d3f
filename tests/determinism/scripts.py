"""
What the Lua scripts do, as far as the simulation needs it; `test_models.py` holds it to them.

One event of one tier without seats: `publish`, `book`, `cancel`; the persister's note, the probe,
and the coordinator's claim. A script is one step of the server, so nothing comes between its
checks and its writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from engine.keys import EventKeys
from engine.records import frame, seal
from engine.values import item_rows
from tests.determinism.redis_server import RedisServer, Script, epoch_of

#: Keys of `book` and of the other batched scripts before those of their events.
BOOK_KEYS = 5
SHARD_KEYS = 3


def enter(server: RedisServer, belief: str, *, states: Sequence[str] = ("open",)) -> int:
    """Pass the door as `lua/lib/door.lua` does; return the last seq."""
    epoch, _, seen_seq = belief.partition(":")
    meta = server.state.meta
    state = meta.get("state")
    if meta.get("epoch") != epoch or state not in states:
        raise ResponseError(f"FENCED {meta.get('epoch', 'false')} {state or 'false'}")
    if int(meta["seq"]) < int(seen_seq or 0):
        raise ResponseError(f"FENCED {epoch} lost: it ends at {meta['seq']}")
    return int(meta["seq"])


def _append(server: RedisServer, journal: str, seq: int, bodies: Sequence[bytes]) -> None:
    """Journal the records of one call, and count them."""
    records = [seal(body) for body in bodies]
    text, epoch = frame(records), epoch_of(journal)
    entries = server.state.journals.setdefault(epoch, [])
    if entries and entries[-1][0] >= seq:
        raise ResponseError("ERR The ID specified in XADD is equal or smaller")
    for at, raw in enumerate(records, start=seq - len(records) + 1):
        server.judge.appended(epoch, at, raw)
    entries.append((seq, text))
    meta = server.state.meta
    size = int(meta.get("bytes", 0)) + len(text) + 1
    meta |= {"seq": str(seq), "bytes": str(size), "oldest_at_ms": str(server.now_ms)}


def publish(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[Any]:
    """See `lua/publish.lua`; of one tier."""
    belief, event_id, fingerprint, opens, closes, person_max = args[:6]
    capacity, price, order_max = args[7:10]
    seq = enter(server, belief) + 1
    stock, epoch = server.state.stock, epoch_of(names[1])
    if stock:
        if stock["fingerprint"] != fingerprint:
            return [b"IDEMPOTENCY_KEY_REUSED"]
        return [b"REPLAYED", *(stock[name].encode() for name in ("epoch", "seq", "at_ms"))]
    body = (
        f'{{"kind":"published","version":2,"at_ms":{server.now_ms},"event_id":"{event_id}",'
        f'"fingerprint":"{fingerprint}","opens_at_ms":{opens},"closes_at_ms":{closes},'
        f'"person_max":{person_max},"tiers":[[1,{capacity},{price},{order_max}]]}}'
    )
    _append(server, names[1], seq, [body.encode()])
    server.state.stock = {
        "fingerprint": fingerprint,
        "epoch": str(epoch),
        "seq": str(seq),
        "at_ms": str(server.now_ms),
        "capacity": capacity,
        "available": capacity,
        "price": price,
    }
    server.wrote()
    return [b"PUBLISHED", b"%d" % epoch, b"%d" % seq, server.now_ms, body.encode()]


def book(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> bytes:
    """See `lua/book.lua`; replies a line per order."""
    last_seq = enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - BOOK_KEYS) // len(EventKeys._fields)
    stock, bookings = server.state.stock, server.state.bookings
    bodies: list[bytes] = []
    replies: list[bytes] = []
    for own_id, user_id, fingerprint, detail, quantity in _orders(args[1 + events :]):
        row = bookings.get(own_id)
        if row is not None:
            status, version, *place, _, its_fingerprint, items = row.split(" ")[:8]
            known = its_fingerprint == fingerprint
            now = () if version == "1" else (status, version, row.rpartition(" ")[2])
            words = ("REPLAYED", *place, items, *now)
            reply = " ".join(words) if known else "IDEMPOTENCY_KEY_REUSED"
        elif not stock:
            reply = "NOT_ON_SALE"
        elif int(stock["available"]) < quantity:
            reply = f"SOLD_OUT 1 {stock['available']}"
        else:
            stock["available"] = str(int(stock["available"]) - quantity)
            seq, items = last_seq + len(bodies) + 1, f"1:{quantity}:{stock['price']}"
            place = [str(epoch), str(seq), str(server.now_ms)]
            bodies.append(
                f'{{"kind":"booked","version":2,"at_ms":{server.now_ms},'
                f'"event_id":"{_event_of(args)}","booking_id":"{own_id}","user_id":"{user_id}",'
                f'"fingerprint":"{fingerprint}",'
                f'"items":[[1,{quantity},{stock["price"]}]],"detail":{detail}}}'.encode()
            )
            bookings[own_id] = " ".join(("confirmed 1", *place, user_id, fingerprint, items))
            reply = " ".join(("BOOKED", *place, items))
        replies.append(reply.encode())
    if bodies:
        _append(server, names[1], last_seq + len(bodies), bodies)
        server.wrote()
    return b"\n".join(replies)


def _orders(words: Sequence[str]) -> Iterator[tuple[str, str, str, str, int]]:
    """Yield id, person, fingerprint, detail and quantity of each order (`engine.calls`)."""
    count, kinds, columns = map(int, words[0].split(" ")[:3])
    column = 2 + kinds
    for n in range(count):
        asked = words[2 + ord(words[1][n]) - ord("0")]
        own_id, user_id, fingerprint = (words[column + at * count + n] for at in range(3))
        detail = words[column + 3 * count + n] if columns == 4 else "{}"
        yield own_id, user_id, fingerprint, detail, int(asked.rpartition(":")[2])


def cancel(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/cancel.lua`."""
    last_seq = enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - SHARD_KEYS) // len(EventKeys._fields)
    stock, bookings = server.state.stock, server.state.bookings
    bodies: list[bytes] = []
    replies: list[list[Any]] = []
    for at in range(1 + events, len(args), 3):
        _, own_id, user_id = args[at : at + 3]
        words = bookings.get(own_id, "").split(" ")
        if len(words) < 8 or words[5] != user_id or not stock:
            replies.append([b"NOT_FOUND"])
        elif words[0] == "cancelled":
            replies.append([b"REPLAYED", *(word.encode() for word in words[8:])])
        else:
            items = words[7]
            body = (
                f'{{"kind":"cancelled","version":2,"at_ms":{server.now_ms},'
                f'"event_id":"{_event_of(args)}","booking_id":"{own_id}","user_id":"{user_id}",'
                f'"items":{item_rows(items)}}}'
            ).encode()
            seq = last_seq + len(bodies) + 1
            bodies.append(body)
            stock["available"] = str(int(stock["available"]) + places_of(items))
            place = (str(epoch), str(seq), str(server.now_ms))
            bookings[own_id] = " ".join(("cancelled 2", *words[2:8], *place))
            replies.append([b"CANCELLED", b"%d" % epoch, b"%d" % seq, server.now_ms, body])
    if bodies:
        _append(server, names[1], last_seq + len(bodies), bodies)
        server.wrote()
    return replies


def persisted(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[bytes]:
    """See `lua/persisted.lua`."""
    belief, *figures, verdict = args
    persisted_seq, trim_seq, size = map(int, figures)
    seq = enter(server, belief, states=("open", "frozen", "lost"))
    if persisted_seq > seq:
        raise ResponseError(f"BADARG persisted {persisted_seq} of {seq}")
    meta, epoch = server.state.meta, epoch_of(names[1])
    server.judge.told(epoch, persisted_seq, trim_seq)
    trim_seq = max(trim_seq, int(meta.get("trimmed_seq", 0)))
    entries = server.state.journals.get(epoch, [])
    if entries:
        server.state.journals[epoch] = [entry for entry in entries if entry[0] > trim_seq]
    meta |= {
        "persisted_seq": str(max(persisted_seq, int(meta["persisted_seq"]))),
        "trimmed_seq": str(trim_seq),
        "persisted_bytes": str(max(size, int(meta.get("persisted_bytes", 0)))),
        "state": verdict if meta["state"] == "open" else meta["state"],
    }
    server.wrote()
    return [b"PERSISTED", b"%d" % seq]


def waitmark(server: RedisServer, _names: Sequence[str], args: Sequence[str]) -> list[Any]:
    """See `lua/waitmark.lua`."""
    enter(server, args[0])
    marks = int(server.state.meta.get("waitmarks", 0)) + 1
    server.state.meta["waitmarks"] = str(marks)
    server.wrote()
    return [b"MARKED", marks]


def claim(server: RedisServer, _names: Sequence[str], args: Sequence[str]) -> list[bytes]:
    """See `lua/recovery/claim.lua`."""
    own, verb, *words = args
    meta = server.state.meta
    before = [word.encode() for pair in meta.items() for word in pair]
    if int(meta.get("claim", 0)) > int(own):
        raise ResponseError(f"FENCED {meta['claim']}")
    is_whole = meta.get("state") != "rebuilding" or meta.get("loaded") == own
    if verb in {"set", "open"} and not (meta.get("claim") == own and (verb == "set" or is_whole)):
        raise ResponseError("FENCED lost")
    if verb != "fence":
        meta |= {"claim": own, **dict(zip(words[::2], words[1::2], strict=True))}
    elif meta:
        state = "rebuilding" if meta.get("state") == "rebuilding" else "recovering"
        meta |= {"claim": own, "state": state}
    if meta:
        server.wrote()
    return before


def places_of(items: str) -> int:
    """Return the places of a booking, from its items as Redis keeps them."""
    return sum(int(line.split(":")[1]) for line in items.split(","))


def _event_of(args: Sequence[str]) -> str:
    return args[1]


SCRIPTS: Mapping[str, Script] = {
    "publish": publish,
    "book": book,
    "cancel": cancel,
    "persisted": persisted,
    "waitmark": waitmark,
    "claim": claim,
}
