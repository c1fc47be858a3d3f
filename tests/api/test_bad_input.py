"""Every bad request gets a problem that names what is wrong, and changes nothing anywhere."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.http import SERVICES
from engine.ids import new_id
from engine.outcomes import Refused
from engine.status import Status
from tests.api.conftest import BODY_BYTES_MAX
from tests.api.world import JWT_SECRET, Event, World, check_problem, new_event
from tests.checks import about
from usecases import tokens


class Bad(NamedTuple):
    """A body and the problem it gets; TIER_n in it stands for a tier of the event."""

    body: Any
    status: int = 422
    code: str = "invalid"
    pointer: str | None = ""


def line(tier: Any = "TIER_1", quantity: Any = 1, **more: Any) -> dict[str, Any]:
    """Make one line of an order."""
    return {"tier_id": tier, "quantity": quantity} | more


def order(**more: Any) -> dict[str, Any]:
    """Make a good order, with *more* fields."""
    return {"items": [line()]} | more


#: Ids that are none, or nobody's.
NO_EVENT_IDS = """
evt_ nope 1 %7Bs0%7D:meta evt_%7Bs0%7D000000000000000000000 evt_%0D%0Aabcdefghijklmnopqrstuv
evt_00000000000000000000000000%00 evt_00000000000000000000000000%0A
evt_0000000000000000000000000w EVT_00000000000000000000000000 evt_000000000000000000000000000
%FF%FE ..%2F.. usr_00000000000000000000000000 evt_%D9%A0%D9%A0000000000000000000000000 * %25s
evt_00000000000000000000000000
"""
NO_BOOKING_IDS = """
bk_ 1 %7Bs0%7D:meta bk_%0D%0Aabcdefghijklmnopqrstuv %FF bk_00000000000000000000000000%00
bk_00000000000000000000000000 evt_00000000000000000000000000
"""

NOT_JSON = (400, "malformed", None)

QUANTITIES: tuple[Any, ...] = (0, -1, 11, 2**31, 2**64 - 1, 1.0, 1.5, "1", True, None, [1], {})

BAD_ORDERS = {
    "no body": Bad(b"", *NOT_JSON),
    "not JSON": Bad(b"items=1", *NOT_JSON),
    "cut off": Bad(b'{"items":[', *NOT_JSON),
    "more behind it": Bad(b'{"items":[{"tier_id":"TIER_1","quantity":1}]} {}', *NOT_JSON),
    "not UTF-8": Bad(b'{"special_requests":"\xff"}', *NOT_JSON),
    "lone surrogate": Bad(b'{"special_requests":"\\ud800"}', *NOT_JSON),
    "NaN": Bad(b'{"items":NaN}', 400, "malformed", None),
    "byte order mark": Bad(b"\xef\xbb\xbf{}", *NOT_JSON),
    "null": Bad(b"null"),
    "a list": Bad([]),
    "a string": Bad("TIER_1"),
    "too large": Bad(order(special_requests="x" * BODY_BYTES_MAX), 413, "too_large"),
    "much too large": Bad(b"[" * 10 * BODY_BYTES_MAX, 413, "too_large"),
    "deep": Bad(b'{"metadata":' + b'{"a":' * 10_000, pointer="/metadata/..."),
    "nothing in it": Bad({}, pointer="/items"),
    "unknown field": Bad(order(user_id="usr_1"), pointer="/user_id"),
    "price from the client": Bad({"items": [line(price=1)]}, pointer="/items/0/price"),
    "unknown field on line 2": Bad(
        {"items": [line(), line("TIER_2", held=1)]}, pointer="/items/1/held"
    ),
    "status from the client": Bad(order(status="confirmed"), pointer="/status"),
    "field in other letters": Bad({"Items": [line()]}, pointer="/Items"),
    "unknown field with a slash": Bad(order(**{"a/b~": 1}), pointer="/a~1b~0"),
    "items is an object": Bad({"items": line()}, pointer="/items"),
    "items is null": Bad({"items": None}, pointer="/items"),
    "no items": Bad({"items": []}, pointer="/items"),
    "eleven items": Bad({"items": [line()] * 11}, pointer="/items"),
    "item is a string": Bad({"items": ["TIER_1"]}, pointer="/items/0"),
    "no tier": Bad({"items": [{"quantity": 1}]}, pointer="/items/0/tier_id"),
    "no quantity": Bad({"items": [{"tier_id": "TIER_1"}]}, pointer="/items/0/quantity"),
    "tier is a number": Bad({"items": [line(1)]}, pointer="/items/0/tier_id"),
    "tier too long": Bad({"items": [line("t" * 65)]}, pointer="/items/0/tier_id"),
    "unknown tier": Bad({"items": [line(new_id("tier"))]}, pointer="/items/0/tier_id"),
    "tier by its number": Bad({"items": [line("1")]}, pointer="/items/0/tier_id"),
    "tier with braces": Bad({"items": [line("{s1}:meta")]}, pointer="/items/0/tier_id"),
    "tier with NUL": Bad({"items": [line("tier_\0")]}, pointer="/items/0/tier_id"),
    "unknown tier on line 2": Bad(
        {"items": [line(), line(new_id("tier"))]}, pointer="/items/1/tier_id"
    ),
    "tier of another event": Bad({"items": [line("OTHER_TIER")]}, pointer="/items/0/tier_id"),
    "tier twice": Bad({"items": [line(), line()]}, pointer="/items/1/tier_id"),
    **{
        f"quantity {quantity!r}": Bad(
            {"items": [line(quantity=quantity)]}, pointer="/items/0/quantity"
        )
        for quantity in QUANTITIES
    },
    "quantity 1e999": Bad(
        b'{"items":[{"tier_id":"TIER_1","quantity":1e999}]}', pointer="/items/0/quantity"
    ),
    "10 + 1 places": Bad({"items": [line(quantity=10), line("TIER_2")]}, pointer="/items"),
    "special_requests too long": Bad(
        order(special_requests="ü" * 501), pointer="/special_requests"
    ),
    "special_requests with NUL": Bad(order(special_requests="a\0b"), pointer="/special_requests"),
    "special_requests is a list": Bad(order(special_requests=[]), pointer="/special_requests"),
    "metadata is a list": Bad(order(metadata=[]), pointer="/metadata"),
    "51 keys of metadata": Bad(order(metadata={str(n): n for n in range(51)}), pointer="/metadata"),
    # msgspec does not tell the key of a bad value: `...` stands for it.
    "nested metadata": Bad(order(metadata={"a": {"b": 1}}), pointer="/metadata/..."),
    "list in metadata": Bad(order(metadata={"a": [1]}), pointer="/metadata/..."),
    "1e999 in metadata": Bad(
        b'{"items":[{"tier_id":"TIER_1","quantity":1}],"metadata":{"a":1e999}}',
        pointer="/metadata/...",
    ),
    "metadata key too long": Bad(order(metadata={"k" * 101: 1}), pointer="/metadata/" + "k" * 101),
    "metadata value too long": Bad(order(metadata={"k": "v" * 501}), pointer="/metadata/k"),
    "NUL in metadata": Bad(order(metadata={"k": "\0"}), pointer="/metadata/k"),
    "NUL in metadata's key": Bad(order(metadata={"\0": 1}), pointer="/metadata/\0"),
}


@pytest.fixture
def path(event: Event) -> str:
    """Return the path on which the event is booked."""
    return f"/v1/events/{event['id']}/bookings"


async def test_s10_s14_bad_orders(world: World, event: Event, user: str, path: str) -> None:
    """S10, S14: a bad order is refused by its field, and nothing changes."""
    other = await world.event(1)
    tiers = {b"OTHER_TIER": other["tiers"][0]["id"].encode()}
    tiers |= {b"TIER_%d" % n: event["tiers"][n - 1]["id"].encode() for n in (1, 2)}
    before = await world.state()
    for name, bad in BAD_ORDERS.items():
        text = bad.body if isinstance(bad.body, bytes) else orjson.dumps(bad.body)
        for word, tier_id in tiers.items():
            text = text.replace(word, tier_id)
        with about(name):
            answer = await world.call("POST", path, token=user, key="k", data=text)
            check_problem(answer, bad.status, bad.code, bad.pointer)
    assert before == await world.state()


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 10**400], ids=["above", "below", "400 digits"]
)
async def test_integer_that_does_not_fit(
    world: World, event: Event, user: str, path: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: no request may put a record into the journal that the persister cannot write."""
    body = orjson.dumps(order(items=[line(event["tiers"][0]["id"])], metadata={"n": 0}))
    text = body.replace(b'"n":0', b'"n":%d' % number)
    # Let through, the record would stop the persister for good: go no further than the engine.
    sent = []

    async def book(shard: int, command: Any) -> Refused:
        sent.append((shard, command))
        return Refused(Status.NOT_ON_SALE, {})

    monkeypatch.setattr(world.client.app[SERVICES].engine, "book", book)
    answer = await world.call("POST", path, token=user, key="k", data=text)
    assert [] == sent
    check_problem(answer, 422, "invalid")


