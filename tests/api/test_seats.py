"""Reserved seating over HTTP: a hall is made, its map read, its seats held, sold and blocked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.http import SERVICES
from tests.api.world import Answer, Event, Serve, World, check_problem, new_event

SECTIONS = [
    {
        "name": "Left",
        "tier": "Tier 1",
        "rows": [{"name": "A", "seats": 4}, {"name": "B", "seats": 4}],
    },
    {
        "name": "Box",
        "tier": 1,
        "rows": [
            {
                "name": "1",
                "seats": [
                    {"label": "1a", "accessible": True, "aisle": True},
                    {"label": "1b"},
                    {"label": "1c", "restricted_view": True},
                ],
            }
        ],
    },
]


def seated_event(sections: Any = SECTIONS) -> dict[str, Any]:
    """Make the request for two seated tiers and a general one."""
    body = new_event(8, 3, 50)
    del body["tiers"][0]["capacity"]
    return body | {"sections": sections}


@pytest.fixture
async def hall(world: World, organizer: str) -> Event:
    """Publish the seated event."""
    return await world.event(token=organizer, **seated_event())


async def seats(world: World, event: Event, query: str = "", **headers: str) -> Answer:
    """Read the seat map."""
    return await world.call("GET", f"/v1/events/{event['id']}/seats{query}", headers=headers)


async def statuses(world: World, event: Event) -> list[str]:
    """Return the status of each section."""
    return [section["status"] for section in (await seats(world, event)).body["sections"]]


async def test_seat_map(world: World, hall: Event) -> None:
    """The map has all that the organizer gave, a version as its ETag, and may be cached."""
    answer = await seats(world, hall)
    assert 200 == answer.status
    assert '"0"' == answer.headers["ETag"]
    assert "public" in answer.headers["Cache-Control"]
    first, second, _ = hall["tiers"]
    assert [8, 3, 50] == [tier["capacity"] for tier in hall["tiers"]]
    assert [
        {
            "section_no": 1,
            "name": "Left",
            "tier_id": first["id"],
            "kinds": "",
            "status": "ffff/ffff",
            "rows": [
                {"name": "A", "first_seat": 1, "seats": 4, "labels": None},
                {"name": "B", "first_seat": 6, "seats": 4, "labels": None},
            ],
        },
        {
            "section_no": 2,
            "name": "Box",
            "tier_id": second["id"],
            "kinds": "502",
            "status": "fff",
            "rows": [{"name": "1", "first_seat": 1, "seats": 3, "labels": ["1a", "1b", "1c"]}],
        },
    ] == answer.body["sections"]
    again = await seats(world, hall, **{"If-None-Match": f'W/{answer.headers["ETag"]}, "x"'})
    assert 304 == again.status
    for name in ("ETag", "Cache-Control", "Vary"):
        assert answer.headers[name] == again.headers[name]


async def test_s15_a_crowd_asks_for_one_map(
    serve: Serve, hall: Event, organizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for the whole map gets that of a moment ago; who leads or wants news does not."""
    async with serve(availability_age_ms_max=10_000) as other:
        engine, asked = other.client.app[SERVICES].engine, 0
        ask = engine.seats

        async def counted(*words: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            return await ask(*words, **more)

        monkeypatch.setattr(engine, "seats", counted)
        first = await seats(other, hall)
        assert 201 == (await other.book(hall, None, {"seat_ids": ["s1-1"]})).status
        again = await seats(other, hall)
        assert (first.status, first.text) == (again.status, again.text)
        for name in ("ETag", "Cache-Control", "Vary", "Content-Type"):
            assert first.headers[name] == again.headers[name]
        known = {"If-None-Match": first.headers["ETag"]}
        assert 304 == (await seats(other, hall, **known)).status
        assert 1 == asked
        path = f"/v1/events/{hall['id']}/seats"
        for answer in (
            await seats(other, hall, **{"Cache-Control": "No-Cache"}),
            await other.call("GET", path, token=organizer),
            await seats(other, hall, "?since=99"),
        ):
            assert "sfff/ffff" == answer.body["sections"][0]["status"]
        assert 4 == asked


async def test_seat_map_since(world: World, hall: Event) -> None:
    """Changes since a version are told alone, and the whole map where the version is unknown."""
    await world.book(hall, None, {"seat_ids": ["s1-1", "s2-2"]})
    answer = await seats(world, hall, "?since=0")
    assert 2 == answer.body["version"]
    assert [("s", ["s1-1"]), ("s", ["s2-2"])] == [
        (change["status"], change["seat_ids"]) for change in answer.body["changes"]
    ]
    assert answer.body["sections"] is None
    assert 2 == len((await seats(world, hall, "?since=99")).body["sections"])
    for bad in ("-1", "x", "1" * 16, "²"):
        check_problem(
            await seats(world, hall, f"?since={bad}" if bad != "²" else "?since=%C2%B2"),
            422,
            "invalid",
            "/query/since",
        )


async def test_event_without_seats(world: World, event: Event) -> None:
    """An event of general tiers has an empty map; seats and best available are refused there."""
    assert [] == (await seats(world, event)).body["sections"]
    answer = await world.book(event, None, {"seat_ids": ["s1-1"]})
    check_problem(answer, 422, "invalid", "/items/0/seat_ids/0")
    item = {"tier_id": event["tiers"][0]["id"], "quantity": 1, "best_available": True}
    check_problem(await world.book(event, None, item), 422, "invalid", "/items/0/best_available")


async def test_draft_has_no_map(world: World, organizer: str) -> None:
    """A draft's seats are not on sale; nobody but its organizer learns that it is there (S8)."""
    for body in (seated_event(), new_event(5)):
        made = await world.call("POST", "/v1/events", token=organizer, json=body)
        check_problem(await seats(world, made.body), 404, "not_found")
        path = f"/v1/events/{made.body['id']}/seats"
        check_problem(await world.call("GET", path, token=organizer), 409, "not_on_sale")


async def test_book_seats(world: World, hall: Event) -> None:
    """Seats of two tiers and general places become one booking, read alike from both stores."""
    token = world.token()
    items = [
        {"seat_ids": ["s1-2", "s2-1", "s1-3"]},
        {"tier_id": hall["tiers"][2]["id"], "quantity": 1},
    ]
    answer = await world.book(hall, token, *items)
    assert 201 == answer.status, answer.text
    assert [(2, ["s1-2", "s1-3"]), (1, ["s2-1"]), (1, [])] == [
        (item["quantity"], item["seat_ids"]) for item in answer.body["items"]
    ]
    replay = await world.book(hall, token, *items)
    assert answer.body == replay.body
    assert "true" == replay.headers["Idempotent-Replayed"]
    await world.settle()
    read = await world.call("GET", f"/v1/bookings/{answer.body['id']}", token=token)
    assert answer.body["items"] == read.body["items"]
    assert ["fssf/ffff", "sff"] == await statuses(world, hall)
    assert 200 == (await world.cancel(answer.body["id"], token)).status
    assert ["ffff/ffff", "fff"] == await statuses(world, hall)


async def test_seat_taken(world: World, hall: Event) -> None:
    """A seat that somebody else has is refused by name, at the item that asks for it."""
    await world.book(hall, None, {"seat_ids": ["s2-2"]})
    general = {"tier_id": hall["tiers"][2]["id"], "quantity": 1}
    answer = await world.book(hall, None, general, {"seat_ids": ["s1-1", "s2-2"]})
    check_problem(answer, 409, "seat_taken", "/items/1")
    assert ("s2-2", 1) == (answer.body["seat_id"], answer.body["line"])


async def test_hold_and_confirm(world: World, hall: Event) -> None:
    """Held seats show as held, then as sold."""
    token = world.token()
    held = await world.book(hall, token, {"seat_ids": ["s1-1", "s1-2"]}, what="holds")
    assert 201 == held.status, held.text
    assert ["s1-1", "s1-2"] == held.body["items"][0]["seat_ids"]
    assert ["hhff/ffff", "fff"] == await statuses(world, hall)
    answer = await world.book(hall, None, {"seat_ids": ["s1-2"]}, what="holds")
    check_problem(answer, 409, "seat_taken", "/items/0")
    path = f"/v1/holds/{held.body['id']}/confirm"
    booked = await world.call("POST", path, token=token)
    assert ["s1-1", "s1-2"] == booked.body["items"][0]["seat_ids"]
    assert ["ssff/ffff", "fff"] == await statuses(world, hall)


async def test_release(world: World, hall: Event) -> None:
    """A hold given back frees its seats."""
    token = world.token()
    held = await world.book(hall, token, {"seat_ids": ["s1-1"]}, what="holds")
    assert 204 == (await world.call("DELETE", f"/v1/holds/{held.body['id']}", token=token)).status
    assert ["ffff/ffff", "fff"] == await statuses(world, hall)


async def test_best_available(world: World, hall: Event) -> None:
    """Best available takes neighbours at the front; apart or accessible only if asked."""
    first, box, _ = (tier["id"] for tier in hall["tiers"])

    async def best(tier_id: str, quantity: int, **more: bool) -> Answer:
        item = {"tier_id": tier_id, "quantity": quantity, "best_available": True, **more}
        return await world.book(hall, None, item)

    got = await best(first, 2)
    assert ["s1-2", "s1-3"] != got.body["items"][0]["seat_ids"]  # It would leave 1 and 4 alone.
    assert ["s1-1", "s1-2"] == got.body["items"][0]["seat_ids"]
    answer = await best(first, 5)
    check_problem(answer, 409, "not_together", "/items/0")
    assert 6 == answer.body["available"]
    got = await best(first, 5, split=True)
    assert 5 == len(got.body["items"][0]["seat_ids"])
    check_problem(await best(box, 3), 409, "not_together", "/items/0")
    got = await best(box, 2, accessible=True)
    assert ["s2-1", "s2-2"] == got.body["items"][0]["seat_ids"]


async def test_block_and_unblock(world: World, hall: Event, organizer: str) -> None:
    """The organizer takes seats out of sale and puts them back; both may be repeated."""
    path = f"/v1/events/{hall['id']}/seats"
    body = {"seat_ids": ["s1-1", "s2-3"]}
    for replayed in (None, "true"):
        answer = await world.call("POST", f"{path}/block", token=organizer, json=body)
        assert (200, "blocked") == (answer.status, answer.body["status"])
        assert replayed == answer.headers.get("Idempotent-Replayed")
    assert ["bfff/ffff", "ffb"] == await statuses(world, hall)
    check_problem(
        await world.book(hall, None, {"seat_ids": ["s1-1"]}), 409, "seat_taken", "/items/0"
    )
    await world.book(hall, None, {"seat_ids": ["s1-2"]})
    refused = await world.call(
        "POST", f"{path}/block", token=organizer, json={"seat_ids": ["s1-3", "s1-2"]}
    )
    check_problem(refused, 409, "seat_taken", "/seat_ids/1")
    unknown = await world.call(
        "POST", f"{path}/unblock", token=organizer, json={"seat_ids": ["s1-3", "s1-5"]}
    )
    check_problem(unknown, 422, "invalid", "/seat_ids/1")
    answer = await world.call("POST", f"{path}/unblock", token=organizer, json=body)
    assert (200, "free") == (answer.status, answer.body["status"])
    assert ["fsff/ffff", "fff"] == await statuses(world, hall)


@pytest.mark.parametrize("verb", ["block", "unblock"])
async def test_block_of_another_organizer(world: World, hall: Event, verb: str) -> None:
    """S8: who has not made the event finds nothing there."""
    path = f"/v1/events/{hall['id']}/seats/{verb}"
    other = await world.organizer()
    answer = await world.call("POST", path, token=other, json={"seat_ids": ["s1-1"]})
    check_problem(answer, 404, "not_found")
    answer = await world.call("POST", path, token=world.token(), json={"seat_ids": ["s1-1"]})
    check_problem(answer, 403, "forbidden")


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([{"seat_ids": ["s3-1"]}], "/items/0/seat_ids/0"),
        ([{"seat_ids": ["s1-1", "s1-5"]}], "/items/0/seat_ids/1"),
        ([{"seat_ids": ["s1-1", "s1-1"]}], "/items/0/seat_ids/1"),
        ([{"seat_ids": ["s1-1"]}, {"seat_ids": ["s1-1"]}], "/items/1/seat_ids/0"),
        ([{"seat_ids": ["s1-1+s1-2"]}], "/items/0/seat_ids/0"),
        ([{"seat_ids": []}], "/items/0/seat_ids"),
        ([{"seat_ids": ["s1-1"], "quantity": 1}], "/items/0/quantity"),
        ([{}], "/items/0/tier_id"),
        ([{"tier_id": "?"}], "/items/0/quantity"),
        ([{"tier_id": "?", "quantity": 1, "split": True}], "/items/0/split"),
        ([{"tier_id": "?", "quantity": 1}, {"seat_ids": ["s1-1"]}], "/items/0"),
    ],
)
async def test_bad_items(world: World, hall: Event, items: list[Any], pointer: str) -> None:
    """S23: what is no order of seats is refused at the very value."""
    first = hall["tiers"][0]["id"]
    items = [item | ({"tier_id": first} if "tier_id" in item else {}) for item in items]
    check_problem(await world.book(hall, None, *items), 422, "invalid", pointer)


