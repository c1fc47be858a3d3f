"""The life of a hold: `hold`, `extend`, `release`, `confirm`, `expire`, in the headers' order."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.ids import booking_of_hold, hold_id, new_id
from engine.records import CHECK_CHARS, Confirmed, Expired, Extended, Held, Released
from tests.checks import (
    FAR_MS,
    Tier,
    ask,
    check_consistent,
    journal,
    persons,
    snapshot,
    stock,
    users,
)
from tests.lua.conftest import Command, Till

TTL_MS = 60_000
LIFE_MAX_MS = 100_000
GONE_MS = 1


class Desk:
    """Calls the scripts of a hold's life on the till's default event."""

    def __init__(self, till: Till) -> None:
        self.till = till

    def hold_id(self, command: Command) -> str:
        """Return the id of the hold that *command* asks for."""
        return hold_id(
            event_id=self.till.event, user_id=command.user_id, idempotency_key=command.key
        )

    async def hold(self, *commands: Command, ttl_ms: int = TTL_MS) -> list[list[Any]]:
        """Hold for all *commands* in one call."""
        orders = [
            command.order(self.till.event, self.hold_id(command), ttl_ms) for command in commands
        ]
        return await self.till.send("hold", *orders)

    async def on(self, verb: str, command: Command, *words: Any, user: str = "") -> list[Any]:
        """Run *verb* on the hold that *command* made, as its owner or as *user*."""
        args = [1, self.hold_id(command), user or command.user_id, *words]
        replies: list[list[Any]] = await self.call(verb, *args)
        assert 1 == len(replies)
        return replies[0]

    async def expire(self, holds_max: int = 100, forget_ms: int = TTL_MS) -> list[Any]:
        """Sweep the event."""
        replies: list[Any] = await self.call("expire", holds_max, forget_ms)
        return replies

    async def call(self, name: str, *args: Any) -> list[Any]:
        """Run a script on the one event."""
        till = self.till
        names = [till.meta, till.journal, keys.due(till.shard), *keys.event(till.shard, till.event)]
        replies: list[Any] = await till.call(name, names, till.epoch, till.event, *args)
        return replies

    async def tiers(self) -> dict[int, Tier]:
        """Return the event's counters."""
        return await stock(self.till.redis, self.till.shard, self.till.event)

    async def people(self) -> dict[str, int]:
        """Return the persons' counts."""
        return await persons(self.till.redis, self.till.shard, self.till.event)

    async def last(self) -> Any:
        """Return the journal's last record."""
        return (await journal(self.till.redis, self.till.shard))[-1].record


@pytest.fixture
async def desk(till: Till) -> Desk:
    """Publish the default event and return a desk for it."""
    await till.publish()
    return Desk(till)


async def wait_until_gone(desk: Desk, command: Command) -> None:
    """Wait, on the server's clock, until the hold's deadline has passed."""
    score = await ask(
        desk.till.redis,
        "ZSCORE",
        keys.event(desk.till.shard, desk.till.event).deadlines,
        desk.hold_id(command),
    )
    while await desk.till.now_ms() <= float(score):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_hold_sets_places_aside(desk: Desk, user: str) -> None:
    """I1, I12: places move from available to held, and count for the person."""
    command = Command(user, (1, 3), (2, 2))
    [[status, epoch, seq, at_ms, items, expires_at_ms]] = await desk.hold(command)

    assert ("HELD", "1", "2", "1:3:2500,2:2:9900") == (status, epoch, seq, items)
    assert at_ms + TTL_MS == expires_at_ms
    tiers = await desk.tiers()
    assert (Tier(7, 3, 0), Tier(3, 2, 0)) == (tiers[1], tiers[2])
    assert {user: 5} == await desk.people()
    record = await desk.last()
    assert isinstance(record, Held)
    assert (desk.hold_id(command), user, expires_at_ms) == (
        record.hold_id,
        record.user_id,
        record.expires_at_ms,
    )


async def test_hold_is_replayed(desk: Desk, user: str) -> None:
    """I6: the same key holds once, in one batch and later; another request is refused."""
    command = Command(user, (1, 2))
    first, second = await desk.hold(command, command)
    [third] = await desk.hold(command)
    [other] = await desk.hold(Command(user, (1, 1), fingerprint="other"))

    assert "HELD" == first[0]
    assert ["REPLAYED", *[str(v) for v in first[1:]]] == [str(v) for v in second]
    assert [str(v) for v in second] == [str(v) for v in third]
    assert ["IDEMPOTENCY_KEY_REUSED"] == other
    assert Tier(8, 2, 0) == (await desk.tiers())[1]


