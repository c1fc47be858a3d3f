"""S38. Signing in by a real OpenID provider: accounts, joining, rotation, and the provider away."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.http import SERVICES
from tests.api.provider import MockProvider, begun, consent, ended, signed_in
from tests.api.test_accounts import account
from tests.api.test_limits import LOOPBACK
from tests.api.world import Answer, Serve, World, check_problem
from usecases.passwords import hash_now
from usecases.stepup import RECENT_S

MINE = "/v1/me/identities"
JOIN = f"{MINE}/mock"


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProvider]:
    """Run the real provider for this module."""
    provider = MockProvider()
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()


@pytest.fixture
async def known(mock: MockProvider, serve: Serve) -> AsyncIterator[World]:
    """Serve an application that knows the provider."""
    async with serve(**mock.options()) as world:
        yield world


async def somebody(mock: MockProvider, **claims: Any) -> str:
    """Give the provider an account with a verified address; return its subject."""
    subject = f"{secrets.token_hex(8)}@example.org"
    await mock.knows(subject, **{"email": subject, "email_verified": True, "name": "Ada"} | claims)
    return subject


async def registered(world: World, email: str = "", *, is_verified: bool = False) -> str:
    """Make an account here; return its token."""
    body = account(**{"email": email} if email else {})
    made = await world.call("POST", "/v1/auth/register", json=body)
    assert 201 == made.status, made.text
    if is_verified:
        await world.database.execute(
            "UPDATE users SET email_verified_at = now() WHERE lower(email) = lower($1)",
            body["email"],
        )
    return str(made.body["access_token"])


async def me(world: World, signed: str | Answer) -> dict[str, Any]:
    """Return whose token it is, or who has signed in."""
    if isinstance(signed, Answer):
        assert 200 == signed.status, signed.text
        token = str(signed.body["access_token"])
    else:
        token = signed
    return dict((await world.call("GET", "/v1/me", token=token)).body)


async def joined(world: World, token: str, subject: str) -> Answer:
    """Join an identity to an account."""
    begin = await begun(world, JOIN, token=token)
    back = await consent(begin["authorization_url"], subject)
    return await ended(world, begin["flow"], back, JOIN, token=token)


async def test_s38_providers_are_listed(known: World, mock: MockProvider) -> None:
    """S38: one is told which providers there are; others are not there."""
    answer = await known.call("GET", "/v1/auth/openid")
    assert [{"name": "mock", "issuer": mock.issuer}] == answer.body["data"]
    check_problem(await known.call("POST", "/v1/auth/openid/x/begin"), 404, "not_found")
    body = {"flow": "x", "state": "x", "code": "x"}
    answer = await known.call("POST", "/v1/auth/openid/x/finish", json=body)
    check_problem(answer, 404, "not_found")


async def test_s38_first_sign_in_makes_the_account(known: World, mock: MockProvider) -> None:
    """S38: who comes first gets an account with the address; later they come back to it."""
    subject = await somebody(mock)
    first = await me(known, await signed_in(known, subject))
    assert (subject, "Ada", "user") == (first["email"], first["name"], first["role"])
    await mock.knows(subject, email="elsewhere@example.org", email_verified=True, name="Eve")
    assert first == await me(known, await signed_in(known, subject))


async def test_s38_first_sign_in_twice_at_once(known: World, mock: MockProvider) -> None:
    """S38: two first sign-ins at once lead to one account."""
    subject = await somebody(mock)
    answers = await asyncio.gather(*(signed_in(known, subject) for _ in range(4)))
    assert 1 == len({(await me(known, answer))["id"] for answer in answers})


async def test_s38_nobody_knows_the_password(known: World, mock: MockProvider) -> None:
    """S7, S38: an account made so is like any other to who guesses at its password."""
    subject = await somebody(mock)
    assert 200 == (await signed_in(known, subject)).status
    for password in ("", "!", subject, "x"):
        answer = await known.call(
            "POST", "/v1/auth/login", json={"email": subject, "password": password or "y"}
        )
        check_problem(answer, 401, "wrong_credentials")


async def test_s38_state_that_is_not_of_this_flow(known: World, mock: MockProvider) -> None:
    """S38: a state that is forged, or of another's flow, or a flow of another, ends nothing."""
    subject = await somebody(mock)
    one, other = await begun(known), await begun(known)
    back = await consent(one["authorization_url"], subject)
    before = await known.state()
    token = await registered(known)
    link = await begun(known, JOIN, token=token)
    for flow, changes in (
        (one["flow"], {"state": "forged"}),
        (one["flow"], {"state": back["state"][:-1] + "\u00e9"}),
        (other["flow"], {}),
        (link["flow"], {}),
        (one["flow"] + "x", {}),
        ("forged", {}),
        (known.token(), {}),
    ):
        check_problem(await ended(known, flow, back | changes), 401, "sign_in_over")
    after = await known.state()
    assert before.database["identities"] == after.database["identities"]
    assert 200 == (await ended(known, one["flow"], back)).status


