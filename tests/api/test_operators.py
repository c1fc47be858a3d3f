"""What admins do over HTTP: look for accounts, change roles, keep somebody out, add organizers."""

from __future__ import annotations

import secrets

import pytest

from engine.ids import new_id
from store import users
from tests.api.world import Answer, World, check_problem, new_event
from usecases.passwords import hash_now

PASSWORD = "correct horse"
USERS = "/v1/admin/users"


@pytest.fixture
def admin(world: World) -> str:
    """Return the token of an admin."""
    return world.token(role="admin", version=99)


async def account(world: World, name: str = "Nora") -> tuple[str, str]:
    """Make an account that can log in; return id and address."""
    email = f"{secrets.token_hex(8)}@example.org"
    user_id = await users.add(
        world.database, email=email, name=name, password_hash=hash_now(PASSWORD)
    )
    assert user_id is not None
    return user_id, email


async def login(world: World, email: str, password: str = PASSWORD) -> Answer:
    """Log in."""
    asked = {"email": email, "password": password}
    return await world.call("POST", "/v1/auth/login", json=asked)


async def change(
    world: World, admin: str, user_id: str, role: str, organizer_id: str | None = None
) -> Answer:
    """Give an account a role."""
    asked = {"role": role} | ({"organizer_id": organizer_id} if organizer_id else {})
    return await world.call("PATCH", f"{USERS}/{user_id}", token=admin, json=asked)


async def test_organizer_is_made_by_routes(world: World, admin: str) -> None:
    """An admin makes an organizer and its owner, who logs in and makes an event."""
    user_id, email = await account(world)
    asked = {"name": "New House", "owner_id": user_id}
    made = await world.call("POST", "/v1/admin/organizers", token=admin, json=asked)
    assert 201 == made.status, made.text
    token = (await login(world, email)).body["access_token"]
    assert "organizer" == (await world.call("GET", "/v1/me", token=token)).body["role"]
    event = await world.call("POST", "/v1/events", token=token, json=new_event())
    assert (201, made.body["id"]) == (event.status, event.body["organizer_id"])
    listed = await world.call("GET", f"/v1/admin/organizers?q={made.body['id']}", token=admin)
    assert [made.body] == listed.body["data"]


async def test_roles(world: World, admin: str) -> None:
    """Each role is given and taken; staff and organizers are of an organizer."""
    user_id, _ = await account(world)
    house = await users.add_organizer(world.database, "House")
    other = await users.add_organizer(world.database, "Other")
    for role in ("staff", "organizer"):
        answer = await change(world, admin, user_id, role)
        check_problem(answer, 422, "invalid", "/organizer_id")
        for foreign in (new_id("org"), "x"):
            answer = await change(world, admin, user_id, role, foreign)
            check_problem(answer, 422, "invalid", "/organizer_id")
    for role, places in (("staff", "gate"), ("organizer", "owner")):
        given = await change(world, admin, user_id, role, house)
        assert (200, role) == (given.status, given.body["role"])
        [team] = given.body["teams"]
        assert (house, places) == (team["organizer_id"], team["role"])
    check_problem(await change(world, admin, user_id, "user"), 409, "last_owner")
    check_problem(await change(world, admin, user_id, "staff", house), 409, "last_owner")
    given = await change(world, admin, user_id, "admin")
    assert ("admin", 1) == (given.body["role"], len(given.body["teams"]))
    boss, _ = await account(world)
    await change(world, admin, boss, "organizer", house)
    given = await change(world, admin, user_id, "staff", other)
    assert ("organizer", 2) == (given.body["role"], len(given.body["teams"]))
    given = await change(world, admin, user_id, "user")
    assert ("user", []) == (given.body["role"], given.body["teams"])
    check_problem(await change(world, admin, new_id("usr"), "admin"), 404, "not_found")
    check_problem(await change(world, admin, "x", "admin"), 404, "not_found")


