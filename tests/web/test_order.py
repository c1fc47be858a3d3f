"""Booking by pages: choosing, holding, what stands in the way, and forms sent many times."""

from __future__ import annotations

import asyncio
import re

import pytest

from evently.embedded import ValkeyServer
from tests.api.world import Answer, Event, World, from_now, recover
from tests.web.conftest import ServePages
from tests.web.reading import elements, fields, page, send, words
from tests.web.test_visitors import PASSWORD, registered, signed_in


def places(event: Event, *counts: int) -> dict[str, str]:
    """Return the fields that choose so many places of the first tiers."""
    return {f"n_{tier['id']}": str(n) for tier, n in zip(event["tiers"], counts, strict=False)}


async def form_of(world: World, event: Event) -> dict[str, str]:
    """Return the hidden fields of the form on an event's page."""
    return fields((await page(world, f"/e/{event['id']}")).text.partition("<main")[2])


async def book(world: World, event: Event, *counts: int, how: str = "book", **more: str) -> Answer:
    """Send the form of an event's page."""
    given = await form_of(world, event) | places(event, *counts) | {"how": how} | more
    return await send(world, f"/e/{event['id']}/book", given)


@pytest.mark.page("choice", "check")
async def test_choice_survives_signing_in(world: World) -> None:
    """A guest chooses, signs in, and is back at the choice; the event's page sets no cookie."""
    event = await world.event(100, 20, name="A")
    shown = await page(world, f"/e/a-{event['id']}")
    assert "Set-Cookie" not in shown.headers
    assert "form_token" not in shown.text
    assert "You sign in next; your choice is kept." in words(shown.text)
    chosen = "&".join(f"{name}={n}" for name, n in places(event, 2, 1).items())
    email = await registered(world)
    asked = await page(world, f"/e/{event['id']}/book?{chosen}")
    assert "Password" in words(asked.text)
    given = fields(asked.text) | {"email": email, "password": PASSWORD}
    answer = await send(world, "/sign-in", given)
    assert f"/e/{event['id']}/book?{chosen}" == answer.headers["Location"]
    check = await page(world, answer.headers["Location"])
    assert "2 × Tier 1" in words(check.text)
    assert "Total €40.00" in words(check.text)
    booked = await send(world, f"/e/{event['id']}/book", fields(check.text.partition("<main")[2]))
    assert re.fullmatch(r"/b/bk_\w+\?made=now", booked.headers["Location"])


async def test_one_form_is_one_booking(world: World) -> None:
    """A form that is sent twice leads twice to the one booking; another form makes another."""
    await signed_in(world)
    event = await world.event(100, name="A")
    given = await form_of(world, event) | places(event, 2)
    to = [
        (await send(world, f"/e/{event['id']}/book", given)).headers["Location"] for _ in range(2)
    ]
    assert to[0].replace("=now", "=again") == to[1]
    other = await book(world, event, 2)
    assert to[0].partition("?")[0] not in other.headers["Location"]


@pytest.mark.page("hold", "held", "extended", "booked (leads on)")
async def test_hold_is_checked_extended_and_booked(world: World) -> None:
    """A hold says until when, can be made longer, and becomes a booking by one button, once."""
    await signed_in(world)
    event = await world.event(100, name="A")
    held = await book(world, event, 2, how="hold")
    path = held.headers["Location"]
    shown = await page(world, path)
    assert "These places are yours until" in words(shown.text)
    assert "Total €20.00" in words(shown.text)
    [clock] = [one for one in elements(shown.text, "p") if "data-until" in one.attributes]
    assert clock.attributes["data-now"]
    # Without script the page turns by itself when the hold has ended.
    wait, _, url = shown.headers["Refresh"].partition("; url=")
    assert (True, path) == (50 < int(wait) <= 62, url)
    own = fields(shown.text.partition("<main")[2])
    more = await send(world, path, own | {"do": "extend"})
    assert f"{path}?more" == more.headers["Location"]
    assert "You have more time now" in words((await page(world, f"{path}?more")).text)
    for made in ("now", "again"):
        booked = await send(world, path, own | {"do": "book"})
        assert booked.headers["Location"].endswith(f"?made={made}")
    async with world.client.get(path, allow_redirects=False) as answer:
        assert (303, "/b/") == (answer.status, answer.headers["Location"][:3])


