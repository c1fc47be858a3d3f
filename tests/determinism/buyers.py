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

from engine.commands import Join, Order, Own
from engine.errors import EngineError
from tests.determinism.judge import Ack
from tests.determinism.staff import Worker
from tests.determinism.statements import EVENT_ID

if TYPE_CHECKING:
    from tests.determinism.world import World

PAUSE_S = 0.3
#: Share of orders that are held first, and of these, which are then confirmed, or over somehow.
HOLDS, CONFIRMED, OVER = 0.3, 0.6, 0.85
#: Share of those who wait that leave the list.
LEFT = 0.4
#: Longer than any history.
HOLD_TTL_MS = 10_000_000
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
        answer = await _try(world, Worker.publish, world.plan.capacities.values(), waits=waits)
        if answer in {"PUBLISHED", "REPLAYED"}:
            break
        await asyncio.sleep(PAUSE_S)
    order = Order(EVENT_ID, "bk_host", "usr_host", "f", b"{}", ((2, 1),))
    world.judge.asked.add(order.id)
    is_sold_out = isinstance(await _ask(world, Worker.book, order, None), Ack)
    is_published.set()
    if is_sold_out and world.plan.has_list:
        await _wait(world)


async def _wait(world: World) -> None:
    """Join the list of the tier that is sold out, with a few others, and leave it."""
    for n in range(world.plan.orders):
        user_id = f"usr_w{n}"
        join = Join(EVENT_ID, f"wl_{n}", user_id, "f", 2, 1, "strict", 0, 60_000, 100)
        answer = await _ask(world, Worker.join, join)
        await asyncio.sleep(world.rng.random() * PAUSE_S)
        if isinstance(answer, Ack) and world.rng.random() < LEFT:
            await _ask(world, Worker.leave, Own(EVENT_ID, join.id, user_id))


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
        level = rng.choice((None, None, None, "database"))
        judge.asked.add(order.id)
        if rng.random() < HOLDS:
            answer = await _hold(world, order, level)
        else:
            answer = await _ask(world, Worker.book, order, level)
        if isinstance(answer, Ack) and answer.kind == "booked":
            own.append(order.id)


async def _hold(world: World, order: Order, level: Any) -> Ack | str | None:
    """Hold places, then confirm the hold, release it, or leave it."""
    rng = world.rng
    held = order._replace(id=f"hold_{order.id[3:]}", ttl_ms=HOLD_TTL_MS)
    answer = await _ask(world, Worker.hold, held, level)
    if not isinstance(answer, Ack):
        return answer
    await asyncio.sleep(rng.random() * PAUSE_S)
    own, choice = Own(EVENT_ID, held.id, order.user_id), rng.random()
    if choice < CONFIRMED:
        return await _ask(world, Worker.confirm, own, level)
    return await _ask(world, Worker.release, own) if choice < OVER else answer


async def _ask(
    world: World, work: Callable[..., Coroutine[Any, Any, Ack | str]], *words: Any
) -> Ack | str | None:
    """Ask until there is an answer, or patience ends."""
    for _ in range(world.plan.tries):
        answer: Ack | str | None = await _try(world, work, *words)
        if answer is not None:
            world.tell(f"buyer was told {answer}")
            if isinstance(answer, Ack):
                world.judge.acks.append(answer)
                if world.plan.looks and world.rng.random() < world.plan.looks:
                    await _look(world, answer)
            return answer
        await asyncio.sleep(PAUSE_S)
    return None


async def _look(world: World, ack: Ack) -> None:
    """Look once whether there is what was acknowledged, at any worker."""
    if await _try(world, Worker.looks, ack) is False:
        world.tell(f"buyer was told that there is no {ack.id}")
        world.judge.denied.append(ack)


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
