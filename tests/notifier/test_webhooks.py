"""Webhooks: signed, each fact once, tried for three days, and never to where nobody may send us."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest
from standardwebhooks import Webhook

from engine.ids import new_id, ticket_id
from engine.outward import Outside, networks
from engine.records import (
    Booked,
    CheckedIn,
    Closed,
    EventCancelled,
    Holder,
    Item,
    Joined,
    Left,
    Offered,
    Record,
    Released,
    Transferred,
)
from engine.tasks import end
from notifier import webhooks as channel
from notifier.follower import Teller
from notifier.poster import Poster
from notifier.webhooks import LIFE_MS, WAITS_MS, Warden, wait_after_ms
from notifier.worker import Workers
from store import deliveries, outbox, webhooks
from store.sealed import seal
from tests.conftest import TIMEOUT_MS
from tests.notifier import receiver
from tests.notifier.conftest import House
from tests.notifier.test_killed import start
from tests.store.records import AT_MS, booked, cancelled

KEY = "k" * 32
OWN = Outside(also=networks("127.0.0.0/8"))
ALL = list(webhooks.KINDS)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not await is_so():  # noqa: ASYNC110 - rows and files have no event
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def receiving() -> Iterator[receiver.Process]:
    """Run a receiver."""
    with tempfile.TemporaryDirectory() as folder, receiver.running(Path(folder)) as process:
        yield process


@dataclass
class Hooked:
    """A house whose organizers have webhooks, and the receiver of all of them."""

    house: House
    receiver: receiver.Process
    event_id: str
    organizer_id: str
    secrets: dict[str, bytes] = field(default_factory=dict)

    async def endpoint(
        self, *kinds: str, url: str | None = None, organizer_id: str | None = None
    ) -> str:
        """Make an endpoint; its id is its path at the receiver."""
        own_id, secret = new_id("whk"), new_id("whk").encode()
        await self.pool.execute(
            "INSERT INTO webhook_endpoints (id, organizer_id, url, kinds, sealed, made_by)"
            " VALUES ($1, $2, $3, $4, $5, 'usr_x')",
            *(own_id, organizer_id or self.organizer_id, url or self.receiver.url(own_id)),
            list(kinds or ALL),
            seal(KEY, webhooks.PURPOSE, own_id, secret),
        )
        self.receiver.know(own_id, f"whsec_{base64.b64encode(secret).decode()}")
        self.secrets[own_id] = secret
        return own_id

    @property
    def pool(self) -> asyncpg.Pool:
        """The owner's connections."""
        return self.house.pool

    async def row(self, own_id: str) -> asyncpg.Record:
        """Return an endpoint's row."""
        row = await self.pool.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", own_id)
        assert row is not None
        return row

    async def states(self, own_id: str) -> list[tuple[str, str, int, str]]:
        """Return kind, state, attempts and reason of what an endpoint is told, in order."""
        rows = await self.pool.fetch(
            "SELECT kind, state::text, attempts, reason FROM deliveries"
            " WHERE channel = 'webhook' AND target = $1 ORDER BY id",
            own_id,
        )
        return [tuple(row) for row in rows]

    async def follow(self, *records: Record) -> None:
        """Write records, and make deliveries of them."""
        if records:
            await self.house.write(*records)
        while await self.house.follow():
            pass

    @contextlib.asynccontextmanager
    async def working(
        self, outside: Outside = OWN, *, timeout_s: float = 5, key: str = KEY, drain_s: float = 5
    ) -> AsyncIterator[None]:
        """Send what is due."""
        options = channel.Options(workers=8, key=key, outside=outside)
        async with Poster(outside, timeout_s=timeout_s, at_once_max=8) as poster:
            workers = Workers(self.pool, channel.channel(self.pool, poster, options))
            task = asyncio.create_task(workers.run(self.house.follower.news))
            try:
                yield
            finally:
                await end(task)
                await workers.drain(timeout_s=drain_s)

    async def until(self, own_id: str, *wanted: str) -> None:
        """Wait until what an endpoint is told is in these states, whatever their order."""
        await until(lambda: self._are(own_id, *wanted))

    async def _are(self, own_id: str, *wanted: str) -> bool:
        return sorted(one[1] for one in await self.states(own_id)) == sorted(wanted)

    async def age(self, own_id: str, **span: float) -> None:
        """Let an endpoint have failed since then."""
        await self.pool.execute(
            "UPDATE webhook_endpoints SET failing_since = now() - $2::interval WHERE id = $1",
            own_id,
            dt.timedelta(**span),
        )


