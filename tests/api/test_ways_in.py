"""S7, S38, S39. Ways in beside the password, and what binds all: accounts, limits, sessions."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.http import SERVICES
from engine.ids import new_id
from evently.operators import operator
from store import operators, ways_in
from tests.api.authenticator import Authenticator
from tests.api.keepers import keeper, new_organizer
from tests.api.provider import TwistedProvider, begun, ended
from tests.api.test_accounts import PASSWORD, account
from tests.api.test_letters import forget, prove, reset
from tests.api.test_passkeys import MINE, added
from tests.api.test_passkeys import signed_in as by_passkey
from tests.api.test_sessions import is_let_in, logged_in, refresh, signed_up
from tests.api.test_sign_in_limit import LIMIT, login, some_origin
from tests.api.world import Answer, Serve, World, check_problem, new_event

IDENTITIES = "/v1/me/identities"
ISSUER = "https://id.example"


@pytest.fixture
async def known(provider: TwistedProvider, serve: Serve) -> AsyncIterator[World]:
    """Serve an application that knows the provider."""
    async with serve(**provider.options()) as world:
        yield world


@pytest.fixture
async def limited(provider: TwistedProvider, serve: Serve) -> AsyncIterator[World]:
    """Serve one that also limits what is missed."""
    async with serve(**provider.options(), **LIMIT) as world:
        yield world


async def by_provider(
    world: World, provider: TwistedProvider, origin: str = "", **changes: str
) -> Answer:
    """Sign in by the provider."""
    begin = await begun(world)
    back = provider.consent(begin["authorization_url"]) | changes
    headers = {"X-Forwarded-For": origin} if origin else None
    return await ended(world, begin["flow"], back, headers=headers)


async def joined(world: World, provider: TwistedProvider, token: str) -> Answer:
    """Join the provider's identity to an account."""
    path = f"{IDENTITIES}/mock"
    begin = await begun(world, path, token=token)
    back = provider.consent(begin["authorization_url"])
    return await ended(world, begin["flow"], back, path, token=token)


async def from_place(world: World, device: Authenticator, origin: str, **twists: Any) -> Answer:
    """Sign in by a passkey by way of the proxy."""
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    body = {"flow": flow["flow"], "credential": device.get(flow["options"], **twists)}
    headers = {"X-Forwarded-For": origin}
    return await world.call("POST", "/v1/auth/passkeys/finish", json=body, headers=headers)


def address(provider: TwistedProvider) -> str:
    """Return the address that the provider vouches for."""
    return str(provider.claims["email"])


async def has_ways_in(world: World, token: str) -> tuple[int, int]:
    """Return how many identities and passkeys an account has."""
    lists = [await world.call("GET", path, token=token) for path in (IDENTITIES, MINE)]
    return len(lists[0].body["data"]), len(lists[1].body["data"])


async def test_s38_a_disabled_account_is_had_by_nothing(
    known: World, provider: TwistedProvider
) -> None:
    """S38, S39: who is kept out signs in by no way, and gets no new one by an address."""
    email, device = address(provider), Authenticator()
    session = (await known.call("POST", "/v1/auth/register", json=account(email=email))).body
    user_id = await known.prove(email)
    assert 201 == (await added(known, session["access_token"], device)).status
    await operators.set_disabled(known.database, operator(), user_id, is_disabled=True)
    for answer in (await by_provider(known, provider), await by_passkey(known, device)):
        check_problem(answer, 403, "account_disabled")
    assert [] == await ways_in.identities(known.database, user_id)
    await operators.set_disabled(known.database, operator(), user_id, is_disabled=False)
    assert 200 == (await by_provider(known, provider)).status
    await operators.set_disabled(known.database, operator(), user_id, is_disabled=True)
    check_problem(await by_provider(known, provider), 403, "account_disabled")
    count = "SELECT count(*) FROM sessions WHERE user_id = $1"
    assert 0 == await known.database.fetchval(count, user_id)


