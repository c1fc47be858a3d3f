"""What is one's own: the overview and its lists, invitations, settings, and the end of it."""

from __future__ import annotations

import orjson
import pytest

from engine.ids import new_id
from tests.api.world import World, from_now
from tests.web.reading import elements, fields, page, send, words
from tests.web.test_visitors import PASSWORD, signed_in
from tests.web.test_ways_in import mistakes
from usecases.services import Services
from web.pages.settings import device_of_agent

NEW = "another horse battery"


async def user_of(world: World, email: str) -> str:
    """Return the id of an address's account."""
    found = await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    return str(found)


@pytest.mark.page("one's own", "nothing yet")
async def test_empty_and_guests(world: World) -> None:
    """Who has nothing is led to events; a guest is asked to sign in, and led back."""
    for path in ("/me", "/me/tickets", "/me/settings", f"/invitations/{new_id('inv')}"):
        async with world.client.get(path, allow_redirects=False) as answer:
            assert 303 == answer.status
            assert answer.headers["Location"].startswith("/sign-in?next=%2F")
    email = await signed_in(world)
    found = await page(world, "/me")
    assert "You have booked nothing yet." in found.text
    assert f"We have sent a letter to {email}." in words(found.text)
    assert "private, no-store" == found.headers["Cache-Control"]
    for path, said in (
        ("/me/tickets", "Nobody has given you a ticket yet."),
        ("/me/waiting", "You are on no list."),
    ):
        assert said in (await page(world, path)).text


@pytest.mark.page("one's own", "next event", "offers", "bookings", "lists")
async def test_overview_has_what_comes_next_first(world: World) -> None:
    """The next event, an offer with its deadline, a place in a list, a gift, then the bookings."""
    email = await signed_in(world)
    user_id = await world.prove(email)
    mine, house = world.token(user_id), await world.organizer()
    later = await world.event(5, name="<i>Later</i>", token=house, starts_at=from_now(days=40))
    soon = await world.event(2, name="Soon", token=house, starts_at=from_now(days=20))
    assert 201 == (await world.book(later, mine)).status
    assert 201 == (await world.book(soon, mine)).status
    full = await world.event(1, name="Full", token=house)
    taken = await world.book(full, house)
    joined = await world.call(
        "POST",
        f"/v1/events/{full['id']}/waitlist",
        token=mine,
        key="w-1",
        json={"tier_id": full["tiers"][0]["id"], "quantity": 1},
    )
    assert 201 == joined.status, joined.text
    found = words((await page(world, "/me")).text)
    assert found.index("Next") < found.index("Soon") < found.index("Later")
    assert "Place 1" in found
    assert "&lt;i&gt;Later&lt;/i&gt;" in found
    assert "10.00" in found or "€10.00" in found
    await world.cancel(taken.body["id"], house)
    found = words((await page(world, "/me", "de")).text)
    assert "Annehmen bis" in found
    assert "Plätze sind für Sie reserviert" in found
    waits = await page(world, "/me/waiting")
    assert f'href="/wait/{joined.body["id"]}"' in waits.text


async def test_tickets_from_others(world: World) -> None:
    """A ticket that one was given stands in a list of its own, and comes next; an offered one asks
    to be taken."""
    email = await signed_in(world)
    user_id = await world.prove(email)
    house = await world.organizer()
    event = await world.event(5, name="Given", token=house)
    booked = await world.book(event, house, (1, 2))
    read = await world.call("GET", f"/v1/bookings/{booked.body['id']}", token=house)
    first, second = (one["id"] for one in read.body["tickets"])
    path = "/v1/tickets/{}/transfer"
    done = await world.call("POST", path.format(first), token=house, json={"user_id": user_id})
    assert 200 == done.status, done.text
    done = await world.call("POST", path.format(second), token=house, json={"email": email})
    assert 200 == done.status, done.text
    found = await page(world, "/me")
    assert found.text.count(f'href="/t/{first}"') == 2
    assert f'href="/gifts/{done.body["gift"]["id"]}"' in found.text
    assert "Given" in words((await page(world, "/me/tickets")).text)


async def test_what_does_not_fit_and_what_is_being_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page has the latest five and the way to all; what is being written is said."""
    email = await signed_in(world)
    user_id = await user_of(world, email)
    event = await world.event(50, name="Many", max_per_user=50)
    for number in range(6):
        await world.book(event, world.token(user_id), key=f"k-{number}")
    found = await page(world, "/me")
    # One of the five stands above all as well.
    assert (6, True) == (found.text.count('href="/b/'), "All bookings" in found.text)

    async def behind(self: Services, *_: object) -> bool:
        return False

    monkeypatch.setattr(Services, "catch_up", behind)
    for path in ("/me", "/me/tickets", "/me/waiting"):
        assert "still being written" in (await page(world, path)).text


@pytest.mark.page("invitation to a team", "open", "none for this address")
async def test_an_invitation_is_answered(world: World) -> None:
    """S8: an invitation to one's address can be taken or refused; another is not there."""
    email = await signed_in(world)
    await world.prove(email)
    house = await world.organizer()
    own = await world.call("GET", "/v1/organizers", token=house)
    organizer_id = own.body["data"][0]["id"]
    path = f"/v1/organizers/{organizer_id}/invitations"
    for done in ("decline", "accept"):
        asked = {"email": email, "role": "gate"}
        made = await world.call("POST", path, token=house, json=asked)
        assert 201 == made.status, made.text
        at = f"/invitations/{made.body['id']}"
        assert at in (await page(world, "/me")).text
        shown = await page(world, at)
        assert "House asks you to join its team" in words(shown.text)
        answer = await send(world, f"{at}/{done}", fields(shown.text))
        assert (303, True) == (answer.status, answer.headers["Location"].startswith("/me?done="))
        assert 404 == (await page(world, at)).status
    assert "You are on the team now." in (await page(world, "/me?done=joined")).text