@pytest.fixture
async def hooked(house: House, receiving: receiver.Process) -> Hooked:
    """Return a house with an event, and nothing told yet."""
    house.follower = Teller("", timeout_ms=TIMEOUT_MS, fans=[channel.fan])
    await house.pool.execute("TRUNCATE webhook_endpoints")
    event_id = await house.event()
    organizer_id = await house.pool.fetchval(
        "SELECT organizer_id FROM events WHERE id = $1", event_id
    )
    return Hooked(house, receiving, event_id, organizer_id)


async def test_a_booking_is_told(hooked: Hooked) -> None:
    """S17: what a booking is now reaches the receiver, signed, with ids and numbers alone."""
    own_id = await hooked.endpoint("booking.confirmed")
    other = await hooked.endpoint("event.closed")
    record = booked(hooked.event_id, (1, 2, 4550), user_id=await hooked.house.person())
    await hooked.follow(record)
    async with hooked.working():
        await hooked.until(own_id, "sent")
    [said] = hooked.receiver.taken(own_id)
    assert ("booking.confirmed", {"type", "timestamp", "data"}) == (said["type"], set(said))
    assert {
        "organizer_id": hooked.organizer_id,
        "event_id": hooked.event_id,
        "booking_id": record.booking_id,
        "status": "confirmed",
        "version": 1,
        "places": 2,
        "total": {"amount": 9100, "currency": "EUR"},
        "shard": hooked.house.shard,
        "epoch": 1,
        "seq": 1,
    } == said["data"]
    [attempt] = hooked.receiver.tried(own_id)
    assert 1 == len(attempt["signatures"])
    assert [] == hooked.receiver.tried(other)
    assert [("booking.confirmed", "sent", 1, "HTTP 204")] == await hooked.states(own_id)
    assert record.user_id not in json.dumps(hooked.receiver.tried(own_id))


def all_kinds(hooked: Hooked, record: Booked, giver: str, holder: str, waiter: str) -> list[Record]:
    """Return records of what may happen, in an order in which it does."""
    entry = new_id("wl")
    offer = entry.replace("wl_", "offer_")
    common: dict[str, Any] = {"version": 2, "at_ms": AT_MS, "event_id": hooked.event_id}
    of_ticket: dict[str, Any] = common | {
        "ticket_id": ticket_id(record.booking_id, 1),
        "booking_id": record.booking_id,
        "number": 1,
        "ticket_version": 2,
        "holder_id": holder,
    }
    of_entry = common | {"entry_id": entry, "user_id": waiter}
    held = common | {"user_id": waiter, "hold_id": offer, "items": [Item(1, 1, 4550)]}
    return [
        record,
        Transferred(**of_ticket, gate="-", by=giver),
        CheckedIn(**of_ticket, gate="A", by=holder),
        Joined(
            **of_entry,
            fingerprint="f",
            tier_no=1,
            quantity=1,
            join_no="000000000001",
            policy="strict",
            patience_ms=0,
            offer_ttl_ms=0,
            after_hold="",
        ),
        Offered(
            **of_entry,
            hold_id=offer,
            fingerprint="f",
            items=[Item(1, 1, 4550)],
            expires_at_ms=AT_MS,
            join_no="000000000001",
            cause_seq=0,
            reason="turn",
            passed=[],
        ),
        Closed(**common, closes_at_ms=AT_MS),
        EventCancelled(**common, closes_at_ms=AT_MS),
        Released(**held, reason="event_cancelled"),
        Left(**of_entry, tier_no=1, quantity=1, why="owner"),
        msgspec.structs.replace(
            cancelled(record), version=2, reason="event_cancelled", holders=[Holder(1, holder)]
        ),
    ]


