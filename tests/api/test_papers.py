"""Tickets in hand over HTTP: PDF, QR and calendar, for who has the ticket and nobody else."""

from __future__ import annotations

from typing import Any

import icalendar
import pytest

from api.http import SERVICES
from tests.api.test_gate import account, booked, scan
from tests.api.test_seats import seated_event
from tests.api.world import Answer, Event, World, check_problem
from tests.papers.looks import LARGE, pages
from tests.papers.test_tickets import codes_in, decoded, text_of


async def paper(world: World, path: str, token: str) -> Answer:
    """Read a paper of a booking or a ticket."""
    room = "bookings" if path.startswith("bk_") else "tickets"
    return await world.call("GET", f"/v1/{room}/{path}", token=token)


async def give(world: World, ticket_id: str, token: str, email: str) -> str:
    """Give a ticket to a new account; return its token."""
    to = await account(world, email)
    path, body = f"/v1/tickets/{ticket_id}/transfer", {"user_id": to}
    assert 200 == (await world.call("POST", path, token=token, json=body)).status
    return world.token(to)


async def entry(world: World, path: str, token: str) -> tuple[str, Any]:
    """Return method and event of a calendar file."""
    answer = await paper(world, f"{path}/ticket.ics", token)
    assert (200, "text/calendar; charset=utf-8") == (answer.status, answer.headers["Content-Type"])
    read = icalendar.Calendar.from_ical(answer.raw)
    [event] = read.walk("VEVENT")
    return str(read["METHOD"]), event


def codes_of(pdf: bytes) -> list[str]:
    """Return the code of each page, as a scanner reads it."""
    return [code for page in pages(pdf, scale=LARGE) for code in codes_in(page)]


async def test_code_on_paper_lets_in_once(world: World, event: Event, user: str) -> None:
    """The code that a scanner reads from the page is the ticket's; it lets in once, not twice."""
    booking = await booked(world, event, user)
    answer = await paper(world, f"{booking['id']}/ticket.pdf", user)
    assert (200, "application/pdf") == (answer.status, answer.headers["Content-Type"])
    assert "private, no-store" == answer.headers["Cache-Control"]
    assert 'attachment; filename="ticket.pdf"' == answer.headers["Content-Disposition"]
    codes = codes_of(answer.raw)
    assert [ticket["code"] for ticket in booking["tickets"]] == codes
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    assert 200 == (await scan(world, event, codes[1], staff)).status
    check_problem(await scan(world, event, codes[1], staff), 409, "already_checked_in")


async def test_one_ticket_alone(world: World, event: Event, user: str) -> None:
    """A ticket of several has its own page and its own picture; the booking has no one picture."""
    booking = await booked(world, event, user)
    one = booking["tickets"][2]
    pdf = (await paper(world, f"{one['id']}/ticket.pdf", user)).raw
    assert [one["code"]] == codes_of(pdf)
    assert "Ticket 3 of 3" in text_of(pdf)
    image = await paper(world, f"{one['id']}/qr.svg", user)
    assert (200, "image/svg+xml") == (image.status, image.headers["Content-Type"])
    assert one["code"] == decoded(image.text)
    several = await paper(world, f"{booking['id']}/qr.svg", user)
    check_problem(several, 409, "several_tickets")
    assert 3 == several.body["tickets"]
    single = (await world.book(event, user, (1, 1), key="k-2")).body["id"]
    image = await paper(world, f"{single}/qr.svg", user)
    seen = (await world.call("GET", f"/v1/bookings/{single}", token=user)).body["tickets"]
    assert seen[0]["code"] == decoded(image.text)


async def test_says_seat_and_holder(world: World) -> None:
    """Seat and holder stand on the page, in the account's language or in another."""
    hall = await world.event(**seated_event(), venue="Hall", address="Street 1\n1234 Town")
    person = world.token(await account(world, "seated@example.org"))
    await world.call("PATCH", "/v1/me", token=person, json={"language": "de-AT", "name": "Änne X"})
    made = await world.book(hall, person, {"seat_ids": ["s1-2"]})
    [ticket] = (await world.call("GET", f"/v1/bookings/{made.body['id']}", token=person)).body[
        "tickets"
    ]
    seat, path = ticket["seat"], f"{made.body['id']}/ticket.pdf"
    text = text_of((await paper(world, path, person)).raw)
    said = f"Block {seat['section']}|Reihe {seat['row']}|Platz {seat['label']}|Name Änne X"
    said += f"|Hall|Street 1, 1234 Town|Veranstalter: House|{ticket['tier_name']}"
    assert [] == [part for part in said.split("|") if part not in text]
    english = text_of((await paper(world, f"{path}?language=en-GB", person)).raw)
    assert "Organizer: House" in english
    _, event = await entry(world, ticket["id"], person)
    assert f"Reihe {seat['row']}, Platz {seat['label']}" in str(event["DESCRIPTION"])
    wrong = await paper(world, f"{path}?language=!", person)
    check_problem(wrong, 422, "invalid")
    assert "/query/language" == wrong.body["errors"][0]["pointer"]