async def test_s38_a_claim_is_not_taken_over(known: World, provider: TwistedProvider) -> None:
    """S7, S38: an address that somebody only claims leads to no account of theirs."""
    email = address(provider)
    owner = (await known.call("POST", "/v1/auth/register", json=account(email=email))).body
    claim = (await known.call("POST", "/v1/auth/register", json=account(email=email))).body
    check_problem(await by_provider(known, provider), 409, "link_needed")
    # Nobody has the address any more, and one claims it.
    await known.database.execute(
        "DELETE FROM users WHERE id = (SELECT user_id FROM sessions WHERE id = $1)",
        owner["session_id"],
    )
    check_problem(await by_provider(known, provider), 409, "link_needed")
    assert (0, 0) == await has_ways_in(known, claim["access_token"])
    token = await known.letter(email, "account.verify")
    assert 200 == (await prove(known, claim, token)).status
    entered = await by_provider(known, provider)
    me = await known.call("GET", "/v1/me", token=entered.body["access_token"])
    assert me.body == (await known.call("GET", "/v1/me", token=claim["access_token"])).body


@pytest.mark.parametrize("is_proved", [False, True])
async def test_s38_a_reset_takes_a_stranger_s_ways_in(
    known: World, provider: TwistedProvider, is_proved: bool
) -> None:
    """S38, S39: what signs in from before the address was proved goes by a reset; else it stays."""
    session, device = await signed_up(known), Authenticator()
    token, email = session["access_token"], session["email"]
    assert 201 == (await added(known, token, device)).status
    assert 201 == (await joined(known, provider, token)).status
    if is_proved:
        await known.prove(email)
    begin = (await known.call("POST", f"{MINE}/begin", token=token)).body
    await forget(known, email)
    assert 204 == (await reset(known, await known.letter(email, "account.reset"))).status
    body = {"email": email, "password": "battery staple"}
    own = (await known.call("POST", "/v1/auth/login", json=body)).body["access_token"]
    assert ((1, 1) if is_proved else (0, 0)) == await has_ways_in(known, own)
    status = (await by_passkey(known, device)).status
    assert (200 if is_proved else 401) == status
    # What was begun before the reset makes nothing after it.
    made = Authenticator().create(begin["options"])
    late = {"flow": begin["flow"], "name": "x", "credential": made}
    answer = await known.call("POST", MINE, token=token, json=late)
    # The process may not have heard yet that the token is over; PostgreSQL knows.
    assert answer.status in {401, 409}
    assert ((1, 1) if is_proved else (0, 0)) == await has_ways_in(known, own)


async def test_s39_a_way_in_of_a_proof_that_is_over(known: World) -> None:
    """S39: whatever a process still believes, an older token's owner adds nothing."""
    session = await signed_up(known)
    words: dict[str, Any] = {"user_id": session["user_id"], "issuer": ISSUER, "email": ""}
    await known.database.execute(
        "UPDATE users SET token_version = token_version + 1 WHERE id = $1", session["user_id"]
    )
    database = known.database
    words["subject"] = secrets.token_hex(8)
    assert None is await ways_in.add_identity(database, version=0, **words)
    assert await ways_in.add_identity(database, version=1, **words)


async def test_s38_joined_by_itself_to_a_buyer_alone(known: World) -> None:
    """S38: that both sides verified the address, and whose it is, counts when it is joined."""
    session, database = await signed_up(known), known.database
    user_id = session["user_id"]
    words: dict[str, Any] = {"user_id": user_id, "issuer": ISSUER, "email": session["email"]}

    async def join() -> bool:
        subject = secrets.token_hex(8)
        made = await ways_in.add_identity(database, subject=subject, by_address=True, **words)
        return made is not None

    assert not await join()
    await known.prove(session["email"])
    assert await join()
    for change in (
        "UPDATE users SET role = 'admin' WHERE id = $1",
        "UPDATE users SET is_claim = true WHERE id = $1",
        "UPDATE users SET disabled_at = now() WHERE id = $1",
        "UPDATE users SET token_version = 1 WHERE id = $1",
    ):
        await database.execute(change, user_id)
        assert not await join(), change
        await database.execute(
            "UPDATE users SET role = 'user', is_claim = false, disabled_at = NULL WHERE id = $1",
            user_id,
        )
        await database.execute("UPDATE users SET token_version = 0 WHERE id = $1", user_id)
        assert await join()