async def test_each_fact_is_one_message(hooked: Hooked) -> None:
    """However many people are told of a fact, and however often it comes, it is one message."""
    own_id = await hooked.endpoint()
    giver, holder, waiter = people = [await hooked.house.person() for _ in range(3)]
    record = booked(hooked.event_id, (1, 2, 4550), user_id=giver)
    await hooked.follow(*all_kinds(hooked, record, giver, holder, waiter))
    kinds = [one[0] for one in await hooked.states(own_id)]
    assert [
        *("booking.confirmed", "ticket.transferred", "ticket.checked_in"),
        *("waitlist.joined", "waitlist.offered", "event.closed", "event.cancelled"),
        *("waitlist.left", "booking.cancelled"),
    ] == kinds
    await hooked.pool.execute("DELETE FROM told WHERE shard = $1", hooked.house.shard)
    await hooked.follow()
    assert len(kinds) == len(await hooked.states(own_id))
    async with hooked.working():
        await hooked.until(own_id, *["sent"] * len(kinds))
    taken = hooked.receiver.taken(own_id)
    of_booking = [one["data"] for one in taken if one["type"].startswith("booking.")]
    assert {"cancelled"} == {data["status"] for data in of_booking}
    rows = await hooked.pool.fetch("SELECT * FROM deliveries WHERE channel = 'webhook'")
    said = json.dumps(hooked.receiver.tried(own_id)) + str([dict(row) for row in rows])
    assert not [one for one in people if one in said]


async def test_what_buyers_are_told_of_their_event_is_none(hooked: Hooked) -> None:
    """A change of which each buyer is told is no message for each of them."""
    own_id = await hooked.endpoint()
    buyers = [await hooked.house.person() for _ in range(2)]
    await hooked.follow(*[booked(hooked.event_id, user_id=one) for one in buyers])
    old = {"old_starts_at": dt.datetime.now(dt.UTC).isoformat(), "old_timezone": "Europe/Berlin"}
    old |= {"old_venue": "Park", "old_address": ""}
    async with hooked.pool.acquire() as connection, connection.transaction():
        await outbox.event_changed(connection, hooked.event_id, old)
    await hooked.follow()
    assert 2 == await hooked.pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE kind = 'event.changed' AND event_id = $1",
        hooked.event_id,
    )
    assert ["booking.confirmed"] * 2 == [one[0] for one in await hooked.states(own_id)]


async def test_another_organizer_is_told_nothing(hooked: Hooked) -> None:
    """What happens to one's events is told to nobody else."""
    event = await hooked.house.event()
    theirs = await hooked.pool.fetchval("SELECT organizer_id FROM events WHERE id = $1", event)
    other = await hooked.endpoint(organizer_id=theirs)
    own_id = await hooked.endpoint()
    await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    assert ([], 1) == (await hooked.states(other), len(await hooked.states(own_id)))


async def test_s17_both_secrets_sign_for_a_day(hooked: Hooked) -> None:
    """S17: after a rotation messages bear two signatures; when the day is over, one."""
    own_id = await hooked.endpoint("booking.confirmed")
    new = b"another secret of this endpoint."
    sealed = seal(KEY, webhooks.PURPOSE, own_id, new)
    async with hooked.pool.acquire() as connection, connection.transaction():
        await webhooks.rotate(connection, hooked.organizer_id, own_id, sealed, both_s=60)
    person = await hooked.house.person()
    await hooked.follow(booked(hooked.event_id, user_id=person))
    async with hooked.working():
        await hooked.until(own_id, "sent")  # Verified by the secret before.
        await hooked.pool.execute(
            "UPDATE webhook_endpoints SET before_until = now() WHERE id = $1", own_id
        )
        hooked.receiver.know(own_id, f"whsec_{base64.b64encode(new).decode()}")
        await hooked.follow(booked(hooked.event_id, user_id=person))
        hooked.house.follower.news.set()
        await hooked.until(own_id, "sent", "sent")
    assert [2, 1] == [len(one["signatures"]) for one in hooked.receiver.tried(own_id)]


