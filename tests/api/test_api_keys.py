"""API keys of integrations (S40): what they may do, never more than their makers, their end."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from api.http import SERVICES
from api.routes import ROUTES
from api.scopes import OPENS, OPENS_DEVICES, opening
from engine.errors import Overloaded
from engine.ids import new_id
from tests.api.keepers import ask_for_key, execute, keeper, make_key, new_organizer
from tests.api.test_gate import scan
from tests.api.test_routes import named
from tests.api.world import Serve, World, check_problem, from_now, new_event
from usecases import bearers
from usecases.api_keys import KEYS_MAX

ALL_SCOPES = tuple(OPENS)
MOVE = "UPDATE users SET role = $2::text::user_role, organizer_id = $3 WHERE id = $1"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at a row at every request: what is told of a second ago is a test of its own."""
    monkeypatch.setattr(bearers, "AGE_MAX_S", 0.0)


def test_s40_scopes_name_routes() -> None:
    """S40: every line of the table is a route, and nothing that keys are made or lost by is one."""
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    named = {line for lines in (*OPENS.values(), OPENS_DEVICES) for line in lines}
    assert set() == named - routes
    closed = [route for route in ROUTES if not opening(route.method, route.path)]
    assert {"/v1/api-keys", "/v1/api-keys/{key_id}", "/v1/me"} <= {one.path for one in closed}
    assert frozenset({"gate", "check_in"}) == opening("POST", "/v1/tickets/{code}/check-in")
    for path in ("/v1/devices/{device_id}", "/v1/events/{event_id}/devices"):
        assert not opening("POST", path) | opening("GET", path) | opening("DELETE", path)


async def test_s40_made_shown_once_and_hashed(world: World) -> None:
    """S40: the key is told once, is nowhere in the database, and is known by its beginning."""
    organizer_id = await new_organizer(world)
    user_id, token = await keeper(world, organizer_id)
    made = await make_key(world, token, "events:read", "sell", "sell", expires_at=from_now(days=1))
    key, row = made["key"], made["api_key"]
    assert key.startswith(row["prefix"] + "_")
    assert ["events:read", "sell"] == row["scopes"]
    assert (organizer_id, user_id) == (row["organizer_id"], row["made_by"])
    listed = (await world.call("GET", "/v1/api-keys", token=token)).body["data"]
    assert [row] == listed
    stored = str(await world.database.fetch("SELECT api_keys::text AS row FROM api_keys"))
    assert key not in stored
    assert key.removeprefix(row["prefix"]) not in stored
    assert bearers.digest_of(key).hex() in stored


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["gate"]}, "/scopes/0"),
        ({"scopes": ["admin"]}, "/scopes/0"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"role": "admin"}, "/role"),
    ],
)
async def test_bad_input(world: World, change: dict[str, Any], pointer: str) -> None:
    """What is wrong is named, and no key is made."""
    _, token = await keeper(world, await new_organizer(world))
    body = {"name": "n", "scopes": ["sell"]} | change
    answer = await world.call("POST", "/v1/api-keys", token=token, json=body)
    check_problem(answer, 422, "invalid", pointer)
    assert [] == (await world.call("GET", "/v1/api-keys", token=token)).body["data"]


async def test_s40_each_scope_opens_its_own(world: World) -> None:
    """S40: a key does what it was made for, and is told which scope it lacks for all else."""
    organizer_id = await new_organizer(world)
    _, token = await keeper(world, organizer_id)
    event = await world.event(5, token=token)
    at = f"/v1/events/{event['id']}"
    calls: dict[str, tuple[str, str, Any]] = {
        "events:read": ("GET", f"{at}/cancel", None),
        "events:write": ("POST", f"{at}/close", None),
        "orders:read": ("GET", f"{at}/orders", None),
        "sell": (
            "POST",
            f"{at}/bookings",
            {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]},
        ),
        "check_in": ("GET", f"{at}/gate-list", None),
    }
    assert set(calls) == set(OPENS)
    made = {scope: (await make_key(world, token, scope))["key"] for scope in calls}
    # Selling before the sale is closed.
    for scope in ("sell", "orders:read", "check_in", "events:read", "events:write"):
        method, path, body = calls[scope]
        for other, key in made.items():
            answer = await world.call(method, path, token=key, key=f"k-{other}", json=body)
            if other == scope:
                assert 403 != answer.status, answer.text
                assert answer.status in {200, 201, 404}, answer.text
            else:
                check_problem(answer, 403, "insufficient_scope")
                assert f'scope="{scope}"' in answer.headers["WWW-Authenticate"]