async def test_s39_ways_in_that_come_and_go_are_told(
    known: World, provider: TwistedProvider
) -> None:
    """S38, S39: an account's owner is told of each way in that comes or goes."""
    session = await signed_up(known)
    token, device = session["access_token"], Authenticator()
    passkey = await added(known, token, device, "Blue key")
    identity = await joined(known, provider, token)
    again = await joined(known, provider, token)
    assert [201, 201, 201] == [answer.status for answer in (passkey, identity, again)]
    for path in (f"{MINE}/{passkey.body['id']}", f"{IDENTITIES}/{identity.body['id']}"):
        assert 204 == (await known.call("DELETE", path, token=token)).status
    rows = await known.database.fetch(
        "SELECT kind, payload::text FROM outbox WHERE user_id = $1 AND kind <> 'account.verify'"
        " ORDER BY id",
        session["user_id"],
    )
    assert [
        ("account.passkey_added", '{"name": "Blue key"}'),
        ("account.identity_added", f'{{"issuer": "{provider.issuer}"}}'),
        ("account.passkey_removed", "{}"),
        ("account.identity_removed", "{}"),
    ] == [tuple(row) for row in rows]


ACTS = "SELECT act, subject FROM acts WHERE actor = $1 ORDER BY id"


async def test_s42_ways_in_of_keepers_are_noted(known: World, provider: TwistedProvider) -> None:
    """S42: what comes to a keeper's ways in, and what goes, is noted; a buyer's is their own."""
    house = await new_organizer(known)
    for role in ("admin", "user"):
        session = await signed_up(known)
        who = session["user_id"]
        if role == "admin":
            await operators.set_role(known.database, operator(), who, "admin", house)
        token = (await logged_in(known, session))["access_token"]
        passkey = await added(known, token, Authenticator())
        identity = await joined(known, provider, token)
        ids = [passkey.body["id"], identity.body["id"]]
        for path in (f"{MINE}/{ids[0]}", f"{IDENTITIES}/{ids[1]}"):
            assert 204 == (await known.call("DELETE", path, token=token)).status
        come_and_go = [
            ("account.passkey_added", ids[0]),
            ("account.identity_added", ids[1]),
            ("account.passkey_removed", ids[0]),
            ("account.identity_removed", ids[1]),
        ]
        rows = [tuple(row) for row in await known.database.fetch(ACTS, who)]
        assert (come_and_go if role == "admin" else []) == rows


async def test_s42_first_passkey_of_an_admin_is_noted(serve: Serve) -> None:
    """S42: whose rights wait for a passkey is no buyer; what they make is noted, or not made."""
    async with serve(admin_passkeys="required") as world:
        session = await signed_up(world)
        who, house = session["user_id"], await new_organizer(world)
        await operators.set_role(world.database, operator(), who, "admin", house)
        token = (await logged_in(world, session))["access_token"]
        made = await added(world, token, Authenticator())
        assert 201 == made.status, made.text
        rows = [tuple(row) for row in await world.database.fetch(ACTS, who)]
        assert [("account.passkey_added", made.body["id"])] == rows


async def test_s42_what_a_reset_takes_from_keepers_is_noted(known: World) -> None:
    """S42: ways in that a reset drops, since nobody had proved the address, are noted."""
    for role in ("admin", "user"):
        session = await signed_up(known)
        email, who = session["email"], session["user_id"]
        assert 201 == (await added(known, session["access_token"], Authenticator())).status
        if role == "admin":
            house = await new_organizer(known)
            await operators.set_role(known.database, operator(), who, "admin", house)
        await forget(known, email)
        assert 204 == (await reset(known, await known.letter(email, "account.reset"))).status
        rows = [tuple(row) for row in await known.database.fetch(ACTS, who)]
        assert ([("account.ways_in_dropped", who)] if role == "admin" else []) == rows


