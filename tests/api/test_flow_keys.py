"""S3, S38, S39. Sign-ins under way while the key that they began with is rotated and retired."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from api.http import SERVICES
from engine.errors import KeysUnknown
from evently import keys as ring
from evently.settings import Settings
from tests.api.authenticator import Authenticator
from tests.api.conftest import as_role
from tests.api.provider import TwistedProvider, begun, ended
from tests.api.test_accounts import PASSWORD
from tests.api.test_keyring import OF_SETTING, header_of, let_sign
from tests.api.test_openid import registered
from tests.api.test_passkeys import MINE, finished
from tests.api.test_passkeys import added as with_passkey
from tests.api.test_passkeys import begun as begun_adding
from tests.api.test_ways_in import IDENTITIES, address
from tests.api.world import JWT_SECRET, TICKET_SIGNING_KEY, Serve, World
from usecases.flows import ALGORITHM, TTL_S, FlowKind, Flows
from usecases.tokens import LEEWAY_S


@pytest.fixture
async def known(provider: TwistedProvider, serve: Serve) -> AsyncIterator[World]:
    """Serve an application that knows the provider."""
    async with serve(**provider.options()) as world:
        yield world


@pytest.fixture
async def settings(known: World, database_url: str) -> AsyncIterator[Settings]:
    """Return settings as `evently keys` has them beside the API; its keys are gone afterwards."""
    yield Settings(
        database_url=as_role(database_url, "api"),
        jwt_secret=JWT_SECRET,
        ticket_signing_key=TICKET_SIGNING_KEY,
    )
    await known.database.execute("DELETE FROM signing_keys")


class Flowing:
    """Each kind of sign-in, begun by one call and ended by another."""

    def __init__(self, world: World, provider: TwistedProvider, token: str) -> None:
        self._world, self._provider = world, provider
        #: Of who joins an identity and makes a passkey.
        self.token = token
        self._device = Authenticator()

    async def prepare(self) -> None:
        """Make a passkey that can sign in."""
        assert 201 == (await with_passkey(self._world, self.token, self._device)).status

    async def begin(self) -> dict[str, dict[str, Any]]:
        """Begin one of each."""
        path = f"{IDENTITIES}/mock"
        return {
            "openid": await begun(self._world),
            "link": await begun(self._world, path, token=self.token),
            "passkey": (await self._world.call("POST", "/v1/auth/passkeys/begin")).body,
            "enrol": await begun_adding(self._world, self.token),
        }

    async def end(self, under_way: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Bring back what was signed elsewhere; return each status, of a problem with its code."""
        world, token, path = self._world, self.token, f"{IDENTITIES}/mock"
        flows = {name: one["flow"] for name, one in under_way.items()}
        back = {
            name: self._provider.consent(under_way[name]["authorization_url"])
            for name in ("openid", "link")
        }
        signed = self._device.get(under_way["passkey"]["options"])
        made = Authenticator().create(under_way["enrol"]["options"])
        body = {"flow": flows["enrol"], "name": "Other", "credential": made}
        answers = {
            "openid": await ended(world, flows["openid"], back["openid"]),
            "link": await ended(world, flows["link"], back["link"], path, token=token),
            "passkey": await finished(world, flows["passkey"], signed),
            "enrol": await world.call("POST", MINE, token=token, json=body),
        }
        return {
            name: answer.status if answer.status < 400 else (answer.status, answer.body["code"])
            for name, answer in answers.items()
        }


async def test_s3_s38_s39_sign_ins_outlive_a_rotation_and_no_retired_key(
    known: World, provider: TwistedProvider, settings: Settings
) -> None:
    """S3: who is at the provider meanwhile comes back; of a retired key they begin anew, by 401."""
    email = address(provider)
    flowing = Flowing(known, provider, await registered(known, email))
    await known.prove(email)
    await flowing.prepare()
    before = await flowing.begin()
    assert {OF_SETTING} == {header_of(one["flow"])["kid"] for one in before.values()}
    made = await ring.rotate(settings, "tokens")
    await let_sign(known, made.kid)
    assert {"openid": 200, "link": 201, "passkey": 200, "enrol": 201} == await flowing.end(before)

    late = await flowing.begin()
    assert {made.kid} == {header_of(one["flow"])["kid"] for one in late.values()}
    other = await ring.rotate(settings, "tokens")
    await let_sign(known, other.kid)
    login = {"email": email, "password": PASSWORD}
    flowing.token = (await known.call("POST", "/v1/auth/login", json=login)).body["access_token"]
    await ring.retire(settings, made.kid)
    await known.client.app[SERVICES].keyring.refresh()
    over = dict.fromkeys(late, (401, "sign_in_over"))
    assert over == await flowing.end(late)
    again = await flowing.begin()
    assert {"openid": 200, "link": 201, "passkey": 200, "enrol": 201} == await flowing.end(again)


async def test_s3_a_flow_verifies_as_long_as_it_lives(known: World, settings: Settings) -> None:
    """S3: however short tokens live, a key is there until the flows that it signed are over."""
    short = Settings(
        database_url=settings.database_url,
        jwt_secret=settings.jwt_secret,
        ticket_signing_key=settings.ticket_signing_key,
        access_token_ttl_s=60,
    )
    made = await ring.rotate(short, "tokens")
    lives_s = await known.database.fetchval(
        "SELECT extract(epoch FROM old.retires_at - new.signs_at) FROM signing_keys AS old,"
        " signing_keys AS new WHERE old.kid = $1 AND new.kid = $2",
        OF_SETTING,
        made.kid,
    )
    assert lives_s > TTL_S + LEEWAY_S


def test_s38_a_key_that_is_not_told_yet() -> None:
    """S38: a flow of an unknown key is none of ours, or nobody can say while keys are not told."""
    flows = Flows(JWT_SECRET)
    other = Flows("another secret that is long enough")
    _, token = other.begin(FlowKind.OPENID)
    assert flows.read(token, FlowKind.OPENID) is None
    flows.use({OF_SETTING: JWT_SECRET.encode()}, OF_SETTING, fresh_until_s=0.0)
    with pytest.raises(KeysUnknown):
        flows.read(token, FlowKind.OPENID)
    flow, own = flows.begin(FlowKind.OPENID)
    assert flow == flows.read(own, FlowKind.OPENID)
    flows.use({}, None, fresh_until_s=time.monotonic() + 60)
    assert flows.read(own, FlowKind.OPENID) is None
    assert flows.is_word_of(flow, "state", flows.word_of(flow, "state")), "one that was read ends"
    with pytest.raises(KeysUnknown):
        flows.begin(FlowKind.OPENID)


def test_a_flow_of_older_code() -> None:
    """A token without a key id is of the setting's key, as older processes make and read it."""
    flows = Flows(JWT_SECRET)
    flow, token = flows.begin(FlowKind.PASSKEY)
    claims = jwt.decode(token, options={"verify_signature": False})
    older = jwt.encode(claims, flow.key, algorithm=ALGORITHM)
    assert flow == flows.read(older, FlowKind.PASSKEY)
