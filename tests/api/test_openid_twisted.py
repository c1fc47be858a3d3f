"""S38. A provider that is wrong, broken, slow or evil: nobody is signed in, nothing is changed."""

from __future__ import annotations

import asyncio
import gzip
import secrets
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from tests.api.provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    TwistedProvider,
    begun,
    compact,
    encoded,
    ended,
    hmac_with,
    sign_with,
)
from tests.api.world import Answer, Serve, World, check_problem
from tests.checks import about
from usecases.openid_provider import LEEWAY_S

FAR = 2 * LEEWAY_S


@pytest.fixture
async def twisted() -> AsyncIterator[TwistedProvider]:
    """Run a provider that says what it is told."""
    provider = TwistedProvider()
    # An account of its own for each test.
    own = secrets.token_hex(8)
    provider.claims = {"sub": own, "email": f"{own}@example.org", "email_verified": True}
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def known(
    twisted: TwistedProvider, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Serve an application that knows the provider, and asks again at once after a failure."""
    monkeypatch.setattr("usecases.openid_provider.REST_S", 0)
    async with serve(**twisted.options()) as world:
        yield world


async def signed_in(world: World, twisted: TwistedProvider, **changes: str) -> Answer:
    """Sign in by the provider."""
    begin = await begun(world)
    back = twisted.consent(begin["authorization_url"])
    return await ended(world, begin["flow"], back | changes)


async def check_refused(world: World, twisted: TwistedProvider) -> None:
    """Try to sign in; nobody is, and nothing is kept of it."""
    before = await world.state()
    check_problem(await signed_in(world, twisted), 401, "sign_in_refused")
    assert before == await world.state()


async def test_s38_what_is_asked_of_the_provider(known: World, twisted: TwistedProvider) -> None:
    """S38: a code is exchanged with the verifier whose hash was sent, by a client with a secret."""
    assert 200 == (await signed_in(known, twisted)).status
    assert twisted.credentials.startswith("Basic ")
    begin = await begun(known)
    back = twisted.consent(begin["authorization_url"])
    other = await begun(known)
    swapped = twisted.consent(other["authorization_url"]) | {"state": back["state"]}
    # A code that was given for another verifier.
    answer = await ended(known, begin["flow"], swapped)
    check_problem(answer, 401, "sign_in_refused")


async def test_s38_client_authentication(twisted: TwistedProvider, serve: Serve) -> None:
    """S38: the secret goes where the provider takes it; a client without one sends its name."""
    twisted.description = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    for secret, shown in ((CLIENT_SECRET, CLIENT_SECRET), ("", "None")):
        async with serve(**twisted.options(secret)) as world:
            assert 200 == (await signed_in(world, twisted)).status
            assert f"{CLIENT_ID} {shown}" == twisted.credentials


NOW_S = int(time.time())
CLAIMS: list[dict[str, Any]] = [
    {"aud": "another client"},
    {"aud": ["another client"]},
    {"aud": [CLIENT_ID, "another client"]},
    {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
    {"aud": CLIENT_ID, "azp": "another client"},
    {"aud": None},
    {"aud": []},
    {"iss": "https://another.example"},
    {"iss": None},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
    {"sub": "a\nb"},
    {"exp": NOW_S - FAR},
    {"exp": None},
    {"exp": "tomorrow"},
    {"iat": None},
    {"iat": NOW_S + 86_400},
    {"nbf": NOW_S + 86_400},
    {"nonce": None},
    {"nonce": "another"},
    {"at_hash": encoded(bytes(16))},
]


async def test_s38_claims_that_are_wrong(known: World, twisted: TwistedProvider) -> None:
    """S38: a signed word for another audience, issuer, time or sign-in is worth nothing here."""
    good, before = twisted.claims, await known.state()
    for claims in CLAIMS:
        twisted.claims = good | claims
        with about(claims):
            check_problem(await signed_in(known, twisted), 401, "sign_in_refused")
    assert before == await known.state()


@pytest.mark.parametrize("claims", [{"exp": -LEEWAY_S + 15}, {"iat": LEEWAY_S - 15}], ids=str)
async def test_s38_clocks_may_differ_a_little(
    known: World, twisted: TwistedProvider, claims: dict[str, Any]
) -> None:
    """S38: clocks may be apart by thirty seconds at most."""
    assert LEEWAY_S <= 30
    now_s = int(time.time())
    twisted.claims |= {name: now_s + value for name, value in claims.items()}
    assert 200 == (await signed_in(known, twisted)).status


def forged(how: str, twisted: TwistedProvider) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """Return what makes an ID token that the provider's key has not signed."""
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    pem = twisted.key.as_pem(private=False)
    headers: dict[str, dict[str, Any]] = {
        "none": {"alg": "none"},
        "None": {"alg": "None"},
        "no algorithm": {"alg": ""},
        "public key as secret": {"alg": "HS256"},
        "client secret": {"alg": "HS256"},
        "own key in header": {"jwk": stranger.as_dict(private=False)},
        "critical": {"crit": ["x"], "x": 1},
    }
    signers: dict[str, Callable[[bytes], bytes]] = {
        "none": lambda _: b"",
        "None": lambda _: b"",
        "public key as secret": hmac_with(pem),
        "client secret": hmac_with(CLIENT_SECRET.encode()),
        "critical": twisted.sign,
        "cut": lambda data: twisted.sign(data)[:-1],
        "of other data": lambda data: twisted.sign(data + b"x"),
    }
    sign = signers.get(how, partial(sign_with, stranger))
    return lambda header, claims: compact(header | headers.get(how, {}), claims, sign)


@pytest.mark.parametrize(
    "how",
    [
        "none",
        "None",
        "no algorithm",
        "public key as secret",
        "client secret",
        "own key in header",
        "critical",
        "cut",
        "of other data",
        "of a stranger",
    ],
)
async def test_s38_word_that_is_forged(known: World, twisted: TwistedProvider, how: str) -> None:
    """S38: what no published key has signed, by an algorithm of ours, is no word."""
    twisted.token = forged(how, twisted)
    await check_refused(known, twisted)


@pytest.mark.parametrize(
    "token",
    [None, 7, "", "x", "a.b.c", "..", "a.b", "x" * 100_000, {"a": 1}],
    ids=lambda t: f"{t}"[:9],
)
async def test_s38_word_that_is_none(known: World, twisted: TwistedProvider, token: Any) -> None:
    """S38: what is no ID token is refused, and is no error of ours."""
    twisted.token = lambda _header, _claims: token
    await check_refused(known, twisted)


@pytest.mark.parametrize("claims", [[], "x", 7, None])
async def test_s38_signed_claims_that_are_none(
    known: World, twisted: TwistedProvider, claims: Any
) -> None:
    """S38: a signature over anything else than claims is no word."""
    twisted.token = lambda header, _: compact(header, claims, twisted.sign)
    await check_refused(known, twisted)


async def test_s38_keys_rotate_under_way(
    known: World, twisted: TwistedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: a new key is looked for when it is needed; a withdrawn one is not believed long."""
    assert 200 == (await signed_in(known, twisted)).status
    old = twisted.key
    twisted.key = RSAKey.generate_key(2048, {"kid": "two"})
    twisted.published = [old, twisted.key]
    twisted.header = {"kid": "two"}
    assert 200 == (await signed_in(known, twisted)).status
    # Another key under the same name.
    twisted.key = RSAKey.generate_key(2048, {"kid": "two"})
    twisted.published = [twisted.key]
    assert 200 == (await signed_in(known, twisted)).status
    twisted.key, twisted.header = old, {"kid": "one"}
    await check_refused(known, twisted)
    # Withdrawn, though we know it still: only until the keys are looked at anew.
    twisted.published = [old]
    assert 200 == (await signed_in(known, twisted)).status
    twisted.published = []
    monkeypatch.setattr("usecases.openid_provider.KEYS_AGE_S", 0)
    await check_refused(known, twisted)


async def test_s38_keys_of_kinds_that_we_do_not_know(
    known: World, twisted: TwistedProvider
) -> None:
    """S38: a key of an unknown kind keeps nobody from the others; a shared one is not taken."""
    odd: list[Any] = [
        {"kty": "XYZ", "kid": "one"},
        {"kty": "oct", "kid": "one", "k": encoded(b"secret" * 8)},
        {"kty": "RSA", "kid": "one"},
        "x",
        twisted.key.as_dict(private=False) | {"use": "enc", "kid": "zero"},
    ]
    keys = [*odd, twisted.key.as_dict(private=False)]
    twisted.instead["/keys"] = lambda: web.json_response({"keys": keys})
    assert 200 == (await signed_in(known, twisted)).status
    twisted.token = lambda header, claims: compact(
        header | {"alg": "HS256"}, claims, hmac_with(b"secret" * 8)
    )
    await check_refused(known, twisted)


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://another.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
    ids=str,
)
async def test_s38_description_that_is_not_good(
    known: World, twisted: TwistedProvider, description: dict[str, Any]
) -> None:
    """S38: a provider that describes another issuer, or lacks what is needed, is not used."""
    twisted.description = description
    answer = await known.call("POST", "/v1/auth/openid/mock/begin")
    check_problem(answer, 503, "provider_unavailable")
    twisted.description = {}
    assert 200 == (await signed_in(known, twisted)).status


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "user@127.0.0.1"])
async def test_s38_nobody_else_is_asked(
    known: World, twisted: TwistedProvider, name: str, host: str
) -> None:
    """S38: where a provider sends us, we go only if the settings name that host and port."""
    canary = TwistedProvider()
    await canary.start()
    try:
        port = canary.issuer.rpartition(":")[2]
        twisted.description = {name: f"http://{host}:{port}/secret"}
        twisted.claims |= {"email": None}
        before = await known.state()
        answer = await signed_in(known, twisted)
        check_problem(answer, 503, "provider_unavailable")
        assert [] == canary.asked
        assert before.database["users"] == (await known.state()).database["users"]
    finally:
        await canary.stop()


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
async def test_s38_no_redirect_is_followed(
    known: World, twisted: TwistedProvider, path: str
) -> None:
    """S38: a provider that sends us elsewhere, even to itself, is not followed."""

    def redirect() -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{twisted.issuer}/elsewhere"})

    twisted.instead[path] = redirect
    answer = await known.call("POST", "/v1/auth/openid/mock/begin")
    if answer.status == 200:
        back = twisted.consent(answer.body["authorization_url"])
        answer = await ended(known, answer.body["flow"], back)
    check_problem(answer, 503, "provider_unavailable")
    assert "/elsewhere" not in twisted.asked


ANSWERS: dict[str, Callable[[], web.StreamResponse]] = {
    "large": lambda: web.Response(body=b'{"a": "' + b"x" * 300_000 + b'"}'),
    "packed": lambda: web.Response(
        body=gzip.compress(b"{}" + b" " * 10_000_000), headers={"Content-Encoding": "gzip"}
    ),
    "no JSON": lambda: web.Response(text="<html>"),
    "no object": lambda: web.Response(text="[]"),
    "deep": lambda: web.Response(text="[" * 100_000),
    "no text": lambda: web.Response(body=b'{"a": "\xff"}'),
    "broken": lambda: web.Response(status=500),
    "away": lambda: web.Response(status=503),
    "gone": lambda: web.Response(status=404),
    "empty": lambda: web.Response(status=200),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
async def test_s38_answers_that_are_none(known: World, twisted: TwistedProvider, path: str) -> None:
    """S38: an answer that is too large, packed, broken or none is the provider's trouble."""
    before = await known.state()
    for what, instead in ANSWERS.items():
        twisted.instead[path] = instead
        answer = await known.call("POST", "/v1/auth/openid/mock/begin")
        if answer.status == 200:
            back = twisted.consent(answer.body["authorization_url"])
            answer = await ended(known, answer.body["flow"], back)
        with about(what):
            check_problem(answer, 503, "provider_unavailable")
    assert before == await known.state()
    del twisted.instead[path]
    assert 200 == (await signed_in(known, twisted)).status


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
async def test_s38_client_that_is_not_known_there(
    known: World, twisted: TwistedProvider, error: str
) -> None:
    """S38: that we are not registered is told to the operator, and the person may come back."""
    twisted.instead["/token"] = lambda: web.json_response({"error": error}, status=401)
    with capture_logs() as logs:
        answer = await signed_in(known, twisted)
    check_problem(answer, 503, "provider_unavailable")
    assert [error] == [row["error"] for row in logs if row["action"] == "openid_misregistered"]
    assert CLIENT_SECRET not in str(logs)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
async def test_s38_provider_that_never_answers(
    known: World, twisted: TwistedProvider, serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """S38: a provider that hangs is given up; meanwhile and afterwards people book and log in."""
    monkeypatch.setattr("api.outgoing.TIMEOUT_S", 1.0)
    event = await known.event(5)
    async with serve(**twisted.options()) as world:
        twisted.silent = {path}
        hanging = asyncio.create_task(_try(world, twisted))
        while path not in twisted.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert 201 == (await world.book(event, None)).status
        assert 200 == (await world.call("GET", "/v1/events")).status
        check_problem(await hanging, 503, "provider_unavailable")
        twisted.silent = set()
        assert 200 == (await signed_in(world, twisted)).status


async def _try(world: World, twisted: TwistedProvider) -> Answer:
    begin = await world.call("POST", "/v1/auth/openid/mock/begin")
    if begin.status != 200:
        return begin
    back = twisted.consent(begin.body["authorization_url"])
    return await ended(world, begin.body["flow"], back)


async def test_s38_many_wait_for_one_provider(
    twisted: TwistedProvider, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: however many want to sign in, a provider that hangs is asked once, and all are told."""
    monkeypatch.setattr("api.outgoing.TIMEOUT_S", 1.0)
    path = "/.well-known/openid-configuration"
    async with serve(**twisted.options()) as world:
        twisted.silent = {path}
        answers = await asyncio.gather(*(_try(world, twisted) for _ in range(40)))
        assert {"provider_unavailable"} == {answer.body["code"] for answer in answers}
        assert [path] == twisted.asked


async def test_s38_who_waits_for_a_provider_is_bounded(
    twisted: TwistedProvider, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: only so many wait for a provider that hangs; the next is told to come back."""
    monkeypatch.setattr("api.outgoing.TIMEOUT_S", 1.0)
    monkeypatch.setattr("usecases.openid_provider.WAITING_MAX", 2)
    async with serve(**twisted.options()) as world:
        twisted.silent = {"/.well-known/openid-configuration"}
        answers = await asyncio.gather(*(_try(world, twisted) for _ in range(5)))
        codes = sorted(answer.body["code"] for answer in answers)
        assert ["backpressure"] * 3 + ["provider_unavailable"] * 2 == codes
        twisted.silent = set()


async def test_s38_requests_outside_are_bounded(
    known: World, twisted: TwistedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S38: of codes to be exchanged at once only so many are; the next is told to come back."""
    monkeypatch.setattr("api.outgoing.AT_ONCE_MAX", 2)
    begins = [await begun(known) for _ in range(4)]
    backs = [twisted.consent(begin["authorization_url"]) for begin in begins]
    twisted.silent = {"/token"}
    tasks = [
        asyncio.create_task(ended(known, begin["flow"], back))
        for begin, back in zip(begins, backs, strict=True)
    ]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 2:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    for task in done:
        check_problem(await task, 503, "backpressure")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_s38_answer_of_another_issuer(known: World, twisted: TwistedProvider) -> None:
    """S38: an answer that says it is of another provider is not taken (RFC 9207)."""
    answer = await signed_in(known, twisted, iss="https://another.example")
    check_problem(answer, 401, "sign_in_refused")
    assert 200 == (await signed_in(known, twisted, iss=twisted.issuer)).status


async def test_s38_answer_that_must_name_its_issuer(known: World, twisted: TwistedProvider) -> None:
    """S38: where the provider promises to name itself, an answer that does not is not taken."""
    twisted.description = {"authorization_response_iss_parameter_supported": True}
    check_problem(await signed_in(known, twisted), 401, "sign_in_refused")
    assert 200 == (await signed_in(known, twisted, iss=twisted.issuer)).status


async def test_s38_address_told_besides(known: World, twisted: TwistedProvider) -> None:
    """S38: an address that is not in the ID token is asked for, and only of the same person."""
    email = str(twisted.claims["email"])
    twisted.claims |= {"email": None, "email_verified": None}
    twisted.userinfo = {"sub": "somebody else", "email": email, "email_verified": True}
    before = await known.state()
    check_problem(await signed_in(known, twisted), 401, "sign_in_refused")
    assert before.database["users"] == (await known.state()).database["users"]
    twisted.userinfo |= {"sub": twisted.claims["sub"]}
    entered = await signed_in(known, twisted)
    assert 200 == entered.status, entered.text
    me = await known.call("GET", "/v1/me", token=entered.body["access_token"])
    assert (email, email.partition("@")[0]) == (me.body["email"], me.body["name"])


@pytest.mark.parametrize("name", ["", "a\nb", 7, None, "x" * 500, "\u202e", ["x"]], ids=str)
async def test_s38_names_of_any_kind(known: World, twisted: TwistedProvider, name: Any) -> None:
    """S18, S38: whatever a provider calls somebody, the account has a name that can be shown."""
    twisted.claims |= {"name": name}
    entered = await signed_in(known, twisted)
    assert 200 == entered.status, entered.text
    me = await known.call("GET", "/v1/me", token=entered.body["access_token"])
    assert 1 <= len(me.body["name"]) <= 200
    assert me.body["name"].isprintable()


@pytest.mark.parametrize(
    "email", ["a@b\r\nBcc: x@y.org", "x", "", 7, "a" * 300 + "@b.org"], ids=str
)
async def test_s38_addresses_that_are_none(
    known: World, twisted: TwistedProvider, email: Any
) -> None:
    """S18, S38: what is no address makes no account, whoever vouches for it."""
    twisted.claims |= {"email": email}
    check_problem(await signed_in(known, twisted), 409, "address_unverified")


async def test_s38_nothing_of_a_sign_in_is_logged(known: World, twisted: TwistedProvider) -> None:
    """S28, S38: neither codes nor tokens nor secrets stand in logs, database or answers."""
    begin = await begun(known)
    back = twisted.consent(begin["authorization_url"])
    with capture_logs() as logs:
        answer = await ended(known, begin["flow"], back)
        assert 200 == answer.status
        twisted.claims |= {"aud": "another"}
        await check_refused(known, twisted)
    kept = str(logs) + str((await known.state()).database) + answer.text
    for secret in (begin["flow"], back["state"], back["code"], CLIENT_SECRET, "opaque"):
        assert secret not in kept
