"""A booking's life over HTTP: made once per key, read, listed, cancelled; sold out, shut, open."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections import Counter
from typing import Any

import msgspec
import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from api.http import SERVICES
from engine import keys, reads
from engine.ids import is_id, new_id
from tests.api.world import SHARD, Answer, Event, World, check_problem, from_now
from tests.checks import ask, check_consistent, make_booking_id, persons, stock
from usecases.moments import moment_of, moment_text
from usecases.told import Booking

REPLAYED = "Idempotent-Replayed"
BAD_PAGES = """
limit=0 limit=201 limit= limit=-1 limit=1.0 limit=x limit=%D9%A1
after= after=x after=%FF after=MjAyNA after=%E2%82%AC
"""


async def sold(world: World, event: Event) -> list[int]:
    """Return the places sold, tier by tier, as Redis has them."""
    tiers = await stock(world.redis, SHARD, event["id"])
    return [tiers[number].sold for number in sorted(tiers)]


async def listed(world: World, token: str, query: str = "") -> Any:
    """Return a page of the user's bookings."""
    answer = await world.call("GET", f"/v1/bookings{query}", token=token)
    assert 200 == answer.status, answer.text
    return answer.body


async def test_book(world: World, event: Event) -> None:
    """A booking is answered with everything the interface promises, and its place."""
    answer = await world.book(event, world.token(), (1, 2), (2, 3))
    assert 201 == answer.status
    body = answer.body
    assert f"/v1/bookings/{body['id']}" == answer.headers["Location"]
    assert "private, no-store" == answer.headers["Cache-Control"]
    assert REPLAYED not in answer.headers
    assert is_id("bk", body["id"])
    made = dt.datetime.fromisoformat(body.pop("created_at"))
    assert dt.timedelta(0) <= abs(dt.datetime.now(dt.UTC) - made) < dt.timedelta(hours=1)
    first, second = event["tiers"]
    assert {
        "id": body["id"],
        "event_id": event["id"],
        "status": "confirmed",
        "items": [
            {"tier_id": first["id"], "quantity": 2, "seat_ids": [], "unit_price": first["price"]},
            {"tier_id": second["id"], "quantity": 3, "seat_ids": [], "unit_price": second["price"]},
        ],
        "total": {"amount": 2 * 1000 + 3 * 2000, "currency": "EUR"},
        "cancelled_at": None,
        "durability": "fsync",
        "seq": body["seq"],
        "receipt": body["receipt"],
        "special_requests": "",
        "metadata": {},
        "version": 1,
        "tickets": [],
    } == body
    assert [2, 3] == await sold(world, event)


@pytest.mark.parametrize("number", range(3))
async def test_read_directly_after_booking(world: World, event: Event, number: int) -> None:
    """Read-your-write: what was just answered is found, though PostgreSQL gets it later."""
    token = world.token()
    metadata = {"s": 'ü\u2028"\\', "i": 2**63 - 1, "f": 0.5, "t": True, "n": None, "": ""}
    body: dict[str, Any] = {
        "special_requests": "</script>'; DROP TABLE bookings; --",
        "metadata": metadata,
    }
    made = await world.book(event, token, **body)
    assert 201 == made.status
    read = await world.call("GET", made.headers["Location"], token=token)
    assert 200 == read.status
    assert ["valid"] == [ticket["status"] for ticket in read.body["tickets"]]
    read.body["tickets"] = []
    assert made.body | {"durability": "database", "receipt": None} == read.body
    assert body["special_requests"] == read.body["special_requests"]
    assert metadata == read.body["metadata"]
    assert [read.body] == (await listed(world, token))["data"]


