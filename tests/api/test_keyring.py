"""Keys that sign tokens and tickets: what a token may say, and rotation under load (S1, S2, S3)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.http import SERVICES
from engine.errors import KeysUnknown
from engine.ids import new_id
from engine.receipts import InvalidReceipt, verify
from evently import keys as ring
from evently.embedded.errors import ServerError
from evently.settings import Settings
from store import keys
from store.sealed import unseal
from tests.api.conftest import as_role
from tests.api.test_bad_input import claims
from tests.api.test_gate import booked, scan
from tests.api.world import (
    JWT_SECRET,
    TICKET_SIGNING_KEY,
    Answer,
    Event,
    Serve,
    World,
    check_problem,
)
from usecases import keyring, tokens
from usecases.keyring import Keyring
from usecases.services import Services

OF_SETTING = tokens.setting_key_id(JWT_SECRET)


def services(world: World) -> Services:
    """Return what the served application works with."""
    return world.client.app[SERVICES]


async def sees(world: World, token: str) -> Answer:
    """Ask for something that any account may see."""
    return await world.call("GET", "/v1/waitlist", token=token)


@pytest.fixture
async def settings(world: World, database_url: str) -> AsyncIterator[Settings]:
    """Return settings as `evently keys` has them beside the API; its keys are gone afterwards."""
    yield Settings(
        database_url=as_role(database_url, "api"),
        jwt_secret=JWT_SECRET,
        ticket_signing_key=TICKET_SIGNING_KEY,
    )
    await world.database.execute("DELETE FROM signing_keys")
    await services(world).keyring.refresh()


async def let_sign(world: World, kid: str) -> None:
    """Let the time pass until a key signs, and every process have looked since."""
    await world.database.execute(
        "UPDATE signing_keys SET signs_at = now() - interval '1 second' WHERE kid = $1", kid
    )
    await services(world).keyring.refresh()


def header_of(token: str) -> Any:
    """Return what a token's header says."""
    head = token.partition(".")[0]
    return orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))


def signed(header: dict[str, Any], secret: bytes | str = JWT_SECRET, **changes: Any) -> str:
    """Sign good claims, or changed ones, under a header that says anything at all."""
    parts = [
        base64.urlsafe_b64encode(part).rstrip(b"=")
        for part in (orjson.dumps(header), orjson.dumps(claims(**changes)))
    ]
    raw = secret.encode() if isinstance(secret, str) else secret
    signature = hmac.digest(raw, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def good_header(**changes: Any) -> dict[str, Any]:
    """Return a header as ours are; a change to None leaves the member out."""
    head = {"alg": "HS256", "kid": OF_SETTING, "typ": "JWT"} | changes
    return {name: value for name, value in head.items() if value is not None}


def public_pem() -> bytes:
    """Return the public key of tickets, which anybody may have, as a file."""
    key = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(TICKET_SIGNING_KEY + "="))
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_raw() -> bytes:
    """Return the same as 32 bytes."""
    key = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(TICKET_SIGNING_KEY + "="))
    return key.public_key().public_bytes_raw()


