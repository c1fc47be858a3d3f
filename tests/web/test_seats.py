"""Seats by pages: sections, rows of checkboxes, and what becomes of a choice."""

from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import urlencode

import pytest

from engine.errors import OutcomeUnknown
from tests.api.test_seats import seated_event
from tests.api.world import Answer, Event, World
from tests.web.reading import FROM_HERE, HTML, Element, elements, fields, page, words
from tests.web.test_me import user_of
from tests.web.test_visitors import signed_in
from usecases import bookings, told
from web import seating


@pytest.fixture
async def hall(world: World) -> Event:
    """Publish an event with a section of two rows and a box."""
    return await world.event(token=await world.organizer(), **seated_event())


def seats_of(text: str) -> dict[str, Element]:
    """Return the checkboxes of a page by their seats."""
    return {
        str(one.attributes["value"]): one
        for one in elements(text, "input")
        if one.attributes.get("name") == "seat"
    }


async def take(
    world: World, at: str, form: dict[str, str], *chosen: str, how: str = "book"
) -> Answer:
    """Send the form with seats chosen."""
    pairs = [*form.items(), *(("seat", one) for one in chosen), ("how", how)]
    body = urlencode(pairs).encode()
    sent = world.client.post(at, data=body, headers=HTML | FROM_HERE, allow_redirects=False)
    async with sent as response:
        return Answer(response.status, response.headers, None, await response.text())


@pytest.mark.page("sections", "on sale")
@pytest.mark.page("a section's seats", "choosing")
async def test_sections_and_their_seats(world: World, hall: Event) -> None:
    """From the event one gets to its sections, with price and what is free; a section's seats are
    checkboxes with whole names; what is taken cannot be chosen."""
    assert "Choose seats on the plan" in (await page(world, f"/e/{hall['id']}")).text
    await world.book(hall, None, {"seat_ids": ["s1-2"]})
    shown = await page(world, f"/e/{hall['id']}/seats")
    assert "7 seats can be had" in words(shown.text)
    assert "1 without steps" in words(shown.text)
    assert f'name="n_{hall["tiers"][0]["id"]}"' in shown.text
    box = seats_of((await page(world, f"/e/{hall['id']}/seats/2")).text)
    price = "€20.00"
    assert f"Row 1, seat 1a, {price}, without steps, aisle" == box["s2-1"].attributes["aria-label"]
    hidden = box["s2-3"].attributes["aria-label"] or ""
    assert hidden.endswith(", part of the view is hidden")
    left = seats_of((await page(world, f"/e/{hall['id']}/seats/1")).text)
    assert "Row A, seat 2, taken" == left["s1-2"].attributes["aria-label"]
    assert ["s1-2"] == [own for own, one in left.items() if "disabled" in one.attributes]
    german = seats_of((await page(world, f"/e/{hall['id']}/seats/1", "de")).text)
    assert "Reihe B, Platz 1, 10,00\N{NO-BREAK SPACE}€" == german["s1-6"].attributes["aria-label"]
    for number in ("3", "x", "0", "%C2%B2"):
        assert 404 == (await page(world, f"/e/{hall['id']}/seats/{number}")).status
    plain = await world.event(5, name="Plain")
    async with world.client.get(f"/e/{plain['id']}/seats", allow_redirects=False) as answer:
        assert f"/e/plain-{plain['id']}" == answer.headers["Location"]


@pytest.mark.page("a section's seats", "a guest")
async def test_a_guest_signs_in_and_has_the_choice_still(world: World, hall: Event) -> None:
    """Who is not signed in is asked to, and comes back to the same seats."""
    path = f"/e/{hall['id']}/seats/1?seat=s1-1&seat=s1-3"
    async with world.client.get(path, allow_redirects=False) as answer:
        assert answer.headers["Location"].startswith("/sign-in?next=%2Fe%2F")
    await signed_in(world)
    seats = seats_of((await page(world, path)).text)
    assert ["s1-1", "s1-3"] == [own for own, one in seats.items() if "checked" in one.attributes]


async def test_seats_are_booked_and_held_once(world: World, hall: Event) -> None:
    """The chosen seats are booked, all of them and once, however often the form is sent."""
    email = await signed_in(world)
    at = f"/e/{hall['id']}/seats/1"
    form = fields((await page(world, at)).text)
    first = await take(world, at, form, "s1-1", "s1-2")
    assert (303, "/b/bk_") == (first.status, first.headers["Location"][:6]), words(first.text)
    again = await take(world, at, form, "s1-1", "s1-2")
    assert first.headers["Location"].partition("?")[0] in again.headers["Location"]
    held = await take(world, at, fields((await page(world, at)).text), "s1-3", how="hold")
    assert "/hold/hold_" == held.headers["Location"][:11]
    mine = await world.call("GET", "/v1/bookings", token=world.token(await user_of(world, email)))
    assert [["s1-1", "s1-2"]] == [one["items"][0]["seat_ids"] for one in mine.body["data"]]


