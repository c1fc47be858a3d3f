"""
What `hold`, `confirm` and `release` do, as far as the simulation needs it; see `scripts`.

Holds live longer than any history, so that none runs out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from engine.keys import EventKeys
from engine.values import item_rows
from tests.determinism import scripts
from tests.determinism.redis_server import RedisServer, epoch_of
from tests.determinism.scripts import SHARD_KEYS, append, asked_of, body_of, fit, move, priced

#: Keys of `hold` before those of its events.
HOLD_KEYS = 7


class Hold(NamedTuple):
    """A hold as Redis keeps it (docs/DATA.md)."""

    status: str
    version: str
    epoch: str
    seq: str
    at_ms: str
    user_id: str
    fingerprint: str
    items: str
    expires_at_ms: str
    changed_epoch: str
    changed_seq: str
    detail: str

    def changed(self, status: str, epoch: int, seq: int) -> Hold:
        """Return it as a record has changed it."""
        return self._replace(
            status=status,
            version=str(int(self.version) + 1),
            changed_epoch=str(epoch),
            changed_seq=str(seq),
        )

    @property
    def row(self) -> str:
        """The row that is kept."""
        return " ".join(self)


def parse(row: str) -> Hold:
    """Read a row."""
    return Hold(*row.split(" ", 11))


def hold(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/hold.lua`; without bounds."""
    last_seq = scripts.enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - HOLD_KEYS) // len(EventKeys._fields)
    state, event_id = server.state, args[1]
    bodies: list[bytes] = []
    replies: list[list[Any]] = []
    for order in asked_of(args[1 + events :]):
        row = state.holds.get(order.id)
        if row is not None:
            its = parse(row)
            is_known = its.fingerprint == order.fingerprint
            words = (its.epoch, its.seq, its.at_ms, its.items, its.expires_at_ms)
            replies.append(
                [b"REPLAYED", *(word.encode() for word in words)]
                if is_known
                else [b"IDEMPOTENCY_KEY_REUSED"]
            )
            continue
        refusal = fit(state, order.tier_no, order.quantity)
        if refusal:
            replies.append([refusal[0].encode(), *map(int, refusal[1:])])
            continue
        seq, at_ms = last_seq + len(bodies) + 1, server.now_ms
        items, expires_at_ms = priced(state, order), at_ms + order.ttl_ms
        move(state, items, available=-1, held=1)
        bodies.append(
            body_of(
                server,
                "held",
                event_id,
                f'"hold_id":"{order.id}","user_id":"{order.user_id}",'
                f'"fingerprint":"{order.fingerprint}","items":{item_rows(items)},'
                f'"expires_at_ms":{expires_at_ms},"detail":{order.detail}',
            )
        )
        place = (str(epoch), str(seq))
        row_words = ("held 1", *place, str(at_ms), order.user_id, order.fingerprint, items)
        state.holds[order.id] = " ".join((*row_words, str(expires_at_ms), *place, order.detail))
        replies.append([b"HELD", b"%d" % epoch, b"%d" % seq, at_ms, items.encode(), expires_at_ms])
    append(server, names[1], last_seq, bodies)
    return replies


def confirm(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/confirm.lua`; never late."""

    def work(epoch: int, seq: int, hold_id: str, user_id: str) -> tuple[list[Any], bytes | None]:
        state, at_ms = server.state, server.now_ms
        booking_id = f"bk_{hold_id.partition('_')[2]}"
        booking, row = state.bookings.get(booking_id), state.holds.get(hold_id)
        if booking is not None:
            status, version, *place, owner, fingerprint, items = booking.split(" ")[:8]
            if owner != user_id:
                return [b"NOT_FOUND"], None
            now = () if version == "1" else (status, version, booking.rpartition(" ")[2])
            words = (*place, items, fingerprint, *now)
            return [b"REPLAYED", *(word.encode() for word in words)], None
        its = parse(row) if row is not None else None
        if its is None or its.user_id != user_id:
            return [b"NOT_FOUND"], None
        if its.status == "released":
            return [b"HOLD_RELEASED"], None
        body = body_of(
            server,
            "confirmed",
            args[1],
            f'"hold_id":"{hold_id}","booking_id":"{booking_id}","user_id":"{user_id}",'
            f'"fingerprint":"{its.fingerprint}","items":{item_rows(its.items)},'
            f'"detail":{its.detail},"was_expired":false',
        )
        move(state, its.items, held=-1)
        state.bookings[booking_id] = (
            f"confirmed 1 {epoch} {seq} {at_ms} {user_id} {its.fingerprint} {its.items}"
        )
        state.holds[hold_id] = its.changed("confirmed", epoch, seq).row
        words = (its.items.encode(), its.fingerprint.encode(), body)
        return [b"CONFIRMED", b"%d" % epoch, b"%d" % seq, at_ms, *words], body

    return each(server, names, args, work)


def release(server: RedisServer, names: Sequence[str], args: Sequence[str]) -> list[list[Any]]:
    """See `lua/release.lua`."""

    def work(epoch: int, seq: int, hold_id: str, user_id: str) -> tuple[list[Any], bytes | None]:
        state = server.state
        row = state.holds.get(hold_id)
        its = parse(row) if row is not None else None
        if its is None or its.user_id != user_id:
            return [b"NOT_FOUND"], None
        if its.status == "confirmed":
            return [b"HOLD_CONFIRMED"], None
        if its.status != "held":
            words = (its.epoch, its.seq, its.at_ms)
            return [b"REPLAYED", *(word.encode() for word in words)], None
        body = body_of(
            server,
            "released",
            args[1],
            f'"hold_id":"{hold_id}","user_id":"{user_id}","items":{item_rows(its.items)}',
        )
        move(state, its.items, held=-1, available=1)
        state.holds[hold_id] = its.changed("released", epoch, seq).row
        return [b"RELEASED", b"%d" % epoch, b"%d" % seq, server.now_ms, body], body

    return each(server, names, args, work)


Work = Callable[[int, int, str, str], tuple[list[Any], bytes | None]]


def each(
    server: RedisServer, names: Sequence[str], args: Sequence[str], work: Work
) -> list[list[Any]]:
    """Do *work* for each command: it gets the place of its record, and returns reply and record."""
    last_seq = scripts.enter(server, args[0])
    epoch, events = epoch_of(names[1]), (len(names) - SHARD_KEYS) // len(EventKeys._fields)
    bodies: list[bytes] = []
    replies: list[list[Any]] = []
    for own_id, user_id in _commands(args[1 + events :]):
        reply, body = work(epoch, last_seq + len(bodies) + 1, own_id, user_id)
        bodies += [body] if body is not None else []
        replies.append(reply)
    append(server, names[1], last_seq, bodies)
    return replies


def _commands(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for at in range(0, len(words), 3):
        yield words[at + 1], words[at + 2]
