"""Devices at gates: announce, enrol, list, revoke; and the list of tickets that they work by."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_nothing, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, query_once, read_body
from api.problems import Problem, invalid
from api.schemas import DevicePage, GateList
from usecases import devices, doors
from usecases.asked import Enrolment, NewDevice

_NEW = msgspec.json.Decoder(NewDevice)
_ENROLMENT = msgspec.json.Decoder(Enrolment)


async def make(request: web.Request) -> web.StreamResponse | Problem:
    """
    Announce a device at a gate of an event.

    The code in the answer is shown this once, lives ten minutes and is good once: the device
    exchanges it for a token of its own.
    """
    asked = await read_body(request, _NEW)
    event_id = request.match_info["event_id"]
    made = await devices.make(request.app[SERVICES], request[PRINCIPAL], event_id, asked)
    return answer(made, status=201, headers=PERSONAL)


async def enroll(request: web.Request) -> web.StreamResponse | Problem:
    """
    Exchange a code for a device's token, once.

    The token lets in, takes back and reads the list of tickets at its event, and nothing else. From
    one address only so many codes are tried within a while.
    """
    asked = await read_body(request, _ENROLMENT)
    done = await devices.enroll(request.app[SERVICES], asked, origin_of(request))
    return answer(done, status=201, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the devices of an event, newest first."""
    page = await devices.listing(
        request.app[SERVICES],
        request[PRINCIPAL],
        request.match_info["event_id"],
        before=page_start(request),
        limit=page_limit(request),
    )
    return answer_page(request, DevicePage, page, PERSONAL)


async def revoke(request: web.Request) -> web.StreamResponse | Problem:
    """
    End a device for good, within a second.

    May be repeated.
    """
    own_id = request.match_info["device_id"]
    return answer_nothing(await devices.revoke(request.app[SERVICES], request[PRINCIPAL], own_id))


async def gate_list(request: web.Request) -> web.StreamResponse | Problem:
    """
    List an event's tickets for a gate that will be offline, by id.

    With `only=changed`, those alone that something became of: of them it says which well-signed
    codes let nobody in, for they are cancelled, given away since, or used.
    """
    only = query_once(request, "only")
    if only not in {None, "changed"}:
        raise invalid("/query/only", "must be changed, or left out")
    _, after_id = page_start(request, doors.BEGIN)
    page = await doors.gate_list(
        request.app[SERVICES],
        request[PRINCIPAL],
        request.match_info["event_id"],
        after_id=after_id,
        limit=page_limit(request),
        changed_alone=only is not None,
    )
    return answer_page(request, GateList, page, PERSONAL)