async def test_s38_s39_sessions_are_the_house_s(known: World, provider: TwistedProvider) -> None:
    """S5: a session by any way is renewed, seen and ended like all, and its age is not renewed."""
    device, check = Authenticator(), known.client.app[SERVICES].tokens.check
    first = (await by_provider(known, provider)).body
    assert 201 == (await added(known, first["access_token"], device)).status
    second = (await by_passkey(known, device)).body
    past_s = int(time.time()) - 3_600
    await known.database.execute(
        "UPDATE sessions SET opened_at = to_timestamp($1) WHERE id = ANY ($2)",
        past_s,
        [first["session_id"], second["session_id"]],
    )
    for session, method in ((first, "openid"), (second, "passkey")):
        person = check(session["access_token"])
        assert (method, session["session_id"]) == (person.method, person.session_id)
        assert abs(person.signed_in_s - time.time()) < 60
        renewed = (await refresh(known, session["refresh_token"])).body
        person = check(renewed["access_token"])
        assert (method, past_s) == (person.method, person.signed_in_s)
        answer = await known.call("POST", f"{MINE}/begin", token=renewed["access_token"])
        check_problem(answer, 403, "sign_in_again")
    listed = await known.call("GET", "/v1/me/sessions", token=second["access_token"])
    assert {"openid", "passkey"} == {row["method"] for row in listed.body["data"]}
    path = f"/v1/me/sessions/{first['session_id']}"
    assert 204 == (await known.call("DELETE", path, token=second["access_token"])).status
    assert not await is_let_in(known, first["access_token"])


async def test_s7_misses_of_any_way_count_by_address(
    limited: World, provider: TwistedProvider
) -> None:
    """S7, S38, S39: five may be missed from an address, by whatever way; then nobody is let in."""
    session, device, origin = await signed_up(limited), Authenticator(), some_origin()
    assert 201 == (await added(limited, session["access_token"], device)).status
    misses = [await by_provider(limited, provider, origin, code="made-up") for _ in range(2)]
    misses += [await from_place(limited, device, origin, frame=True) for _ in range(2)]
    misses.append(await login(limited, session["email"], origin))
    assert [401] * 5 == [answer.status for answer in misses]
    for answer in (
        await by_provider(limited, provider, origin),
        await from_place(limited, device, origin),
        await login(limited, session["email"], origin, PASSWORD),
    ):
        check_problem(answer, 429, "rate_limited")
        assert answer.headers["RateLimit-Policy"].startswith('"sign-in";q=5;')
    other = some_origin()
    assert 200 == (await from_place(limited, device, other)).status
    assert 200 == (await by_provider(limited, provider, other)).status


async def test_s7_what_is_no_miss_does_not_count(limited: World, provider: TwistedProvider) -> None:
    """S7, S38: who declines at the provider, or whose provider is away, has missed nothing."""
    origin = some_origin()
    for _ in range(6):
        answer = await by_provider(limited, provider, origin, error="access_denied")
        check_problem(answer, 401, "sign_in_refused")
    assert 200 == (await by_provider(limited, provider, origin)).status


async def test_s7_strangers_lock_nobody_out_of_their_passkey(
    limited: World, provider: TwistedProvider
) -> None:
    """S7: however often a password is missed, other proofs count from anywhere, and at home."""
    session, device, home = await signed_up(limited), Authenticator(), some_origin()
    email = session["email"]
    assert 201 == (await added(limited, session["access_token"], device)).status
    assert 201 == (await joined(limited, provider, session["access_token"])).status
    for _ in range(6):
        await login(limited, email, some_origin())
    check_problem(await login(limited, email, home, PASSWORD), 429, "rate_limited")
    assert 200 == (await from_place(limited, device, home)).status
    assert 200 == (await by_provider(limited, provider, some_origin())).status
    # Where a passkey has signed in, the password does as well: it is at home there.
    assert 200 == (await login(limited, email, home, PASSWORD)).status
    # A neighbour behind the same address misses on; who is at home there is let in.
    for _ in range(6):
        await login(limited, f"{secrets.token_hex(8)}@example.org", home)
    assert 200 == (await from_place(limited, device, home)).status
    stranger = Authenticator()
    own = (await signed_up(limited))["access_token"]
    assert 201 == (await added(limited, own, stranger)).status
    check_problem(await from_place(limited, stranger, home), 429, "rate_limited")