async def test_hold_refusals(desk: Desk, user: str) -> None:
    """A hold is refused for the same reasons, in the same order, as a booking."""
    [unknown], [order], [sold_out] = (
        await desk.hold(Command(user, (9, 1), key="a")),
        await desk.hold(Command(user, (1, 5), key="b")),
        await desk.hold(Command(user, (3, 1), key="c")),
    )
    await desk.hold(Command(user, (2, 5), key="d"))
    [person] = await desk.hold(Command(user, (1, 2), key="e"))
    [held] = await desk.hold(Command(new_id("usr"), (2, 1), key="f"))

    assert ["UNKNOWN_TIER", 1] == unknown
    assert ["LIMIT_REACHED", "order", 4, 0] == order
    assert ["SOLD_OUT", 1, 0] == sold_out
    assert ["LIMIT_REACHED", "person", 6, 5] == person
    assert ["ALL_HELD", 1, 0] == held[:3]
    assert 0 < held[3] <= TTL_MS


async def test_confirm_makes_the_booking(desk: Desk, user: str) -> None:
    """I10, I11: a live hold becomes a booking once; every further confirm gives that booking."""
    command = Command(user, (1, 2), detail='{"special_requests":"a b"}')
    await desk.hold(command)
    first = await desk.on("confirm", command)
    again = await desk.on("confirm", command)

    assert ["CONFIRMED", "1", "3"] == first[:3]
    assert ["REPLAYED", *map(str, first[1:-1])] == [str(value) for value in again]
    assert (
        first[-1].encode()
        == (await journal(desk.till.redis, desk.till.shard))[-1].raw[CHECK_CHARS:]
    )
    assert Tier(8, 0, 2) == (await desk.tiers())[1]
    assert {user: 2} == await desk.people()
    record = await desk.last()
    assert isinstance(record, Confirmed)
    assert booking_of_hold(desk.hold_id(command)) == record.booking_id
    assert ("a b", False) == (record.detail.special_requests, record.was_expired)
    assert record.fingerprint == first[5]


async def test_complaint_2_two_confirms_of_one_hold(desk: Desk, user: str) -> None:
    """Complaint 2: the check is in confirm too; the last place becomes one booking."""
    command = Command(user, (1, 4))
    await desk.hold(command)
    hold = desk.hold_id(command)
    replies = await desk.call("confirm", *([1, hold, user] * 5))

    assert ["CONFIRMED", *["REPLAYED"] * 4] == [reply[0] for reply in replies]
    assert Tier(6, 0, 4) == (await desk.tiers())[1]


@pytest.mark.parametrize(
    "steps", sorted(set(itertools.permutations(("confirm", "confirm", "release", "extend"))))
)
async def test_complaint_4_any_order_ends_the_same(
    desk: Desk, user: str, steps: tuple[str, ...]
) -> None:
    """Complaint 4: a webhook, its repetition and the user, in any order, end in one state."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    replies = {}
    for step in steps:
        words = (TTL_MS, LIFE_MAX_MS) if step == "extend" else ()
        replies[step] = (await desk.on(step, command, *words))[0]
    first = next(step for step in steps if step != "extend")
    if first == "confirm":
        assert ("REPLAYED", "HOLD_CONFIRMED") == (replies["confirm"], replies["release"])
        assert Tier(8, 0, 2) == (await desk.tiers())[1]
    else:
        assert ("HOLD_RELEASED", "RELEASED") == (replies["confirm"], replies["release"])
        assert Tier(10, 0, 0) == (await desk.tiers())[1]
    await check_consistent(desk.till.redis, desk.till.shard)


async def test_i11_only_the_owner(desk: Desk, user: str) -> None:
    """I11: nobody else confirms, extends or releases a hold; to them it is not there."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    before = await snapshot(desk.till.redis, desk.till.shard)
    thief = new_id("usr")
    replies = [
        await desk.on("confirm", command, user=thief),
        await desk.on("release", command, user=thief),
        await desk.on("extend", command, TTL_MS, LIFE_MAX_MS, user=thief),
        await desk.on("confirm", Command(user, key="unknown")),
    ]

    assert [["NOT_FOUND"]] * 4 == replies
    assert before == await snapshot(desk.till.redis, desk.till.shard)