async def test_last_admin_stays(world: World, admin: str) -> None:
    """Nobody takes the last admin's role, nor keeps them out."""
    await world.enter()
    [own_id] = world.entered
    await world.database.execute(
        "UPDATE users SET role = 'user' WHERE role = 'admin' AND id <> $1", own_id
    )
    check_problem(await change(world, admin, own_id, "user"), 409, "last_admin")
    answer = await world.call("POST", f"{USERS}/{own_id}/disable", token=admin)
    check_problem(answer, 409, "last_admin")
    user_id, _ = await account(world)
    await change(world, admin, user_id, "admin")
    assert 200 == (await change(world, admin, own_id, "user")).status
    check_problem(await world.call("GET", USERS, token=admin), 403, "forbidden")


async def test_disabled_account_is_kept_out(world: World, admin: str) -> None:
    """Who is disabled neither logs in nor acts by a token of before, until enabled again."""
    user_id, email = await account(world)
    house = await users.add_organizer(world.database, "House")
    await change(world, admin, user_id, "organizer", house)
    session = (await login(world, email)).body
    token, refresh_token = session["access_token"], session["refresh_token"]
    done = await world.call("POST", f"{USERS}/{user_id}/disable", token=admin)
    assert (200, True) == (done.status, done.body["disabled_at"] is not None)
    check_problem(await login(world, email), 403, "account_disabled")
    check_problem(await login(world, email, "wrong"), 401, "wrong_credentials")
    # By what the account is now, or by the token, as soon as that is known to be over (S4).
    answer = await world.call("POST", "/v1/events", token=token, json=new_event())
    assert answer.status in {401, 403}, answer.text
    asked = {"refresh_token": refresh_token}
    check_problem(await world.call("POST", "/v1/auth/refresh", json=asked), 401, "session_over")
    again = await world.call("POST", f"{USERS}/{user_id}/disable", token=admin)
    assert done.body == again.body
    done = await world.call("POST", f"{USERS}/{user_id}/enable", token=admin)
    assert (200, None) == (done.status, done.body["disabled_at"])
    token = (await login(world, email)).body["access_token"]
    made = await world.call("POST", "/v1/events", token=token, json=new_event())
    assert 201 == made.status


async def test_search(world: World, admin: str) -> None:
    """Accounts are found by id, part of an address or name, and role; page by page."""
    word = secrets.token_hex(6)
    own = [(await account(world, f"Zoë {word}"))[0] for _ in range(3)]
    user_id, email = await account(world)
    for text, expected in ((word, own), (f"zoe {word}", own), (user_id, [user_id])):
        path = f"{USERS}?q={text.replace(' ', '%20')}"
        found = (await world.call("GET", path, token=admin)).body["data"]
        assert expected == [one["id"] for one in found]
    found = (await world.call("GET", f"{USERS}?q={email[:10].upper()}", token=admin)).body
    assert [user_id] == [one["id"] for one in found["data"]]
    first = (await world.call("GET", f"{USERS}?q={word}&limit=2", token=admin)).body
    path = f"{USERS}?q={word}&limit=2&after={first['next_cursor']}"
    rest = (await world.call("GET", path, token=admin)).body
    assert own == [one["id"] for one in first["data"] + rest["data"]]
    assert not rest["has_more"]
    answer = await world.call("GET", f"{USERS}?role=owner", token=admin)
    check_problem(answer, 422, "invalid", "/query/role")
    found = (await world.call("GET", f"{USERS}?role=admin&q={word}", token=admin)).body["data"]
    assert [] == found
    one = (await world.call("GET", f"{USERS}/{user_id}", token=admin)).body
    assert "password_hash" not in one


@pytest.mark.parametrize("role", ["user", "staff", "organizer"])
async def test_s9_others_are_no_admins(world: World, role: str) -> None:
    """S9: nobody else reaches what is the admins', nor makes themselves one."""
    house = await users.add_organizer(world.database, "House")
    token = world.token(role=role, organizer_id=None if role == "user" else house)
    user_id, _ = await account(world)
    before = await world.state()
    check_problem(await world.call("GET", USERS, token=token), 403, "forbidden")
    check_problem(await change(world, token, user_id, "admin"), 403, "forbidden")
    forged = world.token(user_id, role="admin")
    check_problem(await change(world, forged, user_id, "admin"), 403, "forbidden")
    assert before == await world.state()
