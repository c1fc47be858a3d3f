"""Receipts redeemed on a shard that has opened by itself: all honoured, nothing sold twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import keys
from engine.commands import Order, Own, TierStock
from engine.errors import ShardRecovering
from engine.ids import booking_of_hold, hold_id, new_id
from engine.outcomes import Applied, Booked
from engine.receipts import Receipt, Sealer, derive_key
from engine.values import parse_entry
from evently.embedded import ValkeyServer
from reconciler.recover import redeem as redeems
from reconciler.recover.receipts import Line, read_lines, record_of
from reconciler.recover.redeem import Redeemed, redeem_all
from store import redo, reigns
from tests.checks import ask, make_booking_id
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from tests.reconciler.killed.test_lost_redis import receipts_of
from tests.reconciler.recovering import bookings, log_of, recover, restart, sell, wait_open

SIGNING_KEY = "s" * 43


async def redeem(office: BoxOffice, lines: list[Line]) -> list[Redeemed]:
    """Redeem receipts as the command does."""
    return [one async for one in redeem_all(office.servers, lines)]


async def whats(office: BoxOffice, lines: list[Line]) -> list[str]:
    """Redeem receipts; return what became of them."""
    return [one.what for one in await redeem(office, lines)]


def lines_of(acked: dict[str, Booked], path: Path) -> list[Line]:
    """Return the receipts of what was acknowledged, as a buyer has them."""
    return list(read_lines(path, receipts_of(acked, path)))


async def lose_tail(office: BoxOffice, valkey: ValkeyServer, size: int) -> None:
    """Kill Redis and every worker with it; what it comes back with is opened by itself."""
    valkey.kill()
    log_of(valkey).write_bytes(log_of(valkey).read_bytes()[:size])
    await restart(office, valkey)
    with pytest.raises(ShardRecovering):
        await office.engine.confirm(office.shard, Own(new_id("evt"), "hold_x", "usr_x"))
    await recover(office)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    await wait_open(office.engine, office.shard, epoch=row.epoch)


async def conflicts(office: BoxOffice) -> list[str]:
    """Return what people are asked to judge."""
    rows = await office.database.fetch(
        "SELECT reason FROM conflicts WHERE shard = $1 ORDER BY id", office.shard
    )
    return [row["reason"] for row in rows]


async def test_f62_all_receipts_are_honoured(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F62, I4, I6: the tail cut and every worker gone: what buyers can prove is booked again."""
    event = await office.add_event()
    acked = await sell(office, event, 4)
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    lost = await sell(office, event, 5)
    lines = lines_of(acked | lost, tmp_path / "receipts")
    await lose_tail(office, valkey, size)
    assert lost.keys() & (await bookings(office, event)).keys() == set()

    assert ["there"] * 4 + ["booked"] * 5 == await whats(office, lines)

    assert (acked | lost).keys() == (await bookings(office, event)).keys()
    assert ["there"] * 9 == await whats(office, lines)
    assert [] == await conflicts(office)
    assert set() == await office.codes()
    receipt = lines[-1].receipt
    assert isinstance(receipt, Receipt)
    own = Order(
        event.event_id, receipt.booking_id, receipt.user_id, "print", DETAIL, ((1, 1), (2, 2))
    )
    repeated = await office.engine.book(office.shard, own)
    assert isinstance(repeated, Booked)
    assert (True, receipt.items) == (repeated.is_replay, repeated.items)