async def test_s39_an_admin_by_the_row_needs_the_passkey(serve: Serve) -> None:
    """S39: whoever is made an admin has its rights by a passkey alone, whatever the token says."""
    async with serve(admin_passkeys="required") as world:
        organizer_id = await new_organizer(world)
        session, device = await signed_up(world), Authenticator()
        token = session["access_token"]
        assert 201 == (await added(world, token, device)).status
        by_device = (await by_passkey(world, device)).body["access_token"]
        await world.database.execute(
            "UPDATE users SET role = 'admin' WHERE id = $1", session["user_id"]
        )
        world.client.app[SERVICES].standings.forget(session["user_id"])
        team = f"/v1/organizers/{organizer_id}"
        made = await world.call("POST", f"{team}/events", token=by_device, json=new_event())
        draft = f"/v1/events/{made.body['id']}"
        for method, path, body in (
            ("GET", "/v1/admin/users", None),
            ("POST", "/v1/events", new_event()),
            ("GET", team, None),
            ("GET", f"/v1/organizers/{new_id('org')}", None),
            ("GET", draft, None),
            ("GET", f"{team}/events", None),
            ("GET", f"{team}/members", None),
            ("PATCH", team, {"name": "Other"}),
            ("POST", f"{MINE}/begin", None),
        ):
            answer = await world.call(method, path, token=token, json=body)
            check_problem(answer, 403, "passkey_required")
        for path in (team, draft):
            assert 200 == (await world.call("GET", path, token=by_device)).status
            check_problem(await world.call("GET", path, token=world.token()), 404, "not_found")
        [own] = (await world.call("GET", MINE, token=token)).body["data"]
        assert 200 == (await world.call("GET", "/v1/admin/users", token=by_device)).status
        renamed = await world.call("PATCH", team, token=by_device, json={"name": "Other"})
        assert 200 == renamed.status, renamed.text
        # The last one stays, though the token of before it says that a buyer asks.
        removal = await world.call("DELETE", f"{MINE}/{own['id']}", token=by_device)
        check_problem(removal, 409, "last_way_in")


async def test_s39_a_password_alone_takes_no_admin_s_account(serve: Serve) -> None:
    """S39: nor does who knows the password change an account that must sign in by a passkey."""
    async with serve(admin_passkeys="required") as world:
        session, device = await signed_up(world), Authenticator()
        assert 201 == (await added(world, session["access_token"], device)).status
        await world.database.execute(
            "UPDATE users SET role = 'admin' WHERE id = $1", session["user_id"]
        )
        world.client.app[SERVICES].standings.forget(session["user_id"])
        token = (await logged_in(world, session))["access_token"]
        before = await world.state()
        for method, path, body in (
            ("POST", "/v1/me/email", {"email": "thief@example.org", "password": PASSWORD}),
            ("POST", "/v1/me/password", {"current_password": PASSWORD, "new_password": "x" * 9}),
            ("DELETE", "/v1/me", {"password": PASSWORD}),
        ):
            answer = await world.call(method, path, token=token, json=body)
            check_problem(answer, 403, "passkey_required")
        assert before == await world.state()
        token = (await by_passkey(world, device)).body["access_token"]
        wish = {"email": f"{secrets.token_hex(6)}@example.org"}
        answer = await world.call("POST", "/v1/me/email", token=token, json=wish)
        assert 202 == answer.status, answer.text


async def test_s39_teams_need_no_passkey(serve: Serve) -> None:
    """S39: who is on a team, and no admin, is asked for none."""
    async with serve(admin_passkeys="required") as world:
        organizer_id = await new_organizer(world)
        _, owner = await keeper(world, organizer_id)
        answer = await world.call("GET", f"/v1/organizers/{organizer_id}/members", token=owner)
        assert 200 == answer.status
