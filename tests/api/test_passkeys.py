"""S39. Passkeys: made, used, named, removed; and everything that is not proof of one."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest
from webauthn.helpers import parse_authentication_options_json, parse_registration_options_json

from api.http import SERVICES
from engine.ids import new_id
from store import users, ways_in
from tests.api.authenticator import (
    EDDSA,
    ES256,
    PRESENT,
    RP_ID,
    RS256,
    VERIFIED,
    Authenticator,
    text,
)
from tests.api.test_accounts import account
from tests.api.world import Answer, Serve, World, check_problem, new_event
from usecases.passwords import hash_now
from usecases.stepup import RECENT_S

MINE = "/v1/me/passkeys"


async def registered(world: World) -> str:
    """Make an account; return its token."""
    made = await world.call("POST", "/v1/auth/register", json=account())
    return str(made.body["access_token"])


async def begun(world: World, token: str) -> dict[str, Any]:
    """Begin to make a passkey."""
    answer = await world.call("POST", f"{MINE}/begin", token=token)
    assert 200 == answer.status, answer.text
    return dict(answer.body)


async def added(
    world: World, token: str, device: Authenticator, name: str = "Phone", **twists: Any
) -> Answer:
    """Make a passkey on a device."""
    flow = await begun(world, token)
    body = {"flow": flow["flow"], "name": name}
    credential = device.create(flow["options"], **twists)
    return await world.call("POST", MINE, token=token, json=body | {"credential": credential})


async def signed_in(world: World, device: Authenticator, **twists: Any) -> Answer:
    """Sign in by a device."""
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    credential = device.get(flow["options"], **twists)
    return await finished(world, flow["flow"], credential)


async def finished(world: World, flow: str, credential: dict[str, Any]) -> Answer:
    """End a sign-in."""
    body = {"flow": flow, "credential": credential}
    return await world.call("POST", "/v1/auth/passkeys/finish", json=body)


async def old(world: World, token: str) -> str:
    """Return a token of the same person who signed in too long ago."""
    tokens = world.client.app[SERVICES].tokens
    person = tokens.check(token)
    return tokens.issue(person._replace(signed_in_s=int(time.time()) - RECENT_S - 1))


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
async def test_s39_make_and_sign_in(world: World, algorithm: int) -> None:
    """S39: a passkey of each kind of key is made and signs in, without a name typed."""
    token = await registered(world)
    me = (await world.call("GET", "/v1/me", token=token)).body
    device = Authenticator(algorithm)

    made = await added(world, token, device)
    assert 201 == made.status, made.text
    entered = await signed_in(world, device)
    assert 200 == entered.status, entered.text
    again = await signed_in(world, device)

    for answer in (entered, again):
        seen = await world.call("GET", "/v1/me", token=answer.body["access_token"])
        assert me == seen.body
    [listed] = (await world.call("GET", MINE, token=token)).body["data"]
    assert made.body == listed | {"used_at": None}
    assert ("Phone", True) == (listed["name"], listed["is_synced"])
    assert listed["used_at"] is not None


async def test_s39_options_are_what_browsers_take(world: World) -> None:
    """S39: the options say what is demanded: this site, an owner verified, found without a name."""
    token, device = await registered(world), Authenticator()
    me = (await world.call("GET", "/v1/me", token=token)).body
    assert 201 == (await added(world, token, device)).status

    creation = (await begun(world, token))["options"]
    parsed = parse_registration_options_json(creation)
    assert (RP_ID, "none", me["email"]) == (
        parsed.rp.id,
        str(parsed.attestation.value),
        parsed.user.name,
    )
    assert parsed.authenticator_selection is not None
    assert "required" == parsed.authenticator_selection.resident_key
    assert "required" == parsed.authenticator_selection.user_verification
    assert [device.id] == [one.id for one in parsed.exclude_credentials or []]
    assert me["id"].encode() == parsed.user.id
    request = (await world.call("POST", "/v1/auth/passkeys/begin")).body["options"]
    asked = parse_authentication_options_json(request)
    assert (RP_ID, "required") == (asked.rp_id, asked.user_verification)
    assert 32 == len(asked.challenge)
    assert asked.challenge != parsed.challenge


REFUSED: list[dict[str, Any]] = [
    {"origin": "https://tickets.example.evil"},
    {"origin": "http://tickets.example"},
    {"rp_id": "evil.example"},
    {"flags": VERIFIED},
    {"flags": PRESENT},
    {"challenge": text(bytes(32))},
    {"frame": True},
]


@pytest.mark.parametrize(
    "twists",
    [*REFUSED, {"type": "webauthn.get"}, {"statement": {"sig": b"x"}}, {"algorithm": -65_535}],
    ids=str,
)
async def test_s39_registration_that_is_not_proved(world: World, twists: dict[str, Any]) -> None:
    """S39: another site, frame, challenge or kind of key, or an unverified owner, makes none."""
    token = await registered(world)
    before = await world.state()
    answer = await added(world, token, Authenticator(), **twists)
    check_problem(answer, 401, "sign_in_refused")
    assert before == await world.state()


@pytest.mark.parametrize(
    "twists",
    [
        *REFUSED,
        {"type": "webauthn.create"},
        {"signature": b"no signature"},
        {"user_handle": text(new_id("usr").encode())},
        {"id": text(secrets.token_bytes(32))},
    ],
    ids="-".join,
)
async def test_s39_assertion_that_is_not_proved(world: World, twists: dict[str, Any]) -> None:
    """S39: another site, frame, challenge, owner or key, or one unverified, signs nobody in."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    before = await world.state()
    check_problem(await signed_in(world, device, **twists), 401, "sign_in_refused")
    assert before == await world.state()
    assert 200 == (await signed_in(world, device)).status


