"""What one is told: messages, preferences, reminders, the end of letters, browsers, the app."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import orjson
import pytest

from engine.ids import new_id
from notifier.kinds import KINDS
from papers.messages import IN_ACCOUNT
from store import preferences, push
from tests.api.ears import Ear
from tests.api.shop import PUSH_KEY, subscription
from tests.api.test_notifications import put
from tests.api.world import Answer, World, from_now
from tests.web.reading import FROM_HERE, elements, fields, page, send, words
from tests.web.test_me import user_of
from tests.web.test_visitors import signed_in
from tests.web.test_ways_in import mistakes
from web.app import ROUTES
from web.assets import assets

#: Pages that messages lead to, and that are still being made: of an organizer's desk.
NOT_YET = {"/organizers/{organizer_id}/webhooks"}
DEVICES = "/me/devices"


async def go(world: World, path: str, given: dict[str, str]) -> str:
    """Send a form that must be taken; return where it leads."""
    answer = await send(world, path, given)
    assert 303 == answer.status, answer.text
    return str(answer.headers["Location"])


def test_each_page_that_a_message_leads_to_is_there() -> None:
    """A letter's link, a push and a message in the account lead to a page of the site."""
    known = {re.sub(r"\{\w+\}", "*", one.path) for one in ROUTES if one.method == "GET"}
    pages = {one.page.partition("#")[0] for one in KINDS.values()} | set(IN_ACCOUNT.values())
    missing = {one for one in pages - {""} if re.sub(r"\{\w+\}", "*", one) not in known}
    assert NOT_YET == missing


async def test_an_events_id_alone_leads_to_it(world: World) -> None:
    """Messages name an event by its id alone: its page is there as well."""
    event = await world.event(5, name="Jazz Night")
    async with world.client.get(f"/e/{event['id']}", allow_redirects=False) as answer:
        assert (301, f"/e/jazz-night-{event['id']}") == (answer.status, answer.headers["Location"])


async def test_messages_are_read_and_counted(world: World) -> None:
    """New ones are counted at the top of each page; one that is opened is new no more, and all can
    be noted at once; what is nobody's own stays unread (S8)."""
    me = await user_of(world, await signed_in(world))
    empty = await page(world, "/me/messages")
    assert "There is no message." in words(empty.text)
    event = await world.event(5, name="<i>Jazz")
    ids = [await put(world, me, event["id"]) for _ in range(22)]
    await put(world, me, event["id"], "of.newer_code")
    foreign = await put(world, new_id("usr"), event["id"])
    found = await page(world, "/me/messages")
    assert "23 messages are new." in words(found.text)
    assert "23 new messages" in words(found.text).replace("  ", " ")
    assert "Your booking for &lt;i&gt;Jazz" in found.text
    assert "no words for yet" in found.text
    [more] = [one for one in elements(found.text, "a") if one.attributes.get("rel") == "next"]
    second = await page(world, str(more.attributes["href"]))
    assert (3, 0) == (second.text.count('class="new"'), second.text.count("/me/messages/seen"))
    form = fields(found.text)
    to = await go(world, f"/me/messages/{ids[0]}", form | {"page": f"/b/{ids[0]}"})
    assert f"/b/{ids[0]}" == to
    away = form | {"page": "//elsewhere.example"}
    assert "/" == await go(world, f"/me/messages/{ids[1]}", away)
    assert 404 == (await send(world, f"/me/messages/{foreign}", form)).status
    assert "21 new messages" in words((await page(world, "/me")).text)
    # Elsewhere it is what was found last.
    assert "21 new messages" in words((await page(world, "/events")).text)
    assert "/me/messages" == await go(world, "/me/messages/seen", form)
    [link] = [
        one for one in elements((await page(world, "/me")).text, "a") if "data-news" in one[1]
    ]
    assert ("0", True) == (link.attributes["data-unread"], "hidden" in link.attributes)
    assert 422 == (await send(world, "/me/messages/seen", form | {"up_to": "x"})).status


async def test_new_messages_come_by_the_stream(world: World) -> None:
    """The stream of a page tells how many are new, first and when there are more; none to guests;
    it ends when its session does (S4)."""
    async with world.client.get("/me/stream", allow_redirects=False) as answer:
        assert 303 == answer.status
    me = await user_of(world, await signed_in(world))
    event = await world.event(5)
    await put(world, me, event["id"])
    form = fields((await page(world, "/me")).text)
    async with world.client.get("/me/stream") as response:
        assert (200, "text/event-stream") == (response.status, response.content_type)
        ear = Ear(response)
        assert {"unread": 1} == (await ear.until("unread")).data
        await ear.until("following")
        await put(world, me, event["id"])
        assert {"unread": 2} == (await ear.until("unread")).data
        assert "/" == await go(world, "/sign-out", form)
        assert {"reason": "signed_out"} == (await ear.until("bye")).data


