"""
Push: the browsers on which somebody wants to be told, each by its push service.

Where a browser is reached its page says, so it is judged before anything is sent there (S16): only
services that the operator allows, and never inside. It is told to nobody afterwards: whoever knows
it may push there.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode

from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from engine.ids import is_id, new_id
from engine.outward import NotOutside
from store import outbox, push
from usecases import told
from usecases.asked import NewPush
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.services import Services
from usecases.sessions import device_name
from usecases.tokens import Principal

#: Browsers of an account.
BROWSERS_MAX = 20
#: A point of P-256, and what browsers draw beside it.
POINT_BYTES = 65
AUTH_BYTES = 16


@as_value
async def key(services: Services) -> told.PushKey:
    """Return the key that a browser subscribes with."""
    found = await push.first_key(services.pools.own)
    if found is None:
        raise Denied(Why.PUSH_OFF)
    return told.PushKey(id=found.id, public_key=found.public_key)


@as_value
async def subscribe(
    services: Services, person: Principal, asked: NewPush, browser: str = ""
) -> told.PushSubscription:
    """
    Have the person told on a browser; it has one account, who subscribes with it last.

    Idempotency: by the endpoint.

    Args:
        browser: What it says of itself, which names it where nobody does.
    """
    pool, wanted = services.pools.own, asked.subscription
    if await push.first_key(pool) is None:
        raise Denied(Why.PUSH_OFF)
    if not await push.has_key(pool, asked.key_id):
        raise invalid("/key_id", "is none of the keys: subscribe anew with that of /v1/push/key")
    try:
        endpoint = services.push_services.check(wanted.endpoint)
    except NotOutside as error:
        raise invalid("/subscription/endpoint", str(error)) from None
    _check_keys(wanted.keys.p256dh, wanted.keys.auth)
    row = await push.put(
        pool,
        own_id=new_id("psh"),
        user_id=person.user_id,
        endpoint=endpoint,
        host=URL(endpoint).host or "",
        p256dh=wanted.keys.p256dh,
        auth=wanted.keys.auth,
        key_id=asked.key_id,
        name=asked.name or device_name(browser),
        browsers_max=BROWSERS_MAX,
    )
    if row is None:
        raise Denied(Why.BROWSERS_FULL, fields={"browsers_max": BROWSERS_MAX})
    return _told(row)


@as_value
async def mine(services: Services, person: Principal) -> list[told.PushSubscription]:
    """Return the browsers on which the person is told, the oldest first."""
    return [_told(row) for row in await push.of_user(services.pools.own, person.user_id)]


@as_value
async def remove(services: Services, person: Principal, own_id: str) -> None:
    """Have the person told on a browser no more."""
    is_one = is_id("psh", own_id)
    if not is_one or not await push.remove(services.pools.own, person.user_id, own_id):
        raise not_found()


@as_value
async def test(services: Services, person: Principal, own_id: str) -> None:
    """Have a message pushed to a browser, to see whether it gets there."""
    pool = services.pools.own
    row = await push.by_id(pool, own_id) if is_id("psh", own_id) else None
    if row is None or row.user_id != person.user_id:
        raise not_found()
    if await push.first_key(pool) is None:
        raise Denied(Why.PUSH_OFF)
    async with pool.acquire() as connection, connection.transaction():
        payload = {"to": own_id}
        await outbox.account_message(connection, "account.push_test", person.user_id, payload)


def _check_keys(p256dh: str, auth: str) -> None:
    try:
        point = urlsafe_b64decode(p256dh + "=" * (-len(p256dh) % 4))
        if len(point) != POINT_BYTES:
            raise ValueError("its length")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise invalid("/subscription/keys/p256dh", "is no point of P-256") from None
    try:
        is_good = len(urlsafe_b64decode(auth + "=" * (-len(auth) % 4))) == AUTH_BYTES
    except ValueError:
        is_good = False
    if not is_good:
        raise invalid("/subscription/keys/auth", f"is not {AUTH_BYTES} bytes")


def _told(row: push.Subscription) -> told.PushSubscription:
    return told.PushSubscription(
        id=row.id,
        name=row.name,
        service=row.host,
        key_id=row.key_id,
        created_at=row.since,
        last_delivered_at=row.last_delivered_at,
        failures=row.failures,
    )