async def test_s39_key_of_another(world: World) -> None:
    """S39: a device that bears another's id signs nobody in."""
    token, device, thief = await registered(world), Authenticator(), Authenticator()
    assert 201 == (await added(world, token, device)).status
    thief.id, thief.user_handle = device.id, device.user_handle
    check_problem(await signed_in(world, thief), 401, "sign_in_refused")


@pytest.mark.parametrize("body", [b"{", b'"x"', b"[]", b'{"type": 1}', b"\xff", b"null"])
async def test_s39_client_data_that_is_none(world: World, body: bytes) -> None:
    """S39: what a browser never sends is refused, and is no error of ours."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    credential = device.get(flow["options"])
    credential["response"]["clientDataJSON"] = text(body)
    check_problem(await finished(world, flow["flow"], credential), 401, "sign_in_refused")


@pytest.mark.parametrize("size", [1, 36, 37, 60])
async def test_s39_bytes_cut_short(world: World, size: int) -> None:
    """S39: data and attestations that end too early are refused, and are no error of ours."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    used = device.get(flow["options"])
    used["response"]["authenticatorData"] = text(secrets.token_bytes(size))
    check_problem(await finished(world, flow["flow"], used), 401, "sign_in_refused")
    begin = await begun(world, token)
    made = Authenticator().create(begin["options"])
    made["response"]["attestationObject"] = made["response"]["attestationObject"][:size]
    body = {"flow": begin["flow"], "name": "Phone", "credential": made}
    check_problem(await world.call("POST", MINE, token=token, json=body), 401, "sign_in_refused")


async def test_s39_challenge_is_good_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """S39: what signed in once, even at once, does not twice; nor what was begun too long ago."""
    token, device = await registered(world), Authenticator(counts=False)
    assert 201 == (await added(world, token, device)).status
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    credential = device.get(flow["options"])

    answers = await asyncio.gather(*(finished(world, flow["flow"], credential) for _ in range(4)))
    assert [200, 401, 401, 401] == sorted(answer.status for answer in answers)
    check_problem(await finished(world, flow["flow"], credential), 401, "sign_in_over")

    monkeypatch.setattr("usecases.flows.TTL_S", -1)
    check_problem(await signed_in(world, device), 401, "sign_in_over")


async def test_s39_flow_of_another(world: World) -> None:
    """S39: a flow is its beginner's own, and of one kind; what we did not sign is none."""
    one, other, device = await registered(world), await registered(world), Authenticator()
    flow = await begun(world, one)
    body = {"flow": flow["flow"], "name": "Mine", "credential": device.create(flow["options"])}
    check_problem(await world.call("POST", MINE, token=other, json=body), 401, "sign_in_over")
    assert 201 == (await world.call("POST", MINE, token=one, json=body)).status
    check_problem(await world.call("POST", MINE, token=one, json=body), 401, "sign_in_over")
    for token in (flow["flow"], flow["flow"] + "x", "x", one):
        check_problem(await finished(world, token, _used(device)), 401, "sign_in_over")


def _used(device: Authenticator) -> dict[str, Any]:
    return device.get({"challenge": text(bytes(32)), "rpId": RP_ID})


async def test_s39_several_processes(world: World, serve: Serve) -> None:
    """S39: a sign-in that began at one process ends at another."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    flow = (await world.call("POST", "/v1/auth/passkeys/begin")).body
    async with serve() as other:
        answer = await finished(other, flow["flow"], device.get(flow["options"]))
        assert 200 == answer.status
        check_problem(
            await finished(world, flow["flow"], device.get(flow["options"])), 401, "sign_in_over"
        )


async def test_s39_count_that_falls_back(world: World) -> None:
    """S39: a count of signatures that has not grown says that there is a copy: refused."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    assert 200 == (await signed_in(world, device, count=5)).status
    for count in (5, 4, 0):
        answer = await signed_in(world, device, count=count)
        check_problem(answer, 401, "sign_in_refused")
    assert 200 == (await signed_in(world, device, count=6)).status


