"""Accounts: registering, logging in, seeing oneself, and what a role may not do."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from argon2 import Type, extract_parameters

from store import users
from tests.api.world import World, check_problem, new_event
from usecases import passwords

PASSWORD = "a good password"


def account(**changes: Any) -> dict[str, Any]:
    """Make a request to register."""
    email = f"{secrets.token_hex(6)}@example.org"
    return {"email": email, "password": PASSWORD, "name": "Ada"} | changes


async def test_register_login_me(world: World) -> None:
    """Who registers can log in, in any case of the address, and sees the account."""
    body = account()
    made = await world.call("POST", "/v1/auth/register", json=body)
    assert 201 == made.status
    assert {"access_token", "token_type", "expires_in"} == set(made.body)
    assert ("Bearer", 3600) == (made.body["token_type"], made.body["expires_in"])
    assert "private, no-store" == made.headers["Cache-Control"]
    login = {"email": body["email"].upper(), "password": PASSWORD}
    entered = await world.call("POST", "/v1/auth/login", json=login)
    assert 200 == entered.status
    for answer in (made, entered):
        me = await world.call("GET", "/v1/me", token=answer.body["access_token"])
        assert 200 == me.status
        assert (body["email"], "Ada", "user") == tuple(
            me.body[name] for name in ("email", "name", "role")
        )
        assert {"id", "email", "name", "role", "created_at"} == set(me.body)


async def test_taken_address(world: World) -> None:
    """An address has one account, in whatever case it is written."""
    body = account()
    assert 201 == (await world.call("POST", "/v1/auth/register", json=body)).status
    before = await world.state()
    again = body | {"email": body["email"].upper(), "password": "another password"}
    answer = await world.call("POST", "/v1/auth/register", json=again)
    check_problem(answer, 409, "email_taken", "/email")
    assert before == await world.state()


async def test_s7_wrong_password_and_unknown_address_look_the_same(world: World) -> None:
    """Who tries cannot tell which of the two was wrong."""
    body = account()
    await world.call("POST", "/v1/auth/register", json=body)
    answers = [
        await world.call("POST", "/v1/auth/login", json={"email": email, "password": password})
        for email, password in (
            (body["email"], "wrong"),
            ("nobody@example.org", PASSWORD),
            ("a\0b@c", PASSWORD),
        )
    ]
    for answer in answers:
        check_problem(answer, 401, "wrong_credentials")
        answer.body.pop("request_id")
    assert answers[0].body == answers[1].body == answers[2].body


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "no-at"}, "/email"),
        ({"email": "a@b\r\nBcc: x@y"}, "/email"),
        ({"email": "a\0@b.org"}, "/email"),
        ({"email": "a b@c.org"}, "/email"),
        ({"email": "x" * 250 + "@b.org"}, "/email"),
        ({"email": 1}, "/email"),
        ({"email": "a@b.org,c@d.org"}, "/email"),
        ({"email": "<a@b.org>"}, "/email"),
        ({"password": "short"}, "/password"),
        ({"password": "x" * 1025}, "/password"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"role": "admin"}, "/role"),
        ({"organizer_id": "org_1"}, "/organizer_id"),
        ({"id": "usr_1"}, "/id"),
    ],
)
async def test_bad_account(world: World, change: dict[str, Any], pointer: str) -> None:
    """S10, S18: an account that cannot be is refused by its field; nobody makes himself admin."""
    before = await world.state()
    answer = await world.call("POST", "/v1/auth/register", json=account(**change))
    check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


async def test_password_hashes(world: World) -> None:
    """S6: passwords are kept as Argon2id with at least OWASP's parameters, salted each."""
    bodies = [account(), account()]
    for body in bodies:
        assert 201 == (await world.call("POST", "/v1/auth/register", json=body)).status
    rows = [await users.by_email(world.database, [body["email"]]) for body in bodies]
    hashes = [row.password_hash for row in rows if row is not None]
    assert 2 == len(set(hashes))
    for text in [*hashes, passwords.hash_now("x"), passwords._NOBODY]:
        parameters = extract_parameters(text)
        assert Type.ID == parameters.type
        assert parameters.memory_cost >= 19 * 1024
        assert parameters.time_cost >= 2
        assert parameters.parallelism == 1
        assert PASSWORD not in text


async def test_token_of_a_deleted_account(world: World, user: str) -> None:
    """A token whose account is not there sees nothing."""
    check_problem(await world.call("GET", "/v1/me", token=user), 404, "not_found")


@pytest.mark.parametrize("role", ["user", "staff", "nobody"])
async def test_role_that_may_not(world: World, role: str) -> None:
    """S9: users and staff neither make events nor publish any."""
    draft = await world.draft(await world.organizer(), 5)
    token = world.token(role=role, organizer_id=draft["organizer_id"])
    before = await world.state()
    made = await world.call("POST", "/v1/events", token=token, json=new_event())
    check_problem(made, 403, "forbidden")
    check_problem(await world.publish(draft["id"], token), 403, "forbidden")
    assert before == await world.state()


async def test_organizer_without_organization(world: World) -> None:
    """An event belongs to an organizer; an account without one makes none."""
    token = world.token(role="admin")
    answer = await world.call("POST", "/v1/events", token=token, json=new_event())
    check_problem(answer, 403, "forbidden")