async def test_s23_event_ids(world: World, event: Event, user: str) -> None:
    """S23: an id that is not one, or is nobody's, is not found on any route and touches no key."""
    body = {"items": [line(event["tiers"][0]["id"])]}
    organizer = await world.organizer()
    before = await world.state()
    for event_id in NO_EVENT_IDS.split():
        path = f"/v1/events/{event_id}"
        answers = [
            await world.call("POST", f"{path}/bookings", token=user, key="k", json=body),
            await world.call("GET", path),
            await world.call("GET", f"{path}/availability"),
            await world.call("POST", f"{path}/publish", token=organizer),
        ]
        for answer in answers:
            with about(event_id):
                check_problem(answer, 404, "not_found")
    assert before == await world.state()


async def test_s23_booking_ids(world: World, user: str) -> None:
    """S23: the same for bookings."""
    before = await world.state()
    for booking_id in NO_BOOKING_IDS.split():
        for method, path in (("GET", ""), ("POST", "/cancel")):
            answer = await world.call(method, f"/v1/bookings/{booking_id}{path}", token=user)
            with about(booking_id):
                check_problem(answer, 404, "not_found")
    assert before == await world.state()


async def test_s23_ids_in_bodies(world: World, event: Event, user: str) -> None:
    """S23: the same for ids within a body, each refused where it stands."""
    booking = (await world.book(event, user)).body
    before = await world.state()
    for text in BROKEN_IDS:
        items = {"items": [line(text)]}
        lost = {"version": 1, "items": [line(text)]}
        answers = [
            await world.call(
                "POST", f"/v1/events/{event['id']}/bookings", token=user, key="s23", json=items
            ),
            await world.call(
                "POST", f"/v1/events/{event['id']}/holds", token=user, key="s23", json=items
            ),
            await world.call("POST", f"/v1/bookings/{booking['id']}/cancel", token=user, json=lost),
        ]
        for answer in answers:
            with about(text):
                check_problem(answer, 422, "invalid", "/items/0/tier_id")
    assert before == await world.state()