async def test_f70_receipts_wait_for_workers(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F70: while a worker's records wait to be merged, nobody books what may be among them."""
    monkeypatch.setattr(redeems, "OPEN_S_MAX", 0.3)
    event = await office.add_event()
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    lines = lines_of(await sell(office, event, 1), tmp_path / "receipts")
    await lose_tail(office, valkey, size)
    receipt = lines[0].receipt
    assert isinstance(receipt, Receipt)
    row = redo.Row(*record_of(receipt))
    await redo.write(office.database, shard=office.shard, worker="late", rows=[row])

    assert ["again"] == await whats(office, lines)
    assert {} == await bookings(office, event)
    await recover(office)
    assert ["there"] == await whats(office, lines)
    assert [receipt.booking_id] == list(await bookings(office, event))


async def test_f62_no_place_left_is_the_first_on_the_list(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F62, I1, I9: sold out since: first in line, people are asked, and then booked after all."""
    event = await office.add_event(tiers=(TierStock(2, 2500, 10),))
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    lost = await one_place(office, event)
    lines = lines_of(lost, tmp_path / "receipts")
    await lose_tail(office, valkey, size)
    [others] = [await one_place(office, event, 2)]

    for _ in range(2):
        assert ["waits"] == await whats(office, lines)
    [reason] = await conflicts(office)
    assert reason.startswith("receipt: no place is left; wl_")
    names = keys.event(office.shard, event.event_id)
    [own_id] = lost
    row = await ask(office.redis, "HGET", names.entries, f"wl_{own_id.removeprefix('bk_')}")
    entry = parse_entry(row)
    assert ("waiting", "000000000001") == (entry.status, entry.join_no)

    [(other, outcome)] = others.items()
    receipt = lines[0].receipt
    assert isinstance(receipt, Receipt)
    gone = await office.engine.cancel(office.shard, Own(event.event_id, other, BUYERS[other]))
    assert isinstance(gone, Applied)
    assert ["booked"] == await whats(office, lines)
    assert ["there"] == await whats(office, lines)
    assert own_id in await bookings(office, event)
    assert {"record_in_conflict"} == await office.codes()
    assert outcome


BUYERS: dict[str, str] = {}


async def one_place(office: BoxOffice, event: Shown, places: int = 1) -> dict[str, Booked]:
    """Book places of the first tier."""
    user = new_id("usr")
    own = make_booking_id(event.event_id, user, "k")
    BUYERS[own] = user
    outcome = await office.engine.book(
        office.shard, Order(event.event_id, own, user, "print", DETAIL, ((1, places),))
    )
    assert isinstance(outcome, Booked)
    return {own: outcome}


async def test_f62_a_hold_that_is_left_becomes_the_booking(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F62, I1: only the confirmation was lost: the hold is confirmed, no place is taken twice."""
    event = await office.add_event(tiers=(TierStock(1, 2500, 10),))
    user = new_id("usr")
    held = hold_id(event_id=event.event_id, user_id=user, idempotency_key="k")
    order = Order(event.event_id, held, user, "print", DETAIL, ((1, 1),), 60_000)
    await office.engine.hold(office.shard, order)
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    confirmed = await office.engine.confirm(office.shard, Own(event.event_id, held, user))
    assert isinstance(confirmed, Booked)
    lines = lines_of({booking_of_hold(held): confirmed}, tmp_path / "receipts")
    await lose_tail(office, valkey, size)

    assert ["booked"] == await whats(office, lines)
    assert [booking_of_hold(held)] == list(await bookings(office, event))
    assert set() == await office.codes()


@pytest.mark.parametrize("field", ["1.price_minor", "closes_at_ms"])
async def test_f62_the_rules_of_today_and_the_price_of_the_receipt(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path, field: str
) -> None:
    """F62: what would cost another price, or is not sold any more, is for people to judge."""
    event = await office.add_event(tiers=(TierStock(9, 2500, 10),))
    await office.drain_all()
    size = log_of(valkey).stat().st_size
    lines = lines_of(await one_place(office, event), tmp_path / "receipts")
    await lose_tail(office, valkey, size)
    stock = keys.event(office.shard, event.event_id).stock
    await ask(office.redis, "HSET", stock, field, "7")

    [told] = await redeem(office, lines)
    assert "judge" == told.what
    assert ("another price" in told.said) == (field == "1.price_minor")
    assert 1 == len(await conflicts(office))
    assert {} == await bookings(office, event)
    fields = await ask(office.redis, "HMGET", stock, "1.available", "1.held")
    assert [b"9", b"0"] == fields


async def test_f62_the_publishing_was_lost_as_well(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F62: of an event that neither store has on sale any more, people judge; nobody waits."""
    size = log_of(valkey).stat().st_size
    event = await office.add_event()
    lines = lines_of(await sell(office, event, 1), tmp_path / "receipts")
    await lose_tail(office, valkey, size)

    [told] = await redeem(office, lines)
    assert "judge" == told.what
    assert "not_on_sale" in told.said
    assert 1 == len(await conflicts(office))


async def test_f62_what_is_not_ours(office: BoxOffice, tmp_path: Path) -> None:
    """F62: damaged, of another key, of no event of ours: named, and nothing is done."""
    event = await office.add_event()
    acked = await sell(office, event, 1)
    path = tmp_path / "receipts"
    public_keys = receipts_of(acked, path)
    text = path.read_text()
    other = derive_key("x" * 43)
    [(own, outcome)] = acked.items()
    assert outcome.batch is not None
    outcome.batch.sealed = None
    strange = Sealer(other.sign, other.public_key().public_bytes_raw()).receipt(outcome.batch, own)
    path.write_text("\n".join(["# mine", "garbage", text[:-2], strange, text, text]))
    lines = list(read_lines(path, public_keys))
    receipt = lines[-1].receipt
    assert isinstance(receipt, Receipt)
    elsewhere: Any = Line(9, _of_event(receipt, new_id("evt")))

    told = await redeem(office, [*lines, elsewhere])
    assert [2, 3, 4, 5, 9] == [one.line for one in told]
    assert ["not taken"] * 3 + ["there", "not taken"] == [one.what for one in told]
    assert "there is no event" in told[-1].said
    assert [] == await conflicts(office)


def _of_event(receipt: Receipt, event_id: str) -> Receipt:
    fields = {name: getattr(receipt, name) for name in Receipt.__struct_fields__}
    return Receipt(**fields | {"event_id": event_id})