async def test_s17_receivers_refuse_what_is_not_ours(hooked: Hooked) -> None:
    """S17: tampered, old and unsigned messages are refused; the same one twice has one effect."""
    own_id = await hooked.endpoint()
    now = dt.datetime.now(dt.UTC)
    body, hook = b'{"type":"x"}', Webhook(hooked.secrets[own_id])

    def headers(at: dt.datetime) -> dict[str, str]:
        signature = hook.sign("msg_1", at, body.decode())
        stamp = str(int(at.timestamp()))
        return {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature}

    good = headers(now)
    tries: list[tuple[bytes, dict[str, str], int]] = [
        (body, good, 204),
        (body, good, 204),
        (body + b" ", good, 400),
        (body, good | {"webhook-id": "msg_2"}, 400),
        (body, headers(now - dt.timedelta(minutes=6)), 400),
        (body, {}, 400),
    ]
    async with aiohttp.ClientSession() as session:
        for sent, given, status in tries:
            url = hooked.receiver.url(own_id)
            async with session.post(url, data=sent, headers=given) as answer:
                assert status == answer.status
    assert (1, 1) == (len(hooked.receiver.taken(own_id)), hooked.receiver.doubles(own_id))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"status": 500, "body": "secret words"}, "HTTP 500"),
        ({"status": 400}, "HTTP 400"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "HTTP 302"),
        ({"stalls": True}, "timeout"),
    ],
)
async def test_what_does_not_arrive_is_tried_again(
    hooked: Hooked, how: dict[str, Any], reason: str
) -> None:
    """Refused, redirected or stalled, it waits and comes with the same id; no answer is kept."""
    own_id = await hooked.endpoint("booking.confirmed")
    hooked.receiver.answer(own_id, **how)
    await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    async with hooked.working(timeout_s=0.5):
        await hooked.until(own_id, "delayed")
        assert (await hooked.row(own_id))["failing_since"] is not None
        assert [("booking.confirmed", "delayed", 1, reason)] == await hooked.states(own_id)
        hooked.receiver.answer(own_id)
        await hooked.house.hurry()
        await hooked.until(own_id, "sent")
    assert (await hooked.row(own_id))["failing_since"] is None
    assert (1, 1) == (len(hooked.receiver.taken(own_id)), hooked.receiver.doubles(own_id))


async def test_s16_a_redirect_inside_is_not_followed(hooked: Hooked) -> None:
    """S16: a receiver that redirects inside sends us nowhere."""
    outer, inner = await hooked.endpoint("booking.confirmed"), await hooked.endpoint("event.closed")
    for status in (301, 307, 308):
        location = {"Location": hooked.receiver.url(inner)}
        hooked.receiver.answer(outer, status=status, headers=location)
        await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    async with hooked.working():
        await hooked.until(outer, *["delayed"] * 3)
    assert [] == hooked.receiver.tried(inner)
    assert 3 == len(hooked.receiver.tried(outer))


async def test_s16_nothing_is_sent_inside(hooked: Hooked) -> None:
    """S16: what stands in a row and leads inside is not asked."""
    own_id = await hooked.endpoint("booking.confirmed")
    await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    async with hooked.working(Outside()):
        await hooked.until(own_id, "delayed")
    assert [("booking.confirmed", "delayed", 1, "inside")] == await hooked.states(own_id)
    assert [] == hooked.receiver.tried(own_id)


async def test_a_busy_receiver_says_when(hooked: Hooked) -> None:
    """`Retry-After` of one that is too busy counts, up to a day; of others it does not."""
    own_id = await hooked.endpoint("booking.confirmed")
    waits = []
    for status, wish in ((503, "7200"), (429, "9999999"), (500, "7200")):
        hooked.receiver.answer(own_id, status=status, headers={"Retry-After": wish})
        await hooked.pool.execute("DELETE FROM deliveries")
        await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
        async with hooked.working():
            await hooked.until(own_id, "delayed")
        left = "SELECT extract(epoch FROM due_at - now())::int FROM deliveries WHERE channel = $1"
        waits.append(await hooked.pool.fetchval(left, "webhook"))
    assert 7_000 < waits[0] <= 7_200
    assert 86_000 < waits[1] <= 86_400
    assert waits[2] < 60