BROKEN_IDS = ("{s0}:meta", "tier_{s0}0000000000000000000000", "tier_\r\nDEL x", "tier_\0", "}{")
BREAKS = ("\r", "\n", "\r\nBcc: x@example.org", "\0")


async def test_s18_texts_that_break_a_header(world: World, user: str) -> None:
    """S18: names, which stand in subjects, and addresses are refused where they stand."""
    organizer = await world.organizer()
    before = await world.state()
    for broken in BREAKS:
        name, email = f"a{broken}b", f"a{broken}@example.org"
        account = {"email": "s18@example.org", "password": "correct horse battery", "name": "S"}
        tiers = [{"name": name, "price": {"amount": 1, "currency": "EUR"}, "capacity": 1}]
        requests: list[tuple[str, str, str, dict[str, Any], str]] = [
            ("POST", "/v1/auth/register", "", account | {"name": name}, "/name"),
            ("POST", "/v1/auth/register", "", account | {"email": email}, "/email"),
            ("PATCH", "/v1/me", user, {"name": name}, "/name"),
            ("POST", "/v1/events", organizer, new_event(5) | {"name": name}, "/name"),
            ("POST", "/v1/events", organizer, new_event() | {"tiers": tiers}, "/tiers/0/name"),
        ]
        for method, path, token, body, pointer in requests:
            answer = await world.call(method, path, token=token or None, json=body)
            with about((path, body)):
                check_problem(answer, 422, "invalid", pointer)
    assert before == await world.state()