@pytest.mark.page("a section's seats", "a seat went")
async def test_a_seat_that_went_is_said_and_the_rest_kept(world: World, hall: Event) -> None:
    """Of a choice of which one seat has gone none is booked; it is named, with the nearest free."""
    await signed_in(world)
    at = f"/e/{hall['id']}/seats/1"
    form = fields((await page(world, at)).text)
    await world.book(hall, None, {"seat_ids": ["s1-2"]})
    answer = await take(world, at, form, "s1-1", "s1-2")
    said = words(answer.text)
    assert 409 == answer.status
    assert "Row A, seat 2 went just now. Seat 1 is the nearest that is free." in said
    seats = seats_of(answer.text)
    assert ["s1-1"] == [own for own, one in seats.items() if "checked" in one.attributes]
    assert 303 == (await take(world, at, fields(answer.text), "s1-1")).status


@pytest.mark.parametrize("chosen", [[], ["x"], ["s1-1"] * 2, [f"s1-{n}" for n in range(1, 12)]])
@pytest.mark.page("a section's seats", "no choice", "limit")
async def test_what_is_no_choice_is_said(world: World, hall: Event, chosen: list[str]) -> None:
    """No seat, none of these, one twice or too many: nothing is booked."""
    await signed_in(world)
    at = f"/e/{hall['id']}/seats/1"
    answer = await take(world, at, fields((await page(world, at)).text), *chosen)
    assert (422, True) == (answer.status, "<title>Error:" in answer.text)


@pytest.mark.page("a section's seats", "not on sale")
async def test_a_map_that_cannot_be_chosen_from(world: World) -> None:
    """Before the sale a section is shown without anything to choose."""
    body: dict[str, Any] = seated_event()
    body |= {"sale_opens_at": "2035-01-01T00:00:00Z", "starts_at": "2036-01-01T00:00:00Z"}
    event = await world.event(token=await world.organizer(), **body)
    shown = await page(world, f"/e/{event['id']}/seats/1")
    assert "No seat can be chosen now." in shown.text
    assert all("disabled" in one.attributes for one in seats_of(shown.text).values())
    assert "seats.js" not in shown.text


@pytest.mark.page("a section's seats", "not known yet")
async def test_nobody_knows_yet(world: World, hall: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not known what became of it, the page asks again, and it is booked once."""
    await signed_in(world)
    at = f"/e/{hall['id']}/seats/1"
    form = fields((await page(world, at)).text)

    async def lost(*_: object) -> None:
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(bookings, "book", lost)
        answer = await take(world, at, form, "s1-1", "s1-2")
    assert 503 == answer.status
    async with world.client.get(
        answer.headers["Refresh"].partition("url=")[2], allow_redirects=False
    ) as done:
        first = done.headers["Location"].partition("?")[0]
    again = await take(world, at, form, "s1-1", "s1-2")
    assert first == again.headers["Location"].partition("?")[0]


async def test_a_great_section_stays_within_the_budget(world: World) -> None:
    """A section of 2,000 seats, as large as there may be: 29 kB compressed at most."""
    rows = [{"name": str(number), "seats": 50} for number in range(1, 41)]
    sections = [{"name": "Arena", "tier": 0, "rows": rows}]
    body = seated_event(sections)
    del body["tiers"][1:]
    event = await world.event(token=await world.organizer(), **body)
    shown = await page(world, f"/e/{event['id']}/seats/1")
    assert 2_000 == len(seats_of(shown.text))
    assert len(gzip.compress(shown.text.encode(), 6)) < 29_000


def test_nearest_free_seat() -> None:
    """The nearest of the same row; none where the row has none."""
    section = told.SeatSection(
        section_no=1,
        name="S",
        tier_id="t",
        rows=[
            told.SeatRow(name="A", first_seat=1, seats=4),
            told.SeatRow(name="B", first_seat=6, seats=2),
        ],
        kinds="",
        status="fssf/ss",
    )
    rows = seating.rows_of(section, ["s1-4", "s1-2"])
    assert ("s1-1", "s1-4") == tuple(
        seat.id if seat else "" for seat in (seating.beside(rows, one) for one in ("s1-2", "s1-3"))
    )
    assert seating.beside(rows, "s1-6") is None
    assert ["s1-4"] == [seat.id for row in rows for seat in row.seats if seat.is_chosen]
    assert [True, False, False] == [seating.is_of(one, section) for one in ("s1-1", "s1-5", "s2-1")]
