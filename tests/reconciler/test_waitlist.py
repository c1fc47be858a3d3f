"""I9 in the reconciler: lists are proved against records, live, and unfair steps are found."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from engine import keys
from engine.commands import Expire, Join, Order, Own, TierStock
from engine.engine import Engine
from engine.ids import booking_of_offer, entry_id, hold_id, new_id, offer_of_entry
from engine.outcomes import Applied, Booked, Held
from engine.records import Item, Joined, Left, Offered, Record, Released, Rules
from engine.values import parse_entry
from engine.verbs import EXPIRE
from reconciler.judge.fairness import Fairness
from tests.checks import ask, make_booking_id
from tests.reconciler import conftest
from tests.reconciler.conftest import DETAIL, BoxOffice

CHECKS = 15
PEOPLE = 16


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let events have few places, so that people must wait."""
    monkeypatch.setattr(conftest, "TIERS", (TierStock(8, 2500, 10), TierStock(4, 9900, 10)))


class Person:
    """Asks for places in every way there is, at random."""

    def __init__(self, office: BoxOffice, event_id: str, policy: str, seed: int) -> None:
        self.office = office
        self.event_id = event_id
        self.policy = policy
        self.chance = random.Random(seed)
        self.user_id = new_id("usr")
        self.bookings: list[str] = []
        self.entries: list[str] = []
        self.joined = 0

    @property
    def engine(self) -> Engine:
        """The engine they ask."""
        return self.office.engine

    async def act(self) -> None:
        """Do one thing."""
        step = self.chance.choice(
            [self.book, self.hold, self.join, self.join, self.settle, self.cancel, self.cancel]
        )
        await step()

    def order(self, own_id: str, ttl_ms: int) -> Order:
        """Make an order of one tier."""
        lines = ((self.chance.randint(1, 2), self.chance.randint(1, 3)),)
        return Order(self.event_id, own_id, self.user_id, "print", DETAIL, lines, ttl_ms)

    async def book(self) -> None:
        """Book, if there is anything to be had."""
        own_id = make_booking_id(self.event_id, self.user_id, new_id("usr"))
        if isinstance(await self.engine.book(self.office.shard, self.order(own_id, 0)), Booked):
            self.bookings.append(own_id)

    async def hold(self) -> None:
        """Hold, and let go, confirm, or forget."""
        own_id = hold_id(
            event_id=self.event_id, user_id=self.user_id, idempotency_key=new_id("usr")
        )
        reply = await self.engine.hold(self.office.shard, self.order(own_id, 30))
        own = Own(self.event_id, own_id, self.user_id)
        if isinstance(reply, Held) and self.chance.random() < 0.5:
            await self.engine.release(self.office.shard, own)
        elif isinstance(reply, Held) and self.chance.random() < 0.5:
            await self.engine.confirm(self.office.shard, own)

    async def join(self) -> None:
        """Wait for places."""
        own_id = entry_id(
            event_id=self.event_id, user_id=self.user_id, idempotency_key=new_id("usr")
        )
        command = Join(
            self.event_id,
            own_id,
            self.user_id,
            "print",
            self.chance.randint(1, 2),
            self.chance.randint(1, 3),
            self.policy,
            50,
            60,
            1_000,
        )
        if isinstance(await self.engine.join(self.office.shard, command), Applied):
            self.entries.append(own_id)
            self.joined += 1

    async def settle(self) -> None:
        """Leave, or take or decline what one may have been offered."""
        if not self.entries:
            return
        own_id = self.chance.choice(self.entries)
        offer = Own(self.event_id, offer_of_entry(own_id), self.user_id)
        kind = self.chance.random()
        if kind < 0.6:
            if isinstance(await self.engine.confirm(self.office.shard, offer), Booked):
                self.bookings.append(booking_of_offer(offer.id))
        elif kind < 0.8:
            await self.engine.release(self.office.shard, offer)
        else:
            await self.engine.leave(self.office.shard, Own(self.event_id, own_id, self.user_id))

    async def cancel(self) -> None:
        """Cancel a booking."""
        if self.bookings:
            own_id = self.bookings.pop()
            await self.engine.cancel(self.office.shard, Own(self.event_id, own_id, self.user_id))