async def test_foreign_booking(world: World, event: Event, user: str) -> None:
    """S8: another's booking is answered like one that does not exist, and stays."""
    booking = (await world.book(event, user)).body
    other = world.token()
    before = await world.state()
    made_up = "/v1/bookings/bk_" + "0" * 26
    for method, end in (("GET", ""), ("POST", "/cancel")):
        answer = await world.call(method, f"/v1/bookings/{booking['id']}{end}", token=other)
        check_problem(answer, 404, "not_found")
        missing = await world.call(method, made_up + end, token=other)
        differing = {"request_id", "instance"}
        assert {key: value for key, value in missing.body.items() if key not in differing} == {
            key: value for key, value in answer.body.items() if key not in differing
        }
    assert before == await world.state()
    assert 200 == (await world.call("GET", f"/v1/bookings/{booking['id']}", token=user)).status


@pytest.mark.parametrize(
    ("key", "code"),
    [
        *((key, "idempotency_key_missing") for key in (None, "")),
        *(
            (key, "idempotency_key_malformed")
            for key in ('""', '"', "a b", "é", 'a"b', "a\\b", "k" * 256, '"abc', 'abc"')
        ),
    ],
)
async def test_s27_keys_that_are_none(
    world: World, event: Event, user: str, path: str, key: str | None, code: str
) -> None:
    """Without a well-formed key of 1..255 characters nothing is booked."""
    before = await world.state()
    body = {"items": [line(event["tiers"][0]["id"])]}
    answer = await world.call("POST", path, token=user, key=key, json=body)
    check_problem(answer, 400, code, "/headers/Idempotency-Key")
    assert before == await world.state()


@pytest.mark.parametrize("change", ["quantity", "tier", "line", "special_requests", "metadata"])
async def test_f37_key_reused(
    world: World, event: Event, user: str, path: str, change: str
) -> None:
    """F37: the same key with another request is refused, and the first booking stays."""
    first, second = (tier["id"] for tier in event["tiers"])
    body: dict[str, Any] = {"items": [line(first)], "special_requests": "a", "metadata": {"a": 1}}
    changes: dict[str, dict[str, Any]] = {
        "quantity": {"items": [line(first, 2)]},
        "tier": {"items": [line(second)]},
        "line": {"items": [line(first), line(second)]},
        "special_requests": {"special_requests": "b"},
        "metadata": {"metadata": {"a": 2}},
    }
    changed = body | changes[change]
    assert 201 == (await world.call("POST", path, token=user, key="k", json=body)).status
    before = await world.state()
    answer = await world.call("POST", path, token=user, key="k", json=changed)
    check_problem(answer, 422, "idempotency_key_reused")
    assert before == await world.state()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; a change to None leaves the claim out."""
    now_s = int(time.time())
    good = {
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "typ": tokens.TYPE,
        "sub": new_id("usr"),
        "role": "user",
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 60,
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


def signed(**changes: Any) -> str:
    """Sign changed claims with the right key."""
    return jwt.encode(claims(**changes), JWT_SECRET, algorithm=tokens.ALGORITHM)


def forged(header: dict[str, Any], *, signature: bytes = b"") -> str:
    """Put good claims under a header of one's own."""
    parts = orjson.dumps(header), orjson.dumps(claims()), signature
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def with_embedded_key() -> str:
    """Sign by a key of one's own that the header brings along."""
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return jwt.encode(
        claims(), key, algorithm="EdDSA", headers={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}
    )


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "not a token": lambda: "abc",
    "dots": lambda: "..",
    "deep header": lambda: base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=") + ".e30.x",
    "alg none": lambda: jwt.encode(claims(), "", algorithm="none"),
    "alg None": lambda: forged({"alg": "None", "typ": "JWT"}),
    "alg missing": lambda: forged({"typ": "JWT"}),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "other key": lambda: jwt.encode(claims(), "x" * 32, algorithm="HS256"),
    "HS512 of our key": lambda: jwt.encode(claims(), JWT_SECRET, algorithm="HS512"),
    "embedded jwk": with_embedded_key,
    "symmetric jwk": lambda: jwt.encode(
        claims(),
        "y" * 32,
        algorithm="HS256",
        headers={"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(b"y" * 32).decode()}},
    ),
    "kid of a file": lambda: jwt.encode(
        claims(), "z" * 32, algorithm="HS256", headers={"kid": "../../dev/null"}
    ),
    "changed claims": lambda: ".".join(
        [signed().split(".")[0], signed(role="admin").split(".")[1], signed().split(".")[2]]
    ),
    "expired": lambda: signed(exp=int(time.time()) - tokens.LEEWAY_S - 1),
    "not yet valid": lambda: signed(nbf=int(time.time()) + tokens.LEEWAY_S + 60),
    "made in the future": lambda: signed(iat=int(time.time()) + tokens.LEEWAY_S + 60),
    "refresh token": lambda: signed(typ="refresh"),
    "type missing": lambda: signed(typ=None),
    "other audience": lambda: signed(aud="other"),
    "other issuer": lambda: signed(iss="other"),
    **{
        f"{name} missing": lambda name=name: signed(**{name: None})  # type: ignore[misc]
        for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "role")
    },
    "role is a number": lambda: signed(role=1),
    "subject is a number": lambda: signed(sub=1),
}


