"""What becomes of tickets at the gate: check-in and its undoing."""

from __future__ import annotations

import asyncio
import datetime as dt
from hashlib import sha256
from typing import Literal, NamedTuple

from engine import commands
from engine.ids import new_id
from engine.outcomes import Refused
from engine.ticket_codes import InvalidCode, TicketCode
from usecases import rights, told
from usecases.asked import PastScans, Scan
from usecases.catalog import Known
from usecases.denials import Denied, Done, Why, as_value, invalid, not_found
from usecases.faces import Face, at_gate
from usecases.moments import moment_of, moment_text, ms_of
from usecases.rights import Act
from usecases.services import Services
from usecases.tickets import NO_GATE, gate_of, gate_shown
from usecases.tokens import Principal

#: How long ago a scan may have been made, and how far ahead a gate's clock may be.
SCAN_AGE_MAX = dt.timedelta(days=366)
CLOCK_AHEAD_MAX = dt.timedelta(days=1)


class _Ready(NamedTuple):
    """A scan that may be made: all is known but what the script says."""

    known: Known
    code: TicketCode
    face: Face
    command: commands.Scan


@as_value
async def scan(
    services: Services,
    person: Principal,
    ticket_code: str,
    asked: Scan,
    key: str | None,
    wanted: Literal["checked_in", "valid"],
) -> Done[told.Scanned]:
    """
    Let the bearer of a ticket in, once; or take that back, so that the ticket passes again.

    Only who works at the event's gate may; to others there is no such ticket (S8).
    Idempotency: the same scan, by its id or the key, gets its first answer again.
    """
    known = await own_door(services, person, asked.event_id)
    scan_id = asked.scan_id or (_id_of_key(person, key) if key else new_id("scan"))
    ready = await _ready(services, person, known, ticket_code, asked, scan_id)
    return await _apply(services, ready, wanted)


@as_value
async def upload(
    services: Services, person: Principal, event_id: str, asked: PastScans
) -> list[Done[told.Scanned] | Denied]:
    """
    Take the scans that a gate made offline, each once, in their order; a refusal stops no other.

    Idempotency: by the scans' ids, so that an upload may be sent again, whole or in part.
    """
    known = await own_door(services, person, event_id)
    ready = as_value(_ready)
    wishes = [
        Scan(event_id=event_id, gate=asked.gate, scan_id=past.scan_id, scanned_at=past.scanned_at)
        for past in asked.scans
    ]
    made_ready = await asyncio.gather(
        *(
            ready(services, person, known, past.code, wish, past.scan_id)
            for past, wish in zip(asked.scans, wishes, strict=True)
        )
    )
    apply = as_value(_apply)

    async def one(scan: _Ready | Denied) -> Done[told.Scanned] | Denied:
        return scan if isinstance(scan, Denied) else await apply(services, scan, "checked_in")

    return list(await asyncio.gather(*map(one, made_ready)))


async def own_door(services: Services, person: Principal, event_id: str) -> Known:
    """Return the event whose door it is; deny who does not work there."""
    known = await services.catalog.need(event_id)
    standing = await services.standings.at_gate(person)
    rights.judge(standing, Act.CHECK_IN, known.organizer_id, event_id)
    return known


def _gate_at(person: Principal, asked: Scan) -> str:
    """Return the gate of a scan: a device's is its own, whatever it says."""
    if person.gate is not None and asked.gate not in {None, person.gate}:
        raise invalid("/gate", "is not the gate of this device")
    return person.gate or asked.gate or NO_GATE


async def _ready(
    services: Services, person: Principal, known: Known, ticket_code: str, asked: Scan, scan_id: str
) -> _Ready:
    """Read the code, and all that the answer shows: what can fail, fails before the scan."""
    try:
        code = services.ticket_codes.read(ticket_code)
    except InvalidCode as error:
        raise not_found() from error
    if code.event_id != asked.event_id:
        raise await _wrong_event(services, person, code)
    # The script looks for the booking in the event of the door: no other's ticket can pass there.
    command = commands.Scan(
        asked.event_id,
        code.booking_id,
        code.number,
        code.version,
        _gate_at(person, asked),
        person.user_id,
        scan_id,
        _scanned_at_ms(asked.scanned_at),
    )
    return _Ready(known, code, await at_gate(services, known, code), command)


async def _wrong_event(services: Services, person: Principal, code: TicketCode) -> Denied:
    """Return the denial of another event's ticket; it names that to who may see both."""
    other = await services.catalog.find(code.event_id)
    standing = await services.standings.at_gate(person)
    if other is None or not rights.may(standing, Act.CHECK_IN, other.organizer_id, code.event_id):
        return Denied(Why.WRONG_EVENT)
    poster = await services.catalog.poster(code.event_id)
    return Denied(
        Why.WRONG_EVENT,
        fields={
            "event_id": code.event_id,
            "event_name": poster.name,
            "starts_at": moment_text(ms_of(poster.starts_at)),
            "venue": poster.venue,
        },
    )


async def _apply(
    services: Services, ready: _Ready, wanted: Literal["checked_in", "valid"]
) -> Done[told.Scanned]:
    known, code, face, command = ready
    engine = services.engine
    verb = engine.checkin if wanted == "checked_in" else engine.undo_checkin
    outcome = gate_shown(await verb(known.shard, command))
    if isinstance(outcome, Refused):
        raise Denied(outcome.status, fields=outcome.fields | _told_of(face))
    view = told.Scanned(
        **face._asdict(),
        id=code.ticket_id,
        event_id=code.event_id,
        booking_id=code.booking_id,
        status=wanted,
        at=moment_of(outcome.at_ms),
        gate=gate_of(command.gate),
        scan_id=command.scan_id,
        scanned_at=moment_of(command.scanned_at_ms) if command.scanned_at_ms else None,
    )
    return Done(view, outcome.is_replay)


def _told_of(face: Face) -> dict[str, int | str]:
    """Return what a refusal says of the ticket: whose guest this is, and where they would sit."""
    told_of: dict[str, int | str] = {"event_name": face.event_name, "tier_name": face.tier_name}
    if face.seat is not None:
        told_of |= {"section": face.seat.section, "row": face.seat.row, "seat": face.seat.label}
    return told_of


def _id_of_key(person: Principal, key: str) -> str:
    """Return the id of the scan that a person's Idempotency-Key names."""
    return f"key-{sha256(f'{person.user_id} {key}'.encode()).hexdigest()[:32]}"


def _scanned_at_ms(at: dt.datetime | None) -> int:
    """Return when a scan was made as Unix ms, 0 if it is not told; deny what no clock can say."""
    if at is None:
        return 0
    age = dt.datetime.now(dt.UTC) - at
    if not -CLOCK_AHEAD_MAX <= age <= SCAN_AGE_MAX:
        raise invalid("/scanned_at", "must be within the last year, by a clock that is right")
    return ms_of(at)