async def live(person: Person, stop: asyncio.Event) -> None:
    """Act until told to stop."""
    while not stop.is_set():
        await person.act()
        await asyncio.sleep(person.chance.random() * 0.04)


async def sweep(office: BoxOffice, event_ids: list[str], stop: asyncio.Event) -> None:
    """End what is overdue, again and again."""
    while not stop.is_set():
        for event_id in event_ids:
            command = Expire(event_id, 50, 1_000_000)
            await office.engine.shards[office.shard].submit(EXPIRE, command)
        await asyncio.sleep(0.02)


async def test_i9_f40_reconcile_live(office: BoxOffice) -> None:
    """I9, F40: while people join, are offered, accept, decline and lapse, no check finds drift."""
    rules = Rules(offer_ttl_ms=60)
    events = [(await office.add_event(rules=rules)).event_id for _ in range(2)]
    stop = asyncio.Event()
    people = [Person(office, events[n % 2], ("strict", "skip")[n % 2], n) for n in range(PEOPLE)]
    tasks = [asyncio.create_task(live(person, stop)) for person in people]
    tasks.append(asyncio.create_task(sweep(office, events, stop)))
    tasks.append(asyncio.create_task(office.persist(stop)))
    try:
        for _ in range(CHECKS):
            result = await office.check()
            assert ([], []) == (result.violations, result.errors)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    rows = await office.database.fetch(
        "SELECT status::text AS status, count(*) AS count FROM waitlist_entries"
        " WHERE event_id = ANY($1) GROUP BY 1",
        events,
    )
    counts = {row["status"]: row["count"] for row in rows}
    assert sum(person.joined for person in people) == sum(counts.values())
    assert {"accepted", "declined", "expired", "left"} <= counts.keys()


async def waiting(office: BoxOffice) -> tuple[str, list[str]]:
    """Fill a tier, let two people wait and one be offered; half of it persisted."""
    event_id = (await office.add_event()).event_id
    booking = await office.book(event_id, new_id("usr"), "a", (1, 2))
    await office.book(event_id, new_id("usr"), "b", (1, 6))
    people = [Person(office, event_id, "strict", n) for n in range(3)]
    own = [
        entry_id(event_id=event_id, user_id=person.user_id, idempotency_key="k")
        for person in people
    ]
    for number, person in enumerate(people):
        command = Join(
            event_id, own[number], person.user_id, "print", 1, 2, "strict", 10**6, 10**6, 100
        )
        assert isinstance(await office.engine.join(office.shard, command), Applied)
        if number == 1:
            await office.drain()
    user_id = (
        (await ask(office.redis, "HGET", keys.event(office.shard, event_id).bookings, booking))
        .split()[5]
        .decode()
    )
    await office.cancel(event_id, user_id, booking)
    return event_id, own


async def test_i9_untouched_list_is_clean(office: BoxOffice) -> None:
    """A list with an offer, half in PostgreSQL, is as its records say."""
    await waiting(office)
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("HINCRBY", "stock", "1.waiting", 1), "waiting_differs"),
        (("ZREMRANGEBYRANK", "waitlist", "1", "-1"), "list_differs"),
        (("HDEL", "entries", 1), "entry_not_in_redis"),
        (("HDEL", "entries", 2), "entry_not_in_redis"),
        (("HSET", "entries", 1, "quantity"), "entry_differs"),
        (("HDEL", "holds", 0), "offer_without_hold"),
    ],
)
async def test_i9_drift_is_found(
    office: BoxOffice, command: tuple[str | int, ...], code: str
) -> None:
    """Each way in which a list can differ from its records is found and named."""
    event_id, own = await waiting(office)
    names = keys.event(office.shard, event_id)
    verb, key, *rest = command
    name = getattr(names, str(key))
    words = [own[n] if isinstance(n, int) and key != "stock" else n for n in rest]
    if key == "holds":
        words = [offer_of_entry(own[0])]
    if verb == "HSET":
        row = (await ask(office.redis, "HGET", name, own[1])).decode().split(" ")
        assert 2 == parse_entry(" ".join(row).encode()).quantity
        row[8] = "3"
        words = [own[1], " ".join(row)]
    await ask(office.redis, verb, name, *words)
    result = await office.check()
    assert code in {violation.code for violation in result.violations}