FORGED: dict[str, Callable[[], str]] = {
    "none": lambda: signed(good_header(alg="none")).rpartition(".")[0] + ".",
    "none, signed": lambda: signed(good_header(alg="none")),
    "HS256 with the public key as a file": lambda: signed(good_header(), public_pem()),
    "HS256 with the public key": lambda: signed(good_header(), public_raw()),
    "HS256 with the published text": lambda: signed(
        good_header(), base64.urlsafe_b64encode(public_raw()).rstrip(b"=")
    ),
    "EdDSA": lambda: jwt.encode(
        claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": OF_SETTING}
    ),
    "kid of a path": lambda: signed(good_header(kid="../../dev/null"), b""),
    "kid of a path, good key": lambda: signed(good_header(kid="../../etc/passwd")),
    "kid with a quote": lambda: signed(good_header(kid="' OR 1=1 --")),
    "kid with a zero": lambda: signed(good_header(kid="a\0bcdefgh")),
    "kid in capitals": lambda: signed(good_header(kid=OF_SETTING.upper())),
    "kid with a line": lambda: signed(good_header(kid=OF_SETTING + "\n")),
    "kid is empty": lambda: signed(good_header(kid="")),
    "kid is long": lambda: signed(good_header(kid="a" * 500)),
    "kid is a number": lambda: signed(good_header(kid=1)),
    "kid is a list": lambda: signed(good_header(kid=[OF_SETTING])),
    "kid of nobody": lambda: signed(good_header(kid="0123456789")),
    "other type of header": lambda: signed(good_header(typ="at+jwt")),
    **{
        f"{name} in the header": lambda name=name: signed(  # type: ignore[misc]
            good_header(**{name: "https://example.org/k"})
        )
        for name in ("jku", "x5u", "jwk", "x5c", "x5t", "crit", "cty", "zip", "b64")
    },
    "jwk that would fit": lambda: signed(
        good_header(jwk={"kty": "oct", "k": base64.urlsafe_b64encode(b"y" * 32).decode()}),
        b"y" * 32,
    ),
    "type of a refresh token": lambda: signed(good_header(), typ="refresh"),
    "type of a hold": lambda: signed(good_header(), typ="hold"),
    "type in the header alone": lambda: signed(good_header(typ="access"), typ=None),
    "other audience": lambda: signed(good_header(), aud="evently-gate"),
    "audience beside others": lambda: signed(good_header(), aud=["evently-gate", "other"]),
    "other issuer": lambda: signed(good_header(), iss="evently-gate"),
    "session is a number": lambda: signed(good_header(), sid=1),
    "version is a text": lambda: signed(good_header(), ver="1"),
    "version is true": lambda: signed(good_header(), ver=True),
}


@pytest.mark.parametrize("name", FORGED)
async def test_s1_s2_forged_tokens(world: World, name: str) -> None:
    """S1, S2: no header talks us into a key or an algorithm, and no other kind of token passes."""
    check_problem(await sees(world, FORGED[name]()), 401, "unauthorized")


@pytest.mark.parametrize("header", [{}, {"kid": None}, {"typ": None}, {"kid": None, "typ": None}])
async def test_s1_good_headers(world: World, header: dict[str, Any]) -> None:
    """What the table above changes is a header that passes, and so does one of older code."""
    assert 200 == (await sees(world, signed(good_header(**header)))).status


async def test_s2_a_token_says_what_it_is(world: World) -> None:
    """S2: issuer, audience, type, times, an id of the key; session and version where there are."""
    person = tokens.Principal("usr_x", "staff", "org_y", session_id="ses_1", token_version=3)
    token = services(world).tokens.issue(person)
    assert {"alg": "HS256", "kid": OF_SETTING, "typ": "JWT"} == header_of(token)
    body = jwt.decode(token, options={"verify_signature": False})
    assert {"iss", "aud", "typ", "sub", "role", "org", "sid", "ver", "iat", "nbf", "exp"} == set(
        body
    )
    assert person == services(world).tokens.check(token)
    assert person == services(world).tokens.known(token)
    with pytest.raises(AssertionError):
        services(world).tokens.issue(person._replace(kind="device"))


async def test_s2_what_is_no_access_token_lets_nobody_in(
    world: World, event: Event, user: str
) -> None:
    """S2: a ticket's code and a receipt are signed by us as well, and let nobody in."""
    made = await world.book(event, user)
    seen = await world.call("GET", f"/v1/bookings/{made.body['id']}", token=user)
    for text in (seen.body["tickets"][0]["code"], made.body["receipt"], made.body["id"]):
        check_problem(await sees(world, text), 401, "unauthorized")


async def test_s3_a_token_of_before_is_good_until_its_key_ends(
    world: World, settings: Settings
) -> None:
    """S3: tokens without a key id, and of the setting's key, outlive a rotation; removal is 401."""
    old = [signed(good_header(kid=None)), signed(good_header()), world.token()]
    made = await ring.rotate(settings, "tokens")
    await let_sign(world, made.kid)
    new = world.token()
    assert made.kid == header_of(new)["kid"]
    for token in (*old, new):
        assert 200 == (await sees(world, token)).status
    assert "tokens" == await ring.retire(settings, OF_SETTING)
    await services(world).keyring.refresh()
    for token in old:
        check_problem(await sees(world, token), 401, "unauthorized")
    assert 200 == (await sees(world, new)).status
    [note] = await world.database.fetch(
        "SELECT sealed FROM signing_keys WHERE kid = $1", OF_SETTING
    )
    assert note["sealed"] is None


