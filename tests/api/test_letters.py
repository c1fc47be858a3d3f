"""Letters: what opens something once, for a while, for whoever reads the mail of an address."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from store import links, revocations, users
from tests.api.test_accounts import PASSWORD, account
from tests.api.test_passkeys import old
from tests.api.test_sessions import is_let_in, is_over_everywhere, logged_in, refresh, signed_up
from tests.api.world import Answer, Event, World, check_problem

OTHER = "battery staple"
VERIFY, EMAIL, RESET = "account.verify", "account.email", "account.reset"


async def prove(world: World, session: dict[str, Any], token: str) -> Answer:
    """Send the token of a letter."""
    own = session["access_token"]
    return await world.call("POST", "/v1/me/email/verify", token=own, json={"token": token})


async def reset(world: World, token: str, password: str = OTHER) -> Answer:
    """Choose a password with the token of a letter."""
    sent = {"token": token, "password": password}
    return await world.call("POST", "/v1/auth/password/reset", json=sent)


async def forget(world: World, email: str) -> Answer:
    """Ask for a letter."""
    return await world.call("POST", "/v1/auth/password/forgot", json={"email": email})


async def letters(world: World, email: str) -> list[str]:
    """Return the kinds of the letters to an address, the oldest first."""
    rows = await world.database.fetch(
        "SELECT kind FROM outbox WHERE payload ->> 'to' = $1 ORDER BY id", email
    )
    return [row["kind"] for row in rows]


async def test_an_address_is_proved_once(world: World) -> None:
    """The letter's token proves the address, once, from its account alone."""
    session, stranger = await signed_up(world), await signed_up(world)
    token = await world.letter(session["email"], VERIFY)
    before = await world.state()
    check_problem(await prove(world, stranger, token), 410, "link_over")
    check_problem(await prove(world, session, token[:-1]), 410, "link_over")
    assert before == await world.state()
    done = await prove(world, session, token)
    assert (200, True, session["email"]) == (
        done.status,
        done.body["email_verified"],
        done.body["email"],
    )
    check_problem(await prove(world, session, token), 410, "link_over")
    again = await world.call("POST", "/v1/me/email/verification", token=session["access_token"])
    assert 202 == again.status
    assert [VERIFY] == await letters(world, session["email"]), "a proved address needs no letter"


async def test_a_token_is_good_for_a_while(world: World) -> None:
    """Behind its time it opens nothing, and another letter is written."""
    session = await signed_up(world)
    token = await world.letter(session["email"], VERIFY)
    await world.database.execute(
        "UPDATE account_tokens SET expires_at = now() - interval '1 s', "
        "made_at = now() - interval '1 day' WHERE user_id = $1",
        session["user_id"],
    )
    check_problem(await prove(world, session, token), 410, "link_over")
    await world.call("POST", "/v1/me/email/verification", token=session["access_token"])
    other = await world.letter(session["email"], VERIFY)
    assert token != other
    assert 200 == (await prove(world, session, other)).status


async def test_letters_are_not_multiplied(world: World) -> None:
    """Asked again within a minute, the same letter is not written again, and the first is good."""
    session = await signed_up(world)
    for _ in range(3):
        sent = await world.call("POST", "/v1/me/email/verification", token=session["access_token"])
        assert 202 == sent.status
        assert 202 == (await forget(world, session["email"])).status
    assert [VERIFY, RESET] == await letters(world, session["email"])
    assert 200 == (await prove(world, session, await world.letter(session["email"], VERIFY))).status