@pytest.mark.page("hold", "given back")
async def test_hold_is_given_back_with_its_choice(world: World) -> None:
    """Giving a hold back leads to the event with the choice; its page says what became of it."""
    await signed_in(world)
    event = await world.event(100, 20, name="A")
    path = (await book(world, event, 2, 1, how="hold")).headers["Location"]
    own = fields((await page(world, path)).text.partition("<main")[2])
    back = await send(world, path, own | {"do": "release"})
    assert back.headers["Location"].startswith(f"/e/{event['id']}?n_")
    again = await page(world, back.headers["Location"].partition("#")[0])
    chosen = [one for one in elements(again.text, "option") if "selected" in one.attributes]
    assert ["2", "1"] == [one.attributes["value"] for one in chosen]
    assert "You gave these places back." in words((await page(world, path)).text)
    refused = await send(world, path, own | {"do": "book"})
    assert (410, True) == (refused.status, "<title>Error:" in refused.text)
    assert 303 == (await send(world, path, own | {"do": "nothing"})).status


@pytest.mark.page("hold", "ended")
async def test_a_hold_that_has_ended(serve_pages: ServePages) -> None:
    """Its page says when it ended and leads back to the choice; late is not too late for places."""
    async with serve_pages(hold_ttl_ms=1_000) as world:
        await signed_in(world)
        event = await world.event(100, name="A")
        path = (await book(world, event, 2, how="hold")).headers["Location"]
        await asyncio.sleep(1.1)
        shown = await page(world, path)
        assert "It ended at" in words(shown.text)
        assert "data-until" not in shown.text
        [again] = [one for one in elements(shown.text, "a") if one.text.strip() == "Choose again"]
        assert f"?n_{event['tiers'][0]['id']}=2#choose" in (again.attributes["href"] or "")
        own = fields(shown.text.partition("<main")[2])
        booked = await send(world, path, own | {"do": "book"})
        assert booked.headers["Location"].endswith("?made=now")


@pytest.mark.page("hold", "refused")
async def test_a_hold_whose_places_are_gone(serve_pages: ServePages) -> None:
    """Too late: nothing is booked, and the first place on the list is offered, once."""
    async with serve_pages(hold_ttl_ms=1_000) as world:
        await signed_in(world)
        event = await world.event(2, name="A")
        path = (await book(world, event, 2, how="hold")).headers["Location"]
        own = fields((await page(world, path)).text.partition("<main")[2])
        await asyncio.sleep(1.1)
        assert 201 == (await world.book(event, None, (1, 2))).status
        refused = await send(world, path, own | {"do": "book"})
        assert (410, True) == (refused.status, "It ended at" in words(refused.text))
        [wait] = [one for one in elements(refused.text, "a") if "/wait?" in str(one.attributes)]
        assert (wait.attributes["href"] or "").endswith(f"&quantity=2&after_hold={path[6:]}")
        form = await page(world, wait.attributes["href"] or "")
        assert 200 == form.status


@pytest.mark.page("hold", "at the limit")
async def test_a_hold_lives_no_longer_than_it_may(serve_pages: ServePages) -> None:
    """At the limit more time is refused, and the page says until when the hold lasts."""
    async with serve_pages(hold_life_max_ms=60_000) as world:
        await signed_in(world)
        event = await world.event(100, name="A")
        path = (await book(world, event, 2, how="hold")).headers["Location"]
        own = fields((await page(world, path)).text.partition("<main")[2])
        refused = await send(world, path, own | {"do": "extend"})
        assert (409, True) == (refused.status, "It ends at" in words(refused.text))
        assert "This hold cannot be made longer." in words(refused.text)


async def test_a_hold_is_its_owners(world: World) -> None:
    """Another's hold is not there, whatever is asked of it (S8)."""
    event = await world.event(100, name="A")
    held = await world.hold(event, None, (1, 1))
    await signed_in(world)
    path = f"/hold/{held.body['id']}"
    shown = await page(world, path)
    assert 404 == shown.status
    own = fields((await page(world, "/")).text)
    for do in ("book", "extend", "release"):
        assert 404 == (await send(world, path, own | {"do": do})).status