async def test_replay(world: World, event: Event, user: str) -> None:
    """The same request again is the same booking: bare or quoted key, under either header."""
    path = f"/v1/events/{event['id']}/bookings"
    item = {"tier_id": event["tiers"][0]["id"], "quantity": 2}
    text = orjson.dumps({"items": [item], "metadata": {"a": 1, "b": 2}})
    turned = {"metadata": {"b": 2, "a": 1}, "items": [dict(reversed(item.items()))]}
    first = await world.call("POST", path, token=user, key="abc-1", data=text)
    assert (201, False) == (first.status, REPLAYED in first.headers)
    for header, key, body in (
        ("Idempotency-Key", "abc-1", text),
        ("Idempotency-Key", '"abc-1"', text),
        ("X-Idempotency-Key", "abc-1", text),
        ("idempotency-key", "abc-1", orjson.dumps(turned)),
        ("Idempotency-Key", "abc-1", orjson.dumps(turned, option=orjson.OPT_INDENT_2)),
    ):
        again = await world.call("POST", path, token=user, data=body, headers={header: key})
        assert (201, "true") == (again.status, again.headers[REPLAYED])
        assert first.body == again.body
        assert first.headers["Location"] == again.headers["Location"]
    assert [2, 0] == await sold(world, event)


async def test_f37_idem_storm(world: World, event: Event, user: str) -> None:
    """F37: a hundred equal requests at once make one booking, and all are told of it."""
    answers = await asyncio.gather(*(world.book(event, user) for _ in range(100)))
    assert {201: 100} == Counter(answer.status for answer in answers)
    assert 1 == len({answer.text for answer in answers})
    assert {"true": 99, None: 1} == Counter(answer.headers.get(REPLAYED) for answer in answers)
    assert [1, 0] == await sold(world, event)
    assert 1 == len((await listed(world, user))["data"])


async def test_f37_idem_storm_of_two_requests(world: World, event: Event, user: str) -> None:
    """F37: of two different requests with one key, one wins for good and the other is refused."""
    answers = await asyncio.gather(
        *(world.book(event, user, (1, 1 + number % 2)) for number in range(60))
    )
    assert {201: 30, 422: 30} == Counter(answer.status for answer in answers)
    places = {answer.body["items"][0]["quantity"] for answer in answers if answer.status == 201}
    assert [sum(places), 0] == await sold(world, event)
    assert 1 == len(places)


