"""Accounts: registering, logging in, seeing and changing oneself, and what a role may not do."""

from __future__ import annotations

import secrets
from typing import Any

import asyncpg
import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from store import users
from store.sql import queries, query
from tests.api.world import Answer, World, check_problem, new_event
from usecases import passwords
from usecases.passwords import Passwords

PASSWORD = "a good password"
#: Statements that signing in and registering send.
OF_ACCOUNTS = {
    "user_by_email", "user_by_claim", "user_for_update", "register_user", "put_account_token",
    "email_is_proved", "is_new_device", "open_session", "insert_account_message",
}  # fmt: skip


def account(**changes: Any) -> dict[str, Any]:
    """Make a request to register."""
    email = f"{secrets.token_hex(6)}@example.org"
    return {"email": email, "password": PASSWORD, "name": "Ada"} | changes


async def test_register_login_me(world: World) -> None:
    """Who registers can log in, in any case of the address, and sees the account."""
    body = account()
    made = await world.call("POST", "/v1/auth/register", json=body)
    assert 201 == made.status
    assert {
        "access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in",
        "session_id",
    } == set(made.body)  # fmt: skip
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
        assert {
            "id", "email", "email_verified", "has_password", "name", "language", "role",
            "created_at",
        } == set(me.body)  # fmt: skip
        assert (False, None) == (me.body["email_verified"], me.body["language"])


def without_secrets(answer: Answer) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return all of an answer that is not drawn anew for each: what a stranger could compare."""
    drawn = {"date", "x-request-id"}
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in drawn}
    body = {name: len(str(value)) for name, value in answer.body.items()}
    return answer.status, headers, body


async def test_s7_register_tells_nothing(world: World) -> None:
    """S7: a taken address, proved or not, is answered as a free one, and so are later logins."""
    proved, owned, free = account(), account(), account()
    for body in (proved, owned):
        assert 201 == (await world.call("POST", "/v1/auth/register", json=body)).status
    await world.prove(proved["email"])
    answers, logins, views = [], [], []
    for body in (proved, owned, free):
        stranger = {"email": body["email"].upper(), "password": "another password"}
        made = await world.call("POST", "/v1/auth/register", json=stranger | {"name": "Eve"})
        assert 201 == made.status, made.text
        answers.append(without_secrets(made))
        logins.append(without_secrets(await world.call("POST", "/v1/auth/login", json=stranger)))
        token = made.body["access_token"]
        for verb in ("GET /v1/me", "POST /v1/me/email/verification", "GET /v1/gifts"):
            method, path = verb.split()
            seen = await world.call(method, path, token=token)
            told = {} if seen.body is None else dict(seen.body)
            told = {name: told[name] for name in told if name not in {"id", "email", "created_at"}}
            views.append((verb, seen.status, told))
    assert answers[0] == answers[1] == answers[2]
    assert logins[0] == logins[1] == logins[2]
    assert 200 == logins[0][0]
    assert views[:3] == views[3:6] == views[6:]


async def test_s7_register_does_alike_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: as many passwords are hashed and as many statements sent, taken or free."""
    counted: list[list[str]] = []
    names = {query(name): name for name in queries() if name in OF_ACCOUNTS}

    def count(owner: Any, method: str) -> None:
        real = getattr(owner, method)

        async def counting(self: Any, text: Any, *words: Any, **more: Any) -> Any:
            name = getattr(text, "__name__", "") or names.get(text)
            if name:  # Others in this process send statements as well.
                counted[-1].append(name)
            return await real(self, text, *words, **more)

        monkeypatch.setattr(owner, method, counting)

    body = account()
    assert 201 == (await world.call("POST", "/v1/auth/register", json=body)).status
    await world.prove(body["email"])
    for method in ("execute", "fetch", "fetchrow", "fetchval"):
        count(asyncpg.Connection, method)
    count(Passwords, "_in_thread")
    for path, taken, free in (
        ("register", account(email=body["email"]), account()),
        ("password/forgot", {"email": body["email"]}, {"email": account()["email"]}),
        ("login", {"email": body["email"], "password": "x"}, {"email": "a@b.org", "password": "x"}),
    ):
        for sent in (taken, free):
            counted.append([])
            await world.call("POST", f"/v1/auth/{path}", json=sent)
        # A letter is a row more or less, in a transaction that both commit.
        of_taken, of_free = (
            [name for name in one if name != "insert_account_message"] for one in counted[-2:]
        )
        assert of_taken == of_free
        assert {"hash", "_verify", "put_account_token"} & set(of_free)