async def test_one_that_is_gone_is_turned_off(hooked: Hooked) -> None:
    """410 turns an endpoint off at once: nothing more is sent, and its owners are told."""
    owner = await hooked.house.person()
    await hooked.pool.execute(
        "INSERT INTO team_members (organizer_id, user_id, role) VALUES ($1, $2, 'owner')",
        hooked.organizer_id,
        owner,
    )
    own_id = await hooked.endpoint("booking.confirmed")
    hooked.receiver.answer(own_id, status=410)
    person = await hooked.house.person()
    await hooked.follow(booked(hooked.event_id, user_id=person))
    async with hooked.working():
        await hooked.until(own_id, "dead")
    assert "gone" == (await hooked.row(own_id))["disabled_why"]
    await hooked.follow(booked(hooked.event_id, user_id=person))
    assert 1 == len(await hooked.states(own_id))
    told = await hooked.pool.fetch("SELECT kind, user_id FROM outbox")
    assert [("organizer.webhook_off", owner)] == [tuple(row) for row in told]
    assert 0 == await deliveries.count_dead(hooked.pool)  # It waits for no operator.


async def test_what_waits_for_one_that_is_off_is_skipped(hooked: Hooked) -> None:
    """What was to be told to an endpoint that is turned off, or taken away, is not sent."""
    off, away = [await hooked.endpoint("booking.confirmed") for _ in range(2)]
    await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    async with hooked.pool.acquire() as connection, connection.transaction():
        await webhooks.change(
            *(connection, hooked.organizer_id, off), url=None, kinds=None, is_active=False
        )
        await webhooks.delete(connection, hooked.organizer_id, away)
    async with hooked.working():
        for own_id in (off, away):
            await hooked.until(own_id, "skipped")
            assert [] == hooked.receiver.tried(own_id)


async def test_a_secret_that_does_not_open_waits(hooked: Hooked) -> None:
    """A key that is not the one that sealed sends nothing unsigned, and blames no receiver."""
    own_id = await hooked.endpoint("booking.confirmed")
    await hooked.follow(booked(hooked.event_id, user_id=await hooked.house.person()))
    async with hooked.working(key="x" * 32):
        await hooked.until(own_id, "delayed")
    assert (await hooked.row(own_id))["failing_since"] is None
    assert [] == hooked.receiver.tried(own_id)


async def test_a_slow_receiver_holds_up_no_other(hooked: Hooked) -> None:
    """With more waiting for a receiver that stalls than there are workers, others are told."""
    slow = await hooked.endpoint("booking.confirmed")
    hooked.receiver.answer(slow, stalls=True)
    person = await hooked.house.person()
    await hooked.follow(*[booked(hooked.event_id, user_id=person) for _ in range(20)])
    quick = await hooked.endpoint("booking.confirmed")
    await hooked.follow(booked(hooked.event_id, user_id=person))
    async with hooked.working(timeout_s=20, drain_s=0):
        await hooked.until(quick, "sent")
        states = [one[1] for one in await hooked.states(slow)]
        assert ["sending"] * channel.ENDPOINT_MAX == [one for one in states if one != "waiting"]


