"""Devices at gates (S41): enrolment, what they are bound to, their end; codes there (S26)."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from api.http import SERVICES
from api.routes import ROUTES
from api.scopes import OPENS_DEVICES
from engine.ticket_codes import TicketCode, TicketCodes
from tests.api.keepers import execute, keeper, make_device, new_organizer
from tests.api.test_gate import booked, scan
from tests.api.test_routes import named
from tests.api.world import Event, Serve, World, check_problem
from usecases import bearers, devices
from usecases.buckets import Buckets, Rate


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at a row at every request: what is told of a second ago is a test of its own."""
    monkeypatch.setattr(bearers, "AGE_MAX_S", 0.0)


@pytest.fixture
async def crew(world: World, event: Event) -> str:
    """Return the token of a real account at the event's gates."""
    return (await keeper(world, event["organizer_id"], "staff"))[1]


async def announce(world: World, event: Event, token: str, gate: str = "north") -> Any:
    """Announce a device; return what is told of it."""
    path = f"/v1/events/{event['id']}/devices"
    made = await world.call("POST", path, token=token, json={"gate": gate})
    assert 201 == made.status, made.text
    return made.body


async def enroll(world: World, code: str) -> Any:
    """Exchange a code."""
    return await world.call("POST", "/v1/devices/enroll", json={"code": code})


async def test_s41_enrolled_once(world: World, event: Event, crew: str) -> None:
    """S41: a code is told once, good once, and neither it nor the token is kept."""
    made = await announce(world, event, crew)
    code = made["code"]
    assert "announced" == made["device"]["status"]
    typed = code.replace("-", "").lower()
    assert devices._CODE_LENGTH == len(typed)
    answers = await asyncio.gather(*(enroll(world, text) for text in (typed, code, f" {code} ")))
    assert [201, 422, 422] == sorted(answer.status for answer in answers)
    [good] = [answer.body for answer in answers if answer.status == 201]
    assert "enrolled" == good["device"]["status"]
    stored = str(await world.database.fetch("SELECT devices::text AS row FROM devices"))
    for secret in (code, typed.upper(), good["token"], good["token"][-43:]):
        assert secret not in stored
    for wrong in (code, "AAAAA-AAAAA", "x"):
        check_problem(await enroll(world, wrong), 422, "invalid", "/code")
    path = f"/v1/events/{event['id']}/devices"
    assert [good["device"]] == [
        one | {"last_used_at": None}
        for one in (await world.call("GET", path, token=crew)).body["data"]
    ]


async def test_s41_a_code_ends(world: World, event: Event) -> None:
    """S41: a code that is too old, revoked, or whose maker may no more, is no code."""
    user_id, token = await keeper(world, event["organizer_id"], "staff")
    late = await announce(world, event, token)
    await execute(
        world, "UPDATE devices SET code_expires_at = now() WHERE id = $1", late["device"]["id"]
    )
    gone = await announce(world, event, token)
    path = f"/v1/devices/{gone['device']['id']}"
    assert 204 == (await world.call("DELETE", path, token=token)).status
    sacked = await announce(world, event, token)
    await execute(world, "UPDATE users SET role = 'user' WHERE id = $1", user_id)
    for made in (late, gone, sacked):
        check_problem(await enroll(world, made["code"]), 422, "invalid", "/code")
    answer = await world.call(
        "POST", f"/v1/events/{event['id']}/devices", token=token, json={"gate": "a"}
    )
    check_problem(answer, 403, "forbidden")


async def test_s41_codes_are_not_guessed(world: World, serve: Serve) -> None:
    """S41: from one address only so many codes are tried."""
    async with serve(trusted_proxies=()) as other:
        services = other.client.app[SERVICES]
        assert services.enrolments.rate.attempts_max <= 200
        tries = Buckets(Rate("enrolments", 2, 600_000))
        object.__setattr__(services, "enrolments", tries)
        for _ in range(2):
            check_problem(await enroll(other, "AAAAA-AAAAA"), 422, "invalid")
        answer = await enroll(other, "AAAAA-AAAAA")
        check_problem(answer, 429, "rate_limited")
        assert 0 < int(answer.headers["Retry-After"])