async def test_two_accounts_of_an_address(world: World) -> None:
    """Who registers a taken address has an account of their own, and logs in to that."""
    first, second = account(name="One"), account(name="Two", password="another password")
    second["email"] = first["email"]
    ids: list[str] = []
    for body in (first, second, first, second):
        path = "register" if len(ids) < 2 else "login"
        sent = body if len(ids) < 2 else {name: body[name] for name in ("email", "password")}
        made = await world.call("POST", f"/v1/auth/{path}", json=sent)
        me = await world.call("GET", "/v1/me", token=made.body["access_token"])
        assert body["name"] == me.body["name"]
        ids.append(me.body["id"])
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


async def test_change_oneself(world: World) -> None:
    """Name and language change alone or together; nothing else of an account does."""
    made = await world.call("POST", "/v1/auth/register", json=account())
    token = made.body["access_token"]
    changes: tuple[tuple[dict[str, str], str, str | None], ...] = (
        ({"name": " Ann "}, "Ann", None),
        ({"language": "pt-BR"}, "Ann", "pt-BR"),
        ({}, "Ann", "pt-BR"),
        ({"name": "Zo\u00eb", "language": "de"}, "Zo\u00eb", "de"),
    )
    for change, name, language in changes:
        told = await world.call("PATCH", "/v1/me", token=token, json=change)
        assert (200, name, language) == (told.status, told.body["name"], told.body["language"])
    before = await world.state()
    for bad, pointer in (
        ({"language": "d"}, "/language"),
        ({"language": "de\nen"}, "/language"),
        ({"name": ""}, "/name"),
        ({"email": "a@b.org"}, "/email"),
        ({"role": "admin"}, "/role"),
        ({"email_verified": True}, "/email_verified"),
    ):
        answer = await world.call("PATCH", "/v1/me", token=token, json=bad)
        check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


async def test_s6_old_hashes_are_made_anew(world: World) -> None:
    """S6: a login with a hash of weaker parameters leaves one of today's, and ends nothing."""
    body = account(password="p\u00e4ssw\u00f6rt hier")
    made = await world.call("POST", "/v1/auth/register", json=body)
    for typed in (body["password"], "pa\u0308sswo\u0308rt hier"):
        weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(typed)
        await world.database.execute(
            "UPDATE users SET password_hash = $2 WHERE email = $1", body["email"], weak
        )
        login = {"email": body["email"], "password": typed}
        assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status
        row = await users.by_email(world.database, [body["email"]])
        assert row is not None
        assert extract_parameters(row.password_hash).memory_cost >= 19 * 1024
        assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status
    me = await world.call("GET", "/v1/me", token=made.body["access_token"])
    assert 200 == me.status


async def test_s7_wrong_password_and_unknown_address_look_the_same(world: World) -> None:
    """S7: who tries cannot tell which of the two was wrong."""
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
async def test_s10_s18_bad_accounts(world: World, change: dict[str, Any], pointer: str) -> None:
    """S10, S18: an account that cannot be is refused by its field; nobody makes himself admin."""
    before = await world.state()
    answer = await world.call("POST", "/v1/auth/register", json=account(**change))
    check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


async def test_s6_password_hashes(world: World) -> None:
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
async def test_s9_role_that_may_not(world: World, role: str) -> None:
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