async def test_s3_keys_end_by_themselves(world: World, settings: Settings) -> None:
    """S3: a key that signs no more verifies until the last token that it signed has ended."""
    made = await ring.rotate(settings, "tokens")
    rows = {row.kid: row for row in await keys.read(world.database)}
    ends_at = rows[OF_SETTING].retires_at
    assert ends_at is not None
    over_s = (ends_at - rows[made.kid].signs_at).total_seconds() - settings.access_token_ttl_s
    assert tokens.LEEWAY_S < over_s
    assert rows[made.kid].retires_at is None
    await let_sign(world, made.kid)
    old = signed(good_header())
    assert 200 == (await sees(world, old)).status
    await world.database.execute(
        "UPDATE signing_keys SET retires_at = now() - interval '1 second' WHERE kid = $1",
        OF_SETTING,
    )
    await services(world).keyring.refresh()
    check_problem(await sees(world, old), 401, "unauthorized")


async def test_s3_who_signs_is_not_retired(world: World, settings: Settings) -> None:
    """S3: neither the key that signs can be taken away, nor the only one that is to sign next."""
    with pytest.raises(ServerError, match="rotate first"):
        await ring.retire(settings, OF_SETTING)
    made = await ring.rotate(settings, "tokens")
    for kid in (OF_SETTING, made.kid):
        with pytest.raises(ServerError, match="rotate first"):
            await ring.retire(settings, kid)
    await let_sign(world, made.kid)
    with pytest.raises(ServerError, match="rotate first"):
        await ring.retire(settings, made.kid)
    with pytest.raises(ServerError, match="no key nobody"):
        await ring.retire(settings, "nobody")
    await ring.retire(settings, OF_SETTING)
    with pytest.raises(ServerError, match="no key"):
        await ring.retire(settings, OF_SETTING)
    for _ in range(ring.KEYS_MAX - 1):
        await ring.rotate(settings, "tokens")
    with pytest.raises(ServerError, match="count already"):
        await ring.rotate(settings, "tokens")


async def test_s3_keys_are_nowhere_in_plain(world: World, settings: Settings) -> None:
    """S3: the database has neither setting nor secret; only the setting opens what is sealed."""
    made = [await ring.rotate(settings, purpose) for purpose in keyring.PURPOSES]
    rows = {row.kid: row for row in await keys.read(world.database)}
    text = str(await world.database.fetch("SELECT * FROM signing_keys"))
    for secret in (JWT_SECRET, TICKET_SIGNING_KEY):
        assert secret not in text
    for one, setting in zip(made, (JWT_SECRET, TICKET_SIGNING_KEY), strict=True):
        sealed = rows[one.kid].sealed
        assert sealed is not None
        opened = unseal(setting, one.purpose, one.kid, sealed)
        assert opened is not None
        assert opened not in sealed
        assert unseal(setting + "x", one.purpose, one.kid, sealed) is None
        assert unseal(setting, "other", one.kid, sealed) is None
        assert unseal(setting, one.purpose, "other", sealed) is None
        spoilt = sealed[:-1] + bytes([sealed[-1] ^ 1])
        assert unseal(setting, one.purpose, one.kid, spoilt) is None


async def test_s3_with_another_setting(world: World, settings: Settings, serve: Serve) -> None:
    """S3: who changes a setting ends what it sealed, and goes on with the new setting's key."""
    made = await ring.rotate(settings, "tokens")
    await let_sign(world, made.kid)
    token = world.token()
    other = "another-secret-" * 4
    async with serve(jwt_secret=other) as changed:
        check_problem(await sees(changed, token), 401, "unauthorized")
        own = changed.token()
        assert tokens.setting_key_id(other) == header_of(own)["kid"]
        assert 200 == (await sees(changed, own)).status
    states = {one.kid: one.state for one in await ring.listed(replaced(settings, other))}
    assert "sealed with another setting" == states[made.kid]
    assert "signs (of the setting)" == states[tokens.setting_key_id(other)]


