"""
Devices at gates: announced by who works at the event, enrolled by a code that is good once.

A device is bound to its event and gate (S41): it lets in, takes back, reads the list of its event's
tickets, and nothing else, until a day after the event.
"""

from __future__ import annotations

import datetime as dt
import secrets
from hashlib import sha256

from engine.ids import is_id, new_id
from store import devices, tenants
from usecases import acts, bearers, gate, told
from usecases.asked import Enrolment, NewDevice
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.services import Services
from usecases.tokens import Principal

#: Devices of an event that are not revoked.
DEVICES_MAX = 500
#: How long a code is good, in seconds.
CODE_TTL_S = 600.0
#: Without what is mistaken for something else when it is read aloud or off a screen.
_CODE_CHARS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
#: 49 bits: who tries 200 in the ten minutes of a code, as one address may, guesses one of 10^12.
_CODE_LENGTH = 10


@as_value
async def make(
    services: Services, person: Principal, event_id: str, asked: NewDevice
) -> told.DeviceMade:
    """
    Announce a device; the code that enrols it is told this once.

    Whether the person may is asked of the account as it is now, not of the token.
    """
    organizer_id = (await gate.own_door(services, person, event_id)).organizer_id
    code = "".join(secrets.choice(_CODE_CHARS) for _ in range(_CODE_LENGTH))
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        if await devices.count(connection, event_id) >= DEVICES_MAX:
            raise Denied(Why.KEYS_FULL, fields={"keys_max": DEVICES_MAX})
        row = await devices.add(
            connection,
            own_id=new_id("dev"),
            event_id=event_id,
            gate=asked.gate,
            made_by=person.user_id,
            code_digest=_digest(code),
            code_ttl_s=CODE_TTL_S,
        )
        if row is None:
            raise Denied(Why.FORBIDDEN)
        after = {"event_id": event_id, "gate": row.gate}
        await acts.note(connection, person, "device.make", row.id, after=after)
    half = _CODE_LENGTH // 2
    return told.DeviceMade(
        code=f"{code[:half]}-{code[half:]}", code_expires_at=row.code_expires_at, device=_view(row)
    )


@as_value
async def enroll(services: Services, asked: Enrolment, origin: str = "") -> told.DeviceEnrolled:
    """
    Exchange a code for its device's token, once.

    Args:
        origin: A word for the address that it is asked from; only so many try from one.
    """
    wait_ms = services.enrolments.take(origin) if origin else 0
    if wait_ms:
        raise services.enrolments.rate.denial(wait_ms)
    secret = bearers.make("device")
    async with services.pools.organizers.acquire() as connection, connection.transaction():
        row = await devices.enroll(
            connection, code_digest=_digest(asked.code), prefix=secret.prefix, digest=secret.digest
        )
        if row is None:
            raise invalid("/code", "is not good, or no longer")
        # Nobody else is known to be there.
        device = Principal(row.id, "staff", row.organizer_id, kind="device")
        after = {"event_id": row.event_id, "gate": row.gate, "made_by": row.made_by}
        await acts.note(connection, device, "device.enroll", row.id, after=after)
    return told.DeviceEnrolled(token=secret.text, device=_view(row))


@as_value
async def listing(
    services: Services,
    person: Principal,
    event_id: str,
    *,
    before: tuple[dt.datetime, str],
    limit: int,
) -> told.Page[told.Device]:
    """Return a page of an event's devices, newest first."""
    organizer_id = (await gate.own_door(services, person, event_id)).organizer_id
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        found = await devices.of_event(connection, event_id, before=before, limit=limit + 1)
    page = found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page([_view(row) for row in page], last)


@as_value
async def revoke(services: Services, person: Principal, own_id: str) -> None:
    """End a device for good, within a second in every process. May be repeated."""
    pool = services.pools.organizers
    row = await devices.by_id(pool, own_id) if is_id("dev", own_id) else None
    if row is None:
        raise not_found()
    await gate.own_door(services, person, row.event_id)
    async with tenants.rows_of(pool, row.organizer_id) as connection:
        prefix = await devices.revoke(connection, own_id)
        after = {"event_id": row.event_id, "gate": row.gate}
        await acts.note(connection, person, "device.revoke", own_id, after=after)
    if prefix is not None:
        services.bearers.forget(prefix)


def _digest(code: str) -> bytes:
    """Return what is kept of a code; how it is grouped and its case do not matter."""
    return sha256(code.replace("-", "").upper().encode()).digest()


def _view(row: devices.Device) -> told.Device:
    if row.revoked_at is not None:
        return _as(row, "revoked")
    return _as(row, "announced" if row.enrolled_at is None else "enrolled")


def _as(row: devices.Device, status: str) -> told.Device:
    return told.Device(
        id=row.id,
        event_id=row.event_id,
        gate=row.gate,
        status=status,  # type: ignore[arg-type]  # One of the three.
        made_by=row.made_by,
        created_at=row.created_at,
        enrolled_at=row.enrolled_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