@pytest.mark.page("choice", "refused by each row of the table")
async def test_refusals_keep_the_choice(world: World) -> None:
    """Each says what is so in figures, offers a step, and has the choice in the form below it."""
    await signed_in(world)
    token = await world.organizer()
    few = await world.event(3, name="Few", token=token)
    refused = await book(world, few, 4)
    assert 409 == refused.status
    text = words(refused.text)
    assert "Only 3 places can be had. You asked for 4." in text
    assert "Nothing was booked, and your choice is kept below." in text
    chosen = [one for one in elements(refused.text, "option") if "selected" in one.attributes]
    assert ["4"] == [one.attributes["value"] for one in chosen]
    [wait] = [one for one in elements(refused.text, "a") if "Join" in one.text]
    tier_id = few["tiers"][0]["id"]
    assert f"/e/{few['id']}/wait?tier_id={tier_id}&quantity=4" == wait.attributes["href"]
    # What is sent from there is another order, with a key of its own.
    given = fields(refused.text.partition("<main")[2]) | places(few, 3) | {"how": "book"}
    assert 303 == (await send(world, f"/e/{few['id']}/book", given)).status
    gone = await send(world, f"/e/{few['id']}/book", given | {"form_key": "k" * 22})
    assert "All are sold, and none is held." in words(gone.text)
    held = await world.event(2, name="Held", token=token)
    given = await form_of(world, held) | places(held, 1) | {"how": "book"}
    await world.hold(held, None, (1, 2))
    told = await send(world, f"/e/{held['id']}/book", given)
    assert re.search(r"comes back at \d\d:\d\d:\d\d", words(told.text)), words(told.text)
    limited = await world.event(50, name="Limit", token=token, max_per_user=3)
    await book(world, limited, 2)
    told = await book(world, limited, 2)
    assert "You have 2 of at most 3." in words(told.text)
    soon = await world.event(5, name="Soon", token=token, sale_opens_at=from_now(hours=2))
    own = fields((await page(world, "/")).text) | places(soon, 1)
    told = await send(world, f"/e/{soon['id']}/book", own)
    assert "The sale has not opened yet." in words(told.text)
    assert "On sale from" in words(told.text)


@pytest.mark.page("choice", "nothing chosen", "unknown code")
async def test_nothing_chosen_and_unknown_codes(world: World) -> None:
    """No places and a code that there is not are mistakes at their fields."""
    await signed_in(world)
    event = await world.event(10, name="A")
    empty = await book(world, event, 0)
    assert (422, True) == (empty.status, 'href="#choose"' in empty.text)
    for code in ("NOTHING", "not a code"):
        bad = await book(world, event, 1, promo_code=code)
        assert (422, True) == (bad.status, "There is no such code here." in words(bad.text)), code
        assert 'aria-invalid="true"' in bad.text
        assert f'value="{code}"' in bad.text
    async with world.client.get(f"/e/{event['id']}/book", allow_redirects=False) as answer:
        assert (303, "#choose") == (answer.status, answer.headers["Location"][-7:])
    for name in ("evt_00000000000000000000000000", "nothing"):
        assert 404 == (await page(world, f"/e/{name}/book?n_tier_{'0' * 26}=1")).status
        own = fields((await page(world, "/")).text)
        assert 404 == (await send(world, f"/e/{name}/book", own)).status


@pytest.mark.page("choice", "with a code")
async def test_a_code_is_held_first(world: World) -> None:
    """What a code takes off is known when the places are held, and shown before they are booked."""
    await signed_in(world)
    promo = {"code": "HALF", "percent_off": 50, "uses_max": 1}
    event = await world.event(10, name="A", promo_codes=[promo])
    path = f"/e/a-{event['id']}?promo_code=half"
    given = fields((await page(world, path)).text.partition("<main")[2]) | places(event, 2)
    held = await send(world, f"/e/{event['id']}/book", given | {"how": "hold"})
    assert "Total €10.00" in words((await page(world, held.headers["Location"])).text)
    used = await book(world, event, 1, promo_code="HALF")
    assert "used as often as it may be" in words(used.text)


async def test_seats_together_or_apart(world: World) -> None:
    """Of seats the best together are taken; where there are none, apart is offered as a choice."""
    await signed_in(world)
    rows = [{"name": "A", "seats": 2}, {"name": "B", "seats": 2}]
    tier = {"name": "Stalls", "price": {"amount": 1000, "currency": "EUR"}}
    sections = [{"name": "Hall", "tier": 0, "rows": rows}]
    event = await world.event(name="A", tiers=[tier], sections=sections)
    refused = await book(world, event, 3)
    assert "not side by side" in words(refused.text)
    given = fields(refused.text.partition("<main")[2]) | places(event, 3)
    held = await send(world, f"/e/{event['id']}/book", given | {"apart": "1", "how": "hold"})
    shown = words((await page(world, held.headers["Location"])).text)
    assert re.search(r"Hall · Row&nbsp; A · Seat&nbsp; \d", shown), shown


