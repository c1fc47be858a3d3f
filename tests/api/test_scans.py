"""Scans over HTTP: whose door it is, what the ticket says, and what is sent again or later."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import asyncpg
import pytest

from engine import keys
from engine.ids import new_id
from tests.api.test_gate import account, booked, scan
from tests.api.test_seats import SECTIONS, seated_event
from tests.api.world import SHARD, Event, World, check_problem
from tests.checks import ask

SEAT = {"id": "s2-2", "section": "Box", "row": "1", "label": "1b"}
WHERE = ("event_name", "starts_at", "timezone", "venue", "tier_id", "tier_name", "seat")
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture
async def staff(world: World, event: Event) -> str:
    """Return the token of somebody at the gate of the event."""
    return world.token(role="staff", organizer_id=event["organizer_id"])


@pytest.fixture
async def hall(world: World, organizer: str) -> Event:
    """Publish an event with seats of named rows."""
    about = seated_event() | {"name": "Gala", "venue": "Opera", "timezone": "Europe/Berlin"}
    return await world.event(token=organizer, **about)


def face(hall: Event, tier: int = 1, seat: Any = None) -> dict[str, Any]:
    """Return what a ticket of the hall shows."""
    its = hall["tiers"][tier]
    told = (*(hall[name] for name in ("name", "starts_at", "timezone", "venue")),)
    return dict(zip(WHERE, (*told, its["id"], its["name"], seat), strict=True))


def shown(body: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer shows of event, tier and seat."""
    return {name: body[name] for name in WHERE}


async def upload(world: World, event: Event, token: str, *scans: Any, **more: Any) -> Any:
    """Send scans that were made offline: pairs of code and id."""
    rows = [
        {"code": code, "scan_id": scan_id, "scanned_at": NOW - dt.timedelta(hours=1)}
        for code, scan_id in scans
    ]
    path = f"/v1/events/{event['id']}/scans"
    return await world.call("POST", path, token=token, json={"scans": rows} | more)


async def test_a_ticket_says_where_it_leads(world: World, hall: Event, user: str) -> None:
    """Event, tier and seat by name: to the buyer, to the gate, good or not, and to a new holder."""
    seated = {"seat_ids": ["s1-2", "s1-6"]}
    made = await world.book(hall, user, {"seat_ids": ["s2-2"]}, seated, (3, 1))
    path = f"/v1/bookings/{made.body['id']}"
    await world.settle()
    tickets = (await world.call("GET", path, token=user)).body["tickets"]
    left = [
        {"id": "s1-2", "section": "Left", "row": "A", "label": "2"},
        {"id": "s1-6", "section": "Left", "row": "B", "label": "1"},
    ]
    expected = [face(hall, 1, SEAT), *(face(hall, 0, seat) for seat in left), face(hall, 2)]
    by_seat = {str(ticket["seat"]): ticket for ticket in tickets}
    assert [shown(by_seat[str(one["seat"])]) for one in expected] == expected
    ticket = by_seat[str(SEAT)]
    friend_id = await account(world, f"{new_id('usr')}@x.yz")
    to, friend = {"user_id": friend_id}, world.token(friend_id)
    gift = f"/v1/tickets/{ticket['id']}/transfer"
    assert 200 == (await world.call("POST", gift, token=user, json=to)).status
    [mine] = (await world.call("GET", "/v1/tickets", token=friend)).body["data"]
    assert face(hall, 1, SEAT) == shown(mine)
    check_problem(await world.call("GET", path, token=friend), 404, "not_found")
    staff = world.token(role="staff", organizer_id=hall["organizer_id"])
    let_in = await scan(world, hall, mine["code"], staff)
    assert (200, face(hall, 1, SEAT)) == (let_in.status, shown(let_in.body))
    for code, why in ((mine["code"], "already_checked_in"), (ticket["code"], "ticket_superseded")):
        refused = (await scan(world, hall, code, staff)).body
        told = [refused[name] for name in ("code", "event_name", "tier_name", "row", "seat")]
        assert [why, "Gala", hall["tiers"][1]["name"], "1", "1b"] == told


async def test_a_new_name_is_shown_at_once(world: World, event: Event, user: str) -> None:
    """What the organizer renames is not shown by its old name to who holds tickets."""
    booking = await booked(world, event, user)
    await world.database.execute("UPDATE events SET name = 'New' WHERE id = $1", event["id"])
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    assert {"New"} == {ticket["event_name"] for ticket in seen.body["tickets"]}


