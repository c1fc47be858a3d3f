"""
Passkeys (WebAuthn level 3): sign in with what a device keeps and its owner unlocks.

A credential is made for the site of the settings alone, can be found by its device without a name
(discoverable), and every use needs its owner verified, by finger, face or PIN. What device it is,
nobody is asked (attestation "none"). A challenge is of one flow, lives as long as that, and ends
once. A count of signatures that does not grow says that there are two of one passkey: refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import structlog
from webauthn import (
    base64url_to_bytes,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

from store import users, ways_in
from store.ways_in import Removal
from usecases import acts, sessions, stepup, told
from usecases.asked import NewPasskey, PasskeyName, PasskeySignIn
from usecases.denials import Denied, Why, as_value, not_found
from usecases.flows import TTL_S, Flow, FlowKind, spend
from usecases.services import PasskeySite, Services
from usecases.tokens import BY_PASSKEY, Principal

log = structlog.get_logger()

METHOD = BY_PASSKEY
SITE_NAME = "Evently"
#: Ed25519, ECDSA with P-256, RSA: what devices have, the best first.
ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
#: How a browser may reach a device, of what it says.
TRANSPORTS = {"ble", "hybrid", "internal", "nfc", "smart-card", "usb"}

Verified = TypeVar("Verified")


@as_value
async def begin(services: Services) -> told.PasskeyFlow:
    """Begin to sign in; whose passkey it will be, nobody says before. Nothing is kept."""
    site = _site(services)
    flow, token = services.flows.begin(FlowKind.PASSKEY)
    options = told.PasskeyRequest(
        challenge=_challenge(services, flow), rp_id=site.rp_id, timeout=TTL_S * 1000
    )
    return told.PasskeyFlow(flow=token, options=options, expires_in=TTL_S)


@as_value
async def finish(
    services: Services, asked: PasskeySignIn, *, origin: str, device: str
) -> told.Session | Denied:
    """
    End a sign-in by what a passkey has signed.

    Atomicity: the flow is spent, then the count of signatures noted, then the session opened.

    Args:
        origin: A word for the address that it is asked from; what is missed is limited by it.
    """
    pool, site = services.pools.sign_in, _site(services)
    flow = _flow(services, asked.flow, FlowKind.PASSKEY)
    row = await ways_in.passkey(pool, base64url_to_bytes(asked.credential.id))
    user = await users.by_id(pool, row.user_id) if row is not None else None
    tried = await services.attempts.begin_proof(origin, user.email if user is not None else "")
    try:
        if row is None or user is None:
            raise _refused("unknown")
        await _prove(services, site, flow, asked, row)
    except Denied:
        await services.attempts.end_proof(tried, None)
        raise
    await services.attempts.end_proof(tried, user.email)
    if user.disabled_at is not None:
        raise Denied(Why.ACCOUNT_DISABLED)
    return await sessions.open(
        services, user.id, method=METHOD, device=device, version=user.token_version
    )


async def _prove(
    services: Services, site: PasskeySite, flow: Flow, asked: PasskeySignIn, row: ways_in.Passkey
) -> None:
    """Prove that a passkey has signed, here and now; raises `Denied`."""
    pool = services.pools.sign_in
    credential, response = asked.credential, asked.credential.response
    if response.user_handle != _handle(row.user_id):
        raise _refused("of another")
    _check_frame(response.client_data_json)
    proved = _verified(
        lambda: verify_authentication_response(
            credential={
                "id": credential.id,
                "rawId": credential.raw_id,
                "type": credential.type,
                "response": {
                    "clientDataJSON": response.client_data_json,
                    "authenticatorData": response.authenticator_data,
                    "signature": response.signature,
                    "userHandle": response.user_handle,
                },
            },
            expected_challenge=services.flows.secret_of(flow, "challenge"),
            expected_rp_id=site.rp_id,
            expected_origin=list(site.origins),
            credential_public_key=row.public_key,
            # The row has the last word on the count, below: another process may be as far.
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    )
    await spend(pool, flow)
    count = proved.new_sign_count
    is_synced = proved.credential_backed_up
    if not await ways_in.use_passkey(pool, row.id, sign_count=count, is_synced=is_synced):
        log.warning(
            "passkey counts backwards: there may be a copy of it",
            action="passkey_counts_backwards",
            passkey=row.id,
            user=row.user_id,
        )
        raise Denied(Why.SIGN_IN_REFUSED)


@as_value
async def begin_adding(services: Services, person: Principal) -> told.NewPasskeyFlow:
    """Begin to make a passkey for one's account; only soon after signing in."""
    site, pool = _site(services), services.pools.sign_in
    await stepup.prove(services, person)
    user = await users.by_id(pool, person.user_id)
    if user is None:
        raise not_found()
    flow, token = services.flows.begin(FlowKind.ENROL, user_id=user.id)
    known = [
        told.PasskeyDescriptor(id=bytes_to_base64url(row.credential_id), transports=row.transports)
        for row in await ways_in.passkeys(pool, user.id)
    ]
    options = told.PasskeyCreation(
        challenge=_challenge(services, flow),
        rp=told.PasskeyRp(id=site.rp_id, name=SITE_NAME),
        user=told.PasskeyUser(id=_handle(user.id), name=user.email, display_name=user.name),
        pub_key_cred_params=[told.PasskeyAlgorithm(alg=int(one)) for one in ALGORITHMS],
        exclude_credentials=known,
        timeout=TTL_S * 1000,
    )
    return told.NewPasskeyFlow(flow=token, options=options, expires_in=TTL_S)


