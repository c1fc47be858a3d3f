"""Seats: the live map, and taking seats out of sale."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from aiohttp import web

from api.handlers.events import PRIVATE, PUBLIC, _own_event, promo_code
from api.http import answer, read_body
from api.orders import find_event
from api.problems import Problem, invalid, refusal
from api.schemas import SeatChange, SeatIds, SeatMap, SeatRow, SeatSection, SeatsShifted
from api.seating import as_loaded
from api.services import SERVICES
from engine import outcomes
from engine.commands import ShiftSeats
from engine.outcomes import Refused
from engine.seats import parse_seat_id
from store.seats import Section

_SEAT_IDS = msgspec.json.Decoder(SeatIds)
SINCE_CHARS_MAX = 15


async def read(request: web.Request) -> web.StreamResponse:
    """
    Read the seat map, or with `since` what changed after that version.

    A seat's id is `s<section_no>-<n>`, n being its place in the section's `status`, from 1. There,
    f is free, h held, s sold, b blocked, and a slash ends a row. Where `since` is too long ago, the
    whole map is the answer. Sections of hidden tiers are shown to the event's organizer, and with
    `promo_code` those that it unlocks.
    """
    services = request.app[SERVICES]
    event_id = request.match_info["event_id"]
    known = services.catalog.get(event_id) or await find_event(services, event_id)
    since = _since(request)
    if not known.section_tiers:
        return answer(SeatMap(event_id=event_id, version=0, sections=[]), headers=PUBLIC)
    code = promo_code(request, known)
    found = await services.engine.seats(known.shard, event_id, since=since, promo_code=code)
    if isinstance(found, Refused):
        raise refusal(found)
    etag = f'"{found.version}"' if since < 0 else f'"{since}-{found.version}"'
    headers = {"ETag": etag, **(PRIVATE if code else PUBLIC)}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    if isinstance(found, outcomes.SeatChanges):
        changes = [
            SeatChange(version=version, status=letter, seat_ids=list(seat_ids))
            for version, letter, seat_ids in found.changes
        ]
        body = SeatMap(event_id=event_id, version=found.version, changes=changes)
        return answer(body, headers=headers)
    sections = [
        _section(section, known.tier_ids[section.tier_no], status)
        for section, status in zip(
            await services.catalog.sections(event_id), found.statuses, strict=True
        )
        if status
    ]
    body = SeatMap(event_id=event_id, version=found.version, sections=sections)
    return answer(body, headers=headers)


async def block(request: web.Request) -> web.StreamResponse:
    """Take free seats out of sale, all or none. May be repeated."""
    return await _shift(request, "block")


async def unblock(request: web.Request) -> web.StreamResponse:
    """Put blocked seats back on sale, all or none. May be repeated."""
    return await _shift(request, "unblock")


async def _shift(request: web.Request, verb: str) -> web.StreamResponse:
    services = request.app[SERVICES]
    event = await _own_event(request)
    seat_ids = (await read_body(request, _SEAT_IDS)).seat_ids
    for number, seat_id in enumerate(seat_ids):
        if parse_seat_id(seat_id) is None:
            raise invalid(f"/seat_ids/{number}", "is not a seat of this event")
        if seat_id in seat_ids[:number]:
            raise invalid(f"/seat_ids/{number}", "is named twice")
    command = ShiftSeats(event.id, tuple(seat_ids))
    shift = services.engine.block if verb == "block" else services.engine.unblock
    outcome = await shift(event.shard, command)
    if isinstance(outcome, Refused):
        raise _refused(outcome)
    status: Literal["blocked", "free"] = "blocked" if verb == "block" else "free"
    body = SeatsShifted(event_id=event.id, status=status, seat_ids=seat_ids, seq=outcome.seq)
    headers = {"Idempotent-Replayed": "true"} if outcome.is_replay else {}
    return answer(body, headers=headers)


def _refused(refused: Refused) -> Problem:
    """Say which of the seats stands in the way."""
    problem = refusal(refused)
    if "seat_id" in refused.fields:
        number = int(problem.members.pop("line"))
        problem.errors = [(f"/seat_ids/{number}", problem.title)]
    return problem


def _since(request: web.Request) -> int:
    text = request.query.get("since")
    if text is None:
        return -1
    if not (text.isascii() and text.isdigit()) or len(text) > SINCE_CHARS_MAX:
        raise invalid("/query/since", "is not a version of the seat map")
    return int(text)


def _section(section: Section, tier_id: str, status: str) -> SeatSection:
    loaded = as_loaded(section)
    rows: list[dict[str, Any]] = msgspec.json.decode(section.rows)
    return SeatSection(
        section_no=section.section_no,
        name=section.name,
        tier_id=tier_id,
        rows=[
            SeatRow(name=row["name"], first_seat=first, seats=count, labels=row.get("labels"))
            for row, first, count in zip(rows, loaded.first_seats, loaded.rows, strict=True)
        ],
        kinds=section.kinds,
        status=status,
    )