def joined(name: str, number: int, *, policy: str = "strict") -> Joined:
    """Make the record of joining tier 1."""
    return Joined(
        version=1,
        at_ms=1,
        event_id="evt_x",
        entry_id=f"wl_{name}",
        user_id="u",
        fingerprint="f",
        tier_no=1,
        quantity=1,
        join_no=f"{number:012}",
        policy=policy,  # type: ignore[arg-type]
        patience_ms=1,
        offer_ttl_ms=1,
        after_hold="",
    )


def offered(
    name: str, number: int, *passed: str, reason: str = "turn", limited: str = "", tier_no: int = 1
) -> Offered:
    """Make the record of an offer, of tier 1 if nothing is said."""
    return Offered(
        version=2,
        at_ms=1,
        event_id="evt_x",
        entry_id=f"wl_{name}",
        hold_id=f"offer_{name}",
        user_id="v" if name == "b" else "u",
        fingerprint="f",
        items=[Item(tier_no, 1, 1)],
        expires_at_ms=1,
        join_no=f"{number:012}",
        cause_seq=0,
        reason=reason,  # type: ignore[arg-type]
        passed=[f"wl_{one}" for one in passed],
        limited=[f"wl_{one}" for one in limited],
    )


LEFT = Left(
    version=1,
    at_ms=1,
    event_id="evt_x",
    entry_id="wl_a",
    user_id="u",
    tier_no=1,
    quantity=1,
    why="owner",
)
A, B = joined("a", 1), joined("b", 2)
#: Of tier 2; its owner is that of A.
C = msgspec.structs.replace(joined("c", 3), tier_no=2)
DECLINED = Released(
    version=2, at_ms=1, event_id="evt_x", hold_id="offer_c", user_id="u", items=[Item(2, 1, 1)]
)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([A, B, offered("a", 1), offered("b", 2)], []),
        ([A, B, LEFT, offered("b", 2)], []),
        ([A, B, offered("b", 2, "a", reason="patience")], []),
        ([A, B, offered("b", 2)], ["passed_unsaid"]),
        ([A, B, offered("b", 2, "a", reason="skip")], ["reason_differs"]),
        ([A, offered("b", 2)], ["offer_without_entry", "passed_unsaid"]),
        ([A, offered("a", 1), offered("a", 1)], ["offer_without_entry"]),
        ([A, B, C, offered("c", 3, tier_no=2), offered("b", 2, limited="a")], []),
        ([A, B, offered("b", 2, limited="a")], ["passed_undue"]),
        (
            [A, B, C, offered("c", 3, tier_no=2), DECLINED, offered("b", 2, limited="a")],
            ["passed_undue"],
        ),
        (
            [
                joined("a", 1, policy="skip"),
                joined("b", 2, policy="skip"),
                offered("b", 2, "a", reason="skip"),
            ],
            [],
        ),
    ],
)
def test_i9_fairness(records: list[Record], expected: list[str]) -> None:
    """I9: who is served before an earlier one is found, unless the record says why it may be."""
    fairness = Fairness(0)
    for seq, record in enumerate(records, start=1):
        fairness.follow(seq, record)
    assert expected == [unfair.code for unfair in fairness.unfair]