async def test_f3_buyers_hang_up(world: World, event: Event) -> None:
    """F3: where some hang up, each who stays gets its own answer, and nobody books twice."""
    buyers = [new_id("usr") for _ in range(90)]

    async def buy(user: str) -> Answer:
        return await world.book(event, world.token(user), key=user)

    tasks = [asyncio.create_task(buy(user)) for user in buyers]
    for number, task in enumerate(random.Random(3).sample(tasks, 45)):
        asyncio.get_running_loop().call_later(number / 1000, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    again = await asyncio.gather(*(buy(user) for user in buyers))
    assert {201} == {answer.status for answer in again}
    for user, task, answer in zip(buyers, tasks, again, strict=True):
        assert make_booking_id(event["id"], user, user) == answer.body["id"]
        if not task.cancelled():
            first = task.result().body
            assert (first["id"], first["seq"]) == (answer.body["id"], answer.body["seq"])
    assert len(buyers) > sum(not task.cancelled() for task in tasks) >= 45
    assert [len(buyers), 0] == await sold(world, event)


async def test_s27_two_users_with_one_key(world: World, event: Event) -> None:
    """S27: a key is its user's own: another with the same key has a booking of his own."""
    answers = [await world.book(event, world.token(), key="same") for _ in range(2)]
    assert [201, 201] == [answer.status for answer in answers]
    assert 2 == len({answer.body["id"] for answer in answers})
    assert [False, False] == [REPLAYED in answer.headers for answer in answers]
    assert [2, 0] == await sold(world, event)


async def test_s27_one_key_for_two_events(world: World, event: Event, user: str) -> None:
    """A key is the event's as well: the path is part of the request."""
    other = await world.event(5)
    answers = [await world.book(one, user, key="same") for one in (event, other)]
    assert [201, 201] == [answer.status for answer in answers]


async def test_cancel(world: World, event: Event, user: str) -> None:
    """A cancelled booking gives its places back once, and stays readable as cancelled."""
    booking = (await world.book(event, user, (1, 2), (2, 1))).body
    assert [2, 1] == await sold(world, event)
    gone = await world.cancel(booking["id"], user)
    assert (200, "cancelled") == (gone.status, gone.body["status"])
    assert gone.body["cancelled_at"] >= booking["created_at"]
    assert REPLAYED not in gone.headers
    assert [0, 0] == await sold(world, event)
    again = await world.cancel(booking["id"], user)
    assert (200, "true") == (again.status, again.headers[REPLAYED])
    assert gone.body == again.body
    assert [0, 0] == await sold(world, event)
    read = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    assert gone.body == read.body
    assert {} == await persons(world.redis, SHARD, event["id"])


async def test_s31_cancel_storm(world: World, event: Event, user: str) -> None:
    """S31: fifty cancellations at once give the places back once."""
    booking = (await world.book(event, user, (1, 5))).body
    await world.book(event, world.token(), (1, 3))
    answers = await asyncio.gather(*(world.cancel(booking["id"], user) for _ in range(50)))
    assert {200: 50} == Counter(answer.status for answer in answers)
    assert 1 == len({answer.body["cancelled_at"] for answer in answers})
    assert [3, 0] == await sold(world, event)


async def test_replay_after_cancel(world: World, event: Event, user: str) -> None:
    """The key keeps naming the one booking: it tells that it is cancelled, and sells nothing."""
    first = await world.book(event, user)
    ended = await world.cancel(first.body["id"], user)
    again = await world.book(event, user)
    assert (200, "true") == (again.status, again.headers[REPLAYED])
    now = {"status": "cancelled", "version": 2, "receipt": None}
    now["cancelled_at"] = ended.body["cancelled_at"]
    assert first.body | now == again.body
    assert [0, 0] == await sold(world, event)
    assert 201 == (await world.book(event, user, key="k-2")).status


async def test_pages(world: World, event: Event, user: str) -> None:
    """Pages of any size put together are the whole list, newest first."""
    ids = [(await world.book(event, user, key=f"k-{number}")).body["id"] for number in range(7)]
    await world.book(event, world.token())
    whole = await listed(world, user)
    assert (False, None, True) == (whole["has_more"], whole["next_cursor"], whole["up_to_date"])
    assert sorted(ids) == sorted(booking["id"] for booking in whole["data"])
    moments = [booking["created_at"] for booking in whole["data"]]
    assert moments == sorted(moments, reverse=True)
    for limit in (1, 3, 7):
        found: list[Any] = []
        query = f"?limit={limit}"
        while True:
            page = await listed(world, user, query)
            assert len(page["data"]) <= limit
            found += page["data"]
            if not page["has_more"]:
                break
            query = f"?limit={limit}&after={page['next_cursor']}"
        assert whole["data"] == found


@pytest.mark.parametrize("path", ["/v1/bookings", "/v1/events"])
@pytest.mark.parametrize(
    "query",
    [
        *BAD_PAGES.split(),
        pytest.param("limit=" + "9" * 5000, id="limit of 5000 nines"),
        pytest.param("limit=000000001999", id="limit zeros"),
        pytest.param("limit=000000001" + "9" * 25, id="limit bigint"),
        pytest.param("limit=000000001" + "9" * 5000, id="limit long"),
        # "2024-01-01T00:00:00 x": no zone.
        "after=MjAyNC0wMS0wMVQwMDowMDowMCB4",
        # "0001-01-01T00:00:00+14:00 x" and "2024-01-01T00:00:00+00:00 \0".
        "after=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCB4",
        "after=MjAyNC0wMS0wMVQwMDowMDowMCswMDowMCAA",
    ],
)
async def test_s29_page_that_is_none(world: World, user: str, path: str, query: str) -> None:
    """S29: a page that does not exist is a bad request."""
    answer = await world.call("GET", f"{path}?{query}", token=user)
    check_problem(answer, 422, "invalid", f"/query/{query.partition('=')[0]}")


async def test_sold_out(world: World) -> None:
    """When too few places are left the whole order is refused, by line, and nothing is taken."""
    event = await world.event(3, 10)
    await world.book(event, world.token(), (1, 2))
    before = await world.state()
    answer = await world.book(event, world.token(), (2, 1), (1, 2))
    check_problem(answer, 409, "sold_out", "/items/1")
    assert (1, 1) == (answer.body["line"], answer.body["available"])
    assert before == await world.state()
    assert 201 == (await world.book(event, world.token(), (2, 1), (1, 1))).status


async def test_tier_without_places(world: World) -> None:
    """A tier of capacity 0 is sold out from the start."""
    event = await world.event(0)
    check_problem(await world.book(event, world.token()), 409, "sold_out", "/items/0")


async def test_limit_reached(world: World, user: str) -> None:
    """A person's limit holds over orders and tiers, and comes before sold_out."""
    event = await world.event(10, 1, max_per_user=4)
    assert 201 == (await world.book(event, user, (1, 3))).status
    before = await world.state()
    answer = await world.book(event, user, (1, 1), (2, 1), key="k-2")
    check_problem(answer, 409, "limit_reached")
    assert ("person", 4, 3) == tuple(answer.body[name] for name in ("scope", "max", "taken"))
    check_problem(await world.book(event, user, (2, 2), key="k-3"), 409, "limit_reached")
    assert before == await world.state()
    assert 201 == (await world.book(event, user, (2, 1), key="k-4")).status


async def test_limit_per_order(world: World, user: str) -> None:
    """A tier's limit per order is not the person's."""
    tiers = [
        {"name": "T", "price": {"amount": 0, "currency": "EUR"}, "capacity": 9, "max_per_order": 2}
    ]
    event = await world.event(tiers=tiers)
    answer = await world.book(event, user, (1, 3))
    check_problem(answer, 409, "limit_reached")
    assert ("order", 2) == (answer.body["scope"], answer.body["max"])
    assert [201, 201] == [
        (await world.book(event, user, (1, 2), key=key)).status for key in ("k-1", "k-2")
    ]


async def test_sale_not_open(world: World, user: str) -> None:
    """Before the opening the answer says when it is."""
    event = await world.event(5, sale_opens_at=from_now(days=1))
    answer = await world.book(event, user)
    check_problem(answer, 409, "sale_not_open")
    opens_at = dt.datetime.fromisoformat(answer.body["opens_at"])
    promised = dt.datetime.fromisoformat(event["sale_opens_at"])
    assert dt.timedelta(0) <= promised - opens_at < dt.timedelta(milliseconds=1)
    assert [0] == await sold(world, event)


async def test_times_of_problems_end_in_z(world: World, user: str) -> None:
    """Times in problems are written like all others."""
    event = await world.event(5, sale_opens_at=from_now(days=1))
    answer = await world.book(event, user)
    assert answer.body["opens_at"].endswith("Z")


async def test_sale_closed(world: World, user: str) -> None:
    """After the closing nothing is sold; what was booked before can still be cancelled."""
    event = await world.event(5, sale_opens_at=from_now(days=-2), sale_closes_at=from_now(days=-1))
    answer = await world.book(event, user)
    check_problem(answer, 409, "sale_closed")
    assert answer.body["closes_at"][:19] == event["sale_closes_at"][:19]
    assert [0] == await sold(world, event)


async def test_not_on_sale(world: World, user: str) -> None:
    """A draft cannot be booked; to others than its organizer it is not there (S8)."""
    boss = await world.organizer()
    draft = await world.draft(boss, 5)
    before = await world.state()
    check_problem(await world.book(draft, boss), 409, "not_on_sale")
    for items in ((1, 1), {"tier_id": new_id("tier"), "quantity": 1}):
        for what in ("bookings", "holds"):
            check_problem(await world.book(draft, user, items, what=what), 404, "not_found")
    wish = {"tier_id": draft["tiers"][0]["id"], "quantity": 1}
    path = f"/v1/events/{draft['id']}/waitlist"
    answer = await world.call("POST", path, token=user, key="k", json=wish)
    check_problem(answer, 404, "not_found")
    assert before == await world.state()


@pytest.mark.parametrize(("buyers", "places"), [(60, 20), (20, 1)])
async def test_race(world: World, buyers: int, places: int) -> None:
    """I1: of many at once exactly as many win as there are places, and PostgreSQL agrees."""
    event = await world.event(places)
    tokens = [world.token() for _ in range(buyers)]
    answers = await asyncio.gather(*(world.book(event, token) for token in tokens))
    assert {201: places, 409: buyers - places} == Counter(answer.status for answer in answers)
    assert {"sold_out"} == {answer.body["code"] for answer in answers if answer.status == 409}
    assert [places] == await sold(world, event)
    await world.settle()
    rows = await world.database.fetch("SELECT id FROM bookings WHERE event_id = $1", event["id"])
    won = {answer.body["id"] for answer in answers if answer.status == 201}
    assert won == {row["id"] for row in rows}


async def test_race_of_carts_and_cancellations(world: World) -> None:
    """Carts over two tiers, cancelled and bought again by others: counters stay exact."""
    event = await world.event(15, 25)

    async def buyer(number: int) -> Answer:
        token = world.token()
        answer = await world.book(event, token, (1, 1 + number % 2), (2, 1 + number % 3))
        if answer.status == 201 and number % 3 == 0:
            gone = await world.cancel(answer.body["id"], token)
            assert 200 == gone.status, gone.text
            return gone
        return answer

    answers = await asyncio.gather(*(buyer(number) for number in range(50)))
    assert {200, 201, 409} == {answer.status for answer in answers}
    totals: Counter[str] = Counter()
    for answer in answers:
        if answer.status == 201:
            for item in answer.body["items"]:
                totals[item["tier_id"]] += item["quantity"]
    assert [totals[tier["id"]] for tier in event["tiers"]] == await sold(world, event)


@pytest.mark.parametrize(
    "noted", [{}, {"special_requests": 'Rosé, "bitte"\\n', "metadata": {"a": 1}}]
)
async def test_answer_is_a_booking_to_the_letter(
    world: World, event: Event, noted: dict[str, Any]
) -> None:
    """The answer that is written by hand is what the schema would have written."""
    items = [{"tier_id": event["tiers"][0]["id"], "quantity": 2}]
    response = await world.client.post(
        f"/v1/events/{event['id']}/bookings",
        json={"items": items, **noted},
        headers={"Authorization": f"Bearer {world.token()}", "Idempotency-Key": "k"},
    )
    raw = await response.read()
    assert 201 == response.status
    assert raw == msgspec.json.encode(msgspec.json.decode(raw, type=Booking))


@pytest.mark.parametrize("at_ms", [0, 1_764_000_000_000, 1_764_000_000_123, 1_764_000_000_100])
def test_moments_are_written_as_the_schema_does(at_ms: int) -> None:
    """A moment that is written by hand is what the schema would have written."""
    assert f'"{moment_text(at_ms)}"'.encode() == msgspec.json.encode(moment_of(at_ms))


async def test_shut_shard_sells_nothing_and_opens_by_itself(world: World, event: Event) -> None:
    """I17: while the shard is fenced all is refused; after recovery sales go on by themselves."""
    token = world.token()
    booked = await world.book(event, token)
    await world.settle()
    await ask(world.redis, "HSET", keys.meta(SHARD), "state", "recovering")
    for path, method in (("bookings", "POST"), ("availability", "GET")):
        body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]}
        answer = await world.call(
            method,
            f"/v1/events/{event['id']}/{path}",
            token=token,
            key="k-2",
            json=body if method == "POST" else None,
        )
        check_problem(answer, 503, "shard_recovering")
        assert int(answer.headers["Retry-After"]) >= 1
    gone = await world.cancel(booked.body["id"], token)
    check_problem(gone, 503, "shard_recovering")
    ready = await world.call("GET", "/readyz")
    assert (503, "shut") == (ready.status, ready.body["checks"]["shards"])
    assert 200 == (await world.call("GET", "/healthz")).status
    assert [1, 0] == await sold(world, event)
    epoch = await world.recover()
    assert await world.is_ready()
    again = await world.book(event, token)
    assert (201, "true", booked.body) == (again.status, again.headers[REPLAYED], again.body)
    assert 201 == (await world.book(event, token, key="k-2")).status
    assert 200 == (await world.cancel(booked.body["id"], token)).status
    assert [1, 0] == await sold(world, event)
    assert epoch == int(await ask(world.redis, "HGET", keys.meta(SHARD), "epoch"))


