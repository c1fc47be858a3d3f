"""
Who buys: each asks one worker after the other, repeats with the same key what was not answered.

An answer may be lost on its way, or its worker die before it; then nobody knows, and the buyer
asks again. What was answered goes to the judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from engine.commands import Order, Own
from engine.errors import EngineError
from tests.determinism.judge import Ack
from tests.determinism.staff import EVENT_ID, Worker

if TYPE_CHECKING:
    from tests.determinism.world import World

#: How often a buyer repeats.
TRIES = 6
PAUSE_S = 0.3
#: Longest wait for an answer; level `database` may take longer than that.
PATIENCE_S = 2.0


def open_shop(world: World) -> list[asyncio.Task[None]]:
    """Publish the event and let the buyers in; return who must come to an end."""
    is_published = asyncio.Event()
    tasks = [_publish(world, is_published)]
    tasks += [_buy(world, number, is_published) for number in range(world.plan.buyers)]
    return [world.loop.create_task(task, context=Context()) for task in tasks]


async def _publish(world: World, is_published: asyncio.Event) -> None:
    """Publish until it is known to be; the API says so when PostgreSQL has it."""
    waits = not world.plan.is_eager
    while True:
        answer = await _try(world, Worker.publish, world.plan.capacity, waits=waits)
        if answer in {"PUBLISHED", "REPLAYED"}:
            is_published.set()
            return
        await asyncio.sleep(PAUSE_S)


async def _buy(world: World, number: int, is_published: asyncio.Event) -> None:
    judge, rng = world.judge, world.rng
    await is_published.wait()
    user_id, own = f"usr_{number}", list[str]()
    for n in range(world.plan.orders):
        await asyncio.sleep(rng.random() * PAUSE_S)
        if own and rng.random() < 0.35:
            ended = Own(EVENT_ID, own.pop(), user_id)
            judge.asked_to_cancel.add(ended.id)
            await _ask(world, Worker.cancel, ended)
            continue
        order = Order(
            EVENT_ID, f"bk_{number}_{n}", user_id, f"f{n}", b"{}", ((1, rng.randint(1, 2)),)
        )
        level = rng.choice(("fsync", "fsync", "fsync", "database"))
        judge.asked.add(order.id)
        answer = await _ask(world, Worker.book, order, level)
        if isinstance(answer, Ack):
            own.append(order.id)


async def _ask(
    world: World, work: Callable[..., Coroutine[Any, Any, Ack | str]], *words: Any
) -> Ack | str | None:
    """Ask until there is an answer, or patience ends."""
    for _ in range(TRIES):
        answer: Ack | str | None = await _try(world, work, *words)
        if answer is not None:
            world.tell(f"buyer was told {answer}")
            if isinstance(answer, Ack):
                world.judge.acks.append(answer)
            return answer
        await asyncio.sleep(PAUSE_S)
    return None


async def _try(
    world: World, work: Callable[..., Coroutine[Any, Any, Any]], *words: Any, **named: Any
) -> Any:
    """Ask one worker once; None if there was no answer."""
    if not world.workers:
        return None
    worker = world.rng.choice(list(world.workers.values()))
    answered: asyncio.Future[Any] = world.loop.create_future()

    def pass_on(done: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if answered.done():
            return
        if isinstance(error, EngineError | asyncio.CancelledError):
            answered.set_result(None)
        elif error is not None:
            answered.set_exception(error)
        else:
            answered.set_result(done.result())

    def lose_patience() -> None:
        if not answered.done():
            answered.set_result(None)

    worker.process.spawn(work(worker, *words, **named)).add_done_callback(
        pass_on, context=Context()
    )
    world.loop.call_later(PATIENCE_S, lose_patience)
    return await answered
