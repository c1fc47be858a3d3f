"""The coalescer alone: batches, order, bounds, and whose reply is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from engine.coalescer import Coalescer
from engine.errors import Overloaded


class Sender:
    """Stands for a script: doubles numbers, one batch at a time, when let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_free = asyncio.Event()
        self.is_free.set()
        self.error: BaseException | None = None
        self.under_way = 0
        self.under_way_max = 0

    async def __call__(self, batch: Sequence[int]) -> list[int]:
        """Take one batch."""
        self.batches.append(list(batch))
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        await asyncio.sleep(0)
        await self.is_free.wait()
        self.under_way -= 1
        if self.error is not None:
            raise self.error
        return [2 * number for number in batch]


def make(
    sender: Sender,
    *,
    commands_max: int = 128,
    in_flight_max: int = 2,
    further_min: int = 1,
    waiting_max: int = 1000,
) -> Coalescer[int, int]:
    """Make a coalescer around *sender*."""
    return Coalescer(
        sender,
        commands_max=commands_max,
        in_flight_max=in_flight_max,
        further_min=further_min,
        waiting_max=waiting_max,
    )


async def test_lone_command_leaves_at_once() -> None:
    """A command that finds nothing under way is not kept waiting for company."""
    sender = Sender()
    assert 14 == await make(sender).submit(7)
    assert [[7]] == sender.batches


async def test_commands_of_one_turn_leave_together() -> None:
    """Commands of one turn of the loop share a batch, in order of arrival."""
    sender = Sender()
    coalescer = make(sender)
    assert [2 * n for n in range(50)] == await asyncio.gather(*map(coalescer.submit, range(50)))
    assert [list(range(50))] == sender.batches


async def test_f21_batches_are_bounded() -> None:
    """F21: no batch is longer than `commands_max`, no more than `in_flight_max` are under way."""
    sender = Sender()
    coalescer = make(sender, commands_max=8, in_flight_max=3)
    await asyncio.gather(*map(coalescer.submit, range(100)))
    assert list(range(100)) == [number for batch in sender.batches for number in batch]
    assert [8] * 12 + [4] == [len(batch) for batch in sender.batches]
    assert 3 == sender.under_way_max


async def test_arrivals_during_a_call_share_the_next() -> None:
    """What arrives while all calls are under way leaves together when one has landed."""
    sender = Sender()
    sender.is_free.clear()
    coalescer = make(sender, in_flight_max=1)
    first = coalescer.submit(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = []
    for number in range(1, 5):
        rest.append(coalescer.submit(number))
        await asyncio.sleep(0)
    sender.is_free.set()
    assert [0, 2, 4, 6, 8] == await asyncio.gather(first, *rest)
    assert [[0], [1, 2, 3, 4]] == sender.batches


async def test_further_call_leaves_if_it_is_worth_it() -> None:
    """While one call is under way, few commands wait for it, and enough of them do not."""
    sender = Sender()
    sender.is_free.clear()
    coalescer = make(sender, further_min=3)
    futures = []
    for number in range(5):
        futures.append(coalescer.submit(number))
        for _ in range(3):
            await asyncio.sleep(0)
        assert [[[0]], [[0]], [[0]], [[0], [1, 2, 3]], [[0], [1, 2, 3]]][number] == sender.batches
    sender.is_free.set()
    assert [0, 2, 4, 6, 8] == await asyncio.gather(*futures)
    assert [[0], [1, 2, 3], [4]] == sender.batches


async def test_overloaded() -> None:
    """When `waiting_max` commands wait, the next is refused at once and never sent."""
    sender = Sender()
    coalescer = make(sender, waiting_max=3)
    waiting = [coalescer.submit(number) for number in range(3)]
    with pytest.raises(Overloaded):
        coalescer.submit(3)
    assert [0, 2, 4] == await asyncio.gather(*waiting)
    assert 8 == await coalescer.submit(4)
    assert [[0, 1, 2], [4]] == sender.batches


async def test_error_reaches_every_caller_of_the_batch() -> None:
    """When a call fails, each of its commands gets the error, and later commands run."""
    sender = Sender()
    sender.error = OSError("gone")
    coalescer = make(sender)
    results = await asyncio.gather(*map(coalescer.submit, range(3)), return_exceptions=True)
    assert [sender.error] * 3 == results
    sender.error = None
    assert 10 == await coalescer.submit(5)


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_wrong_number_of_replies_leaves_nobody_waiting(count: int) -> None:
    """A call that returns too few or too many replies is an error for all of its commands."""

    async def send(batch: Sequence[int]) -> list[int]:
        return [0] * count

    coalescer: Coalescer[int, int] = Coalescer(send, commands_max=8, in_flight_max=1, waiting_max=8)
    futures = [coalescer.submit(number) for number in range(2)]
    await coalescer.drain()
    assert [True, True] == [future.done() for future in futures]
    assert [ValueError] * 2 == [type(future.exception()) for future in futures]


async def test_f3_cancelled_caller_does_not_cancel_its_command() -> None:
    """F3: a caller that leaves, before or during the call, takes no other's reply with it."""
    sender = Sender()
    sender.is_free.clear()
    coalescer = make(sender)
    early, during, stays = (coalescer.submit(number) for number in range(3))
    early.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    during.cancel()
    sender.is_free.set()
    assert 4 == await stays
    assert [[0, 1, 2]] == sender.batches


async def test_f3_cancel_storm() -> None:
    """F3: whoever stays of many callers gets the reply to its own command."""
    sender = Sender()
    coalescer = make(sender, commands_max=5, in_flight_max=3)

    async def caller(number: int) -> int:
        await asyncio.sleep(0)
        return await coalescer.submit(number)

    tasks = [asyncio.create_task(caller(number)) for number in range(300)]
    for turn, task in enumerate(tasks):
        if turn % 3 == 0:
            task.cancel()
        if turn % 7 == 0:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await coalescer.drain()
    stayed = {n: result for n, result in enumerate(results) if isinstance(result, int)}
    assert {n: 2 * n for n in stayed} == stayed
    assert {n for n in range(300) if n % 3} <= set(stayed)


async def test_drain() -> None:
    """`drain` returns when nothing waits and nothing is under way."""
    sender = Sender()
    coalescer = make(sender, commands_max=2, in_flight_max=1)
    futures = [coalescer.submit(number) for number in range(7)]
    await coalescer.drain()
    assert [True] * 7 == [future.done() for future in futures]
    await coalescer.drain()