@pytest.mark.page("settings", "saved", "mistake")
async def test_settings(world: World) -> None:
    """Name and language are kept, and what is wrong is said; texts stay texts (S20)."""
    await signed_in(world)
    form = fields((await page(world, "/me/settings")).text)
    wrong = await send(world, "/me/settings", form | {"name": "", "language": "de"})
    assert (422, ["#name"]) == (wrong.status, mistakes(wrong.text))
    for language in ("xx", "fr"):
        given = form | {"name": "Ada", "language": language}
        assert 422 == (await send(world, "/me/settings", given)).status
    given = form | {"name": "<script>x", "language": "de"}
    saved = await send(world, "/me/settings", given)
    assert (303, "/me/settings?done=saved&lang=de") == (saved.status, saved.headers["Location"])
    found = await page(world, saved.headers["Location"])
    assert ("Gespeichert" in found.text, "<script>x" in found.text) == (True, False)


@pytest.mark.page("settings", "signed out there")
async def test_password_and_sessions(world: World) -> None:
    """Another password ends all other sessions and keeps this one; others can be ended."""
    email = await signed_in(world)
    login = {"email": email, "password": PASSWORD}
    await world.call("POST", "/v1/auth/login", json=login)
    listed = await page(world, "/me/sessions")
    assert 1 == listed.text.count("This device")
    others = [
        str(one.attributes["action"])
        for one in elements(listed.text, "form")
        if str(one.attributes.get("action")).endswith("/end")
    ]
    assert 3 == len(others)  # Of the registration, the page and the login.
    ended = await send(world, others[-1], fields(listed.text))
    assert "/me/sessions?done=ended" == ended.headers["Location"]
    ended = await send(world, "/me/sessions/end-others", fields(listed.text))
    assert "/me/sessions?done=ended" == ended.headers["Location"]
    left = await page(world, "/me/sessions?done=ended")
    assert (1, True) == (left.text.count("/end"), "Signed out there." in left.text)

    form = fields((await page(world, "/me/password")).text)
    given = form | {"current_password": "wrong-one", "new_password": NEW}
    wrong = await send(world, "/me/password", given)
    assert (401, ["#current_password"]) == (wrong.status, mistakes(wrong.text))
    assert 422 == (await send(world, "/me/password", form | {"new_password": NEW})).status
    done = await send(world, "/me/password", given | {"current_password": PASSWORD})
    assert (303, "/me/settings?done=password") == (done.status, done.headers["Location"])
    assert "Your password is changed." in (await page(world, "/me/settings?done=password")).text
    own = await page(world, "/me/sessions")
    [end] = [
        str(one.attributes["action"])
        for one in elements(own.text, "form")
        if str(one.attributes.get("action")).endswith("/end")
    ]
    assert "/" == (await send(world, end, fields(own.text))).headers["Location"]
    assert "Sign in" in (await page(world, "/")).text


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537 Chrome/156 Safari/537", "Chrome · Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 26 like Mac OS X) Safari/604", "Safari · iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari/537 Edg/140", "Edge · Windows"),
        ("curl/8.1", "curl/8.1"),
        ("", ""),
    ],
)
def test_devices_are_called_as_people_know_them(agent: str, shown: str) -> None:
    """A browser and its system; what is neither as it calls itself."""
    assert shown == device_of_agent(agent)


async def test_another_address(world: World) -> None:
    """A letter goes to the new address; the old one stays until it is opened."""
    await signed_in(world)
    new = f"{new_id('usr')}@example.org"
    form = fields((await page(world, "/me/email")).text)
    wrong = await send(world, "/me/email", form | {"email": new, "password": "wrong-one"})
    assert (401, ["#password"]) == (wrong.status, mistakes(wrong.text))
    assert new in wrong.text
    done = await send(world, "/me/email", form | {"email": new, "password": PASSWORD})
    assert (303, "/me/verify") == (done.status, done.headers["Location"])
    token = await world.letter(new, "account.email")
    form = fields((await page(world, "/me/verify")).text)
    proved = await send(world, "/me/verify", form | {"token": token})
    assert "/me?done=verified" == proved.headers["Location"]
    assert new in (await page(world, "/me/settings")).text


@pytest.mark.page("all data, its end", "what becomes of bookings", "gone")
async def test_all_data_and_its_end(world: World) -> None:
    """The export is one's own, whole; to be erased one says what becomes of what is booked."""
    email = await signed_in(world)
    user_id = await user_of(world, email)
    event = await world.event(5)
    booked = await world.book(event, world.token(user_id))
    form = fields((await page(world, "/me/settings")).text)
    sent = await send(world, "/me/export", form)
    assert "attachment" in sent.headers["Content-Disposition"]
    assert user_id == orjson.loads(sent.text)["person_id"]
    check = await page(world, "/me/erase")
    assert "What remains" in check.text
    form = fields(check.text)
    wrong = await send(world, "/me/erase", form | {"password": "wrong-one", "bookings": "keep"})
    assert (401, ["#password"]) == (wrong.status, mistakes(wrong.text))
    unsaid = await send(world, "/me/erase", form | {"password": PASSWORD})
    assert (409, ["#bookings"]) == (unsaid.status, mistakes(unsaid.text))
    gone = await send(world, "/me/erase", form | {"password": PASSWORD, "bookings": "cancel"})
    assert (303, "/erased") == (gone.status, gone.headers["Location"])
    assert "Your account is erased" in (await page(world, "/erased")).text
    status = "SELECT status::text FROM bookings WHERE id = $1"
    assert "cancelled" == await world.database.fetchval(status, booked.body["id"])
    assert "Sign in" in (await page(world, "/")).text
