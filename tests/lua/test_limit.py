"""The booking limit: a bucket of attempts per person, on Redis time, inside `lua/book.lua`."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.calls import Limit
from engine.ids import new_id
from tests.checks import FAR_MS, ask, check_consistent, journal, snapshot, users
from tests.lua.waitlist import full
from tests.lua.world import Command, Till

#: So slow that no attempt comes back while a test runs.
DAY = Limit(3, 86_400_000)
STEP_MS = 28_800_000


async def book(till: Till, *commands: Command, limit: Limit | None = DAY) -> list[list[Any]]:
    """Book for all commands in one call under the limit."""
    orders = [command.order(till.event, till.booking(command)) for command in commands]
    return await till.send("book", *orders, limit=limit)


def tries(user: str, count: int, first: int = 0) -> list[Command]:
    """Return as many different attempts of a person."""
    return [Command(user, (1, 1), key=f"k{first + number}") for number in range(count)]


async def kept(till: Till) -> list[dict[bytes, bytes]]:
    """Return both hashes."""
    return [await ask(till.redis, "HGETALL", name) for name in keys.attempts(till.shard)]


@pytest.mark.parametrize("together", [True, False])
async def test_as_many_as_the_bucket_holds(till: Till, user: str, together: bool) -> None:
    """A person may try as often as the bucket holds, in one call or in many; others are free."""
    await till.publish(person_max=9)
    commands = tries(user, 5)
    if together:
        replies = await book(till, *commands)
    else:
        replies = [reply for command in commands for reply in await book(till, command)]
    assert ["BOOKED"] * 3 + ["RATE_LIMITED"] * 2 == [reply[0] for reply in replies]
    _, attempts_max, window_ms, retry_after_ms = replies[-1]
    assert (3, 86_400_000) == (attempts_max, window_ms)
    assert STEP_MS - 60_000 < retry_after_ms <= STEP_MS
    assert "BOOKED" == (await book(till, Command(new_id("usr"), (1, 1))))[0][0]
    assert 5 == len(await journal(till.redis, till.shard))
    await check_consistent(till.redis, till.shard)


async def test_i6_a_replay_is_never_refused(till: Till, user: str) -> None:
    """I6: who has used all attempts gets the first reply of a known key, and it costs none."""
    await till.publish(person_max=9)
    commands = tries(user, 3)
    first = await book(till, *commands)
    for _ in range(4):
        replies = await book(till, *commands, *tries(user, 1, first=7))
        assert ["REPLAYED"] * 3 + ["RATE_LIMITED"] == [reply[0] for reply in replies]
        assert [reply[4] for reply in first] == [reply[4] for reply in replies[:3]]
    other = Command(user, (1, 2), key="k0", fingerprint="f2")
    assert [["IDEMPOTENCY_KEY_REUSED"]] == await book(till, other)


async def test_i6_a_replay_costs_no_attempt(till: Till, user: str) -> None:
    """I6: repeating a request in the batch of its first, or later, leaves the others their turn."""
    await till.publish(person_max=9)
    one, two, three, four = tries(user, 4)
    replies = await book(till, one, one, one, two, one)
    assert ["BOOKED", "REPLAYED", "REPLAYED", "BOOKED", "REPLAYED"] == [r[0] for r in replies]
    assert ["BOOKED", "RATE_LIMITED"] == [r[0] for r in await book(till, three, four)]


async def test_refused_attempts_count(till: Till, user: str) -> None:
    """What is refused, for whatever reason, was an attempt; what the limit refuses was none."""
    await till.publish(person_max=9)
    beyond = [Command(user, (3, 1), key="a"), Command(user, (9, 1), key="b")]
    assert ["SOLD_OUT", "UNKNOWN_TIER"] == [reply[0] for reply in await book(till, *beyond)]
    replies = await book(till, *tries(user, 3))
    assert ["BOOKED", "RATE_LIMITED", "RATE_LIMITED"] == [reply[0] for reply in replies]
    assert replies[1] == replies[2]


async def test_limit_comes_before_the_sale(till: Till, user: str) -> None:
    """The limit is looked at before anything of the event is."""
    replies = await book(till, *tries(user, 4))
    assert ["NOT_ON_SALE"] * 3 + ["RATE_LIMITED"] == [reply[0] for reply in replies]


async def test_attempts_come_back_by_redis_time(till: Till, user: str) -> None:
    """The bucket fills at a steady rate, through any number of windows."""
    await till.publish(tiers=((100_000, 1, 10),), person_max=100_000)
    limit = Limit(4, 80)
    begun_ms = await till.now_ms()
    booked = number = 0
    while (passed_ms := await till.now_ms() - begun_ms) < 1_000:
        replies = await book(till, *tries(user, 3, first=number), limit=limit)
        number += 3
        booked += [reply[0] for reply in replies].count("BOOKED")
        assert all(reply[0] == "BOOKED" or 1 <= reply[3] <= 20 for reply in replies)
    taken_ms = await till.now_ms() - begun_ms
    assert booked <= 4 + taken_ms // 20 + 1
    assert booked >= 4
    assert passed_ms >= 1_000
    # Left alone for a whole window it is full again.
    rest_ms = await till.now_ms() + 80
    while await till.now_ms() <= rest_ms:
        pass
    replies = await book(till, *tries(user, 4, first=number), limit=Limit(4, 86_400_000))
    assert ["BOOKED"] * 4 == [reply[0] for reply in replies]


async def test_buckets_are_bounded_and_die(till: Till) -> None:
    """One field per person, in one hash, which dies when the next window is over."""
    await till.publish(tiers=((1_000, 1, 10),))
    people = users(40)
    for _ in range(3):
        await book(till, *(Command(user, (1, 1), key=new_id("usr")) for user in people))
    sizes = [len(rows) for rows in await kept(till)]
    assert max(sizes) == 40
    for name, size in zip(keys.attempts(till.shard), sizes, strict=True):
        if size:
            assert 0 < await ask(till.redis, "PTTL", name) <= 2 * DAY.window_ms


async def test_buckets_cost_no_log(till: Till, user: str) -> None:
    """Attempts are of this server alone: a batch of refusals writes nothing to log or replicas."""
    await book(till, *tries(user, 1))
    before = await _offset(till)
    replies = await book(till, *tries(user, 9, first=1))
    assert {"NOT_ON_SALE", "RATE_LIMITED"} == {reply[0] for reply in replies}
    assert before == await _offset(till)
    assert any(await kept(till))


async def _offset(till: Till) -> int:
    """Return how many bytes the append-only file has, as far as Redis tells."""
    return int((await ask(till.redis, "INFO", "persistence"))["aof_current_size"])


async def test_no_limit(till: Till, user: str) -> None:
    """Without a limit nothing is counted."""
    await till.publish(person_max=9)
    replies = await book(till, *tries(user, 9), limit=None)
    assert ["BOOKED"] * 9 == [reply[0] for reply in replies]
    assert [{}, {}] == await kept(till)


@pytest.mark.parametrize("number", [0, 1])
async def test_f22_bad_bucket_changes_nothing(till: Till, user: str, number: int) -> None:
    """F22: a bucket that is no figure, or a key of another type, stops the script at once."""
    await till.publish()
    for plant in ("figure", "type"):
        for name in keys.attempts(till.shard):
            await ask(till.redis, "DEL", name)
            if plant == "figure":
                await ask(till.redis, "HSET", name, user, "soon")
            else:
                await ask(till.redis, "SET", name, "planted")
        before = await snapshot(till.redis, till.shard)
        with pytest.raises(ResponseError):
            await book(till, *tries(user, 1 + number))
        assert before == await snapshot(till.redis, till.shard)


async def test_f33_nothing_is_counted_where_the_journal_refuses(till: Till, user: str) -> None:
    """F33: attempts are the last that is written, so an error before leaves them as they were."""
    await till.publish()
    await ask(till.redis, "XADD", till.journal, "9-1", "records", "from another history")
    before = await snapshot(till.redis, till.shard)
    with pytest.raises(ResponseError, match="equal or smaller"):
        await book(till, *tries(user, 1))
    assert before == await snapshot(till.redis, till.shard)


async def test_nothing_is_offered_of_an_event_that_lost_a_key(till: Till, user: str) -> None:
    """I6, I9: also where a call refuses all its orders, what is lost is not written anew."""
    queue, [booking] = await full(till, 2)
    await queue.join(1)
    await till.set_stock({"closes_at_ms": 1})
    await till.cancel(booking)
    await till.set_stock({"closes_at_ms": FAR_MS})
    own = keys.event(till.shard, till.event)
    await ask(till.redis, "DEL", own.holds)
    limit = Limit(1, 86_400_000)
    assert "EVENT_DAMAGED" == (await book(till, *tries(user, 1), limit=limit))[0][0]
    assert "RATE_LIMITED" == (await book(till, *tries(user, 1), limit=limit))[0][0]
    assert 0 == await ask(till.redis, "EXISTS", own.holds)


@pytest.mark.parametrize("used", [1, 3])
async def test_f58_a_clock_set_back_empties_no_bucket(till: Till, user: str, used: int) -> None:
    """F58: what a clock wrote that has been set back since is no attempt; the limit stands."""
    minute = Limit(3, 60_000)
    await till.publish(person_max=9)
    await book(till, *tries(user, used), limit=minute)
    for name, rows in zip(keys.attempts(till.shard), await kept(till), strict=True):
        for who, full_at in rows.items():
            await ask(till.redis, "HSET", name, who, int(full_at) + 3_600_000)
    replies = await book(till, *tries(user, 5, first=used), limit=minute)
    assert ["BOOKED"] * 3 + ["RATE_LIMITED"] * 2 == [reply[0] for reply in replies]
    assert 0 < replies[-1][3] <= 20_000
