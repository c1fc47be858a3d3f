"""Messages in one's account: in order, counted, seen; nobody's but one's own."""

from __future__ import annotations

from typing import Any

from engine.ids import new_id
from tests.api.ears import listening
from tests.api.test_accounts import PASSWORD
from tests.api.test_sessions import signed_up
from tests.api.world import Answer, Event, World, check_problem

PATH = "/v1/notifications"


async def put(world: World, user_id: str, event_id: str, kind: str = "booking.confirmed") -> str:
    """Put a message into an account, as the notifier does; return its id."""
    number = await world.database.fetchval(
        "INSERT INTO deliveries (fact, channel, target, kind, lane, user_id, event_id, subject_id,"
        " state, ended_at) VALUES ($1, 'account', $2, $3, 2, $2, $4, $1, 'sent', now())"
        " RETURNING id",
        *(new_id("bk"), user_id, kind, event_id),
    )
    return str(number)


async def listed(world: World, token: str, query: str = "") -> Answer:
    """List one's messages."""
    answer = await world.call("GET", PATH + query, token=token)
    assert 200 == answer.status, answer.text
    return answer


async def seen(world: World, token: str, **asked: Any) -> Answer:
    """Say what was seen."""
    return await world.call("POST", f"{PATH}/seen", token=token, json=asked)


async def test_messages_are_listed_and_seen(world: World, event: Event) -> None:
    """Newest first, page by page while more come, in the account's language; seen once for good."""
    account = await signed_up(world)
    token = account["access_token"]
    me = (await world.call("PATCH", "/v1/me", token=token, json={"language": "de-AT"})).body["id"]
    ids = [await put(world, me, event["id"]) for _ in range(5)]
    await put(world, me, event["id"], "of.newer_code")
    first = (await listed(world, token, "?limit=3")).body
    assert 6 == first["unread"]
    strange, newest, *_ = first["data"]
    assert ("", "") == (strange["title"], strange["page"])
    assert f"Ihre Buchung für {event['name']}" == newest["title"]
    assert f"/b/{newest['subject_id']}" == newest["page"]
    assert ("de", None, None) == (newest["language"], newest["until"], newest["seen_at"])
    await put(world, me, event["id"])
    rest = (await listed(world, token, f"?limit=9&after={first['next_cursor']}")).body
    assert ids[2::-1] == [one["id"] for one in rest["data"]]
    assert (False, 7) == (rest["has_more"], rest["unread"])
    for _ in range(2):
        assert {"unread": 6} == (await seen(world, token, notification_id=ids[4])).body
    before = {one["id"]: one["seen_at"] for one in (await listed(world, token)).body["data"]}
    assert before[ids[4]] is not None
    for _ in range(2):
        assert {"unread": 2} == (await seen(world, token, up_to=ids[4])).body
    after = {one["id"]: one["seen_at"] for one in (await listed(world, token)).body["data"]}
    assert before[ids[4]] == after[ids[4]]
    assert [None, None] == [at for at in after.values() if at is None]


async def test_s8_messages_are_ones_own(world: World, event: Event) -> None:
    """S8: another's messages are in no list, and are neither counted nor seen by anybody else."""
    mine, other = new_id("usr"), new_id("usr")
    theirs = await put(world, other, event["id"])
    token = world.token(mine)
    body = (await listed(world, token)).body
    assert ([], 0) == (body["data"], body["unread"])
    check_problem(await seen(world, token, notification_id=theirs), 404, "not_found")
    assert {"unread": 0} == (await seen(world, token, up_to=theirs)).body
    assert 1 == (await listed(world, world.token(other))).body["unread"]


async def test_s43_messages_are_exported_and_erased(world: World, event: Event) -> None:
    """S43: one's messages are in one's export; an erasure takes whose they are, and the rest."""
    account = await signed_up(world)
    token = account["access_token"]
    me = (await world.call("GET", "/v1/me", token=token)).body["id"]
    number = await put(world, me, event["id"])
    changes = {"sales": {"mail": False}, "timezone": "Asia/Tokyo"}
    await world.call("PATCH", "/v1/me/preferences", token=token, json=changes)
    tables = (await world.call("GET", "/v1/me/export", token=token)).body["tables"]
    assert [int(number)] == [row["id"] for row in tables["deliveries"]]
    assert ["sales"] == [row["topic"] for row in tables["muted_messages"]]
    assert ["Asia/Tokyo"] == [row["timezone"] for row in tables["users"]]
    done = await world.call("DELETE", "/v1/me", token=token, json={"password": PASSWORD})
    assert 200 == done.status, done.text
    left = await world.database.fetchrow(
        "SELECT (SELECT count(*) FROM muted_messages WHERE user_id = $1),"
        " (SELECT count(*) FROM deliveries WHERE target = $1),"
        " (SELECT timezone FROM users WHERE id = $1)",
        me,
    )
    assert left is not None
    assert (0, 0, None) == tuple(left)


async def test_bad_input_changes_nothing(world: World, event: Event) -> None:
    """What is no message of the list is refused by its name."""
    me = new_id("usr")
    token = world.token(me)
    number = await put(world, me, event["id"])
    for asked, pointer in (
        ({}, ""),
        ({"notification_id": number, "up_to": number}, ""),
        ({"up_to": "-1"}, "/up_to"),
        ({"up_to": "9" * 19}, "/up_to"),
    ):
        check_problem(await seen(world, token, **asked), 422, "invalid", pointer)
    check_problem(await seen(world, token, notification_id="x"), 404, "not_found")
    for cursor in ("eA", "MjAyNy0wMS0wMVQwMDowMDowMFogeA"):
        answer = await world.call("GET", f"{PATH}?after={cursor}", token=token)
        check_problem(answer, 422, "invalid", "/query/after")
    assert 1 == (await listed(world, token)).body["unread"]


async def test_streams_tell_what_is_unread(world: World, event: Event) -> None:
    """Who listens is told how many messages there are as soon as there are more; nobody else is."""
    me, other = new_id("usr"), new_id("usr")
    async with (
        listening(world, event["id"], token=world.token(me)) as ear,
        listening(world, event["id"], token=world.token(other)) as stranger,
    ):
        for one in (ear, stranger):
            await one.until("following")
        await put(world, me, event["id"])
        assert {"unread": 1} == (await ear.until("unread")).data
        await put(world, other, event["id"])
        assert {"unread": 1} == (await stranger.until("unread")).data
        await put(world, me, event["id"])
        assert {"unread": 2} == (await ear.until("unread")).data