async def test_s1_s2_bad_tokens(world: World, event: Event, path: str) -> None:
    """S1, S2: a token that is not wholly ours lets nobody in, on no route, and nothing changes."""
    body = {"items": [line(event["tiers"][0]["id"])]}
    before = await world.state()
    for name, make in BAD_TOKENS.items():
        token = make()
        for method, where in (("POST", path), ("GET", "/v1/me"), ("GET", "/v1/bookings")):
            json = body if method == "POST" else None
            answer = await world.call(method, where, token=token, key="k", json=json)
            with about(name):
                check_problem(answer, 401, "unauthorized", "/headers/Authorization")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert before == await world.state()


def test_good_token_is_good() -> None:
    """The claims that the table changes are those of a token that is let in."""
    made = tokens.Tokens(JWT_SECRET, ttl_s=60)
    assert "user" == made.check(signed()).role


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "bearer", "Basic dXNlcjpwYXNz", "Token abc", "Bearer\tabc"]
)
async def test_authorization_header(world: World, path: str, header: str | None) -> None:
    """Without a Bearer token nobody gets in."""
    headers = {} if header is None else {"Authorization": header}
    before = await world.state()
    answer = await world.call("POST", path, key="k", json=order(), headers=headers)
    check_problem(answer, 401, "unauthorized", "/headers/Authorization")
    assert before == await world.state()


@pytest.mark.parametrize("given", ["a b", "x" * 65, "<script>", "ü"])
async def test_s28_request_id_of_the_client(world: World, given: str) -> None:
    """S28: a request id is taken over only if it is plain; others are replaced."""
    answer = await world.call("GET", "/nope", headers={"X-Request-Id": given})
    check_problem(answer, 404, "not_found")
    assert given != answer.headers["X-Request-Id"]
    answer = await world.call("GET", "/nope", headers={"X-Request-Id": "my-id.1"})
    assert "my-id.1" == answer.headers["X-Request-Id"] == answer.body["request_id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [(b"Authorization: Bearer \xff.\xfe.x", 401), (b"Content-Encoding: gzip", 415)],
    ids=["token that is not UTF-8", "body that is packed"],
)
async def test_s14_bytes_that_do_not_decode(
    world: World, user: str, path: str, headers: bytes, status: int
) -> None:
    """S14: what a well-behaved client never sends is the client's fault as well, not ours."""
    if status == 415:
        headers += b"\r\nIdempotency-Key: k\r\nAuthorization: Bearer " + user.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
    try:
        writer.write(
            b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Length: 3\r\n" + headers + b"\r\n\r\nabc"
        )
        line = await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
    assert status == int(line.split()[1])
