"""What one wants to be told: by one's account, or by the link of a letter."""

from __future__ import annotations

import re

import pytest

from engine.ids import new_id
from store import preferences, reminders
from tests.api.test_sessions import signed_up
from tests.api.world import World, check_problem, from_now

PATH = "/v1/me/preferences"
ALL = {"mail": True, "push": True}


async def link(world: World, user_id: str, topic: str = "reminders") -> str:
    """Return the path that stands in a letter."""
    token = preferences.token_of(await preferences.secret(world.database), user_id, topic)
    return f"/v1/unsubscribe?token={token}"


async def test_all_is_told_until_it_is_not_wanted(world: World) -> None:
    """Each topic and channel is changed by itself; what is not named stays, whatever is wrong."""
    token = (await signed_up(world))["access_token"]
    first = await world.call("GET", PATH, token=token)
    assert {"reminders": ALL, "sales": ALL, "timezone": None} == first.body
    changes = {"reminders": {"push": False}, "sales": {"mail": False}, "timezone": "Asia/Tokyo"}
    told = {
        "reminders": {"mail": True, "push": False},
        "sales": {"mail": False, "push": True},
        "timezone": "Asia/Tokyo",
    }
    for _ in range(2):
        assert told == (await world.call("PATCH", PATH, token=token, json=changes)).body
    for asked, pointer in (
        ({"timezone": "Mars/Base", "sales": {"mail": True}}, "/timezone"),
        ({"bookings": {"mail": False}}, "/bookings"),
        ({"sales": {"letter": False}}, "/sales/letter"),
    ):
        answer = await world.call("PATCH", PATH, token=token, json=asked)
        check_problem(answer, 422, "invalid", pointer)
    back = await world.call("PATCH", PATH, token=token, json={"sales": {"mail": True}})
    assert told | {"sales": ALL} == back.body
    assert back.body == (await world.call("GET", PATH, token=token)).body
    check_problem(await world.call("GET", PATH, token=world.token()), 404, "not_found")


async def test_letters_are_ended_without_signing_in(world: World) -> None:
    """A fetched link shows a button and changes nothing; a POST ends the letters, once for good."""
    account = await signed_up(world)
    me = (await world.call("GET", "/v1/me", token=account["access_token"])).body["id"]
    path = await link(world, me)

    async def mail() -> bool:
        body = (await world.call("GET", PATH, token=account["access_token"])).body
        assert ALL == body["sales"]
        return bool(body["reminders"]["mail"])

    shown = await world.call("GET", path)
    assert (200, "text/html; charset=utf-8") == (shown.status, shown.headers["Content-Type"])
    assert f'<form method="post" action="{path}">' in shown.text
    assert "form-action 'self'" in shown.headers["Content-Security-Policy"]
    assert "no-store" in shown.headers["Cache-Control"]
    assert await mail()
    for _ in range(2):
        ended = await world.call(
            "POST",
            path,
            data=b"List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert 200 == ended.status, ended.text
        assert "You get no more mail that reminds you" in ended.text
        assert not await mail()
    assert 200 == (await world.call("POST", await link(world, new_id("usr")))).status
    muted = await world.database.fetch("SELECT user_id FROM muted_messages")
    assert 1 == [row["user_id"] for row in muted].count(me)


async def test_links_cannot_be_guessed(world: World) -> None:
    """A token of another person, topic or database ends nothing."""
    me, other = new_id("usr"), new_id("usr")
    good = await link(world, me)
    before = await world.state()
    for path in (
        "/v1/unsubscribe",
        "/v1/unsubscribe?token=",
        good.replace(me, other),
        good.replace("reminders", "sales"),
        good.replace("reminders", "bookings"),
        re.sub("[0-9a-f]{32}$", "0" * 32, good),
        f"/v1/unsubscribe?token={preferences.token_of('another', me, 'sales')}",
        f"{good}%22%3E%3Cscript%3E",
    ):
        for method in ("GET", "POST"):
            check_problem(await world.call(method, path), 422, "invalid", "/query/token")
    assert before == await world.state()


async def test_one_asks_to_be_told_of_a_sale(world: World, organizer: str) -> None:
    """Before a sale opens one may ask and take it back, as often as one likes; then no more."""
    later = await world.event(5, token=organizer, sale_opens_at=from_now(days=2))
    open_now = await world.event(5, token=organizer)
    me = new_id("usr")
    token, path = world.token(me), f"/v1/events/{later['id']}/reminder"

    async def asked() -> bool:
        return await reminders.is_asked(world.database, later["id"], me)

    for method, is_asked in (("PUT", True), ("PUT", True), ("DELETE", False), ("DELETE", False)):
        assert 204 == (await world.call(method, path, token=token)).status
        assert is_asked == await asked()
    late = await world.call("PUT", f"/v1/events/{open_now['id']}/reminder", token=token)
    check_problem(late, 409, "sale_has_opened")
    draft = (await world.draft(organizer, 5))["id"]
    for own_id in (draft, new_id("evt"), "x"):
        answer = await world.call("PUT", f"/v1/events/{own_id}/reminder", token=token)
        check_problem(answer, 404, "not_found")


async def test_reminders_of_sales_are_bounded(
    world: World, organizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for more sales than they may; what is asked for already may be asked again."""
    monkeypatch.setattr("usecases.reminders.REMINDERS_MAX", 1)
    token = world.token()
    first, second = [
        f"/v1/events/{one['id']}/reminder"
        for one in [
            await world.event(5, token=organizer, sale_opens_at=from_now(days=2)) for _ in range(2)
        ]
    ]
    assert 204 == (await world.call("PUT", first, token=token)).status
    full = await world.call("PUT", second, token=token)
    check_problem(full, 409, "too_many_reminders")
    assert 1 == full.body["reminders_max"]
    assert 204 == (await world.call("PUT", first, token=token)).status
