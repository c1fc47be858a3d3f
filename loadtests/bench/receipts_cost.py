"""
What receipts and the redo buffer cost a worker: `python -m loadtests.bench.receipts_cost`.

CPU microseconds per booking, by batch size; the least of several rounds, since a machine has other
things to do as well. Needs no server. The figures stand in
docs/decisions/0010-one-signature-per-batch.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.batches import Batch
from engine.calls import Call, call_of
from engine.commands import Order
from engine.ids import booking_id, new_id
from engine.receipts import Sealer
from engine.redo import Horizon, RedoBuffer
from engine.verbs import BOOK

SIZES = (1, 16, 64, 128)
BOOKINGS = 4_096
ROUNDS = 7

Work = Callable[[Call, bytes], None]


def orders(count: int) -> list[Order]:
    """Make orders of one event."""
    event_id, made = new_id("evt"), []
    for number in range(count):
        user_id = new_id("usr")
        own = booking_id(event_id=event_id, user_id=user_id, idempotency_key=str(number))
        made.append(Order(event_id, own, user_id, "0123456789abcdef", b"{}", ((1, 2),)))
    return made


def reply_to(count: int) -> bytes:
    """Make the script's reply to them."""
    return b"\n".join(b"BOOKED 7 %d 1800000000000 1:2:4500" % seq for seq in range(1, count + 1))


def landed(call: Call, reply: bytes) -> Batch:
    """Read the reply to them."""
    batch = call.read(reply).batch
    assert batch is not None
    return batch


def cost_us(work: Work, size: int) -> float:
    """Return what *work* costs per booking at one batch size, in us."""
    call, best_s = call_of(BOOK, 0, 7, orders(size)), float("inf")
    for _ in range(ROUNDS):
        told = [reply_to(size) for _ in range(BOOKINGS // size)]
        started_s = time.process_time()
        for reply in told:
            work(call, reply)
        best_s = min(best_s, time.process_time() - started_s)
    return 1e6 * best_s / (BOOKINGS // size * size)


async def measure() -> None:
    """Print the table."""
    key = Ed25519PrivateKey.generate()
    sealer = Sealer(key.sign, key.public_key().public_bytes_raw())

    async def read_horizon(_: int) -> Horizon:
        return Horizon(0, is_open=True)

    async def write(_: object) -> None:
        raise AssertionError("no epoch ends here")

    redo = RedoBuffer(
        0,
        read_horizon=read_horizon,
        write=write,
        records_max=1_000,
        bytes_max=1 << 30,
        on_drop=lambda _: None,
    )

    def land(call: Call, reply: bytes) -> None:
        landed(call, reply)

    def keep(call: Call, reply: bytes) -> None:
        redo.keep(landed(call, reply))

    def sign(call: Call, reply: bytes) -> None:
        batch = landed(call, reply)
        for command in call.commands:
            sealer.receipt(batch, command.id)

    print(f"{'batch':>6} {'land':>8} {'+ redo':>8} {'+ receipt':>10}   us per booking")
    for size in SIZES:
        bare = cost_us(land, size)
        figures = [bare, cost_us(keep, size) - bare, cost_us(sign, size) - bare]
        print(f"{size:>6} {figures[0]:>8.2f} {figures[1]:>8.2f} {figures[2]:>10.2f}")
    await redo.close()


if __name__ == "__main__":
    asyncio.run(measure())