async def test_release_gives_places_back(desk: Desk, user: str) -> None:
    """I1, I10: released places are available at once; the hold is over for good."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    first = await desk.on("release", command)
    again = await desk.on("release", command)
    confirm = await desk.on("confirm", command)
    extend = await desk.on("extend", command, TTL_MS, LIFE_MAX_MS)

    assert ["RELEASED", "REPLAYED"] == [first[0], again[0]]
    assert [["HOLD_RELEASED"], ["HOLD_RELEASED"]] == [confirm, extend]
    assert Tier(10, 0, 0) == (await desk.tiers())[1]
    assert {} == await desk.people()
    assert isinstance(await desk.last(), Released)


async def test_release_of_a_booking(desk: Desk, user: str) -> None:
    """I10: what is sold is not released; sold -> free goes through cancel alone."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    await desk.on("confirm", command)

    assert ["HOLD_CONFIRMED"] == await desk.on("release", command)
    assert ["HOLD_CONFIRMED"] == await desk.on("extend", command, TTL_MS, LIFE_MAX_MS)
    assert Tier(8, 0, 2) == (await desk.tiers())[1]


async def test_extend_moves_the_deadline_up_to_the_longest_life(desk: Desk, user: str) -> None:
    """A deadline moves forward only, and never beyond the longest life of the hold."""
    command = Command(user, (1, 1))
    [[_, _, _, at_ms, _, first_ms]] = await desk.hold(command)
    reply = await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    limit = await desk.on("extend", command, 10 * TTL_MS, LIFE_MAX_MS)
    shorter = await desk.on("extend", command, 1, LIFE_MAX_MS)

    assert first_ms < at_ms + LIFE_MAX_MS
    assert ["EXTENDED", at_ms + LIFE_MAX_MS] == [reply[0], reply[4]]
    assert [["EXTENSION_LIMIT", at_ms + LIFE_MAX_MS]] * 2 == [limit, shorter]
    record = await desk.last()
    assert isinstance(record, Extended)
    assert at_ms + LIFE_MAX_MS == record.expires_at_ms


async def test_complaint_6_overdue_holds_end(desk: Desk, user: str) -> None:
    """Complaint 6: an overdue hold gives its places back, by the sweeper, once."""
    command = Command(user, (1, 2))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)

    assert ["SWEPT", 1, 0] == await desk.expire()
    assert ["SWEPT", 0, 0] == await desk.expire()
    assert Tier(10, 0, 0) == (await desk.tiers())[1]
    assert {} == await desk.people()
    assert isinstance(await desk.last(), Expired)


async def test_complaint_6_a_sale_reclaims_what_is_overdue(desk: Desk, user: str) -> None:
    """Complaint 6: a buyer who finds too little ends overdue holds in the same call."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    other = new_id("usr")
    [reply] = await desk.till.book(Command(other, (2, 4)))

    assert "BOOKED" == reply[0]
    assert Tier(1, 0, 4) == (await desk.tiers())[2]
    assert {other: 4} == await desk.people()
    kinds = [type(entry.record) for entry in await journal(desk.till.redis, desk.till.shard)]
    assert Expired in kinds[:-1]


async def test_f21_sweep_is_bounded_and_forgets(desk: Desk) -> None:
    """F21: a sweep ends so many holds and no more; what ended long ago is forgotten."""
    commands = [Command(each, (1, 1)) for each in users(5)]
    await desk.hold(*commands, ttl_ms=GONE_MS)
    await wait_until_gone(desk, commands[-1])

    assert [["SWEPT", 2, 0], ["SWEPT", 2, 0], ["SWEPT", 1, 0]] == [
        await desk.expire(holds_max=2) for _ in range(3)
    ]
    names = keys.event(desk.till.shard, desk.till.event)
    assert 5 == await ask(desk.till.redis, "HLEN", names.holds)
    while (await desk.expire(forget_ms=1))[2] == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await desk.expire(forget_ms=1)
    assert 0 == await ask(desk.till.redis, "HLEN", names.holds)
    assert None is await ask(desk.till.redis, "ZSCORE", keys.due(desk.till.shard), desk.till.event)


async def test_f35_late_confirm_takes_places_that_are_still_there(desk: Desk, user: str) -> None:
    """F35: paid too late, the place is taken anew if there is one, within the same limits."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    await desk.expire()
    reply = await desk.on("confirm", command)

    assert "CONFIRMED" == reply[0]
    assert Tier(0, 0, 5) == (await desk.tiers())[2]
    record = await desk.last()
    assert isinstance(record, Confirmed)
    assert record.was_expired