async def test_preferences(world: World) -> None:
    """A box that is not ticked means no; a zone may be chosen and taken back."""
    me = await user_of(world, await signed_in(world))
    found = await page(world, "/me/preferences")
    boxes = [
        one.attributes for one in elements(found.text, "input") if one[1]["type"] == "checkbox"
    ]
    assert [True] * 4 == ["checked" in one for one in boxes]
    form = fields(found.text)
    given = form | {"sales_push": "on", "timezone": "Asia/Tokyo"}
    assert "/me/preferences?done=saved" == await go(world, "/me/preferences", given)
    muted = await preferences.muted_of(world.database, me)
    assert {("reminders", "mail"), ("reminders", "push"), ("sales", "mail")} == muted
    saved = (await page(world, "/me/preferences?done=saved")).text
    assert ("Saved." in saved, "<option selected>Asia/Tokyo" in saved) == (True, True)
    wrong = await send(world, "/me/preferences", form | {"timezone": "Mars/Olympus"})
    assert (422, ["#timezone"]) == (wrong.status, mistakes(wrong.text))
    assert "Asia/Tokyo" == await preferences.timezone_of(world.database, me)
    await go(world, "/me/preferences", form | {"timezone": ""})
    assert "" == await preferences.timezone_of(world.database, me)
    # One that is in no list, but that the API takes, is kept.
    await world.database.execute("UPDATE users SET timezone = 'Etc/GMT+1' WHERE id = $1", me)
    assert "<option selected>Etc/GMT+1" in (await page(world, "/me/preferences")).text


async def test_reminder_of_a_sale(world: World) -> None:
    """From an event that has not opened one is reminded by a press, and takes that back by one."""
    event = await world.event(5, sale_opens_at=from_now(days=2))
    path, at = f"/e/x-{event['id']}", f"/e/{event['id']}/remind"
    assert f'<a href="{at}">Remind me</a>' in (await page(world, path)).text
    async with world.client.get(at, allow_redirects=False) as answer:
        assert (303, True) == (answer.status, "sign-in" in answer.headers["Location"])
    await signed_in(world)
    shown = await page(world, path)
    assert f'action="{at}"' in shown.text
    form = fields(shown.text)
    for _ in range(2):
        assert at == await go(world, at, form | {"do": "ask"})
    assert "You will be reminded" in (await page(world, at)).text
    assert "a quarter of an hour before the sale opens" in words((await page(world, path)).text)
    assert at == await go(world, at, form | {"do": "end"})
    assert "<h1>Remind me</h1>" in (await page(world, at)).text
    open_ = await world.event(5)
    late = await send(world, f"/e/{open_['id']}/remind", form | {"do": "ask"})
    assert (409, ["#remind"]) == (late.status, mistakes(late.text))
    assert "The sale has opened already." in late.text
    for nothing in ("x", new_id("evt")):
        assert 404 == (await page(world, f"/e/{nothing}/remind")).status


async def test_letters_are_ended_by_a_page(world: World) -> None:
    """A letter's link asks first, in the reader's language; the button ends it, whoever it is."""
    me = await user_of(world, await signed_in(world))
    world.client.session.cookie_jar.clear()
    key = await preferences.secret(world.database)
    for topic in ("sales", "reminders"):
        token = preferences.token_of(key, me, topic)
        # Programs of mail that follow the link of the API come to the page as well.
        shown = await page(world, f"/v1/unsubscribe?{urlencode({'token': token})}", "de")
        assert "Diese E-Mails beenden" in words(shown.text)
        assert (topic, "mail") not in await preferences.muted_of(world.database, me)
        for _ in range(2):
            to = await go(world, "/unsubscribe", fields(shown.text))
        assert "Das gilt sofort." in words((await page(world, to, "de")).text)
        assert (topic, "mail") in await preferences.muted_of(world.database, me)
    wrong = await page(world, "/unsubscribe?token=x")
    assert (404, True) == (wrong.status, "This link is of no letter of ours" in wrong.text)
    form = fields(shown.text) | {"token": "x"}
    assert 422 == (await send(world, "/unsubscribe", form)).status
    # RFC 8058: a program posts to the API, from nowhere.
    path = f"/v1/unsubscribe?{urlencode({'token': token})}"
    assert 200 == (await world.call("POST", path)).status


