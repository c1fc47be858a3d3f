"""
What the Lua scripts do, as far as the simulation needs it; `test_models.py` holds it to them.

One event of tiers without seats: `publish`, `book`, `cancel`, the persister's note, the probe, and
the coordinator's claim; holds and those who wait stand in `holding` and `waiting`. A script is one
step of the server, so nothing comes between its checks and its writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from engine.keys import EventKeys
from engine.records import frame, seal
from engine.values import item_rows
from tests.determinism.redis_server import RedisServer, State, epoch_of

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


class Asked(NamedTuple):
    """One order, as it travels (`engine.calls`)."""

    id: str
    user_id: str
    fingerprint: str
    detail: str
    tier_no: str
    quantity: int
    ttl_ms: int


def body_of(server: RedisServer, kind: str, event_id: str, more: str) -> bytes:
    """Return the JSON of a record, as `lua/lib/journal.lua` writes it."""
    head = f'{{"kind":"{kind}","version":2,"at_ms":{server.now_ms},"event_id":"{event_id}",'
    return f"{head}{more}}}".encode()


def fit(state: State, tier_no: str, quantity: int) -> list[str]:
    """Say why places cannot be taken, as `lua/lib/refusals.lua` does; empty if they can."""
    if not state.stock:
        return ["NOT_ON_SALE"]
    available, held = (int(state.stock[f"{tier_no}.{name}"]) for name in ("available", "held"))
    if quantity > available:
        return ["SOLD_OUT" if quantity > available + held else "ALL_HELD", "1", str(available)]
    return []


def move(state: State, items: str, **changes: int) -> None:
    """Change counters of a tier by the places of some items, times 1 or -1."""
    tier_no, quantity, _ = items.split(":")
    for name, sign in changes.items():
        field = f"{tier_no}.{name}"
        state.stock[field] = str(int(state.stock[field]) + sign * int(quantity))


def append(server: RedisServer, journal: str, last_seq: int, bodies: Sequence[bytes]) -> None:
    """Journal the records of one call behind the last one, and count them; there may be none."""
    if not bodies:
        return
    seq = last_seq + len(bodies)
    records = [seal(body) for body in bodies]
    text, epoch = frame(records), epoch_of(journal)
    entries = server.state.journals.setdefault(epoch, [])
    if entries and entries[-1][0] >= seq:
        raise ResponseError("ERR The ID specified in XADD is equal or smaller")
    for at, raw in enumerate(records, start=seq - len(records) + 1):
        server.judge.appended(server, epoch, at, raw)
    entries.append((seq, text))
    meta = server.state.meta
    size = int(meta.get("bytes", 0)) + len(text) + 1
    meta |= {"seq": str(seq), "bytes": str(size), "oldest_at_ms": str(server.now_ms)}
    server.wrote()


def publish(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[Any]:
    """See `lua/publish.lua`; of tiers without rules."""
    belief, event_id, fingerprint, opens, closes, person_max, count = args[:7]
    tiers = [args[at : at + 3] for at in range(7, 7 + 3 * int(count), 3)]
    seq = enter(server, belief) + 1
    stock, epoch = server.state.stock, epoch_of(names[1])
    if stock:
        if stock["fingerprint"] != fingerprint:
            return [b"IDEMPOTENCY_KEY_REUSED"]
        return [b"REPLAYED", *(stock[name].encode() for name in ("epoch", "seq", "at_ms"))]
    rows = ",".join(f"[{no},{','.join(tier)}]" for no, tier in enumerate(tiers, start=1))
    body = body_of(
        server,
        "published",
        event_id,
        f'"fingerprint":"{fingerprint}","opens_at_ms":{opens},"closes_at_ms":{closes},'
        f'"person_max":{person_max},"tiers":[{rows}]',
    )
    server.state.stock = {
        "fingerprint": fingerprint,
        "epoch": str(epoch),
        "seq": str(seq),
        "at_ms": str(server.now_ms),
        "joined": "0",
    }
    for no, (capacity, price, _) in enumerate(tiers, start=1):
        server.state.stock |= tier_stock(no, capacity, capacity, price)
    append(server, names[1], seq - 1, [body])
    return [b"PUBLISHED", b"%d" % epoch, b"%d" % seq, server.now_ms, body]


def availability(
    server: RedisServer, _names: Sequence[str], args: Sequence[str]
) -> list[list[Any]]:
    """See `lua/availability.lua`; of one event without promo codes."""
    seq, stock = enter(server, args[0]), server.state.stock
    if not stock:
        return [[b"NOT_ON_SALE"]]
    flat = [word.encode() for pair in stock.items() for word in pair]
    return [[b"STOCK", seq, server.now_ms, *flat]]


def tier_stock(tier_no: int, capacity: str, available: str, price: str) -> dict[str, str]:
    """Return the counters of a tier of which nothing is held."""
    counters = {"capacity": capacity, "available": available, "held": "0", "price": price}
    return {f"{tier_no}.{name}": value for name, value in counters.items()}


def book(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> bytes:
    """See `lua/book.lua`; replies a line per order."""
    last_seq = enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - BOOK_KEYS) // len(EventKeys._fields)
    bookings = server.state.bookings
    bodies: list[bytes] = []
    replies: list[bytes] = []
    for order in asked_of(args[1 + events :]):
        row = bookings.get(order.id)
        if row is not None:
            status, version, *place, _, its_fingerprint, items = row.split(" ")[:8]
            known = its_fingerprint == order.fingerprint
            now = () if version == "1" else (status, version, row.rpartition(" ")[2])
            words = ("REPLAYED", *place, items, *now)
            reply = " ".join(words) if known else "IDEMPOTENCY_KEY_REUSED"
        elif refusal := fit(server.state, order.tier_no, order.quantity):
            reply = " ".join(refusal)
        else:
            seq, items = last_seq + len(bodies) + 1, priced(server.state, order)
            move(server.state, items, available=-1)
            place = [str(epoch), str(seq), str(server.now_ms)]
            bodies.append(
                body_of(
                    server,
                    "booked",
                    args[1],
                    f'"booking_id":"{order.id}","user_id":"{order.user_id}",'
                    f'"fingerprint":"{order.fingerprint}","items":{item_rows(items)},'
                    f'"detail":{order.detail}',
                )
            )
            words = ("confirmed 1", *place, order.user_id, order.fingerprint, items)
            bookings[order.id] = " ".join(words)
            reply = " ".join(("BOOKED", *place, items))
        replies.append(reply.encode())
    append(server, names[1], last_seq, bodies)
    return b"\n".join(replies)


def asked_of(words: Sequence[str]) -> Iterator[Asked]:
    """Yield the orders of a call (`engine.calls`)."""
    count, kinds, columns = map(int, words[0].split(" ")[:3])
    column = 2 + kinds
    for n in range(count):
        kind = words[2 + ord(words[1][n]) - ord("0")]
        own_id, user_id, fingerprint = (words[column + at * count + n] for at in range(3))
        detail = words[column + 3 * count + n] if columns == 4 else "{}"
        _, ttl_ms, _, line = kind.split(" ")
        tier_no, _, quantity = line.partition(":")
        yield Asked(own_id, user_id, fingerprint, detail, tier_no, int(quantity), int(ttl_ms))


def priced(state: State, order: Asked) -> str:
    """Return what is asked for as items that are kept."""
    return f"{order.tier_no}:{order.quantity}:{state.stock[f'{order.tier_no}.price']}"


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
            body = body_of(
                server,
                "cancelled",
                args[1],
                f'"booking_id":"{own_id}","user_id":"{user_id}","items":{item_rows(items)}',
            )
            seq = last_seq + len(bodies) + 1
            bodies.append(body)
            move(server.state, items, available=1)
            place = (str(epoch), str(seq), str(server.now_ms))
            bookings[own_id] = " ".join(("cancelled 2", *words[2:8], *place))
            replies.append([b"CANCELLED", b"%d" % epoch, b"%d" % seq, server.now_ms, body])
    append(server, names[1], last_seq, bodies)
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