async def test_s39_count_is_the_rows(world: World) -> None:
    """S39: of two signatures with one count, at two processes, one is taken."""
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    answers = await asyncio.gather(*(signed_in(world, device, count=7) for _ in range(4)))
    assert [200, 401, 401, 401] == sorted(answer.status for answer in answers)


async def test_s39_rename_and_remove(world: World) -> None:
    """S8, S39: one's own passkeys are renamed and removed; another's are not there."""
    one, other = await registered(world), await registered(world)
    device, spare = Authenticator(), Authenticator(EDDSA)
    path = f"{MINE}/{(await added(world, one, device)).body['id']}"
    assert 201 == (await added(world, one, spare, "Key")).status
    before = await world.state()
    named = {"name": "Blue key"}
    for answer in (
        await world.call("PATCH", path, token=other, json=named),
        await world.call("DELETE", path, token=other),
        await world.call("PATCH", f"{MINE}/pky_x", token=one, json=named),
    ):
        check_problem(answer, 404, "not_found")
    assert [] == (await world.call("GET", MINE, token=other)).body["data"]
    assert before == await world.state()

    renamed = await world.call("PATCH", path, token=one, json=named)
    assert (200, "Blue key") == (renamed.status, renamed.body["name"])
    assert 204 == (await world.call("DELETE", path, token=one)).status
    check_problem(await signed_in(world, device), 401, "sign_in_refused")
    assert 200 == (await signed_in(world, spare)).status
    check_problem(await world.call("DELETE", path, token=one), 404, "not_found")


async def test_s39_only_soon_after_signing_in(world: World) -> None:
    """S39: with a token of long ago, or of older code, no way in is made or taken away."""
    token, device = await registered(world), Authenticator()
    made = (await added(world, token, device)).body["id"]
    user_id = (await world.call("GET", "/v1/me", token=token)).body["id"]
    before = await world.state()
    for stale in (await old(world, token), world.token(user_id)):
        begin = await world.call("POST", f"{MINE}/begin", token=stale)
        check_problem(begin, 403, "sign_in_again")
        removal = await world.call("DELETE", f"{MINE}/{made}", token=stale)
        check_problem(removal, 403, "sign_in_again")
        assert 200 == (await world.call("GET", MINE, token=stale)).status
    assert before == await world.state()


async def test_s39_one_credential_one_account(world: World) -> None:
    """S39: a credential that is anybody's is not taken a second time."""
    device = Authenticator()
    assert 201 == (await added(world, await registered(world), device)).status
    again = await added(world, await registered(world), device)
    check_problem(again, 409, "passkey_known")


async def test_s39_bounded_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """S29, S39: an account has a bounded number of passkeys."""
    monkeypatch.setattr("store.ways_in.PASSKEYS_MAX", 2)
    token = await registered(world)
    answers = [await added(world, token, Authenticator()) for _ in range(3)]
    assert [201, 201] == [answer.status for answer in answers[:2]]
    check_problem(answers[2], 409, "too_many_ways_in")


async def test_s39_token_of_a_deleted_account(world: World) -> None:
    """S39: who is not there makes no passkey."""
    token = world.token(new_id("usr"), is_fresh=True)
    check_problem(await world.call("POST", f"{MINE}/begin", token=token), 404, "not_found")


async def test_s39_no_site_no_passkeys(serve: Serve) -> None:
    """S39: without a site of the settings there are no passkeys, which is told."""
    async with serve(passkey_rp_id="", passkey_origins=()) as world:
        begin = await world.call("POST", "/v1/auth/passkeys/begin")
        check_problem(begin, 404, "passkeys_off")
        token = await registered(world)
        answer = await world.call("POST", f"{MINE}/begin", token=token)
        check_problem(answer, 404, "passkeys_off")


async def test_s39_spent_flows_are_cleared(world: World) -> None:
    """S39: what is remembered of ended sign-ins goes once it could not be used any more."""
    await world.database.execute(
        "INSERT INTO spent_flows (id, expires_at) SELECT decode(md5(n::text), 'hex'),"
        " now() - interval '1 hour' FROM generate_series(1, 150) n ON CONFLICT DO NOTHING"
    )
    token, device = await registered(world), Authenticator()
    assert 201 == (await added(world, token, device)).status
    assert 200 == (await signed_in(world, device)).status
    count = "SELECT count(*) FROM spent_flows WHERE expires_at < now() - interval '30 minutes'"
    assert 0 == await world.database.fetchval(count)


