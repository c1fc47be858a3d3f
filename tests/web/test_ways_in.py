"""Making an account, and what letters lead to: proving an address, choosing another password."""

from __future__ import annotations

import pytest

from engine.ids import new_id
from tests.api.world import World
from tests.web.reading import elements, fields, page, send, words
from tests.web.test_visitors import PASSWORD, registered, signed_in
from usecases import accounts
from usecases.buckets import Rate
from usecases.denials import Denied

NEW = "another horse battery"


def mistakes(text: str) -> list[str | None]:
    """Return the fields that a page's summary of mistakes leads to."""
    return [
        one.attributes["href"]
        for one in elements(text, "a")
        if (one.attributes.get("href") or "").startswith("#") and one.attributes["href"] != "#main"
    ]


async def test_an_account_is_made_and_goes_on(world: World) -> None:
    """One form makes an account, signs in, and leads to where one came from; it knows one's own
    language; the fields have the names by which browsers fill them in."""
    form = await page(world, "/register?next=/events", "de")
    tokens = [one.attributes.get("autocomplete") for one in elements(form.text, "input")]
    assert ["name", "username", "new-password"] == [token for token in tokens if token]
    email = f"{new_id('usr')}@example.org"
    given = fields(form.text) | {"email": email, "password": PASSWORD, "name": "Ada"}
    german = {"Accept-Language": "de", "Sec-Fetch-Site": "same-origin"}
    german["Content-Type"] = "application/x-www-form-urlencoded"
    answer = await send(world, "/register", given, german)
    assert (303, "/events") == (answer.status, answer.headers["Location"]), answer.text
    assert "Sign out" in (await page(world, "/events")).text
    kept = "SELECT language FROM users WHERE email = $1"
    assert "de" == await world.database.fetchval(kept, email)


@pytest.mark.page("make an account", "mistake")
async def test_what_is_wrong_is_said_and_kept(world: World) -> None:
    """A mistake leads to its field; what was typed stays but for the password; S21 holds."""
    form = await page(world, "/register?next=//evil.example")
    assert "/" == fields(form.text)["next"]
    given = fields(form.text) | {"email": "ada", "password": PASSWORD, "name": "<b>Ada"}
    answer = await send(world, "/register", given)
    assert (422, ["#email"]) == (answer.status, mistakes(answer.text))
    assert "&lt;b&gt;Ada" in answer.text
    assert PASSWORD not in answer.text
    assert "<title>Error:" in answer.text
    short = await send(world, "/register", given | {"email": "a@example.org", "password": "short"})
    assert (422, ["#password"]) == (short.status, mistakes(short.text))


async def test_s7_an_address_that_is_taken_is_not_told(world: World) -> None:
    """S7: who registers with somebody's address gets the same answer as with a new one."""
    email = await registered(world)
    form = await page(world, "/register")
    given = fields(form.text) | {"email": email, "password": NEW, "name": "Eve"}
    answer = await send(world, "/register", given)
    assert (303, "/me") == (answer.status, answer.headers["Location"])


@pytest.mark.page("lost password", "asked")
async def test_s7_a_lost_password(world: World) -> None:
    """S7: the same words for any address; the code of the letter, or its whole link, is taken once,
    and the old password is over."""
    email = await registered(world)
    form = await page(world, "/reset")
    for address in (email, "nobody@example.org"):
        answer = await send(world, "/reset", fields(form.text) | {"email": address})
        assert (303, "/reset/sent") == (answer.status, answer.headers["Location"])
    assert "If there is an account" in (await page(world, "/reset/sent")).text
    token = await world.letter(email, "account.reset")
    pasted = f" http://tickets.example/reset#token={token} "
    given = fields(form.text) | {"token": pasted, "password": "short"}
    short = await send(world, "/reset/password", given)
    assert (422, ["#password"]) == (short.status, mistakes(short.text))
    # What was pasted is kept, and not asked for again.
    assert f'value="{token}"' in short.text
    done = await send(world, "/reset/password", given | {"password": NEW})
    assert (303, "/sign-in?reset") == (done.status, done.headers["Location"])
    assert "Your password is changed" in (await page(world, "/sign-in?reset")).text
    again = await send(world, "/reset/password", given | {"password": NEW})
    assert (["#token"], True) == (mistakes(again.text), "no longer good" in again.text)
    login = {"email": email, "password": PASSWORD}
    assert 401 == (await world.call("POST", "/v1/auth/login", json=login)).status


@pytest.mark.page("confirm an address", "open", "confirmed")
async def test_an_address_is_proved_by_its_letter(world: World) -> None:
    """Signed in, the code proves the address; a wrong one does not; a guest is led to sign in."""
    async with world.client.get("/me/verify", allow_redirects=False) as answer:
        assert "/sign-in?next=%2Fme%2Fverify" == answer.headers["Location"]
    email = await signed_in(world)
    form = await page(world, "/me/verify")
    assert email in words(form.text)
    wrong = await send(world, "/me/verify", fields(form.text) | {"token": "x"})
    assert (["#token"], 1) == (mistakes(wrong.text), wrong.text.count("<h1"))
    again = await send(world, "/me/verify/letter", fields(form.text))
    assert (303, "/me?done=letter") == (again.status, again.headers["Location"])
    token = await world.letter(email, "account.verify")
    done = await send(world, "/me/verify", fields(form.text) | {"token": token})
    assert (303, "/me?done=verified") == (done.status, done.headers["Location"])


@pytest.mark.page("sign in, sign out", "throttled")
async def test_too_often_says_until_when(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has missed too often is told for how long, at the field, with what was typed."""

    async def login(*_: object) -> Denied:
        return Rate("sign_in", 2, 120_000).denial(61_000)

    monkeypatch.setattr(accounts, "login", login)
    form = await page(world, "/sign-in")
    given = fields(form.text) | {"email": "ada@example.org", "password": "wrong-one"}
    answer = await send(world, "/sign-in", given)
    assert (429, True) == (answer.status, "Try again in 2 minutes." in answer.text)
    assert 'value="ada@example.org"' in answer.text