@as_value
async def add(services: Services, person: Principal, asked: NewPasskey) -> told.Passkey:
    """
    End the making of a passkey: keep its public key.

    Atomicity: the flow is spent, then the row added.
    """
    site, pool = _site(services), services.pools.sign_in
    flow = _flow(services, asked.flow, FlowKind.ENROL, user_id=person.user_id)
    await stepup.prove_by_passkey(services, person)
    credential, response = asked.credential, asked.credential.response
    _check_frame(response.client_data_json)
    proved = _verified(
        lambda: verify_registration_response(
            credential={
                "id": credential.id,
                "rawId": credential.raw_id,
                "type": credential.type,
                "response": {
                    "clientDataJSON": response.client_data_json,
                    "attestationObject": response.attestation_object,
                },
            },
            expected_challenge=services.flows.secret_of(flow, "challenge"),
            expected_rp_id=site.rp_id,
            expected_origin=list(site.origins),
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    )
    await spend(pool, flow)
    row = await ways_in.enrol(
        pool,
        acts.keeper(person),
        user_id=person.user_id,
        credential_id=proved.credential_id,
        public_key=proved.credential_public_key,
        sign_count=proved.sign_count,
        transports=sorted(TRANSPORTS.intersection(response.transports)),
        is_synced=proved.credential_backed_up,
        name=asked.name,
        version=person.token_version,
    )
    if row is None:
        is_known = await ways_in.passkey(pool, proved.credential_id) is not None
        raise Denied(Why.PASSKEY_KNOWN if is_known else Why.TOO_MANY_WAYS_IN)
    return _told(row)


@as_value
async def mine(services: Services, person: Principal) -> list[told.Passkey]:
    """Return one's passkeys, the oldest first."""
    return [_told(row) for row in await ways_in.passkeys(services.pools.sign_in, person.user_id)]


@as_value
async def rename(
    services: Services, person: Principal, passkey_id: str, asked: PasskeyName
) -> told.Passkey:
    """Give one of one's passkeys another name."""
    pool = services.pools.sign_in
    row = await ways_in.rename_passkey(pool, person.user_id, passkey_id, asked.name)
    if row is None:
        raise not_found()
    return _told(row)


@as_value
async def remove(services: Services, person: Principal, passkey_id: str) -> None:
    """Take a passkey from one's account, unless it is the last way in, or must be there."""
    await stepup.prove(services, person)
    pool = services.pools.sign_in
    keeps_one = await services.standings.needs_passkey(person)
    removal = await ways_in.remove_passkey(
        pool, person.user_id, passkey_id, keeps_one=keeps_one, by=acts.keeper(person)
    )
    if removal is Removal.UNKNOWN:
        raise not_found()
    if removal is Removal.LAST:
        raise Denied(Why.LAST_WAY_IN)


def _site(services: Services) -> PasskeySite:
    if services.passkey_site is None:
        raise Denied(Why.PASSKEYS_OFF)
    return services.passkey_site


def _flow(services: Services, token: str, kind: FlowKind, *, user_id: str = "") -> Flow:
    flow = services.flows.read(token, kind)
    if flow is None or flow.user_id != user_id:
        raise Denied(Why.SIGN_IN_OVER)
    return flow


def _challenge(services: Services, flow: Flow) -> str:
    return services.flows.word_of(flow, "challenge")


def _check_frame(client_data_json: str) -> None:
    """Refuse what was signed within a page of another site, where ours was but a frame."""
    client_data = _verified(lambda: json.loads(base64url_to_bytes(client_data_json)))
    if not isinstance(client_data, dict) or client_data.get("crossOrigin"):
        raise _refused("frame")


def _verified(verify: Callable[[], Verified]) -> Verified:
    """Return what is proved; `Denied` if it is not, whatever is wrong with it."""
    try:
        return verify()
    except (WebAuthnException, ValueError, TypeError, LookupError, RecursionError) as error:
        raise _refused(type(error).__name__) from None


def _refused(reason: str) -> Denied:
    # Quietly: anybody may try as often as they like.
    log.debug("passkey refused", action="passkey_refused", reason=reason)
    return Denied(Why.SIGN_IN_REFUSED)


def _handle(user_id: str) -> str:
    """Return the name of an account that its passkeys keep; it says nothing of the person."""
    return bytes_to_base64url(user_id.encode())


def _told(row: ways_in.Passkey) -> told.Passkey:
    return told.Passkey(
        id=row.id,
        name=row.name,
        is_synced=row.is_synced,
        created_at=row.created_at,
        used_at=row.used_at,
    )