async def test_a_list_of_tickets_asks_as_much_as_one(
    world: World, organizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tickets of three halls are told with as many queries as one ticket."""
    counts: list[int] = []
    fetch = asyncpg.Pool.fetch

    async def counted(*words: Any, **named: Any) -> Any:
        counts[-1] += 1
        return await fetch(*words, **named)

    friend_id = await account(world, f"{new_id('usr')}@x.yz")
    user, friend = world.token(), world.token(friend_id)
    for _ in range(3):
        hall = await world.event(token=organizer, **seated_event(SECTIONS))
        made = await world.book(hall, user, {"seat_ids": ["s2-2", "s2-1"]})
        seen = await world.call("GET", f"/v1/bookings/{made.body['id']}", token=user)
        for ticket in seen.body["tickets"]:
            path = f"/v1/tickets/{ticket['id']}/transfer"
            await world.call("POST", path, token=user, json={"user_id": friend_id})
        counts.append(0)
        with monkeypatch.context() as patch:
            patch.setattr(asyncpg.Pool, "fetch", counted)
            listed = (await world.call("GET", "/v1/tickets", token=friend)).body["data"]
        assert 2 * len(counts) == len(listed)
        assert all(ticket["seat"] for ticket in listed)
    assert [5, 5, 5] == counts


async def test_the_gate_stays_open_without_postgresql(
    world: World, hall: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While PostgreSQL is away, tickets are let in, and say what was last known of their event."""
    made = await world.book(hall, user, {"seat_ids": ["s2-1", "s2-2"]})
    read = await world.call("GET", f"/v1/bookings/{made.body['id']}", token=user)
    codes = [ticket["code"] for ticket in read.body["tickets"]]
    staff = world.token(role="staff", organizer_id=hall["organizer_id"])
    await world.enter()
    monkeypatch.setattr("usecases.catalog.AGE_MAX_S", 0.0)

    async def away(*_words: Any, **_named: Any) -> Any:
        raise OSError("away")

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        monkeypatch.setattr(asyncpg.Pool, name, away)
    for code in codes:
        let_in = await scan(world, hall, code, staff)
        assert (200, "Gala", hall["tiers"][1]["name"]) == (
            let_in.status,
            let_in.body["event_name"],
            let_in.body["tier_name"],
        )


async def test_another_events_ticket(
    world: World, event: Event, user: str, staff: str, boss: str
) -> None:
    """Friday's ticket does not pass on Saturday, nor is used up; who may see both learns more."""
    other = await world.event(5, 5, token=boss, name="Saturday")
    stranger = await world.organizer()
    foreign = await world.event(5, token=stranger)
    code = (await booked(world, event, user))["tickets"][0]["code"]
    before = await world.state()
    for verb in ("check-in", "undo"):
        wrong = await scan(world, other, code, staff, verb)
        check_problem(wrong, 409, "wrong_event")
        assert (event["id"], event["name"]) == (wrong.body["event_id"], wrong.body["event_name"])
        elsewhere = await scan(world, foreign, code, stranger, verb)
        check_problem(elsewhere, 409, "wrong_event")
        assert "event_id" not in elsewhere.body
        check_problem(await scan(world, foreign, code, staff, verb), 404, "not_found")
        unnamed = await world.call("POST", f"/v1/tickets/{code}/{verb}", token=staff, json={})
        check_problem(unnamed, 422, "invalid", "/event_id")
    sent = await upload(world, other, staff, (code, "scan-0001"))
    [row] = sent.body["data"]
    assert ("wrong_event", event["id"]) == (row["problem"]["code"], row["problem"]["event_id"])
    check_problem(await upload(world, event, stranger, (code, "scan-0001")), 404, "not_found")
    assert before == await world.state()
    assert 200 == (await scan(world, event, code, staff)).status


@pytest.mark.parametrize("way", ["scan_id", "key"])
async def test_the_same_scan_again(
    world: World, event: Event, user: str, staff: str, way: str
) -> None:
    """An answer that was lost is given again, good or not; the same id for another is refused."""
    code = (await booked(world, event, user))["tickets"][0]["code"]

    async def send(own: str, gate: str = "north", verb: str = "check-in") -> Any:
        words = {"gate": gate} | ({"scan_id": own} if way == "scan_id" else {})
        key = own if way == "key" else None
        return await scan(world, event, code, staff, verb, key, **words)

    first, late = await send("scan-0001"), await send("scan-0002", "south")
    assert 200 == first.status
    check_problem(late, 409, "already_checked_in")
    undone = await send("scan-0003", verb="undo")
    before = await world.state()
    for answer, again in (
        (first, await send("scan-0001")),
        (late, await send("scan-0002", "south")),
        (undone, await send("scan-0003", verb="undo")),
    ):
        assert "true" == again.headers["Idempotent-Replayed"]
        assert "Idempotent-Replayed" not in answer.headers
        for name in answer.body.keys() - {"request_id"}:
            assert answer.body[name] == again.body[name]
    check_problem(await send("scan-0001", "south"), 422, "idempotency_key_reused")
    check_problem(await send("scan-0001", verb="undo"), 422, "idempotency_key_reused")
    assert before == await world.state()


async def test_offline_scans_count_once(world: World, event: Event, user: str, staff: str) -> None:
    """Scans sent later count once each; both gates' scans of one ticket stay on record."""
    booking = await booked(world, event, user)
    codes = [ticket["code"] for ticket in booking["tickets"]]
    online = await scan(world, event, codes[0], staff, gate="north", scan_id="scan-north")
    assert 200 == online.status
    sent = [(codes[0], "scan-0001"), ("nonsense", "scan-0002"), (codes[1], "scan-0003")]
    first = await upload(world, event, staff, *sent, gate="south")
    assert 200 == first.status, first.text
    rows = first.body["data"]
    told = [row["problem"]["code"] if row["problem"] else None for row in rows]
    assert ["already_checked_in", "not_found", None] == told
    assert online.body["at"] == rows[0]["problem"]["checked_in_at"]
    scanned_at = (NOW - dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert ("checked_in", scanned_at) == (
        rows[2]["scanned"]["status"],
        rows[2]["scanned"]["scanned_at"],
    )
    before = await world.state()
    again = (await upload(world, event, staff, *sent, gate="south")).body["data"]
    assert [True, False, True] == [row["is_replay"] for row in again]
    assert [row | {"is_replay": False} for row in again] == rows
    assert before == await world.state()
    await world.settle()
    kept = await world.database.fetch(
        "SELECT scan_id, what, gate, scanned_at FROM scans WHERE event_id = $1 ORDER BY seq",
        event["id"],
    )
    at = NOW - dt.timedelta(hours=1)
    assert [
        ("scan-north", "in", "north", None),
        ("scan-0001", "refused", "south", at),
        ("scan-0003", "in", "south", at),
    ] == [tuple(row) for row in kept]


async def test_many_gates_one_ticket(world: World, event: Event, user: str, staff: str) -> None:
    """Of scans by many gates at once one lets in; each of the others is on record."""
    code = (await booked(world, event, user))["tickets"][0]["code"]
    answers = await asyncio.gather(
        *(upload(world, event, staff, (code, f"scan-{n:04}"), gate=f"g{n}") for n in range(8))
    )
    rows = [answer.body["data"][0] for answer in answers]
    assert 1 == sum(row["scanned"] is not None for row in rows)
    await world.settle()
    count = "SELECT count(*) FROM scans WHERE event_id = $1"
    assert 8 == await world.database.fetchval(count, event["id"])


async def test_scans_outlive_redis(world: World, event: Event, user: str, staff: str) -> None:
    """Redis made anew from PostgreSQL knows the scans: each still gets its first answer."""
    code = (await booked(world, event, user))["tickets"][0]["code"]
    sent = {"north": "scan-0001", "south": "scan-0002"}
    first = [await scan(world, event, code, staff, gate=g, scan_id=own) for g, own in sent.items()]
    assert [200, 409] == [answer.status for answer in first]
    await world.settle()
    for name in await ask(world.redis, "KEYS", f"{keys.tag(SHARD)}:*"):
        await ask(world.redis, "DEL", name)
    await world.recover()
    again = [await scan(world, event, code, staff, gate=g, scan_id=own) for g, own in sent.items()]
    assert [200, 409] == [answer.status for answer in again]
    assert ["true"] * 2 == [answer.headers["Idempotent-Replayed"] for answer in again]
    assert first[0].body["at"] == again[0].body["at"] == again[1].body["checked_in_at"]


async def test_bad_scans(world: World, event: Event, user: str, staff: str) -> None:
    """Ids that are no ids, and times that no clock can say, are refused by pointer."""
    code = (await booked(world, event, user))["tickets"][0]["code"]
    before = await world.state()
    for bad in ("short", "with blank", "a:b,c-0001", "x" * 65):
        answer = await scan(world, event, code, staff, scan_id=bad)
        check_problem(answer, 422, "invalid", "/scan_id")
    for at in ("9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00"):
        answer = await scan(world, event, code, staff, scanned_at=at)
        check_problem(answer, 422, "invalid", "/scanned_at")
    check_problem(await upload(world, event, staff), 422, "invalid", "/scans")
    too_many = [(code, f"scan-{n:04}") for n in range(101)]
    check_problem(await upload(world, event, staff, *too_many), 422, "invalid", "/scans")
    check_problem(await upload(world, event, user, (code, "scan-0001")), 403, "forbidden")
    assert before == await world.state()