@pytest.mark.parametrize(
    ("sections", "pointer"),
    [
        ([{"name": "A", "tier": "?", "rows": [{"name": "1", "seats": 8}]}], "/sections/0/tier"),
        ([{"name": "A", "tier": 3, "rows": [{"name": "1", "seats": 8}]}], "/sections/0/tier"),
        ([{"name": "A", "tier": 0, "rows": []}], "/sections/0/rows"),
        (
            [{"name": "A", "tier": 0, "rows": [{"name": "1", "seats": 0}]}],
            "/sections/0/rows/0/seats",
        ),
        (
            [{"name": "A", "tier": 0, "rows": [{"name": "1", "seats": 2000}] * 2}],
            "/sections/0/rows",
        ),
        (
            [
                {
                    "name": "A",
                    "tier": 0,
                    "rows": [{"name": "1", "seats": [{"label": "1"}, {"label": "1"}]}],
                }
            ],
            "/sections/0/rows/0/seats/1/label",
        ),
        (
            [{"name": "A", "tier": 0, "rows": [{"name": n, "seats": 4} for n in ("1a", "1A ")]}],
            "/sections/0/rows/1/name",
        ),
        (
            [{"name": n, "tier": 0, "rows": [{"name": n, "seats": 4}]} for n in ("Box", "box")],
            "/sections/1/name",
        ),
        (
            [
                {"name": "Box", "tier": 0, "rows": [{"name": "A 1", "seats": 4}]},
                {"name": "Box A", "tier": 0, "rows": [{"name": "1", "seats": 4}]},
            ],
            "/sections/1/rows/0/name",
        ),
        (
            [
                {
                    "name": "A",
                    "tier": 0,
                    "rows": [{"name": "1", "seats": [{"label": "1a"}, {"label": "1A"}]}],
                }
            ],
            "/sections/0/rows/0/seats/1/label",
        ),
        ([{"name": "A", "tier": 1, "rows": [{"name": "1", "seats": 3}]}], "/tiers/0/capacity"),
        (
            [
                {"name": "A", "tier": 0, "rows": [{"name": "1", "seats": 3}]},
                {"name": "A", "tier": 1, "rows": [{"name": "1", "seats": 4}]},
            ],
            "/tiers/1/capacity",
        ),
    ],
)
async def test_bad_sections(
    world: World, organizer: str, sections: list[Any], pointer: str
) -> None:
    """A draft whose seats do not add up is refused at the very value."""
    answer = await world.call("POST", "/v1/events", token=organizer, json=seated_event(sections))
    check_problem(answer, 422, "invalid", pointer)


async def test_race_over_http(world: World, hall: Event) -> None:
    """I3: of 20 buyers of one seat exactly one gets it."""
    answers = await asyncio.gather(
        *(
            world.book(hall, None, {"seat_ids": ["s1-1"]}, what=("holds", "bookings")[n % 2])
            for n in range(20)
        )
    )
    assert [201] + [409] * 19 == sorted(answer.status for answer in answers)
