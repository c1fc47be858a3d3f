"""
A batch of `book` is decided as its orders would be one by one, whichever way they go through it.

Orders that obviously fit are taken in locals, a batch of nothing else is noted as a whole, and all
others go the long way; what is said and kept must not tell which.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.ids import new_id
from engine.records import Booked
from tests.checks import ask, check_consistent, journal, persons, stock, users
from tests.lua.world import Command, Till

DETAILS = ("{}", "{}", '{"special_requests":"50% \\t ="}', '{"metadata":{"a":1}}')


async def said_alone(till: Till, commands: list[Command], alone: dict[str, str]) -> list[Any]:
    """Book the same, one by one, at other events."""
    replies = []
    for command in commands:
        own = Command(
            command.user_id,
            *command.items,
            event_id=alone[command.event_id],
            key=command.key,
            fingerprint=command.fingerprint,
            detail=command.detail,
        )
        replies += await till.book(own)
    return replies


def told(replies: list[Any]) -> list[Any]:
    """Return what replies say, but for when and where."""
    changes = {"BOOKED", "REPLAYED"}
    return [(r[0], r[4]) if r[0] in changes else tuple(r) for r in replies]


def make_batch(draw: random.Random, events: list[str], people: list[str]) -> list[Command]:
    """Draw a batch; some are nothing but plain orders, others hardly have one."""
    is_odd = draw.random() < 0.7
    commands = []
    for number in range(draw.choice((1, 2, 9, 10, 11, 25))):
        items: list[tuple[int, int]] = [(draw.randint(1, 2), draw.randint(1, 2))]
        if is_odd and draw.random() < 0.2:
            items = draw.sample([(1, 1), (2, 1), (3, 1), (4, 1)], 2)
        commands.append(
            Command(
                draw.choice(people) if is_odd else new_id("usr"),
                *items,
                event_id=draw.choice(events if is_odd else events[:1]),
                key=draw.choice("abc") if is_odd else str(number),
                fingerprint=draw.choice(("f", "f", "f", "g")),
                detail=draw.choice(DETAILS),
            )
        )
    return commands


@pytest.mark.parametrize("seed", range(20))
async def test_i1_i6_a_batch_is_decided_as_its_orders_alone(till: Till, seed: int) -> None:
    """I1, I6: batches of any mixture say and leave what their orders do one by one."""
    draw = random.Random(seed)
    alone = {new_id("evt"): new_id("evt") for _ in range(draw.choice((1, 1, 2)))}
    for event in [*alone, *alone.values()]:
        await till.publish(event, tiers=((60, 2500, 4), (30, 9900, 10), (0, 100, 10)))
    people = users(8)
    for _ in range(6):
        commands = make_batch(draw, list(alone), people)
        together = await till.book(*commands)
        assert told(await said_alone(till, commands, alone)) == told(together)
        seqs = [int(reply[2]) for reply in together if reply[0] == "BOOKED"]
        assert sorted(set(seqs)) == seqs
        records = {entry.seq: entry.record for entry in await journal(till.redis, till.shard)}
        for command, reply in zip(commands, together, strict=True):
            record = records[int(reply[2])] if reply[0] == "BOOKED" else None
            if isinstance(record, Booked):
                assert (till.booking(command), command.user_id, command.fingerprint) == (
                    record.booking_id,
                    record.user_id,
                    record.fingerprint,
                )
                assert command.items == tuple((i.tier_no, i.quantity) for i in record.items)
    for event, other in alone.items():
        for read in (stock, persons):
            assert await read(till.redis, till.shard, other) == await read(
                till.redis, till.shard, event
            )
    entries = await journal(till.redis, till.shard)
    assert sum(len(entry.raw) + 1 for entry in entries) == int(
        await ask(till.redis, "HGET", till.meta, "bytes")
    )
    await check_consistent(till.redis, till.shard)


async def test_details_of_a_whole_batch_are_kept(till: Till) -> None:
    """Of a batch that is noted as a whole each record has the detail of its own order."""
    await till.publish(tiers=((100, 2500, 4), (50, 9900, 10)))
    commands = [
        Command(user, (1 + n % 2, 1), detail=DETAILS[n % 4]) for n, user in enumerate(users(20))
    ]
    replies = await till.book(*commands)
    assert {"BOOKED"} == {reply[0] for reply in replies}
    entries = await journal(till.redis, till.shard)
    assert [f'"detail":{command.detail}}}' for command in commands] == [
        "".join(entry.raw.decode().partition('"detail":')[1:]) for entry in entries[1:]
    ]
    await check_consistent(till.redis, till.shard)
