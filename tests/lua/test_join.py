"""`join`: its replies, in the order of its header."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from engine import keys
from tests.checks import members_of, snapshot
from tests.lua.waitlist import Queue, Waiter, full
from tests.lua.world import Till

SMALL = ((4, 2500, 4),)


class TestJoinRefusals:
    """The replies of `join`, in the order of its header."""

    async def test_joined_and_replayed(self, till: Till) -> None:
        """A join replies its place in the journal; repeated, the same, whatever became of it."""
        queue, [booking] = await full(till, 1)
        waiter = Waiter(till.event, 1)
        first = await queue.send_join(waiter)
        assert ["JOINED", "1"] == first[:2]
        await till.cancel(booking)
        await queue.accept(waiter)
        assert ["REPLAYED", *map(str, first[1:-1])] == await queue.send_join(waiter)
        await queue.check()

    async def test_key_reused(self, till: Till) -> None:
        """The same entry with another request is refused."""
        queue, _ = await full(till, 1)
        waiter = await queue.join(1)
        assert ["IDEMPOTENCY_KEY_REUSED"] == await queue.send_join(waiter, fingerprint="g")

    async def test_refusals(self, till: Till) -> None:
        """Every refusal that one set of figures can show, each changing nothing."""
        queue = Queue(till)
        assert ["NOT_ON_SALE"] == await queue.send_join(Waiter(till.event, 1))
        await till.publish(tiers=[(2, 2500, 4), (9, 100, 4)], person_max=5)
        [booking] = await queue.sell(2)
        waiter = await queue.join(1)
        before = await snapshot(till.redis, till.shard)
        for expected, quantity, given in (
            (["UNKNOWN_TIER", 1], 1, {"tier_no": 3}),
            (["LIMIT_REACHED", "order", 4, 0], 5, {}),
            (["PARTY_TOO_LARGE", 2], 3, {}),
            (["PLACES_AVAILABLE", 9], 1, {"tier_no": 2}),
            (["WAITLIST_FULL", 1], 1, {"waiting_max": 1}),
        ):
            reply = await queue.send_join(Waiter(till.event, quantity), **given)
            assert expected == reply
        again = Waiter(till.event, 1, user_id=waiter.user_id)
        assert ["ALREADY_WAITING", waiter.id] == await queue.send_join(again)
        owner = Waiter(till.event, 1, user_id=booking.user_id)
        await till.set_meta(backlog_max=0)
        assert ["BACKPRESSURE"] == await queue.send_join(owner)
        await till.set_meta(backlog_max=1_000)
        assert {**before, till.meta.encode(): 0} == {
            **await snapshot(till.redis, till.shard),
            till.meta.encode(): 0,
        }

    async def test_person_limit_counts_the_party(self, till: Till) -> None:
        """I12: who could not have the whole party may not wait for it."""
        await till.publish(tiers=SMALL, person_max=5)
        queue = Queue(till)
        [booking] = await queue.sell(4)
        owner = Waiter(till.event, 2, user_id=booking.user_id)
        assert ["LIMIT_REACHED", "person", 5, 4] == await queue.send_join(owner)

    async def test_sale_window(self, till: Till) -> None:
        """Nobody waits before the sale has opened or after it has closed."""
        queue, _ = await full(till, 1)
        far = await till.now_ms() + 100_000
        await till.set_stock({"opens_at_ms": far})
        assert ["SALE_NOT_OPEN", far] == await queue.send_join(Waiter(till.event, 1))
        await till.set_stock({"opens_at_ms": 0, "closes_at_ms": 1})
        assert ["SALE_CLOSED", 1] == await queue.send_join(Waiter(till.event, 1))

    @pytest.mark.parametrize(
        "given",
        [
            {"quantity": 0},
            {"quantity": 11},
            {"quantity": "x"},
            {"tier_no": 1000},
            {"policy": "lifo"},
            {"patience_ms": "1,"},
            {"offer_ttl_ms": -1},
        ],
    )
    async def test_bad_arguments(self, till: Till, given: dict[str, object]) -> None:
        """What the caller must not send is an error, and changes nothing."""
        queue, _ = await full(till, 1)
        with pytest.raises(ResponseError, match="BADARG"):
            await queue.send_join(Waiter(till.event, 1), **given)

    async def test_rejoin_after_the_end(self, till: Till) -> None:
        """Who left or let an offer go may wait again, at the end."""
        queue, _ = await full(till, 1)
        first, other = await queue.join(1), await queue.join(1)
        await queue.leave(first)
        again = Waiter(till.event, 1, user_id=first.user_id)
        assert "JOINED" == (await queue.send_join(again))[0]
        assert (await queue.entry(other)).join_no < (await queue.entry(again)).join_no
        await queue.check()

    async def test_f21_largest_batch(self, till: Till) -> None:
        """F21: 128 joins in one call run; the list has them in order."""
        queue, _ = await full(till, 1)
        waiters = [Waiter(till.event, 1) for _ in range(128)]
        words: list[object] = []
        for w in waiters:
            words += [1, w.id, w.user_id, "f", 1, 1, "strict", 10, 10, 1000, "-", 0, 0]
        names = [till.meta, till.journal, keys.due(till.shard), *keys.attempts(till.shard)]
        names += queue.names
        replies = await till.call("join", names, till.epoch, till.event, *words)
        assert {"JOINED"} == {reply[0] for reply in replies}
        assert [w.id for w in waiters] == [
            m[17:] for m in await members_of(till.redis, queue.names.waitlist)
        ]
        await queue.check()