async def test_given_away_is_its_holders(world: World, event: Event, user: str) -> None:
    """What was given away is its holder's to print; the buyer's papers are without it."""
    booking = await booked(world, event, user)
    first, *others = booking["tickets"]
    friend = await give(world, first["id"], user, "friend@example.org")
    for what in ("ticket.pdf", "ticket.ics", "qr.svg"):
        check_problem(await paper(world, f"{first['id']}/{what}", user), 404, "not_found")
        check_problem(await paper(world, f"{booking['id']}/{what}", friend), 404, "not_found")
        check_problem(await paper(world, f"{others[0]['id']}/{what}", friend), 404, "not_found")
        assert 200 == (await paper(world, f"{first['id']}/{what}", friend)).status
    pdf = (await paper(world, f"{booking['id']}/ticket.pdf", user)).raw
    assert [ticket["code"] for ticket in others] == codes_of(pdf)
    for number, ticket in enumerate(others):
        await give(world, ticket["id"], user, f"friend-{number}@example.org")
    for what in ("ticket.pdf", "qr.svg"):
        answer = await paper(world, f"{booking['id']}/{what}", user)
        check_problem(answer, 409, "ticket_transferred")


async def test_cancelled_is_gone(world: World, event: Event, user: str) -> None:
    """A cancelled ticket is no paper any more, and takes itself out of the calendar."""
    booking = await booked(world, event, user)
    one, kept = booking["tickets"][0], booking["tickets"][1]
    paths = (booking["id"], one["id"])
    before = [await entry(world, path, user) for path in paths]
    assert ["PUBLISH", "PUBLISH"] == [method for method, _ in before]
    cut = {"version": 1, "ticket_ids": [one["id"]]}
    path = f"/v1/bookings/{booking['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=cut)).status
    for what in ("ticket.pdf", "qr.svg"):
        check_problem(await paper(world, f"{one['id']}/{what}", user), 410, "ticket_cancelled")
    assert 200 == (await paper(world, f"{kept['id']}/ticket.pdf", user)).status
    left = [await entry(world, path, user) for path in paths]
    assert ["PUBLISH", "CANCEL"] == [method for method, _ in left]
    assert 200 == (await world.cancel(booking["id"], user)).status
    for what in (f"{booking['id']}/ticket.pdf", f"{booking['id']}/qr.svg", f"{kept['id']}/qr.svg"):
        check_problem(await paper(world, what, user), 410, "ticket_cancelled")
    after = [await entry(world, path, user) for path in paths]
    assert ["CANCEL", "CANCEL"] == [method for method, _ in after]
    for files in zip(before, left, after, strict=True):
        assert 1 == len({str(event["UID"]) for _, event in files})
        numbers = [event["SEQUENCE"] for _, event in files]
        assert sorted(set(numbers)) == numbers


async def test_changed_event_is_newer(world: World, organizer: str, user: str) -> None:
    """When the event moves, the entry of the same UID has the new time, and a higher number."""
    event = await world.event(10, token=organizer)
    own_id = (await world.book(event, user)).body["id"]
    _, before = await entry(world, own_id, user)
    path = f"/v1/events/{event['id']}"
    etag = (await world.call("GET", path, token=organizer)).headers["ETag"]
    moved = {"venue": "Other, Hall"}
    answer = await world.call(
        "PATCH", path, token=organizer, json=moved, headers={"If-Match": etag}
    )
    assert 200 == answer.status, answer.text
    _, after = await entry(world, own_id, user)
    assert (before["UID"], "Other, Hall") == (after["UID"], str(after["LOCATION"]))
    assert before["SEQUENCE"] < after["SEQUENCE"]


async def test_too_many_at_once(
    world: World, event: Event, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too many papers wait, the answer says when to come again, and the sale goes on."""
    own_id = (await world.book(event, user)).body["id"]
    await world.settle()
    monkeypatch.setattr(world.client.app[SERVICES].press, "_asked_max", 0)
    answer = await paper(world, f"{own_id}/ticket.pdf", user)
    check_problem(answer, 503, "backpressure")
    assert answer.headers["Retry-After"]


async def test_described(world: World) -> None:
    """OpenAPI names the kind of each file."""
    paths = (await world.call("GET", "/openapi.json")).body["paths"]
    kinds = {
        "ticket.pdf": "application/pdf",
        "ticket.ics": "text/calendar",
        "qr.svg": "image/svg+xml",
    }
    for name, kind in kinds.items():
        for room in ("bookings/{booking_id}", "tickets/{ticket_id}"):
            content = paths[f"/v1/{room}/{name}"]["get"]["responses"]["200"]["content"]
            assert [kind] == list(content)
