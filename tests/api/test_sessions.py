"""Sessions: refresh tokens used once, seen and ended; what is over, at every door."""

from __future__ import annotations

import asyncio
import base64
import string
from typing import Any

import jwt
import pytest
import structlog

from store import sessions as rows
from store import users
from tests.api.test_accounts import PASSWORD, account
from tests.api.world import JWT_SECRET, Answer, Event, Serve, World, check_problem, new_event
from usecases.sessions import PREFIX, device_name

#: How long it is looked whether a token is over: within a second, and the machine's own time.
OVER_WITHIN_S = 10


async def signed_up(world: World, **headers: str) -> dict[str, Any]:
    """Make an account; return its first session, with address and id of the account."""
    body = account()
    made = await world.call("POST", "/v1/auth/register", json=body, headers=headers)
    assert 201 == made.status, made.text
    me = await world.call("GET", "/v1/me", token=made.body["access_token"])
    return dict(made.body) | {"email": body["email"], "user_id": me.body["id"]}


async def logged_in(world: World, session: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Log in once more."""
    login = {"email": session["email"], "password": PASSWORD}
    made = await world.call("POST", "/v1/auth/login", json=login, headers=headers)
    assert 200 == made.status, made.text
    return session | dict(made.body)


async def refresh(world: World, token: str, key: str | None = None) -> Answer:
    """Exchange a refresh token."""
    return await world.call("POST", "/v1/auth/refresh", json={"refresh_token": token}, key=key)


async def is_let_in(world: World, token: str) -> bool:
    """Tell whether an access token is good, on the way of all requests."""
    answer = await world.call("GET", "/v1/me/sessions", token=token)
    assert answer.status in {200, 401}, answer.text
    return answer.status == 200


async def is_over_everywhere(world: World, event: Event, token: str) -> None:
    """Wait until a token is over at a process, on its fast lane and beside it."""
    async with asyncio.timeout(OVER_WITHIN_S):
        while await is_let_in(world, token):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    refused = await world.book(event, token, key="over")
    check_problem(refused, 401, "unauthorized", "/headers/Authorization")
    for body in (refused.body, (await world.call("GET", "/v1/bookings", token=token)).body):
        assert "unauthorized" == body["code"]


async def test_s5_refresh_rotates(world: World) -> None:
    """S5: each refresh token is good once; the session and its end go on."""
    first = await signed_up(world)
    second = await refresh(world, first["refresh_token"])
    assert 200 == second.status, second.text
    assert "private, no-store" == second.headers["Cache-Control"]
    assert first["session_id"] == second.body["session_id"]
    assert first["refresh_token"] != second.body["refresh_token"]
    third = await refresh(world, second.body["refresh_token"])
    for one in (first, second.body, third.body):
        assert await is_let_in(world, one["access_token"])


@pytest.mark.parametrize("age", [1, 3])
async def test_s5_reuse_ends_the_family(world: World, event: Event, age: int) -> None:
    """S5: a refresh token that comes again ends its session, newest tokens and all."""
    first = await signed_up(world)
    other = await logged_in(world, first)
    tokens, newest = [first["refresh_token"]], first
    for _ in range(age):
        newest = (await refresh(world, tokens[-1])).body
        tokens.append(newest["refresh_token"])
    with structlog.testing.capture_logs() as logs:
        check_problem(await refresh(world, tokens[0]), 401, "session_over")
    assert "session_copied" in [line["action"] for line in logs]
    check_problem(await refresh(world, tokens[-1]), 401, "session_over")
    await is_over_everywhere(world, event, newest["access_token"])
    assert 200 == (await refresh(world, other["refresh_token"])).status
    told = await world.database.fetchval(
        "SELECT payload ->> 'session_id' FROM outbox "
        "WHERE user_id = $1 AND kind = 'account.session_copied'",
        first["user_id"],
    )
    assert first["session_id"] == told


async def test_s5_two_at_once_end_the_family(world: World) -> None:
    """S5: of some who send one token at the same moment one gets the next, worth nothing."""
    first = await signed_up(world)
    answers = await asyncio.gather(*(refresh(world, first["refresh_token"]) for _ in range(5)))
    assert [200] == [one.status for one in answers if one.status != 401]
    [got] = [one for one in answers if one.status == 200]
    check_problem(await refresh(world, got.body["refresh_token"]), 401, "session_over")


async def test_f72_the_same_request_gets_the_same_token(world: World) -> None:
    """F72: with its key, a refresh whose answer was lost gets it again, until that is used."""
    first = await signed_up(world)
    second = await refresh(world, first["refresh_token"], "key-1")
    for _ in range(2):
        again = await refresh(world, first["refresh_token"], "key-1")
        assert (200, second.body["refresh_token"]) == (again.status, again.body["refresh_token"])
        assert await is_let_in(world, again.body["access_token"])
    third = await refresh(world, second.body["refresh_token"], "key-2")
    assert 200 == third.status
    check_problem(await refresh(world, first["refresh_token"], "key-1"), 401, "session_over")
    check_problem(await refresh(world, third.body["refresh_token"]), 401, "session_over")


async def test_f72_another_key_is_another_request(world: World) -> None:
    """F72: who has the token but not the key of the exchange is no repetition."""
    first = await signed_up(world)
    second = await refresh(world, first["refresh_token"], "key-1")
    check_problem(await refresh(world, first["refresh_token"], "key-2"), 401, "session_over")
    check_problem(await refresh(world, second.body["refresh_token"]), 401, "session_over")


async def test_s5_what_is_no_refresh_token(world: World) -> None:
    """S5: guesses, other kinds and other spellings are refused, and end nobody's session."""
    first = await signed_up(world)
    token, access = first["refresh_token"], first["access_token"]
    # Of 43 letters the last has two bits that say nothing.
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    spelled = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    assert len(token) == len(PREFIX) + 43
    others = (access[:100], PREFIX, PREFIX + "A" * 43, token[4:], token + "=", "\u00fc" * 47)
    for bad in (spelled, *others):
        check_problem(await refresh(world, bad), 401, "session_over")
    check_problem(await world.call("GET", "/v1/me", token=token), 401, "unauthorized")
    assert 200 == (await refresh(world, token)).status


async def test_s5_no_secret_is_kept(world: World) -> None:
    """S5, S28: neither part of a refresh token stands in the database."""
    first = await signed_up(world)
    second = (await refresh(world, first["refresh_token"])).body
    raw = base64.urlsafe_b64decode(second["refresh_token"][len(PREFIX) :] + "=")
    rows_text = await world.database.fetchval(
        "SELECT string_agg(s::text, '') FROM sessions s WHERE user_id = $1", first["user_id"]
    )
    for part in (raw[:16], raw[16:]):
        assert part.hex() not in rows_text
    assert rows.digest(raw[16:]).hex() in rows_text


async def test_a_session_ends_by_itself(world: World, serve: Serve) -> None:
    """Unused for its time it is over; used, it lasts longer, and no longer than it may at all."""
    async with serve(session_idle_s=86_400, session_life_max_s=100_000) as other:
        first = await signed_up(other)
        assert 86_300 < first["refresh_expires_in"] <= 86_400
        await world.database.execute(
            "UPDATE sessions SET opened_at = opened_at - interval '1 day', "
            "expires_at = expires_at - interval '1 hour' WHERE id = $1",
            first["session_id"],
        )
        second = (await refresh(other, first["refresh_token"])).body
        assert 13_500 < second["refresh_expires_in"] <= 13_600
        await world.database.execute(
            "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1",
            first["session_id"],
        )
        check_problem(await refresh(other, second["refresh_token"]), 401, "session_over")
        told = "SELECT count(*) FROM outbox WHERE user_id = $1 AND kind = 'account.session_copied'"
        assert 0 == await world.database.fetchval(told, first["user_id"])


async def test_sessions_are_seen_and_ended(world: World, event: Event) -> None:
    """One sees where one is signed in, by what the device says, and ends one or all others."""
    agent = {"User-Agent": "Mozilla/5.0 (X11; Linux)"}
    first = await signed_up(world, **agent)
    second, third = await logged_in(world, first), await logged_in(world, first)
    listed = await world.call("GET", "/v1/me/sessions", token=second["access_token"])
    seen = listed.body["data"]
    assert [third["session_id"], second["session_id"], first["session_id"]] == [
        one["id"] for one in seen
    ]
    assert [False, True, False] == [one["is_current"] for one in seen]
    assert ("password", agent["User-Agent"]) == (seen[2]["method"], seen[2]["device"])
    path = f"/v1/me/sessions/{third['session_id']}"
    stranger = (await signed_up(world))["access_token"]
    before = await world.state()
    for own, path_of in ((stranger, path), (second["access_token"], "/v1/me/sessions/ses_x")):
        check_problem(await world.call("DELETE", path_of, token=own), 404, "not_found")
    assert before == await world.state()
    assert 204 == (await world.call("DELETE", path, token=second["access_token"])).status
    check_problem(await world.call("DELETE", path, token=second["access_token"]), 404, "not_found")
    await is_over_everywhere(world, event, third["access_token"])
    check_problem(await refresh(world, third["refresh_token"]), 401, "session_over")
    fourth = await logged_in(world, first)
    for _ in range(2):
        ended = await world.call("DELETE", "/v1/me/sessions", token=second["access_token"])
        assert 204 == ended.status
    for one in (first, fourth):
        await is_over_everywhere(world, event, one["access_token"])
    assert await is_let_in(world, second["access_token"])
    assert 200 == (await refresh(world, second["refresh_token"])).status


async def test_sessions_of_an_account_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than there may be ends the one that was unused for longest."""
    monkeypatch.setattr(rows, "SESSIONS_MAX", 3)
    made = [await signed_up(world)]
    for _ in range(3):
        made.append(await logged_in(world, made[0]))
    listed = await world.call("GET", "/v1/me/sessions", token=made[-1]["access_token"])
    assert [one["session_id"] for one in reversed(made[1:])] == [
        one["id"] for one in listed.body["data"]
    ]
    check_problem(await refresh(world, made[0]["refresh_token"]), 401, "session_over")


async def test_a_new_device_is_told(world: World) -> None:
    """Who signs in from a device that the account has no session of is told to its owner."""
    first = await signed_up(world, **{"User-Agent": "one"})
    for agent in ("one", "two", "two"):
        await logged_in(world, first, **{"User-Agent": agent})
    told = await world.database.fetch(
        "SELECT payload ->> 'device' AS device FROM outbox "
        "WHERE user_id = $1 AND kind = 'account.signed_in'",
        first["user_id"],
    )
    assert ["two"] == [row["device"] for row in told]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", ""), ("  a\tb\x7f\u00fc c ", "a b c"), ("x" * 500, "x" * 120), ("curl/8.0", "curl/8.0")],
)
def test_device_name(text: str, kept: str) -> None:
    """What a device says of itself is one short line of visible characters."""
    assert kept == device_name(text)


@pytest.mark.parametrize("how", ["access", "refresh"])
async def test_s4_log_out(world: World, serve: Serve, event: Event, how: str) -> None:
    """S4: after logging out neither token is good, at this process or another, however encoded."""
    async with serve() as other:
        session = await signed_up(world)
        token = session["access_token"]
        stays = await logged_in(world, session)
        assert await is_let_in(other, token)
        if how == "access":
            done = await world.call("POST", "/v1/auth/logout", token=token)
        else:
            body = {"refresh_token": session["refresh_token"]}
            done = await world.call("POST", "/v1/auth/logout", json=body)
        assert 204 == done.status, done.text
        assert not await is_let_in(world, token), "known at once where it was done"
        claims = jwt.decode(token, JWT_SECRET, algorithms=["HS256"], audience="evently-api")
        header = {"typ": "JWT", "x": "other"}
        again = jwt.encode(claims, JWT_SECRET, algorithm="HS256", headers=header)
        for process in (world, other):
            await is_over_everywhere(process, event, token)
            await is_over_everywhere(process, event, again)
            assert await is_let_in(process, stays["access_token"])
        check_problem(await refresh(other, session["refresh_token"]), 401, "session_over")


async def test_log_out_of_nothing(world: World) -> None:
    """Without a token there is nothing to end; an unknown refresh token is as good as ended."""
    check_problem(await world.call("POST", "/v1/auth/logout"), 401, "session_over")
    sent = {"refresh_token": PREFIX + "A" * 43}
    assert 204 == (await world.call("POST", "/v1/auth/logout", json=sent)).status


async def test_s4_token_of_no_session(world: World, event: Event) -> None:
    """S4: a token of older code lets in until its end, or until its account's version moves."""
    session = await signed_up(world)
    old = world.token(session["user_id"])
    assert {"sid", "ver"}.isdisjoint(jwt.decode(old, options={"verify_signature": False}))
    assert await is_let_in(world, old)
    assert 204 == (await world.call("POST", "/v1/auth/logout", token=old)).status
    await is_over_everywhere(world, event, old)
    await is_over_everywhere(world, event, session["access_token"])
    fresh = await refresh(world, session["refresh_token"])
    assert await is_let_in(world, fresh.body["access_token"])


async def test_s4_change_of_password(world: World, serve: Serve, event: Event) -> None:
    """S4: a new password ends all sessions and access tokens, here and elsewhere; it lets in."""
    async with serve() as other:
        first = await signed_up(world)
        second = await logged_in(world, first)
        change = {"current_password": PASSWORD, "new_password": "battery staple"}
        wrong = change | {"current_password": "wrong"}
        path, token = "/v1/me/password", first["access_token"]
        before = await world.state()
        refused = await world.call("POST", path, token=token, json=wrong)
        check_problem(refused, 401, "wrong_credentials", "/current_password")
        short = await world.call("POST", path, token=token, json=change | {"new_password": "x"})
        check_problem(short, 422, "invalid", "/new_password")
        assert before == await world.state()
        made = await world.call("POST", path, token=token, json=change)
        assert 200 == made.status, made.text
        for process in (world, other):
            for one in (first, second):
                await is_over_everywhere(process, event, one["access_token"])
            assert await is_let_in(process, made.body["access_token"])
        for one in (first, second):
            check_problem(await refresh(world, one["refresh_token"]), 401, "session_over")
        for password, status in ((PASSWORD, 401), ("battery staple", 200)):
            login = {"email": first["email"], "password": password}
            assert status == (await world.call("POST", "/v1/auth/login", json=login)).status


async def test_s4_deleted_account(world: World, serve: Serve, event: Event) -> None:
    """S4: the token of an account that is deleted, by whatever hand, books nowhere any more."""
    async with serve() as other:
        session = await signed_up(world)
        token = session["access_token"]
        booked = await other.book(event, token, key="before")
        assert 201 == booked.status
        await world.settle()
        await world.database.execute("DELETE FROM users WHERE id = $1", session["user_id"])
        for process in (world, other):
            await is_over_everywhere(process, event, token)
            await is_over_everywhere(process, event, process.token(session["user_id"]))
        check_problem(await refresh(world, session["refresh_token"]), 401, "session_over")


async def test_s4_demoted_organizer(world: World, serve: Serve, event: Event) -> None:
    """S4: who is made less makes no event, and what is signed in goes on as it is."""
    async with serve() as other:
        session = await signed_up(world)
        promote = "UPDATE users SET role = $2::text::user_role, organizer_id = $3 WHERE id = $1"
        own = session["user_id"]
        await world.database.execute(promote, own, "organizer", event["organizer_id"])
        boss = (await refresh(world, session["refresh_token"])).body
        made = await other.draft(boss["access_token"], 5)
        assert event["organizer_id"] == made["organizer_id"]
        await world.database.execute(promote, own, "user", None)
        for process in (world, other):
            await is_over_everywhere(process, event, boss["access_token"])
            refused = await process.call("POST", "/v1/events", token=boss["access_token"], json={})
            check_problem(refused, 401, "unauthorized", "/headers/Authorization")
        plain = (await refresh(world, boss["refresh_token"])).body
        asked, token = new_event(5), plain["access_token"]
        # Of this process, which has not asked yet what they are: it knows that for a second.
        answer = await world.call("POST", "/v1/events", token=token, json=asked)
        check_problem(answer, 403, "forbidden")


async def test_s4_admin_with_a_new_password(world: World, event: Event) -> None:
    """S4: the command that gives an admin a new password ends what is signed in."""
    session = await signed_up(world)
    await world.database.execute(
        "UPDATE users SET role = 'admin' WHERE id = $1", session["user_id"]
    )
    admin = (await refresh(world, session["refresh_token"])).body
    done = await users.set_admin_password(
        world.database, [session["email"]], password_hash="$argon2id$x"
    )
    assert session["user_id"] == done
    await is_over_everywhere(world, event, admin["access_token"])
    check_problem(await refresh(world, admin["refresh_token"]), 401, "session_over")


async def test_login_races_a_new_password(world: World) -> None:
    """Who proved the old password just before it was changed gets no session by it."""
    session = await signed_up(world)
    user = await users.by_id(world.database, session["user_id"])
    assert user is not None
    await users.end_tokens(world.database, user.id)
    new = rows.New(user.id, rows.Secrets(b"f" * 16, b"o" * 16), "password", "", rows.Life(60, 60))
    assert None is await rows.add(world.database, new, version=user.token_version)
    assert None is not await rows.add(world.database, new, version=user.token_version + 1)


async def test_s6_three_hundred_logins_at_once(world: World, serve: Serve, event: Event) -> None:
    """S6: so many as may wait are served, the rest told at once to come back, and sales go on."""
    async with serve(password_hashes_max=1, passwords_waiting_max=20) as other:
        session = await signed_up(other)
        login = {"email": session["email"], "password": PASSWORD}
        asked = [
            asyncio.create_task(other.call("POST", "/v1/auth/login", json=login))
            for _ in range(300)
        ]
        assert 201 == (await other.book(event, session["access_token"])).status
        answers = await asyncio.gather(*asked)
        assert {200, 503} == {one.status for one in answers}
        for one in answers:
            if one.status == 503:
                check_problem(one, 503, "backpressure")
                assert int(one.headers["Retry-After"]) >= 1
        listed = await other.call("GET", "/v1/me/sessions", token=session["access_token"])
        assert listed.status in {200, 401}, "its own may have been crowded out"