async def test_s41_lets_in_at_its_gate(world: World, event: Event, user: str, crew: str) -> None:
    """S41: a device lets in and takes back, under its own name and gate, whatever it says."""
    codes = [one["code"] for one in (await booked(world, event, user))["tickets"]]
    enrolled = await make_device(world, crew, event["id"], "north")
    token, own_id = enrolled["token"], enrolled["device"]["id"]
    for body in ({}, {"gate": "north"}):
        done = await scan(world, event, codes[0], token, **body)
        assert (200, "north") == (done.status, done.body["gate"])
        assert 200 == (await scan(world, event, codes[0], token, "undo", **body)).status
    check_problem(await scan(world, event, codes[1], token, gate="south"), 422, "invalid", "/gate")
    past = {"code": codes[1], "scan_id": "scan-0001", "scanned_at": dt.datetime.now(dt.UTC)}
    path = f"/v1/events/{event['id']}/scans"
    sent = await world.call("POST", path, token=token, json={"scans": [past]})
    assert "north" == sent.body["data"][0]["scanned"]["gate"]
    await world.settle()
    rows = await world.database.fetch(
        "SELECT scanned_by, gate FROM scans WHERE event_id = $1", event["id"]
    )
    assert {(own_id, "north")} == {tuple(row) for row in rows}


async def test_s41_all_else_is_closed(world: World) -> None:
    """S41: a device may nothing but its work, and is nobody where anybody may."""
    _, token = await keeper(world, await new_organizer(world))
    event = await world.event(1, token=token)
    device = (await make_device(world, token, event["id"]))["token"]
    closed = [one for one in ROUTES if f"{one.method} {one.path}" not in OPENS_DEVICES]
    found = {}
    for route in closed:
        if route.policy.value in {"public", "ops"}:
            continue
        path = route.path.replace("{event_id}", event["id"]).replace("{", "").replace("}", "")
        answer = await world.call(route.method, path, token=device, key="k")
        found[named(route)] = (answer.status, answer.body.get("code"))
    assert {} == {at: what for at, what in found.items() if what != (403, "insufficient_scope")}
    assert len(found) > 50


async def test_s41_bound_to_its_event(world: World, user: str) -> None:
    """S41: at another event's door, even of the same organizer, a device is nobody."""
    organizer_id = await new_organizer(world)
    _, boss = await keeper(world, organizer_id)
    first, second = await world.event(5, 5, token=boss), await world.event(5, 5, token=boss)
    device = (await make_device(world, boss, first["id"]))["token"]
    code = (await booked(world, second, user))["tickets"][0]["code"]
    check_problem(await scan(world, second, code, device), 404, "not_found")
    answer = await scan(world, first, code, device)
    check_problem(answer, 409, "wrong_event")
    assert "event_name" not in answer.body, "it learns nothing of others"
    at = f"/v1/events/{second['id']}"
    for method, path, body in (
        ("GET", f"{at}/gate-list", None),
        ("POST", f"{at}/scans", {"scans": []}),
    ):
        check_problem(await world.call(method, path, token=device, json=body), 404, "not_found")
    assert (
        200 == (await world.call("GET", f"/v1/events/{first['id']}/gate-list", token=device)).status
    )
    # Drafts and hidden tiers stay hidden.
    draft = await world.draft(boss, 1)
    check_problem(
        await world.call("GET", f"/v1/events/{draft['id']}", token=device), 404, "not_found"
    )


async def test_s41_who_makes_and_ends_devices(world: World, event: Event, crew: str) -> None:
    """S41: those who work at the event, and nobody else; of others' they learn nothing."""
    made = await make_device(world, crew, event["id"])
    _, rival = await keeper(world, await new_organizer(world), "staff")
    at, own = f"/v1/events/{event['id']}/devices", f"/v1/devices/{made['device']['id']}"
    for method, path, body in (
        ("POST", at, {"gate": "x"}),
        ("GET", at, None),
        ("DELETE", own, None),
    ):
        check_problem(await world.call(method, path, token=rival, json=body), 404, "not_found")
        check_problem(
            await world.call(method, path, token=world.token(), json=body), 403, "forbidden"
        )
    for wrong in ("dev_x", "x", made["device"]["id"][:-1] + "!"):
        path = f"/v1/devices/{wrong}"
        check_problem(await world.call("DELETE", path, token=crew), 404, "not_found")