async def test_s7_whoever_proves_it_has_the_address(world: World) -> None:
    """S7: who claimed an address first loses it to who proves it, and nobody else's is lost."""
    squatter = await signed_up(world)
    sent = account(email=squatter["email"], password="another password")
    made = await world.call("POST", "/v1/auth/register", json=sent)
    owner = dict(made.body)
    first, second = await world.database.fetch(
        "SELECT payload ->> 'token' AS token FROM outbox WHERE payload ->> 'to' = $1 ORDER BY id",
        squatter["email"],
    )
    # Who reads the mail opens both letters, and has not asked for the first.
    check_problem(await prove(world, owner, first["token"]), 410, "link_over")
    assert 200 == (await prove(world, owner, second["token"])).status
    check_problem(await prove(world, squatter, first["token"]), 410, "link_over")
    found = await users.by_email(world.database, [squatter["email"]])
    assert found is not None
    assert (False, True) == (found.is_claim, found.email_verified_at is not None)
    assert found.id != squatter["user_id"]
    # The squatter has an account still, with nobody's address proved.
    me = await world.call("GET", "/v1/me", token=squatter["access_token"])
    assert (200, False) == (me.status, me.body["email_verified"])
    third = await world.call("POST", "/v1/auth/register", json=sent | {"password": "a third one"})
    assert 201 == third.status
    assert [VERIFY, VERIFY, "account.exists"] == await letters(world, squatter["email"])


@pytest.mark.parametrize("is_proved", [False, True])
async def test_s7_forgotten_password(world: World, event: Event, is_proved: bool) -> None:
    """S7, S4: a letter lets choose a password once; then all that was signed in is over."""
    session = await signed_up(world)
    other = await logged_in(world, session)
    if is_proved:
        await world.prove(session["email"])
    asked = await forget(world, session["email"].upper())
    nobody = await forget(world, f"{secrets.token_hex(6)}@example.org")
    for answer in (asked, nobody):
        assert (202, "") == (answer.status, answer.text)
    assert {name for name in asked.headers if name != "Date"} == {
        name for name in nobody.headers if name != "Date"
    }
    token = await world.letter(session["email"], RESET)
    check_problem(await reset(world, token, "short"), 422, "invalid", "/password")
    check_problem(await reset(world, token + "x"), 410, "link_over")
    assert 204 == (await reset(world, token)).status
    check_problem(await reset(world, token), 410, "link_over")
    for one in (session, other):
        await is_over_everywhere(world, event, one["access_token"])
        check_problem(await refresh(world, one["refresh_token"]), 401, "session_over")
    for password, status in ((PASSWORD, 401), ("battery staple", 200)):
        login = {"email": session["email"], "password": password}
        entered = await world.call("POST", "/v1/auth/login", json=login)
        assert status == entered.status
    me = await world.call("GET", "/v1/me", token=entered.body["access_token"])
    assert me.body["email_verified"]
    assert "account.password_changed" in [
        row["kind"]
        for row in await world.database.fetch(
            "SELECT kind FROM outbox WHERE user_id = $1", session["user_id"]
        )
    ]


async def test_a_proof_is_not_a_reset(world: World) -> None:
    """A letter's token opens what it was written for and nothing else."""
    session = await signed_up(world)
    await forget(world, session["email"])
    proof = await world.letter(session["email"], VERIFY)
    check_problem(await reset(world, proof), 410, "link_over")
    token = await world.letter(session["email"], RESET)
    check_problem(await prove(world, session, token), 410, "link_over")


async def test_another_address(world: World) -> None:
    """An address is one's own once its letter was opened; the one before is told."""
    session = await signed_up(world)
    await world.prove(session["email"])
    new = f"{secrets.token_hex(6)}@example.org"
    path, own = "/v1/me/email", session["access_token"]
    wish = {"email": new, "password": PASSWORD}
    wrong = await world.call("POST", path, token=own, json=wish | {"password": "wrong"})
    check_problem(wrong, 401, "wrong_credentials", "/password")
    assert 202 == (await world.call("POST", path, token=own, json=wish)).status
    me = await world.call("GET", "/v1/me", token=own)
    assert session["email"] == me.body["email"], "nothing has changed yet"
    done = await prove(world, session, await world.letter(new, EMAIL))
    assert (200, new, True) == (done.status, done.body["email"], done.body["email_verified"])
    assert await is_let_in(world, own)
    assert "account.email_changed" == (await letters(world, session["email"]))[-1]
    for email, status in ((session["email"], 401), (new, 200)):
        login = {"email": email, "password": PASSWORD}
        assert status == (await world.call("POST", "/v1/auth/login", json=login)).status


