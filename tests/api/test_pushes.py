"""The browsers on which people are told: whose they are, where they lead, how many there are."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from store import push
from store.push import PushKey
from tests.api.shop import PUSH_KEY, subscription
from tests.api.test_accounts import account
from tests.api.world import Answer, World, check_problem
from usecases import pushes

MINE = "/v1/me/push"


@pytest.fixture(autouse=True)
async def keys(world: World) -> None:
    """Have the notifier's keys there."""
    await push.put_keys(world.database, [PUSH_KEY])


async def registered(world: World) -> str:
    """Make an account; return its token."""
    made = await world.call("POST", "/v1/auth/register", json=account())
    return str(made.body["access_token"])


def endpoint() -> str:
    """Return an endpoint that nobody has."""
    return f"https://a.push.example.org/{secrets.token_urlsafe(40)}"


async def subscribed(world: World, token: str, at: str = "", **fields: Any) -> Answer:
    """Subscribe a browser."""
    asked = subscription(PUSH_KEY.id, at or endpoint()) | fields
    headers = {"User-Agent": "Firefox on Linux"}
    return await world.call("POST", MINE, token=token, json=asked, headers=headers)


async def listed(world: World, token: str) -> list[dict[str, Any]]:
    """Return one's browsers."""
    answer = await world.call("GET", MINE, token=token)
    assert 200 == answer.status
    return list(answer.body["data"])


async def test_subscribe_and_take_off(world: World) -> None:
    """A browser is subscribed once, however often its page says it; nobody is told where it is."""
    token, at = await registered(world), endpoint()
    found = await world.call("GET", "/v1/push/key")
    assert {"id": PUSH_KEY.id, "public_key": PUSH_KEY.public_key} == found.body
    first = await subscribed(world, token, at)
    assert (200, "Firefox on Linux") == (first.status, first.body["name"])
    assert ("a.push.example.org", None, 0) == (
        first.body["service"],
        first.body["last_delivered_at"],
        first.body["failures"],
    )
    again = await subscribed(world, token, at, name="Phone")
    assert first.body["id"] == again.body["id"]
    [row] = await listed(world, token)
    assert again.body == row
    assert at not in (await world.call("GET", MINE, token=token)).text
    path = f"{MINE}/{row['id']}"
    assert 204 == (await world.call("DELETE", path, token=token)).status
    assert [] == await listed(world, token)
    check_problem(await world.call("DELETE", path, token=token), 404, "not_found")


async def test_a_browser_has_one_account(world: World) -> None:
    """Who subscribes a browser last has it: its former account is not told there any more."""
    ann, ben, at = await registered(world), await registered(world), endpoint()
    first = (await subscribed(world, ann, at)).body
    second = (await subscribed(world, ben, at)).body
    assert first["id"] == second["id"]
    assert [] == await listed(world, ann)
    assert [second] == await listed(world, ben)
    for method, path in (("DELETE", ""), ("POST", "/test")):
        answer = await world.call(method, f"{MINE}/{first['id']}{path}", token=ann)
        check_problem(answer, 404, "not_found")