async def test_s41_revoked_in_all_processes(
    world: World, event: Event, user: str, crew: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S41: a revoked device is out everywhere within a second."""
    monkeypatch.undo()
    made = await make_device(world, crew, event["id"])
    path = f"/v1/events/{event['id']}/gate-list"
    async with serve() as second:
        for one in (world, second):
            assert 200 == (await one.call("GET", path, token=made["token"])).status
        own = f"/v1/devices/{made['device']['id']}"
        for _ in range(2):
            assert 204 == (await world.call("DELETE", own, token=crew)).status
        check_problem(await world.call("GET", path, token=made["token"]), 401, "unauthorized")
        await asyncio.sleep(bearers.AGE_MAX_S)
        check_problem(await second.call("GET", path, token=made["token"]), 401, "unauthorized")
    listed = (await world.call("GET", f"/v1/events/{event['id']}/devices", token=crew)).body
    assert ["revoked"] == [one["status"] for one in listed["data"]]


async def test_s41_ends_after_the_event(world: World, event: Event, crew: str) -> None:
    """S41: a day after its event a device is nobody, and until then it works."""
    made = await make_device(world, crew, event["id"])
    path = f"/v1/events/{event['id']}/gate-list"
    known = world.client.app[SERVICES].bearers
    for ago, is_good in ((23, True), (25, False)):
        await execute(
            world,
            "UPDATE events SET starts_at = now() - interval '3 days',"
            " ends_at = now() - make_interval(hours => $2) WHERE id = $1",
            event["id"],
            ago,
        )
        assert is_good == (await known.find(made["token"]) is not None)
    check_problem(await world.call("GET", path, token=made["token"]), 401, "unauthorized")


async def test_f78_lets_in_while_postgresql_is_away(
    world: World, event: Event, user: str, crew: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that was good lets in while PostgreSQL does not answer; at a gate people wait."""
    codes = [one["code"] for one in (await booked(world, event, user))["tickets"]]
    token = (await make_device(world, crew, event["id"]))["token"]
    assert 200 == (await scan(world, event, codes[0], token)).status

    async def away(*_: object) -> None:
        raise OSError("PostgreSQL is away")

    monkeypatch.setattr("store.devices.brought", away)
    assert 200 == (await scan(world, event, codes[1], token)).status


async def test_s26_what_a_gate_refuses(world: World, event: Event, user: str, crew: str) -> None:
    """S26: forged, copied, given away and cancelled codes let nobody in; the list names them."""
    device = (await make_device(world, crew, event["id"]))["token"]
    booking = await booked(world, event, user)
    first, second, third = booking["tickets"]
    friend, friends_token = await keeper(world, None, "user")
    forged = TicketCodes("o" * 43).issue(TicketCode(event["id"], booking["id"], 1, 1, 1))
    check_problem(await scan(world, event, forged, device), 404, "not_found")
    assert 200 == (await scan(world, event, first["code"], device)).status
    check_problem(await scan(world, event, first["code"], device), 409, "already_checked_in")
    given = await world.call(
        "POST", f"/v1/tickets/{second['id']}/transfer", token=user, json={"user_id": friend}
    )
    assert 200 == given.status, given.text
    check_problem(await scan(world, event, second["code"], device), 410, "ticket_superseded")
    cut = {"version": booking["version"], "ticket_ids": [third["id"]]}
    path = f"/v1/bookings/{booking['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=cut)).status
    check_problem(await scan(world, event, third["code"], device), 410, "ticket_cancelled")
    untouched = await booked(world, event, world.token())
    listed: dict[str, dict[str, Any]] = {}
    path = f"/v1/events/{event['id']}/gate-list?only=changed&limit=2"
    page = (await world.call("GET", path, token=device)).body
    while True:
        assert page["up_to_date"] is True
        listed |= {row["id"]: row for row in page["data"]}
        if not page["has_more"]:
            break
        after = f"{path}&after={page['next_cursor']}"
        page = (await world.call("GET", after, token=device)).body
    assert {
        first["id"]: ("checked_in", 1),
        second["id"]: ("valid", 2),
        third["id"]: ("cancelled", 1),
    } == {own: (row["status"], row["version"]) for own, row in listed.items()}
    whole = (await world.call("GET", path.partition("?")[0], token=device)).body["data"]
    assert {one["id"] for one in booking["tickets"] + untouched["tickets"]} == {
        row["id"] for row in whole
    }
    for word in (user, friend, friends_token):
        assert word not in str(whole), "nothing of whose they are"
    check_problem(
        await world.call("GET", f"{path.partition('?')[0]}?only=all", token=device),
        422,
        "invalid",
        "/query/only",
    )


async def test_too_many_devices(
    world: World, event: Event, crew: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event has so many devices; revoked ones do not count."""
    monkeypatch.setattr(devices, "DEVICES_MAX", 1)
    made = await announce(world, event, crew)
    path = f"/v1/events/{event['id']}/devices"
    answer = await world.call("POST", path, token=crew, json={"gate": "b"})
    check_problem(answer, 409, "too_many_keys")
    own = f"/v1/devices/{made['device']['id']}"
    assert 204 == (await world.call("DELETE", own, token=crew)).status
    await announce(world, event, crew)
