"""What all pages have in common: headers, budgets, files, problems, texts."""

from __future__ import annotations

import gzip
import inspect
import re
import time
from collections import OrderedDict
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from api.codes import CODES
from evently.ports import free_port
from tests.api.conftest import make_app
from tests.api.world import Answer, Server, World
from tests.web.reading import HTML, elements, page, words
from usecases.wiring import Options
from web import wording
from web.app import ROUTES, add_pages
from web.assets import address, assets
from web.problems import SENTENCES
from web.serving import KEPT, KEPT_S, REMADE_S, KeptPage, kept_page

S30 = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "Server": "Evently",
    "Strict-Transport-Security": "max-age=31536000",
    "Vary": "Accept-Encoding, Accept-Language, Cookie",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HTML_BYTES_MAX, CSS_BYTES_MAX, JS_BYTES_MAX = 14_000, 12_000, 10_000
#: Of what no page is made: it would run, or load, what the policy is there to refuse.
REFUSED = {"style", "iframe", "object", "embed", "base"}
PATHS = ("/", "/events", "/sign-in", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
async def test_s30_headers(world: World, path: str) -> None:
    """S30: each page, those of errors as well, has exactly the headers that it should have."""
    found = await page(world, path)
    assert S30 == {name: found.headers.get(name) for name in S30}


async def test_pages_hold_to_the_policy_and_the_budget(world: World) -> None:
    """Nothing is within that the policy forbids, nothing is from elsewhere, and little is sent."""
    event = await world.event(100, name="A", description="Text. " * 500)
    for path in (*PATHS, f"/e/a-{event['id']}"):
        found = await page(world, path)
        assert len(gzip.compress(found.raw)) <= HTML_BYTES_MAX, path
        for one in elements(found.text):
            assert one.tag not in REFUSED, (path, one)
            assert not [name for name in one.attributes if re.match("on|style$", name)], (path, one)
            for name in ("src", "srcset", "action"):
                assert (one.attributes.get(name) or "/").startswith("/"), (path, one)
            if one.tag == "link" and one.attributes["rel"] in {"stylesheet", "icon"}:
                assert (one.attributes["href"] or "").startswith("/static/")


def _imported(name: str) -> set[str]:
    """Return a module and all that it imports before it runs."""
    text = assets()[name].body.decode()
    names = re.findall(r'^import .* from "\./([^"]+)"', text, re.MULTILINE)
    return {name}.union(*(_imported(one) for one in names))


def test_files_hold_to_the_budget() -> None:
    """Style and scripts of a first visit are small, and name nothing that is elsewhere."""
    sizes = {"text/css": 0, "text/javascript": 0}
    first = {"style.css", *_imported("main.js")}
    for name, asset in assets().items():
        if asset.kind in sizes and name != "worker.js":
            assert b"://" not in asset.body
        if name in first:  # All else is asked for by a page that needs it, or by a press.
            sizes[asset.kind] += len(asset.gzipped)
    assert sizes["text/css"] <= CSS_BYTES_MAX
    assert sizes["text/javascript"] <= JS_BYTES_MAX


async def test_files_are_kept_for_ever_at_their_address(world: World) -> None:
    """A file's address has a digest; at another it is sent, and not kept."""
    found = await world.call("GET", address("style.css"))
    assert (200, "text/css; charset=utf-8") == (found.status, found.headers["Content-Type"])
    assert "public, max-age=31536000, immutable" == found.headers["Cache-Control"]
    assert "gzip" == found.headers["Content-Encoding"]
    older = await world.call("GET", "/static/0123456789abcdef/style.css")
    assert (200, "no-cache") == (older.status, older.headers["Cache-Control"])
    assert 404 == (await world.call("GET", "/static/0/__init__.py")).status
    with pytest.raises(KeyError):
        address("nothing.css")


async def test_problems_are_pages_for_people_alone(world: World) -> None:
    """Who reads pages is told in words and led on; programs are answered as ever."""
    found = await page(world, "/nowhere", "de")
    assert 404 == found.status
    assert "Hier ist keine Seite, oder sie ist nicht für Sie." in words(found.text)
    assert "problem+json" in (await world.call("GET", "/nowhere")).headers["Content-Type"]
    machine = await world.call("GET", "/v1/nowhere", headers=HTML)
    assert "problem+json" in machine.headers["Content-Type"]
    post = await world.call("POST", "/events", headers=HTML)
    assert (405, True) == (post.status, "<h1>" in post.text)


@pytest.mark.page("problem", "each code")
async def test_a_codes_page_is_told_in_the_same_words(world: World) -> None:
    """The page that an error's `type` leads to begins with the sentence that people are told."""
    found = await page(world, "/problems/sold_out", "de")
    assert "So viele Plätze, wie Sie möchten, sind nicht mehr frei." in words(found.text)
    assert CODES["sold_out"].next_step in words(found.text)
    asked = await world.call("GET", "/problems/sold_out", headers={"Accept": "application/json"})
    assert "sold_out" == asked.body["code"]


def test_sentences_are_of_codes_that_there_are() -> None:
    """Each row of the table is of a code."""
    assert SENTENCES.keys() <= CODES.keys()


@pytest.mark.parametrize("language", ["de", "ar"])
def test_all_texts_are_translated(language: str) -> None:
    """No text is missing, half or of no use: what `make check` looks at as well."""
    assert [] == wording.faults(language)


def test_the_catalogues_stand_as_they_are_written() -> None:
    """Writing them again changes nothing, so that a new text is all that a change shows."""
    for language in ("de", "ar"):
        for group, catalogue in wording.catalogues(language).items():
            path = wording.WORDS / language / f"{group}.po"
            assert path.read_bytes() == wording.written(catalogue, language), path.name


def test_every_change_begins_with_a_form() -> None:
    """S22: whatever takes a POST reads it by `web.forms.read`, which refuses what is foreign."""
    for route in ROUTES:
        if route.method != "GET":
            assert "forms.read" in inspect.getsource(route.handler), route.path


async def test_what_is_down_is_told_as_a_page(options: Options) -> None:
    """With nothing below, a page in the site's own look says so, and asks again by itself."""
    nowhere = f"127.0.0.1:{free_port()}"
    faces = [partial(add_pages, public_url="https://tickets.example")]
    app = make_app(
        options,
        faces=faces,
        database_url=f"postgresql://evently@{nowhere}/evently",
        redis_servers={"0": f"redis://{nowhere}"},
    )
    async with TestClient(Server(app)) as client:
        for path in ("/", "/events", "/e/a-evt_00000000000000000000000000"):
            async with client.get(path, headers=HTML) as answer:
                text = await answer.text()
                assert (503, True) == (answer.status, "<h1>" in text), path
                assert int(answer.headers["Refresh"]) >= 1
                assert "data-refresh" in text
        async with client.get(address("style.css")) as answer:
            assert 200 == answer.status
        async with client.get("/sign-in", headers=HTML) as answer:
            # By TLS the cookies are bound to this very site.
            assert answer.headers["Set-Cookie"].startswith("__Host-guest=")
            assert "Secure" in answer.headers["Set-Cookie"]


async def test_a_page_that_is_kept_is_the_same(world: World) -> None:
    """What is shown again differs in nothing from what was made, also for who takes no gzip."""
    made = await page(world, "/events?q=nothinghasthisname")
    again = await page(world, "/events?q=nothinghasthisname")
    plain = await page(world, "/events?q=nothinghasthisname", **{"Accept-Encoding": "identity"})
    assert made.text == again.text == plain.text
    differing = {"Date", "X-Request-Id", "Content-Length", "Content-Encoding"}
    for other in (again, plain):
        assert _headers(made, differing) == _headers(other, differing)


def test_one_makes_a_page_anew_for_all() -> None:
    """From half of its age on the first who comes makes a page anew; the others are shown it."""
    app = web.Application()
    app[KEPT] = OrderedDict(a=KeptPage(b"x", "text/html", time.monotonic() - REMADE_S))
    request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"}, app=app)
    assert kept_page(request, "a") is None
    if time.monotonic() - app[KEPT]["a"].made_at_s < KEPT_S:
        assert kept_page(request, "a") is not None
    app[KEPT]["a"] = KeptPage(b"x", "text/html", time.monotonic() - KEPT_S, is_remade=True)
    assert kept_page(request, "a") is None


def _headers(answer: Answer, differing: set[str]) -> dict[str, str]:
    titled = {name.title(): value for name, value in answer.headers.items()}
    return {name: value for name, value in titled.items() if name not in differing}