async def test_who_has_no_password(world: World) -> None:
    """Who has none changes their address, and gets a password, soon after a sign-in alone."""
    session = await signed_up(world)
    await world.database.execute(
        "UPDATE users SET has_password = false WHERE id = $1", session["user_id"]
    )
    new = f"{secrets.token_hex(6)}@example.org"
    late, own = await old(world, session["access_token"]), session["access_token"]
    for path, wish in (
        ("/v1/me/email", {"email": new}),
        ("/v1/me/password", {"new_password": OTHER}),
    ):
        answer = await world.call("POST", path, token=late, json=wish)
        check_problem(answer, 403, "sign_in_again")
    me = (await world.call("GET", "/v1/me", token=own)).body
    assert (session["email"], False) == (me["email"], me["has_password"])
    assert 202 == (await world.call("POST", "/v1/me/email", token=own, json={"email": new})).status
    assert new == (await prove(world, session, await world.letter(new, EMAIL))).body["email"]
    wish = {"new_password": OTHER}
    made = await world.call("POST", "/v1/me/password", token=own, json=wish)
    assert 200 == made.status, made.text
    own = made.body["access_token"]
    assert (await world.call("GET", "/v1/me", token=own)).body["has_password"]
    # From then on nobody changes it who does not know it.
    answer = await world.call("POST", "/v1/me/password", token=own, json=wish)
    check_problem(answer, 422, "invalid", "/current_password")
    login = {"email": new, "password": OTHER}
    assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status


async def test_s7_another_address_that_is_taken(world: World) -> None:
    """S7: to ask for an address that is proved another's looks the same, and gets nothing."""
    session, owner = await signed_up(world), await signed_up(world)
    await world.prove(owner["email"])
    wish = {"email": owner["email"], "password": PASSWORD}
    asked = await world.call("POST", "/v1/me/email", token=session["access_token"], json=wish)
    assert (202, "") == (asked.status, asked.text)
    assert [VERIFY, "account.exists"] == await letters(world, owner["email"])
    # Nor if it was asked for before it was proved.
    late = await signed_up(world)
    new = f"{secrets.token_hex(6)}@example.org"
    for one in (session, late):
        await world.call(
            "POST",
            "/v1/me/email",
            token=one["access_token"],
            json={"email": new, "password": PASSWORD},
        )
    tokens = await world.database.fetch(
        "SELECT user_id, payload ->> 'token' AS token FROM outbox WHERE payload ->> 'to' = $1", new
    )
    by_user = {row["user_id"]: row["token"] for row in tokens}
    assert 200 == (await prove(world, late, by_user[late["user_id"]])).status
    check_problem(await prove(world, session, by_user[session["user_id"]]), 410, "link_over")


async def test_s28_a_letter_s_secret_is_kept_while_it_lives(world: World) -> None:
    """S28: tokens are hashed, and gone from the outbox once they were used or are over."""
    session = await signed_up(world)
    token = await world.letter(session["email"], VERIFY)
    await forget(world, session["email"])
    kept = await world.database.fetch(
        "SELECT t::text AS row FROM account_tokens t WHERE user_id = $1", session["user_id"]
    )
    assert 2 == len(kept)
    assert not any(token in row["row"] for row in kept)
    assert any(links.digest(token).hex() in row["row"] for row in kept)
    in_outbox = "SELECT count(*) FROM outbox WHERE user_id = $1 AND payload ? 'token'"
    assert 2 == await world.database.fetchval(in_outbox, session["user_id"])
    assert 200 == (await prove(world, session, token)).status
    assert 0 == await world.database.fetchval(in_outbox, session["user_id"])

    other = await signed_up(world)
    await world.database.execute(
        "UPDATE outbox SET secret_until = now() - interval '1 s' WHERE user_id = $1",
        other["user_id"],
    )
    await revocations.tidy(world.database, age_s=10**6)
    assert 0 == await world.database.fetchval(in_outbox, other["user_id"])