async def test_s40_all_else_is_closed(world: World) -> None:
    """S40: a route that no scope names is closed to a key of every scope."""
    _, token = await keeper(world, await new_organizer(world))
    key = (await make_key(world, token, *ALL_SCOPES))["key"]
    found = {}
    for route in ROUTES:
        if opening(route.method, route.path) or route.policy.value in {"public", "ops"}:
            continue  # By a scope; everybody's.
        path = route.path.replace("{", "").replace("}", "")
        answer = await world.call(route.method, path, token=key)
        found[named(route)] = (answer.status, answer.body.get("code"))
    assert {} == {at: what for at, what in found.items() if what != (403, "insufficient_scope")}
    assert len(found) > 30


async def test_s40_never_another_organizers(world: World) -> None:
    """S40: events, orders and gates of B are not there for A's key, even if an admin made it."""
    own, other = await new_organizer(world), await new_organizer(world)
    _, boss = await keeper(world, own)
    _, admin = await keeper(world, own, "admin")
    _, rival = await keeper(world, other)
    event, draft = await world.event(5, token=rival), await world.draft(rival, 5)
    booked = await world.book(event, world.token())
    code = "A" * 134
    for maker in (boss, admin):
        key = (await make_key(world, maker, *ALL_SCOPES))["key"]
        before = await world.state()
        for event_id in (event["id"], draft["id"], new_id("evt"), "x"):
            at = f"/v1/events/{event_id}"
            for method, path in (
                ("GET", f"{at}/orders"),
                ("GET", f"{at}/gate-list"),
                ("GET", f"{at}/cancel"),
                ("POST", f"{at}/publish"),
                ("POST", f"{at}/close"),
                ("POST", f"{at}/cancel"),
                ("POST", f"{at}/bookings"),
                ("POST", f"{at}/holds"),
                ("POST", f"{at}/seats/block"),
                ("PATCH", at),
                ("POST", f"{at}/duplicate"),
                ("DELETE", at),
                ("POST", f"{at}/scans"),
            ):
                check_problem(
                    await world.call(method, path, token=key, key="k", json={}), 404, "not_found"
                )
        check_problem(await scan(world, event, code, key), 404, "not_found")
        own_id = booked.body["id"]
        check_problem(
            await world.call("GET", f"/v1/bookings/{own_id}", token=key), 404, "not_found"
        )
        check_problem(await world.cancel(own_id, key), 404, "not_found")
        # What is everybody's stays so, without what its own organizer would see.
        assert 200 == (await world.call("GET", f"/v1/events/{event['id']}", token=key)).status
        check_problem(
            await world.call("GET", f"/v1/events/{draft['id']}", token=key), 404, "not_found"
        )
        assert before == await world.state()


async def test_s40_demotion_counts(world: World) -> None:
    """S40: a key does nothing while its maker may not, and a stale token makes no new one."""
    organizer_id = await new_organizer(world)
    user_id, token = await keeper(world, organizer_id)
    key = (await make_key(world, token, "events:read", "events:write"))["key"]
    path = "/v1/events?limit=1"
    assert 201 == (await world.call("POST", "/v1/events", token=key, json=new_event(1))).status
    for change in (("user", None), ("staff", organizer_id)):
        await execute(world, MOVE, user_id, *change)
        answer = await world.call("POST", "/v1/events", token=key, json=new_event(1))
        check_problem(answer, 401, "unauthorized")
        assert 200 == (await world.call("GET", path, token=key)).status, "everybody's"
        check_problem(await ask_for_key(world, token, "sell"), 403, "forbidden")
        await execute(world, MOVE, user_id, "organizer", organizer_id)
    assert 201 == (await world.call("POST", "/v1/events", token=key, json=new_event(1))).status
    await execute(world, "DELETE FROM users WHERE id = $1", user_id)
    answer = await world.call("POST", "/v1/events", token=key, json=new_event(1))
    check_problem(answer, 401, "unauthorized")


async def test_s40_an_admins_key_is_an_organizers(world: World) -> None:
    """S40: whoever makes it, a key acts as an organizer, for the one that it was made for."""
    own, other = await new_organizer(world), await new_organizer(world)
    _, admin = await keeper(world, own, "admin")
    _, boss = await keeper(world, own)
    made = await make_key(world, admin, "events:write", organizer_id=other)
    assert other == made["api_key"]["organizer_id"]
    event = await world.call("POST", "/v1/events", token=made["key"], json=new_event(1))
    assert other == event.body["organizer_id"]
    path = f"/v1/api-keys?organizer_id={other}"
    assert 1 == len((await world.call("GET", path, token=admin)).body["data"])
    check_problem(await world.call("GET", path, token=boss), 404, "not_found")
    for wanted in (other, new_id("org"), "org_x"):
        answer = await ask_for_key(world, boss, "sell", organizer_id=wanted)
        check_problem(answer, 404, "not_found")
    lone = world.token(role="admin")
    check_problem(await ask_for_key(world, lone, "sell"), 422, "invalid", "/organizer_id")
    assert 201 == (await ask_for_key(world, lone, "sell", organizer_id=own)).status