async def test_s20_nothing_that_is_written_becomes_markup(world: World) -> None:
    """S20: what organizers and buyers write stays text on all pages from the choice to the gate."""
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
    await signed_in(world)
    rows = [{"name": "<b>A</b>", "seats": 4}]
    tier = {"name": bad, "price": {"amount": 1000, "currency": "EUR"}}
    names = dict.fromkeys(("name", "venue", "address"), bad)
    sections = [{"name": bad, "tier": 0, "rows": rows}]
    event = await world.event(tiers=[tier], sections=sections, **names)
    chosen = f"n_{event['tiers'][0]['id']}=2"
    refused = await book(world, event, 1, promo_code=bad)
    held = (await book(world, event, 2, how="hold")).headers["Location"]
    made = (await book(world, event, 2)).headers["Location"]
    await world.settle()
    ticket = f"/t/tkt_{made.partition('?')[0][6:]}_1"
    paths = (f"/e/{event['id']}/book?{chosen}&promo_code=%3Cb%3E", held, made, "/b", ticket)
    own = made.partition("?")[0]
    shown = [refused, *[await page(world, one) for one in (*paths, f"{own}/cancel")]]
    shown += [await page(world, f"{ticket}/give"), await page(world, "/verify?receipt=%3Cb%3E.x")]
    for one in shown:
        assert one.status in {200, 422}
        assert {"module"} == {tag.attributes.get("type") for tag in elements(one.text, "script")}
        assert not elements(one.text, "b")
        sources = [tag.attributes["src"] or "" for tag in elements(one.text, "img")]
        assert all(src.startswith(("/t/", "data:image/svg+xml;base64,")) for src in sources)
        assert not any(name.startswith("on") for tag in elements(one.text) for name in tag[1])


@pytest.mark.slow
@pytest.mark.page("choice", "unknown: asks again")
async def test_fifty_posts_of_one_form_while_redis_is_killed(
    world: World, valkey: ValkeyServer
) -> None:
    """PAGES 5.7: fifty posts of one form, Redis killed among them: one booking, all end at it."""
    email = await signed_in(world)
    event = await world.event(100, name="A")
    given = await form_of(world, event) | places(event, 2) | {"how": "book"}
    seen: set[int] = set()

    async def post(number: int) -> str:
        await asyncio.sleep(number / 500)
        answer = await send(world, f"/e/{event['id']}/book", given)
        while answer.status != 303:
            seen.add(answer.status)
            wait, _, url = answer.headers["Refresh"].partition("; url=")
            assert 2 <= int(wait) <= 5
            await asyncio.sleep(0.1)
            async with world.client.get(
                url, headers={"Accept": "text/html"}, allow_redirects=False
            ) as got:
                answer = Answer(got.status, got.headers, None, await got.text())
        return answer.headers["Location"].partition("?")[0]

    async def kill() -> None:
        await asyncio.sleep(0.05)
        valkey.kill()
        valkey.start()
        await recover(world.redis, world.database_url)

    *ends, _ = await asyncio.gather(*(post(number) for number in range(50)), kill())
    assert 50 == len(ends)
    [own] = set(ends)
    await world.settle()
    user = await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    rows = await world.database.fetch("SELECT id FROM bookings WHERE user_id = $1", user)
    assert [own] == [f"/b/{row['id']}" for row in rows]
    assert {503} == seen


async def test_s22_asking_again_needs_its_own_proof(world: World) -> None:
    """S22: an address that asks again is made here, for one visitor; another books nothing."""
    email = await signed_in(world)
    event = await world.event(100, name="A")
    chosen = "&".join(f"{name}={n}" for name, n in places(event, 1).items())
    key = "k" * 22
    for more in ("", "&proof=x", f"&until=99999999999&proof={'0' * 32}", "&until=x&proof=é"):
        url = f"/e/{event['id']}/book/again?{chosen}&form_key={key}{more}"
        async with world.client.get(url, allow_redirects=False) as answer:
            to = f"/e/{event['id']}/book?{chosen}&form_key={key}"
            assert (303, to) == (answer.status, answer.headers["Location"])
    # There the form has the key of the first, which may have booked.
    assert key == fields((await page(world, to)).text.partition("<main")[2])["form_key"]
    user = await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    await world.settle()
    assert 0 == await world.database.fetchval(
        "SELECT count(*) FROM bookings WHERE user_id = $1", user
    )