async def test_f4_scripts_gone_shuts_the_shard(world: World, event: Event, user: str) -> None:
    """F4: a Redis that has lost its scripts is not the one that was opened: nothing is sold."""
    await ask(world.redis, "SCRIPT FLUSH", "SYNC")
    check_problem(await world.book(event, user), 503, "shard_recovering")
    assert not await world.is_ready()
    assert [0, 0] == await sold(world, event)
    await world.recover()
    assert 201 == (await world.book(event, user)).status


async def test_f4_ready_asks_redis(world: World, event: Event, user: str) -> None:
    """F4: a process is not ready under a reign that is over, even if nobody has tried yet."""
    assert await world.is_ready()
    await ask(world.redis, "SCRIPT FLUSH", "SYNC")
    assert not await world.is_ready()
    await world.recover()
    assert 201 == (await world.book(event, user)).status


async def test_redis_away(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away a read that needs it is 503, never 500; a list says what it may lack."""
    await cut_redis(world, monkeypatch)
    answer = await world.call("GET", f"/v1/bookings/bk_{event['id'][4:14]}{'0' * 16}", token=user)
    check_problem(answer, 503, "catching_up")
    assert answer.headers["Retry-After"]
    assert False is (await listed(world, user))["up_to_date"]


async def cut_redis(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ways of the application to Redis fail as they do when Redis is away."""
    shard = world.client.app[SERVICES].engine.shards[SHARD]

    async def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("Error 2 connecting to unix:/valkey.sock.")

    monkeypatch.setattr(reads, "ask", away)
    monkeypatch.setattr(shard.wire, "call", away)


async def test_f2_outcome_unknown(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: when no answer comes from Redis, the client is told to repeat with the same key."""
    with monkeypatch.context() as patch:
        await cut_redis(world, patch)
        answer = await world.book(event, user)
    check_problem(answer, 503, "outcome_unknown")
    assert int(answer.headers["Retry-After"]) >= 1
    assert 201 == (await world.book(event, user)).status


async def test_journal_agrees_with_everything(world: World) -> None:
    """After sales and cancellations of all kinds the journal folds to the state (I8)."""
    await world.recover()
    event = await world.event(20, 20)
    for number in range(10):
        token = world.token()
        booking = await world.book(event, token, (1, 1 + number % 4), (2, 1))
        if number % 2 and booking.status == 201:
            await world.cancel(booking.body["id"], token)
    epoch = int(await ask(world.redis, "HGET", keys.meta(SHARD), "epoch"))
    await check_consistent(world.redis, SHARD, epoch, event_id=event["id"])


async def test_unknown_booking_is_not_found(world: World, user: str) -> None:
    """An id that was never given is not found, after PostgreSQL has caught up."""
    made_up = "bk_" + new_id("evt").removeprefix("evt_")
    answer = await world.call("GET", f"/v1/bookings/{made_up}", token=user)
    check_problem(answer, 404, "not_found")