async def test_s38_what_came_back_is_good_once(known: World, mock: MockProvider) -> None:
    """S38: state and code open one session, also if they are brought back at once."""
    subject = await somebody(mock)
    begin = await begun(known)
    back = await consent(begin["authorization_url"], subject)
    answers = await asyncio.gather(*(ended(known, begin["flow"], back) for _ in range(4)))
    assert [200, 401, 401, 401] == sorted(answer.status for answer in answers)
    assert 401 == (await ended(known, begin["flow"], back)).status


async def test_s38_flow_that_is_too_old(
    known: World, mock: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: a flow lives for ten minutes."""
    monkeypatch.setattr("usecases.flows.TTL_S", -1)
    answer = await signed_in(known, await somebody(mock))
    check_problem(answer, 401, "sign_in_over")


async def test_s38_nonce_of_another(known: World, mock: MockProvider) -> None:
    """S38: a word that was given for another sign-in is not taken for this one."""
    subject = await somebody(mock)
    answer = await signed_in(known, subject, nonce="of another sign-in")
    check_problem(answer, 401, "sign_in_refused")


async def test_s38_broken_off(known: World, mock: MockProvider) -> None:
    """S38: who declines at the provider, or brings no code or a made-up one, is not signed in."""
    subject = await somebody(mock)
    begin = await begun(known)
    back = await consent(begin["authorization_url"], subject, action="deny")
    assert "access_denied" == back["error"]
    # This provider forgets the state when it says no.
    sent = dict(parse_qsl(urlsplit(begin["authorization_url"]).query))
    answer = await ended(known, begin["flow"], {"state": sent["state"]} | back)
    check_problem(answer, 401, "sign_in_refused")
    assert "access_denied" in answer.body["detail"]
    for code in ("", "made-up", "x" * 4_096):
        begin = await begun(known)
        back = await consent(begin["authorization_url"], subject)
        answer = await ended(known, begin["flow"], back | {"code": code})
        check_problem(answer, 401, "sign_in_refused")


async def test_s38_several_processes(known: World, mock: MockProvider, serve: Serve) -> None:
    """S38: a sign-in that began at one process ends at another, and then at none."""
    subject = await somebody(mock)
    begin = await begun(known)
    back = await consent(begin["authorization_url"], subject)
    async with serve(**mock.options()) as other:
        assert 200 == (await ended(other, begin["flow"], back)).status
    assert 401 == (await ended(known, begin["flow"], back)).status


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}, {"email": "x"}],
    ids=str,
)
async def test_s38_address_that_nobody_vouches_for(
    known: World, mock: MockProvider, claims: dict[str, Any]
) -> None:
    """S38: without a verified address no account is made, nor one found."""
    subject = await somebody(mock, **claims)
    await registered(known, subject, is_verified=True)
    before = await known.state()
    answer = await signed_in(known, subject)
    check_problem(answer, 409, "address_unverified")
    after = await known.state()
    assert before.database["users"] == after.database["users"]
    assert before.database["identities"] == after.database["identities"]


async def test_s38_address_that_is_not_verified_here(known: World, mock: MockProvider) -> None:
    """S38: whoever registered another's address before does not get what its owner signs in to."""
    subject = await somebody(mock)
    taken = await registered(known, subject)
    before = await known.state()
    check_problem(await signed_in(known, subject), 409, "link_needed")
    assert before.database["identities"] == (await known.state()).database["identities"]
    assert [] == (await known.call("GET", MINE, token=taken)).body["data"]


async def test_s38_address_that_both_sides_verified(known: World, mock: MockProvider) -> None:
    """S38: an identity is joined by itself to the account of an address verified on both sides."""
    subject = await somebody(mock)
    token = await registered(known, subject.upper(), is_verified=True)
    own = await me(known, token)
    assert own == await me(known, await signed_in(known, subject))
    [identity] = (await known.call("GET", MINE, token=token)).body["data"]
    assert ("mock", mock.issuer, subject) == (
        identity["provider"],
        identity["issuer"],
        identity["email"],
    )


@pytest.mark.parametrize("role", ["staff", "organizer", "admin"])
async def test_s38_rights_are_not_had_by_an_address(
    known: World, mock: MockProvider, role: str
) -> None:
    """S38: to an account with more rights than a buyer's nothing is joined by an address."""
    subject = await somebody(mock)
    await registered(known, subject, is_verified=True)
    organizer_id = await known.database.fetchval(
        "INSERT INTO organizers (id, name) SELECT 'org_' || substr(id, 5), 'House' FROM users"
        " WHERE email = $1 RETURNING id",
        subject,
    )
    await known.database.execute(
        "UPDATE users SET role = $2::text::user_role, organizer_id = $3 WHERE email = $1",
        subject,
        role,
        organizer_id,
    )
    check_problem(await signed_in(known, subject), 409, "link_needed")


async def test_s38_join_by_who_is_signed_in(known: World, mock: MockProvider) -> None:
    """S38: a signed-in person joins an identity of any address, and signs in by it from then on."""
    token, subject = await registered(known), await somebody(mock)
    neighbour = await registered(known, subject, is_verified=True)
    answer = await joined(known, token, subject)
    assert 201 == answer.status, answer.text
    own = await me(known, token)
    assert own == await me(known, await signed_in(known, subject))
    # The account that has the provider's address is left alone.
    assert [] == (await known.call("GET", MINE, token=neighbour)).body["data"]
    assert [answer.body["id"]] == [
        row["id"] for row in (await known.call("GET", MINE, token=token)).body["data"]
    ]
    again = await joined(known, token, subject)
    assert (201, answer.body["id"]) == (again.status, again.body["id"])


async def test_s38_identity_of_another(known: World, mock: MockProvider) -> None:
    """S38: an identity that leads to an account is taken from it by nobody else."""
    subject = await somebody(mock)
    first = await me(known, await signed_in(known, subject))
    token = await registered(known)
    check_problem(await joined(known, token, subject), 409, "identity_taken")
    assert first == await me(known, await signed_in(known, subject))


async def test_s38_join_of_another(known: World, mock: MockProvider) -> None:
    """S38: what one begins to join, another does not end; nor does it sign anybody in."""
    one, other = await registered(known), await registered(known)
    begin = await begun(known, JOIN, token=one)
    back = await consent(begin["authorization_url"], await somebody(mock))
    answer = await ended(known, begin["flow"], back, JOIN, token=other)
    check_problem(answer, 401, "sign_in_over")
    check_problem(await ended(known, begin["flow"], back), 401, "sign_in_over")
    assert 201 == (await ended(known, begin["flow"], back, JOIN, token=one)).status


async def test_s38_only_soon_after_signing_in(known: World, mock: MockProvider) -> None:
    """S38: with a token of long ago, or of older code, identities neither come nor go."""
    token = await registered(known)
    made = await joined(known, token, await somebody(mock))
    tokens = known.client.app[SERVICES].tokens
    person = tokens.check(token)
    past_s = int(time.time()) - RECENT_S - 1
    for stale in (known.token(person.user_id), tokens.issue(person._replace(signed_in_s=past_s))):
        answer = await known.call("POST", f"{JOIN}/begin", token=stale)
        check_problem(answer, 403, "sign_in_again")
        answer = await known.call("DELETE", f"{MINE}/{made.body['id']}", token=stale)
        check_problem(answer, 403, "sign_in_again")


async def test_s38_taking_an_identity_away(known: World, mock: MockProvider) -> None:
    """S8, S38: one's own identity goes, unless it is the last way in; another's is not there."""
    subject = await somebody(mock)
    token = str((await signed_in(known, subject)).body["access_token"])
    [row] = (await known.call("GET", MINE, token=token)).body["data"]
    path = f"{MINE}/{row['id']}"
    stranger = await known.call("DELETE", path, token=await registered(known))
    check_problem(stranger, 404, "not_found")
    check_problem(await known.call("DELETE", path, token=token), 409, "last_way_in")
    await known.database.execute(
        "UPDATE users SET password_hash = $2 WHERE email = $1", subject, hash_now("my own one")
    )
    assert 204 == (await known.call("DELETE", path, token=token)).status
    check_problem(await known.call("DELETE", path, token=token), 404, "not_found")
    assert [] == (await known.call("GET", MINE, token=token)).body["data"]


async def test_s38_accounts_are_limited_by_address(mock: MockProvider, serve: Serve) -> None:
    """S38: accounts that are made by a provider's word count like all others."""
    limit = {"registration_limit_attempts": 2, "registration_limit_window_ms": 3_600_000}
    async with serve(trusted_proxies=LOOPBACK, **mock.options(), **limit) as world:
        place = {"X-Forwarded-For": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"}
        subjects = [await somebody(mock) for _ in range(3)]
        answers = [await signed_in(world, subject, headers=place) for subject in subjects]
        assert [200, 200] == [answer.status for answer in answers[:2]]
        check_problem(answers[2], 429, "rate_limited")
        assert 200 == (await signed_in(world, subjects[0], headers=place)).status


async def test_s38_keys_rotate(known: World, mock: MockProvider) -> None:
    """S38: a provider that signs with another key from now on is believed at once."""
    subject = await somebody(mock)
    first = await me(known, await signed_in(known, subject))
    mock.restart()
    await mock.knows(subject, email=subject, email_verified=True)
    assert first == await me(known, await signed_in(known, subject))


async def test_s38_provider_away(
    mock: MockProvider, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: while a provider is away, that is told, all else goes on, and then it works again."""
    monkeypatch.setattr("usecases.openid_provider.REST_S", 0)
    subject = await somebody(mock)
    async with serve(**mock.options()) as known, serve(**mock.options()) as fresh:
        begin = await begun(known)
        back = await consent(begin["authorization_url"], subject)
        event = await known.event(5)
        mock.stop()
        try:
            for answer in (
                await fresh.call("POST", "/v1/auth/openid/mock/begin"),
                await ended(known, begin["flow"], back),
            ):
                check_problem(answer, 503, "provider_unavailable")
                assert "Retry-After" in answer.headers
            assert 201 == (await known.book(event, None)).status
            assert await registered(known)
        finally:
            mock.start()
        await mock.knows(subject, email=subject, email_verified=True)
        for world in (fresh, known):
            assert 200 == (await signed_in(world, subject)).status