async def subscribed(world: World, form: dict[str, str], **changes: str) -> Answer:
    """Subscribe this browser, as the site's script does."""
    wanted = subscription(PUSH_KEY.id, f"https://a.push.example.org/{new_id('psh')}")
    given = {
        "form_token": form["form_token"],
        "key_id": PUSH_KEY.id,
        "endpoint": wanted["subscription"]["endpoint"],
        **wanted["subscription"]["keys"],
        **changes,
    }
    return await send(world, DEVICES, given, FROM_HERE | {"User-Agent": "Firefox on Linux"})


async def test_browsers_that_are_told(world: World) -> None:
    """A browser is subscribed, listed, tested and taken off; nobody is told where it is (S16)."""
    await push.put_keys(world.database, [PUSH_KEY])
    await signed_in(world)
    found = await page(world, DEVICES)
    assert "No device is told yet." in found.text
    told = orjson.loads((await page(world, f"{DEVICES}/key")).raw)
    assert (PUSH_KEY.public_key, PUSH_KEY.id) == (told["key"], told["key_id"])
    assert 422 == (await subscribed(world, told, endpoint="http://127.0.0.1/")).status
    assert 422 == (await subscribed(world, told, endpoint="")).status
    assert 403 == (await subscribed(world, told, form_token="x")).status
    made = await subscribed(world, told)
    assert 200 == made.status, made.text
    own_id = orjson.loads(made.text)["id"]
    listed = await page(world, DEVICES)
    assert "a.push.example.org" not in listed.text
    assert "Firefox · Linux" in listed.text
    assert "Not reached yet" in listed.text
    await push.note_pushed(world.database, own_id)
    await push.note_failed(world.database, own_id)
    listed = await page(world, DEVICES)
    assert ("Last reached" in listed.text, "1 message failed since" in listed.text) == (True, True)
    at, form = f"{DEVICES}/{own_id}", fields(listed.text)
    assert f"{DEVICES}?done=tested" == await go(world, at, form | {"do": "test"})
    assert f"{DEVICES}?done=off" == await go(world, at, form | {"do": "end"})
    assert 404 == (await send(world, at, form | {"do": "end"})).status


async def test_push_that_is_off(world: World) -> None:
    """Where nothing is pushed no button is shown, and the page says so."""
    await push.put_keys(world.database, [])
    try:
        await signed_in(world)
        found = await page(world, DEVICES)
        assert "This site sends no messages to devices." in found.text
        assert "data-push" not in found.text
        told = orjson.loads((await page(world, f"{DEVICES}/key")).raw)
        assert told["key"] is None
        assert 404 == (await subscribed(world, told)).status
    finally:
        await push.put_keys(world.database, [PUSH_KEY])


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("/worker.js", "text/javascript", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "public, max-age=3600"),
    ],
)
async def test_files_of_the_app(world: World, path: str, kind: str, kept: str) -> None:
    """The worker stands at the root, which it serves; the manifest names icons that there are."""
    found = await world.call("GET", path)
    assert (200, kind, kept) == (
        found.status,
        found.headers["Content-Type"].partition(";")[0],
        found.headers["Cache-Control"],
    )
    if path == "/worker.js":
        assert "connect-src 'self'" in found.headers["Content-Security-Policy"]
        return
    icons = orjson.loads(found.raw)["icons"]
    assert {"192x192", "512x512"} == {one["sizes"] for one in icons}
    for one in icons:
        async with world.client.get(one["src"]) as answer:
            head = (await answer.read())[:24]
        assert (b"\x89PNG", "image/png") == (head[:4], answer.headers["Content-Type"])
        width, height = (int.from_bytes(head[at : at + 4]) for at in (16, 20))
        assert f"{width}x{height}" == one["sizes"]


async def test_what_scripts_kept_goes_with_the_session(world: World) -> None:
    """Signing out has the browser forget tickets that it has kept, and its subscription."""
    await signed_in(world)
    form = fields((await page(world, "/me")).text)
    answer = await send(world, "/sign-out", form)
    assert '"storage"' == answer.headers["Clear-Site-Data"]


def test_no_page_needs_the_worker() -> None:
    """It is no part of a first visit: only a press registers it."""
    scripts = {name: one.body for name, one in assets().items() if one.kind == "text/javascript"}
    naming = {name for name, body in scripts.items() if b"/worker.js" in body}
    assert {"push.js"} == naming
    assert b'from "./push.js"' not in scripts["main.js"]