async def test_f35_late_confirm_after_the_places_are_gone(desk: Desk, user: str) -> None:
    """F35: expiry and confirm race; when the places went to another, the late one is told."""
    command = Command(user, (2, 5))
    await desk.hold(command, ttl_ms=GONE_MS)
    await wait_until_gone(desk, command)
    await desk.till.book(Command(new_id("usr"), (2, 1)))
    reply = await desk.on("confirm", command)

    assert "HOLD_EXPIRED" == reply[0]
    assert Tier(4, 0, 1) == (await desk.tiers())[2]


async def test_i12_a_limit_counts_holds_and_bookings(desk: Desk, user: str) -> None:
    """I12: live holds count; confirming neither adds nor forgets; the end of a hold does."""
    first, second = Command(user, (1, 4), key="a"), Command(user, (1, 2), key="b")
    await desk.hold(first)
    await desk.hold(second)
    await desk.on("confirm", first)
    [refused] = await desk.till.book(Command(user, (2, 1), key="c"))
    await desk.on("release", second)
    [booked] = await desk.till.book(Command(user, (2, 2), key="c"))

    assert ["LIMIT_REACHED", "person", 6, 6] == refused
    assert "BOOKED" == booked[0]


async def test_complaint_14_held_is_not_sold_out(desk: Desk, user: str) -> None:
    """Complaint 14: the last places held are `ALL_HELD`; sold, they are `SOLD_OUT`."""
    command = Command(user, (2, 5))
    await desk.hold(command)
    other = new_id("usr")
    [held] = await desk.till.book(Command(other, (2, 1)))
    await desk.on("confirm", command)
    [sold] = await desk.till.book(Command(other, (2, 1)))

    assert ["ALL_HELD", "SOLD_OUT"] == [held[0], sold[0]]


VERBS: dict[str, tuple[Any, ...]] = {"confirm": (), "release": (), "extend": (TTL_MS, LIFE_MAX_MS)}


@pytest.mark.parametrize("number", range(14))
@pytest.mark.parametrize("verb", [*VERBS, "hold", "expire"])
async def test_f22_wrong_type_keys_leave_state_unchanged(
    desk: Desk, user: str, verb: str, number: int
) -> None:
    """F22: a planted key of the wrong type either does not matter or fails before any write."""
    till = desk.till
    command = Command(user, (1, 2))
    await desk.hold(command, ttl_ms=GONE_MS if verb == "expire" else TTL_MS)
    if verb == "expire":
        await wait_until_gone(desk, command)
    names = [till.meta, till.journal, keys.due(till.shard), *keys.event(till.shard, till.event)]
    await ask(till.redis, "DEL", names[number])
    await ask(till.redis, "SET", names[number], "planted")
    before = await snapshot(till.redis, till.shard)
    try:
        match verb:
            case "hold":
                reply: list[Any] = (await desk.hold(Command(user, (1, 1), key="new")))[0]
            case "expire":
                reply = await desk.expire()
            case _:
                reply = await desk.on(verb, command, *VERBS[verb])
    except ResponseError as error:
        reply = [str(error)]
        assert before == await snapshot(till.redis, till.shard)
    assert re.match("HELD|CONFIRMED|RELEASED|EXTENDED|SWEPT|.*WRONGTYPE", reply[0])
    assert b"planted" == await ask(till.redis, "GET", names[number])


async def test_fenced(desk: Desk, user: str) -> None:
    """I13, I17: under another epoch no verb changes anything."""
    command = Command(user, (1, 2))
    await desk.hold(command)
    before = await snapshot(desk.till.redis, desk.till.shard)
    desk.till.epoch = 2
    with pytest.raises(ResponseError, match="FENCED 1 open"):
        await desk.hold(Command(user, (1, 1), key="new"))
    for verb, words in VERBS.items():
        with pytest.raises(ResponseError, match="FENCED 1 open"):
            await desk.on(verb, command, *words)
    with pytest.raises(ResponseError, match="FENCED 1 open"):
        await desk.expire()

    assert before == await snapshot(desk.till.redis, desk.till.shard)


async def test_f21_largest_batch(desk: Desk) -> None:
    """F21: 128 holds in one call are all decided, and exactly as many as fit win."""
    commands = [Command(each, (1, 1)) for each in users(128)]
    replies = await desk.hold(*commands)

    assert 10 == [reply[0] for reply in replies].count("HELD")
    assert 118 == [reply[0] for reply in replies].count("ALL_HELD")
    assert FAR_MS > replies[-1][3]