async def test_owners_are_told_once_of_each_step(hooked: Hooked) -> None:
    """After an hour, a day and three days of nothing owners are written to; then it is off."""
    owner = await hooked.house.person()
    manager = await hooked.house.person()
    for who, role in ((owner, "owner"), (manager, "manager")):
        await hooked.pool.execute(
            "INSERT INTO team_members (organizer_id, user_id, role) VALUES ($1, $2, $3)",
            *(hooked.organizer_id, who, role),
        )
    own_id = await hooked.endpoint(url="https://hooks.example/secret?token=x")
    warden, found = Warden(hooked.pool), []
    for span in ({"minutes": 59}, {"hours": 2}, {"hours": 3}, {"hours": 25}, {"hours": 73}):
        await hooked.age(own_id, **span)
        for _ in range(2):
            await warden.step()
        found.append(await hooked.pool.fetchval("SELECT count(*) FROM outbox"))
    assert [0, 1, 1, 2, 3] == found
    row = await hooked.row(own_id)
    assert ("failing", 3) == (row["disabled_why"], row["warned"])
    rows = await hooked.pool.fetch("SELECT kind, user_id, payload::text FROM outbox ORDER BY id")
    assert [*["organizer.webhook_failing"] * 2, "organizer.webhook_off"] == [
        row["kind"] for row in rows
    ]
    assert {owner} == {row["user_id"] for row in rows}
    assert "secret" not in str([row["payload"] for row in rows])
    letters = await hooked.house.send(sent=3)
    failing = "Nothing arrives at a webhook of Park Stage"
    assert sorted(str(one["Subject"]) for one in letters) == [
        "A webhook of Park Stage is turned off",
        *[failing] * 2,
    ]
    for letter in letters:
        body = letter.get_body(("plain",))
        assert body is not None
        assert "hooks.example" in body.get_content()


async def test_what_arrives_ends_the_trouble(hooked: Hooked) -> None:
    """One message that arrives, and the steps begin anew."""
    own_id = await hooked.endpoint()
    await hooked.age(own_id, hours=2)
    await Warden(hooked.pool).step()
    await webhooks.note_arrived(hooked.pool, own_id)
    row = await hooked.row(own_id)
    assert (None, 0) == (row["failing_since"], row["warned"])


async def test_a_killed_receiver_is_told_all(hooked: Hooked, tmp_path: Path) -> None:
    """A receiver that is killed in the middle has all messages in the end."""
    with receiver.running(tmp_path) as process:
        hooked.receiver = process
        own_id = await hooked.endpoint("booking.confirmed")
        person = await hooked.house.person()
        await hooked.follow(*[booked(hooked.event_id, user_id=person) for _ in range(30)])
        async with hooked.working():

            async def has_some() -> bool:
                return len(process.tried(own_id)) >= 5

            async def has_failed() -> bool:
                return "delayed" in {one[1] for one in await hooked.states(own_id)}

            async def has_all() -> bool:
                await hooked.pool.execute(
                    "UPDATE deliveries SET due_at = now() WHERE state = 'delayed'"
                )
                return {"sent"} == {one[1] for one in await hooked.states(own_id)}

            await until(has_some)
            process.kill()
            await until(has_failed)
            process.start()
            await until(has_all)
        assert 30 == len(process.taken(own_id))


@pytest.mark.processes
async def test_the_process_tells_webhooks(
    hooked: Hooked, database_url: str, tmp_path: Path
) -> None:
    """`evently notifier` with a key sends mail and webhooks, to networks that the setting names."""
    own_id = await hooked.endpoint("booking.confirmed")
    await hooked.house.write(booked(hooked.event_id, user_id=await hooked.house.person()))
    settings = {"webhook_key": KEY, "outward_networks": "127.0.0.0/8"}
    process = start(hooked.house, database_url, tmp_path, **settings)
    try:
        await hooked.until(own_id, "sent")
        process.send_signal(signal.SIGTERM)
        assert 0 == await asyncio.to_thread(process.wait, 20), (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    assert 1 == len(hooked.receiver.taken(own_id))


def test_waits_grow_to_a_day() -> None:
    """Whatever the scatter, each wait follows the one before it; none is left out."""
    for _ in range(50):
        age_ms, waits = 0, []
        while age_ms < LIFE_MS:
            waits.append(wait_after_ms(age_ms))
            age_ms += waits[-1]
        for wait_ms, base_ms in zip(waits, WAITS_MS, strict=False):
            assert 0.75 * base_ms <= wait_ms <= 1.25 * base_ms
        assert 8 <= len(waits) <= 10