async def admin_of(world: World) -> tuple[str, str, str]:
    """Make an admin; return the account's id, its address, and its organizer."""
    organizer_id = await users.add_organizer(world.database, "House")
    email = f"{secrets.token_hex(6)}@example.org"
    user_id = await users.add(
        world.database,
        email=email,
        name="Root",
        password_hash=hash_now("a good password"),
        role="admin",
        organizer_id=organizer_id,
    )
    assert user_id is not None
    return user_id, email, organizer_id


async def test_s39_admins_must_have_a_passkey(serve: Serve) -> None:
    """S39: with that setting, an admin's rights come by a passkey alone, whatever the token."""
    async with serve(admin_passkeys="required") as world:
        user_id, email, organizer_id = await admin_of(world)
        login = {"email": email, "password": "a good password"}
        by_password = (await world.call("POST", "/v1/auth/login", json=login)).body["access_token"]
        of_before = world.token(user_id, role="admin", organizer_id=organizer_id)
        for token in (by_password, of_before):
            answer = await world.call("POST", "/v1/events", token=token, json=new_event())
            check_problem(answer, 403, "passkey_required")
        # The first one may be made after the password; then it is the passkey that counts.
        device, thief = Authenticator(), Authenticator()
        begin = await begun(world, by_password)
        made = await added(world, by_password, device)
        assert 201 == made.status
        late = {"flow": begin["flow"], "name": "x", "credential": thief.create(begin["options"])}
        for answer in (
            await world.call("POST", MINE, token=by_password, json=late),
            await world.call("POST", f"{MINE}/begin", token=by_password),
            await world.call("DELETE", f"{MINE}/{made.body['id']}", token=by_password),
            await world.call("POST", "/v1/events", token=by_password, json=new_event()),
        ):
            check_problem(answer, 403, "passkey_required")
        token = (await signed_in(world, device)).body["access_token"]
        answer = await world.call("POST", "/v1/events", token=token, json=new_event())
        assert 201 == answer.status
        removal = await world.call("DELETE", f"{MINE}/{made.body['id']}", token=token)
        check_problem(removal, 409, "last_way_in")
        assert 201 == (await added(world, token, Authenticator())).status
        removal = await world.call("DELETE", f"{MINE}/{made.body['id']}", token=token)
        assert 204 == removal.status


async def test_s39_required_of_admins_alone(serve: Serve) -> None:
    """S39: nobody else is asked for a passkey by that setting."""
    async with serve(admin_passkeys="required") as world:
        token = await world.organizer()
        answer = await world.call("POST", "/v1/events", token=token, json=new_event())
        assert 201 == answer.status


async def test_s39_two_last_ways_in(world: World) -> None:
    """S39: of two who take the last two ways in away at once, one does."""
    token = await registered(world)
    made = [(await added(world, token, Authenticator())).body["id"] for _ in range(2)]
    user_id = (await world.call("GET", "/v1/me", token=token)).body["id"]
    await world.database.execute("UPDATE users SET has_password = false WHERE id = $1", user_id)
    answers = await asyncio.gather(
        *(world.call("DELETE", f"{MINE}/{own_id}", token=token) for own_id in made)
    )
    assert [204, 409] == sorted(answer.status for answer in answers)
    # A password that is set, by whatever code, is a way in.
    await world.database.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1", user_id, hash_now("another one")
    )
    [left] = await ways_in.passkeys(world.database, user_id)
    assert 204 == (await world.call("DELETE", f"{MINE}/{left.id}", token=token)).status


async def test_s39_nothing_secret_is_kept_or_told(world: World) -> None:
    """S28, S39: neither a flow nor a challenge stands in the database, and no key is told."""
    token, device = await registered(world), Authenticator()
    flow = await begun(world, token)
    body = {"flow": flow["flow"], "name": "Phone", "credential": device.create(flow["options"])}
    made = await world.call("POST", MINE, token=token, json=body)
    assert {"id", "name", "is_synced", "created_at", "used_at"} == set(made.body)
    kept = str((await world.state()).database)
    assert flow["flow"] not in kept
    assert flow["options"]["challenge"] not in kept


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"flow": ""}, "/flow"),
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"user_id": "usr_1"}, "/user_id"),
        ({"credential": {}}, "/credential/id"),
    ],
)
async def test_bad_passkey(world: World, change: dict[str, Any], pointer: str) -> None:
    """S10: bad input is refused by its field."""
    token, device = await registered(world), Authenticator()
    flow = await begun(world, token)
    body = {"flow": flow["flow"], "name": "Phone", "credential": device.create(flow["options"])}
    answer = await world.call("POST", MINE, token=token, json=body | change)
    check_problem(answer, 422, "invalid", pointer)