def replaced(settings: Settings, jwt_secret: str) -> Settings:
    """Return settings with another secret."""
    return Settings(
        database_url=settings.database_url,
        jwt_secret=jwt_secret,
        ticket_signing_key=settings.ticket_signing_key,
    )


async def stop_looking(world: World) -> Keyring:
    """Have a process look at its keys no more, as if PostgreSQL were far from it."""
    own = services(world).keyring
    await own.close()
    return own


async def test_f78_a_key_that_is_not_told_yet(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: who has not looked for long looks when an unknown key comes; it is no 401."""
    own = await stop_looking(world)
    made = await ring.rotate(settings, "tokens")
    await world.database.execute(
        "UPDATE signing_keys SET signs_at = now() - interval '1 second' WHERE kid = $1", made.kid
    )
    other = tokens.Tokens(JWT_SECRET, ttl_s=60)
    keyring.use_for_tokens(other, JWT_SECRET, await keys.read(world.database))
    token = other.issue(tokens.Principal(new_id("usr"), "user", None))
    assert made.kid == header_of(token)["kid"]
    # Fresh: whatever it does not know was not there, so nothing can have been signed by it.
    own.tokens.use({OF_SETTING: JWT_SECRET.encode()}, OF_SETTING, fresh_until_s=float("inf"))
    check_problem(await sees(world, token), 401, "unauthorized")

    async def fail(*_: object) -> None:
        raise asyncpg.InterfaceError("PostgreSQL is away")

    # Not fresh, and nobody can tell.
    own.tokens.use({OF_SETTING: JWT_SECRET.encode()}, OF_SETTING, fresh_until_s=0.0)
    monkeypatch.setattr("store.keys.read", fail)
    check_problem(await sees(world, token), 503, "database_unavailable")
    assert 200 == (await sees(world, signed(good_header()))).status, "known keys count"
    with pytest.raises(KeysUnknown):
        world.token()
    monkeypatch.undo()
    assert 200 == (await sees(world, token)).status


async def test_s3_rotate_under_load(
    world: World, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    S3: three processes that look at their own pace, two rotations, and no 401 but by removal.

    One signs and looks often, one signs and looks seldom, one does not look by itself at all.
    """
    monkeypatch.setitem(keyring.LEAD_S, "tokens", 2.0)
    monkeypatch.setattr(keyring, "FRESH_S", 1.0)
    async with serve() as second, serve() as third:
        services(world).keyring.look_interval_s = 0.05
        services(second).keyring.look_interval_s = 0.6
        await stop_looking(third)
        statuses: Counter[int] = Counter()
        kids: Counter[str] = Counter()
        stopping = asyncio.Event()
        first_tokens = [world.token(), second.token(), signed(good_header(kid=None))]

        async def keep_coming(number: int) -> None:
            maker = (world, second)[number % 2]
            while not stopping.is_set():
                try:
                    token = maker.token()
                except KeysUnknown:  # Its look takes longer than it is good for.
                    await asyncio.sleep(0.01)
                    continue
                kids[header_of(token)["kid"]] += 1
                for checker in (third, second, world):
                    for text in (token, first_tokens[number % 3]):
                        statuses[(await sees(checker, text)).status] += 1

        load = [asyncio.create_task(keep_coming(number)) for number in range(6)]
        made = []
        for _ in range(2):
            made.append((await ring.rotate(settings, "tokens")).kid)
            while not kids[made[-1]]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        signers = [services(one).tokens for one in (world, second)]
        while {one._signing for one in signers} != {made[-1]}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        stopping.set()
        await asyncio.gather(*load)
        assert 0 == statuses[401], statuses
        assert 100 < statuses[200], statuses
        assert set() == set(statuses) - {200, 503}, statuses
        assert {OF_SETTING, *made} <= set(kids)
        for kid in (OF_SETTING, made[0]):
            await ring.retire(settings, kid)
        for one in (world, second, third):
            await services(one).keyring.refresh()
            for text in first_tokens:
                check_problem(await sees(one, text), 401, "unauthorized")
        assert 200 == (await sees(third, world.token())).status


async def test_s3_an_order_that_is_wrong_is_seen(
    world: World, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a key that signs before all have looked is a 401 elsewhere."""
    monkeypatch.setitem(keyring.LEAD_S, "tokens", -1.0)
    async with serve() as second:
        await stop_looking(second)
        services(second).tokens.use(
            {OF_SETTING: JWT_SECRET.encode()}, OF_SETTING, fresh_until_s=time.monotonic() + 3600
        )
        await ring.rotate(settings, "tokens")
        await services(world).keyring.refresh()
        check_problem(await sees(second, world.token()), 401, "unauthorized")


async def test_s3_tickets_outlive_a_rotation(
    world: World, event: Event, user: str, settings: Settings
) -> None:
    """S3: old codes pass after a rotation, both keys are published; a retired one's do not pass."""
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    before = await booked(world, event, user)
    old_codes = [ticket["code"] for ticket in before["tickets"]]
    made = await ring.rotate(settings, "tickets")
    await let_sign(world, made.kid)
    after = (await world.call("GET", f"/v1/bookings/{before['id']}", token=user)).body
    new_codes = [ticket["code"] for ticket in after["tickets"]]
    assert set() == set(old_codes) & set(new_codes)
    for code in (old_codes[0], new_codes[1]):
        assert 200 == (await scan(world, event, code, staff)).status
    check_problem(await scan(world, event, new_codes[0], staff), 409, "already_checked_in")
    now = (await world.call("GET", "/v1/ticket-key")).body["data"]
    signing, own = (key["key_id"] for key in now)
    assert made.kid == signing, "the one that signs stands first"
    assert "tickets" == await ring.retire(settings, own)
    await services(world).keyring.refresh()
    check_problem(await scan(world, event, old_codes[2], staff), 404, "not_found")
    assert 200 == (await scan(world, event, new_codes[2], staff)).status


async def test_s3_receipts_outlive_a_rotation(
    world: World, event: Event, user: str, settings: Settings
) -> None:
    """S3: each receipt names the key that signed it, and the published keys verify both."""
    old = (await world.book(event, user)).body["receipt"]
    made = await ring.rotate(settings, "tickets")
    await let_sign(world, made.kid)
    new = (await world.book(event, world.token())).body["receipt"]
    published = (await world.call("GET", "/v1/receipt-key")).body["data"]
    known = {
        bytes.fromhex(key["key_id"]): base64.urlsafe_b64decode(key["public_key"] + "=")
        for key in published
    }
    assert 2 == len(known)
    for text in (old, new):
        assert event["id"] == verify(text, known).event_id
    own = bytes.fromhex(published[1]["key_id"])
    assert event["id"] == verify(old, {own: known[own]}).event_id
    with pytest.raises(InvalidReceipt):
        verify(new, {own: known[own]})
    assert set(known.values()) == {
        key for key, counts in (await keys.receipt_keys(world.database)).items() if counts
    }


async def test_f78_codes_of_keys_that_nobody_can_tell(
    world: World, event: Event, user: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: at the gate as well: a key that may have been made since is no forgery, but 503."""
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    booking = await booked(world, event, user)
    made = await ring.rotate(settings, "tickets")
    await let_sign(world, made.kid)
    seen = await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)
    code = seen.body["tickets"][0]["code"]
    own = await stop_looking(world)
    own.ticket_codes.use([TICKET_SIGNING_KEY])
    monkeypatch.setattr(own.ticket_codes, "fresh_until_s", 0.0)
    check_problem(await scan(world, event, code, staff), 503, "database_unavailable")
    monkeypatch.undo()
    own.ticket_codes.fresh_until_s = float("inf")
    check_problem(await scan(world, event, code, staff), 404, "not_found")


async def test_f78_a_start_without_postgresql(world: World) -> None:
    """Keys are the settings' while PostgreSQL never told any, and looking goes on."""

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise OSError("away")

    lone = Keyring(
        Away(),  # type: ignore[arg-type]
        jwt_secret=JWT_SECRET,
        ticket_signing_key=TICKET_SIGNING_KEY,
        token_ttl_s=60,
        makes_receipts=False,
    )
    await lone.start()
    assert "user" == lone.tokens.check(world.token()).role
    await lone.close()
