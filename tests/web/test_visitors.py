"""Who visits: languages, signing in by cookie, and forms from elsewhere."""

from __future__ import annotations

import pytest

from engine.ids import new_id
from tests.api.world import World
from tests.web.reading import FROM_HERE, elements, fields, page, send
from web.forms import local_path

PASSWORD = "correct horse battery"


async def registered(world: World) -> str:
    """Make an account; return its address."""
    email = f"{new_id('usr')}@example.org"
    answer = await world.call(
        "POST", "/v1/auth/register", json={"email": email, "password": PASSWORD, "name": "Ada"}
    )
    assert 201 == answer.status, answer.text
    return email


async def signed_in(world: World) -> str:
    """Sign in by the page; return the address."""
    email = await registered(world)
    form = await page(world, "/sign-in")
    given = fields(form.text) | {"email": email, "password": PASSWORD, "next": "/events"}
    answer = await send(world, "/sign-in", given)
    assert (303, "/events") == (answer.status, answer.headers["Location"]), answer.text
    return email


@pytest.mark.parametrize(
    ("query", "header", "language", "direction"),
    [
        ("", "", "en-GB", "ltr"),
        ("", "fr, de;q=0.8, en;q=0.5", "de-DE", "ltr"),
        ("", "ar-EG", "ar", "rtl"),
        ("?lang=ar", "de", "ar", "rtl"),
        ("?lang=xx", "de;q=nonsense, de", "de-DE", "ltr"),
    ],
)
async def test_language_is_chosen(
    world: World, query: str, header: str, language: str, direction: str
) -> None:
    """The one that was chosen, else the first that the browser asks for and that there is."""
    found = await page(world, f"/{query}", header)
    [html] = elements(found.text, "html")
    assert {"lang": language, "dir": direction} == html.attributes


async def test_a_chosen_language_stays(world: World) -> None:
    """A language that was chosen once is kept in a cookie; what sets it is kept by no cache."""
    found = await page(world, "/?lang=de")
    assert "private, no-store" == found.headers["Cache-Control"]
    assert 'lang="de-DE"' in (await page(world, "/", "en")).text


async def test_signing_in_makes_a_session_as_any_other(world: World) -> None:
    """The cookie's session stands in the list of sessions, and is ended there as well."""
    form = await page(world, "/sign-in")
    assert "guest" in form.headers["Set-Cookie"]
    email = await signed_in(world)
    home = await page(world, "/")
    assert "Sign out" in home.text
    assert "private, no-store" == home.headers["Cache-Control"]
    login = {"email": email, "password": PASSWORD}
    token = (await world.call("POST", "/v1/auth/login", json=login)).body["access_token"]
    listed = (await world.call("GET", "/v1/me/sessions", token=token)).body["data"]
    assert ["password"] * 3 == [one["method"] for one in listed]  # One of the registration.
    for one in listed[1:]:
        await world.call("DELETE", f"/v1/me/sessions/{one['id']}", token=token)
    assert "Sign out" not in (await page(world, "/")).text


async def test_signing_out_ends_the_session(world: World) -> None:
    """The session is over, and not its cookie alone."""
    email = await signed_in(world)
    cookie = next(one for one in world.client.session.cookie_jar if one.key == "session")
    home = await page(world, "/")
    answer = await send(world, "/sign-out", fields(home.text))
    assert (303, "/") == (answer.status, answer.headers["Location"])
    again = await page(world, "/", Cookie=f"session={cookie.value}")
    assert "Sign out" not in again.text
    user = await world.database.fetchval("SELECT id FROM users WHERE email = $1", email)
    left = await world.database.fetchval(
        "SELECT count(*) FROM sessions WHERE user_id = $1 AND expires_at > now()", user
    )
    assert 1 == left  # That of the registration.


async def test_cookie_is_no_refresh_token_nor_the_other_way(world: World) -> None:
    """What opens a session in a browser gets no access token, and a refresh token opens no page."""
    email = await signed_in(world)
    cookie = next(one for one in world.client.session.cookie_jar if one.key == "session")
    assert cookie["httponly"]
    assert ("Lax", "/") == (cookie["samesite"], cookie["path"])
    as_token = cookie.value.replace("evc_", "evr_")
    for token in (cookie.value, as_token):
        refused = await world.call("POST", "/v1/auth/refresh", json={"refresh_token": token})
        assert 401 == refused.status
    world.client.session.cookie_jar.clear()
    login = {"email": email, "password": PASSWORD}
    refresh = (await world.call("POST", "/v1/auth/login", json=login)).body["refresh_token"]
    for text in (refresh, refresh.replace("evr_", "evc_"), "evc_x", "x"):
        assert "Sign out" not in (await page(world, "/", Cookie=f"session={text}")).text


async def test_wrong_password_is_told_by_its_field(world: World) -> None:
    """A mistake is summed up first, and at its field; what was typed stays, but no password."""
    form = await page(world, "/sign-in", "de")
    given = fields(form.text) | {"email": "nobody@example.org", "password": "wrong-one"}
    answer = await send(world, "/sign-in", given, FROM_HERE | {"Accept-Language": "de"})
    assert 401 == answer.status
    assert "<title>Fehler: Anmelden" in answer.text
    assert 'href="#email">Adresse und Passwort' in answer.text
    assert 'value="nobody@example.org"' in answer.text
    assert "wrong-one" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
        {"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"},
    ],
)
async def test_s22_forms_from_elsewhere_are_refused(world: World, headers: dict[str, str]) -> None:
    """S22: whatever the cookie and the token, a form that another site sends changes nothing."""
    email = await registered(world)
    form = await page(world, "/sign-in")
    given = fields(form.text) | {"email": email, "password": PASSWORD}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await send(world, "/sign-in", given, kind | headers)
    assert 403 == answer.status
    assert "This form could not be taken" in answer.text
    assert "session" not in answer.headers.get("Set-Cookie", "")


async def test_s22_a_form_needs_its_own_visitors_token(world: World) -> None:
    """S22: a token that is missing, changed, or another visitor's, is refused."""
    await signed_in(world)
    own = fields((await page(world, "/")).text)
    world.client.session.cookie_jar.clear()
    strangers = fields((await page(world, "/sign-in")).text)
    assert strangers["form_token"] != fields((await page(world, "/sign-in")).text)["form_token"]
    for token in ("", "x", own["form_token"], strangers["form_token"][:-4] + "AAA="):
        answer = await send(world, "/sign-in", strangers | {"form_token": token})
        assert 403 == answer.status, token
    # The same origin is known by its name where the browser says no more.
    host = str(world.client.make_url("/")).rstrip("/")
    plain = {"Origin": host, "Content-Type": "application/x-www-form-urlencoded"}
    given = strangers | {"email": "a@example.org", "password": "wrong-one"}
    assert 401 == (await send(world, "/sign-in", given, plain)).status


@pytest.mark.parametrize(
    "text",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/a\nb"],
)
def test_s21_nobody_is_led_elsewhere(text: str) -> None:
    """S21: after signing in one goes on at a path of ours."""
    assert "/" == local_path(text)
    assert "/e/a?b=c" == local_path("/e/a?b=c")