async def test_an_account_has_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused; what is there goes on, and can be said anew."""
    monkeypatch.setattr(pushes, "BROWSERS_MAX", 2)
    token, at = await registered(world), endpoint()
    await subscribed(world, token, at)
    await subscribed(world, token)
    answer = await subscribed(world, token)
    check_problem(answer, 409, "too_many_browsers")
    assert 2 == answer.body["browsers_max"]
    assert 200 == (await subscribed(world, token, at)).status
    assert 2 == len(await listed(world, token))


@pytest.mark.parametrize(
    "at",
    [
        "https://127.0.0.1/x",
        "https://a.push.example.org:8443/x",
        "http://a.push.example.org/x",
        "https://me@push.example.org/x",
        "https://push.example.org.evil.example/x",
        "https://evil.example/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://2130706433/x",
        "not a url",
    ],
)
async def test_s16_endpoints_that_are_none(world: World, at: str) -> None:
    """S16: what is no push service that the operator allows is refused, and nothing is kept."""
    token = await registered(world)
    answer = await subscribed(world, token, at)
    check_problem(answer, 422, "invalid")
    assert ["/subscription/endpoint"] == [one["pointer"] for one in answer.body["errors"]]
    assert [] == await listed(world, token)


@pytest.mark.parametrize(
    ("name", "value"),
    [("p256dh", "BAAA"), ("p256dh", "A" * 87), ("auth", "AAAA"), ("auth", "A"), ("p256dh", "A")],
)
async def test_keys_that_are_none(world: World, name: str, value: str) -> None:
    """What no message could be sealed for is refused by name."""
    asked = subscription(PUSH_KEY.id, endpoint())
    asked["subscription"]["keys"][name] = value
    token = await registered(world)
    answer = await world.call("POST", MINE, token=token, json=asked)
    check_problem(answer, 422, "invalid")
    assert [f"/subscription/keys/{name}"] == [one["pointer"] for one in answer.body["errors"]]
    assert [] == await listed(world, token)


async def test_keys_of_ours_are_replaced(world: World) -> None:
    """A browser subscribes by any key that is alive, and by none that is gone."""
    newer = PushKey("9z8y7x6w5v", "y" * 87)
    await push.put_keys(world.database, [newer, PUSH_KEY])
    token = await registered(world)
    assert newer.id == (await world.call("GET", "/v1/push/key")).body["id"]
    assert PUSH_KEY.id == (await subscribed(world, token)).body["key_id"]
    assert newer.id == (await subscribed(world, token, key_id=newer.id)).body["key_id"]
    answer = await subscribed(world, token, key_id="0000000000")
    check_problem(answer, 422, "invalid")
    assert ["/key_id"] == [one["pointer"] for one in answer.body["errors"]]


async def test_push_that_is_off(world: World) -> None:
    """Where the notifier has no key it is said so; what was subscribed can be taken off."""
    token = await registered(world)
    row = (await subscribed(world, token)).body
    await push.put_keys(world.database, [])
    for method, path, asked in (
        ("GET", "/v1/push/key", None),
        ("POST", MINE, subscription(PUSH_KEY.id, endpoint())),
        ("POST", f"{MINE}/{row['id']}/test", None),
    ):
        answer = await world.call(method, path, token=token, json=asked)
        check_problem(answer, 404, "push_off")
    assert [row] == await listed(world, token)
    assert 204 == (await world.call("DELETE", f"{MINE}/{row['id']}", token=token)).status


async def test_a_test_is_asked_for(world: World) -> None:
    """A test is written for the one browser, for the notifier to push."""
    token = await registered(world)
    row = (await subscribed(world, token)).body
    await subscribed(world, token)
    answer = await world.call("POST", f"{MINE}/{row['id']}/test", token=token)
    assert 202 == answer.status
    asked = await world.database.fetch(
        "SELECT payload ->> 'to' AS browser FROM outbox"
        " WHERE kind = 'account.push_test' AND payload ->> 'to' = $1",
        row["id"],
    )
    assert [row["id"]] == [one["browser"] for one in asked]


async def test_s43_an_erased_person_has_no_browser(world: World) -> None:
    """S43: with an account its browsers are forgotten, where they are and what they are called."""
    person = account()
    made = await world.call("POST", "/v1/auth/register", json=person)
    token, at = made.body["access_token"], endpoint()
    await subscribed(world, token, at, name="Ann's telephone")
    own_id = (await world.call("GET", "/v1/me", token=token)).body["id"]
    told = await world.call("GET", "/v1/me/export", token=token)
    assert "Ann's telephone" in told.text
    assert at not in told.text
    asked = {"password": person["password"], "bookings": "keep"}
    await world.call("DELETE", "/v1/me", token=token, json=asked)
    assert [] == await push.of_user(world.database, own_id)
