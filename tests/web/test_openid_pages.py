"""Signing in by a real OpenID provider, with pages: there, back, and what does not work out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

import pytest
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient

from tests.api.conftest import make_app
from tests.api.provider import MockProvider, consent
from tests.api.test_openid import somebody
from tests.api.world import Server, World
from tests.web.reading import page, words
from tests.web.test_ways_in import mistakes
from usecases.wiring import Options
from web.app import add_pages


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProvider]:
    """Run the real provider for this module."""
    provider = MockProvider()
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()


@pytest.fixture
async def known(api_world: World, options: Options, mock: MockProvider) -> AsyncIterator[World]:
    """Serve pages of an application that knows the provider."""
    faces = [partial(add_pages, public_url="http://tickets.example")]
    app = make_app(replace(options, **mock.options()), faces=faces)
    async with TestClient(Server(app), cookie_jar=CookieJar(unsafe=True)) as client:
        yield replace(api_world, client=client)


async def there(world: World, to: str = "/me") -> str:
    """Go to the provider; return the address that one is sent to."""
    path = f"/sign-in/with/mock?{urlencode({'next': to})}"
    async with world.client.get(path, allow_redirects=False) as answer:
        assert 303 == answer.status
        return answer.headers["Location"]


@pytest.mark.page("by a provider", "there and back")
async def test_s38_there_and_back(known: World, mock: MockProvider) -> None:
    """S38: a link leads to the provider; who comes back in the same browser is signed in and goes
    on, once; in another browser nobody is."""
    assert "Sign in with Mock" in words((await page(known, "/sign-in?next=/me")).text)
    subject = await somebody(mock)
    url = await there(known)
    back = urlencode(await consent(url, subject))
    jar = known.client.session.cookie_jar
    flow = next(one for one in jar if one.key == "flow")
    assert (True, "Lax") == (flow["httponly"], flow["samesite"])
    async with known.client.get(f"/sign-in/return?{back}", allow_redirects=False) as answer:
        assert (303, "/me") == (answer.status, answer.headers["Location"])
    assert "Sign out" in (await page(known, "/me")).text
    jar.clear()
    async with known.client.get(f"/sign-in/return?{back}", allow_redirects=False) as answer:
        assert (303, "/sign-in?next=%2F") == (answer.status, answer.headers["Location"])
    again = await page(known, f"/sign-in/return?{back}", Cookie=f"flow={flow.value}")
    assert (401, ["#email"]) == (again.status, mistakes(again.text))


@pytest.mark.page("by a provider", "broken off")
async def test_s38_what_does_not_work_out_is_said(known: World, mock: MockProvider) -> None:
    """S21, S38: broken off there, or without an address that is vouched for, nobody is signed in;
    one is led nowhere else; a provider that there is not is not there."""
    subject = await somebody(mock)
    back = await consent(await there(known, "//evil.example"), subject, action="deny")
    denied = await page(known, f"/sign-in/return?{urlencode(back)}")
    assert (401, True) == (denied.status, "did not sign you in" in denied.text)
    assert 'name="next" value="/"' in denied.text
    unverified = await somebody(mock, email_verified=False)
    back = await consent(await there(known), unverified)
    refused = await page(known, f"/sign-in/return?{urlencode(back)}")
    assert (409, True) == (refused.status, "does not vouch" in refused.text)
    assert 404 == (await page(known, "/sign-in/with/other")).status