async def test_s40_revoked_in_all_processes(
    world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S40: who revokes a key, or lets it run out, ends it everywhere; B cannot revoke A's."""
    monkeypatch.undo()  # As it is in service: a row is believed for a second.
    assert bearers.AGE_MAX_S <= 1.0
    _, token = await keeper(world, await new_organizer(world))
    _, rival = await keeper(world, await new_organizer(world))
    made = await make_key(world, token, "orders:read")
    key, own_id = made["key"], made["api_key"]["id"]
    async with serve() as second:
        for one in (world, second):
            assert 200 == (await one.call("GET", "/v1/bookings", token=key)).status
        for wrong in (own_id[:-1], new_id("key"), "x"):
            answer = await world.call("DELETE", f"/v1/api-keys/{wrong}", token=token)
            check_problem(answer, 404, "not_found")
        path = f"/v1/api-keys/{own_id}"
        check_problem(await world.call("DELETE", path, token=rival), 404, "not_found")
        assert 200 == (await world.call("GET", "/v1/bookings", token=key)).status
        for _ in range(2):
            assert 204 == (await world.call("DELETE", path, token=token)).status
        # Here at once; there when what was seen of it is a second old.
        check_problem(await world.call("GET", "/v1/bookings", token=key), 401, "unauthorized")
        await asyncio.sleep(bearers.AGE_MAX_S)
        check_problem(await second.call("GET", "/v1/bookings", token=key), 401, "unauthorized")
    [row] = (await world.call("GET", "/v1/api-keys", token=token)).body["data"]
    assert row["revoked_at"] is not None


async def test_s40_expired(world: World) -> None:
    """S40: an expired key is like none."""
    _, token = await keeper(world, await new_organizer(world))
    made = await make_key(world, token, "orders:read", expires_at=from_now(days=1))
    assert 200 == (await world.call("GET", "/v1/bookings", token=made["key"])).status
    await execute(
        world, "UPDATE api_keys SET expires_at = now() WHERE id = $1", made["api_key"]["id"]
    )
    check_problem(await world.call("GET", "/v1/bookings", token=made["key"]), 401, "unauthorized")


async def test_s40_forged(world: World) -> None:
    """S40: another secret under the same beginning, another form or kind: nobody."""
    _, token = await keeper(world, await new_organizer(world))
    key: str = (await make_key(world, token, "orders:read"))["key"]
    assert 200 == (await world.call("GET", "/v1/bookings", token=key)).status
    swapped = key[:-1] + ("A" if key[-1] != "A" else "B")
    for wrong in (
        swapped,
        key[:-1],
        key + "A",
        key.upper(),
        key.replace("evk_", "evd_"),
        key[: len("evk_") + bearers.PREFIX_CHARS],
        "evk_",
        "evk_" + "0" * 12 + "_" + "A" * 43,
        f"{key}.x.y",
    ):
        check_problem(await world.call("GET", "/v1/bookings", token=wrong), 401, "unauthorized")


async def test_last_used_is_noted_once_a_minute(world: World) -> None:
    """However often a key is used, its row is written at most once a minute."""
    _, token = await keeper(world, await new_organizer(world))
    made = await make_key(world, token, "orders:read")
    own_id = made["api_key"]["id"]
    assert made["api_key"]["last_used_at"] is None

    async def used_at() -> dt.datetime | None:
        found: dt.datetime | None = await world.database.fetchval(
            "SELECT last_used_at FROM api_keys WHERE id = $1", own_id
        )
        return found

    await world.call("GET", "/v1/bookings", token=made["key"])
    while (first := await used_at()) is None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    versions = set()
    for _ in range(5):
        await world.call("GET", "/v1/bookings", token=made["key"])
        versions.add(await used_at())
    assert {first} == versions
    await execute(
        world,
        "UPDATE api_keys SET last_used_at = now() - interval '2 minutes' WHERE id = $1",
        own_id,
    )
    await world.call("GET", "/v1/bookings", token=made["key"])
    while (second := await used_at()) is None or second <= first:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_sells_in_its_own_name(world: World) -> None:
    """What a key sells is its own: it reads and cancels that, and its maker's bookings are not."""
    _, token = await keeper(world, await new_organizer(world))
    event = await world.event(5, token=token)
    made = await make_key(world, token, "sell", "orders:read")
    key = made["key"]
    own = await world.book(event, token)
    held = await world.hold(event, key)
    confirmed = await world.call("POST", f"/v1/holds/{held.body['id']}/confirm", token=key)
    sold = await world.book(event, key)
    assert (201, 201) == (confirmed.status, sold.status), sold.text
    listed = (await world.call("GET", "/v1/bookings", token=key)).body["data"]
    assert {sold.body["id"], confirmed.body["id"]} == {row["id"] for row in listed}
    check_problem(await world.cancel(own.body["id"], key), 404, "not_found")
    check_problem(await world.cancel(sold.body["id"], token), 404, "not_found")
    assert 200 == (await world.cancel(sold.body["id"], key)).status
    orders = (await world.call("GET", f"/v1/events/{event['id']}/orders", token=key)).body
    assert {row["booking"]["id"]: row["user_id"] for row in orders["data"]}[
        sold.body["id"]
    ] == made["api_key"]["id"]


async def test_orders_of_an_event(world: World) -> None:
    """An organizer reads all bookings of its event, page by page; nobody else does."""
    _, token = await keeper(world, await new_organizer(world))
    event = await world.event(5, token=token)
    made = {(await world.book(event, None)).body["id"] for _ in range(3)}
    path = f"/v1/events/{event['id']}/orders?limit=2"
    first = (await world.call("GET", path, token=token)).body
    assert (2, True, True) == (len(first["data"]), first["has_more"], first["up_to_date"])
    rest = (await world.call("GET", f"{path}&after={first['next_cursor']}", token=token)).body
    assert (1, False) == (len(rest["data"]), rest["has_more"])
    assert made == {row["booking"]["id"] for row in first["data"] + rest["data"]}
    _, rival = await keeper(world, await new_organizer(world))
    check_problem(await world.call("GET", path, token=rival), 404, "not_found")
    check_problem(await world.call("GET", path, token=world.token()), 403, "forbidden")


async def test_too_many_keys(world: World) -> None:
    """An organizer has so many keys; revoked ones do not count."""
    organizer_id = await new_organizer(world)
    user_id, token = await keeper(world, organizer_id)
    await execute(
        world,
        "INSERT INTO api_keys (id, organizer_id, made_by, name, scopes, prefix, hash)"
        " SELECT 'key_' || lpad(n::text, 26, '0'), $1, $2, 'n', '{sell}', lpad(n::text, 12, '0'),"
        " sha256(n::text::bytea) FROM generate_series(1, $3::int) AS n",
        organizer_id,
        user_id,
        KEYS_MAX,
    )
    answer = await ask_for_key(world, token, "sell")
    check_problem(answer, 409, "too_many_keys")
    assert KEYS_MAX == answer.body["keys_max"]
    first = "key_" + "1".zfill(26)
    assert 204 == (await world.call("DELETE", f"/v1/api-keys/{first}", token=token)).status
    assert 201 == (await ask_for_key(world, token, "sell")).status
    await execute(world, "DELETE FROM api_keys WHERE organizer_id = $1", organizer_id)


async def test_f78_keys_while_postgresql_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was good goes on for a while, then nobody can tell; strange keys are told so at once."""
    _, token = await keeper(world, await new_organizer(world))
    key = (await make_key(world, token, "events:write"))["key"]
    path = f"/v1/events/{new_id('evt')}/close"
    known = world.client.app[SERVICES].bearers

    async def away(*_: object) -> None:
        raise OSError("PostgreSQL is away")

    check_problem(await world.call("POST", path, token=key), 404, "not_found")
    monkeypatch.setattr("store.api_keys.shown", away)
    strange = "evk_" + "0" * 12 + "_" + "A" * 43
    for _ in range(2):
        found = await known.find(key)
        assert found is not None
        assert ("organizer", "api_key") == (found.role, found.kind)
    with pytest.raises(OSError, match="away"):
        await known.find(strange)
    monkeypatch.setitem(bearers.GRACE_S, "api_key", -1.0)
    with pytest.raises(OSError, match="away"):
        await known.find(key)


async def test_strange_keys_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up keys wait for PostgreSQL in bounded number; known keys are not kept out by them."""
    _, token = await keeper(world, await new_organizer(world))
    key = (await make_key(world, token, "orders:read"))["key"]
    known = bearers.Bearers(world.client.app[SERVICES].pools.callers)
    assert await known.find(key) is not None
    monkeypatch.setattr(bearers, "AGE_MAX_S", 3600.0)
    waiting = asyncio.Event()

    async def wait(*_: object) -> None:
        await waiting.wait()

    monkeypatch.setattr("store.api_keys.shown", wait)
    strange = [f"evk_{number:012}_{'A' * 43}" for number in range(bearers.STRANGE_LOOKS_MAX)]
    # Those of one beginning share a look.
    looks = [asyncio.create_task(known.find(text)) for text in [*strange, *strange]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await known.find("evk_" + "v" * 12 + "_" + "A" * 43)
    assert await known.find(key) is not None
    waiting.set()
    assert {None} == set(await asyncio.gather(*looks))
    await known.close()
