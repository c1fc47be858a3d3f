"""Organizers and their teams: what they are called, who is on them, who is invited."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, answer_page, problem_of
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, query_once, read_body
from api.problems import Problem, invalid
from api.schemas import EventPage, InvitationPage, MemberPage
from usecases import discovery, drafts, teams
from usecases.asked import Invite, NewEvent, OrganizerName, TeamPlace
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

_NAME = msgspec.json.Decoder(OrganizerName)
_PLACE = msgspec.json.Decoder(TeamPlace)
_INVITE = msgspec.json.Decoder(Invite)
_NEW_EVENT = msgspec.json.Decoder(NewEvent)
_LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")
_STATES = ("draft", "published", "closed", "cancelled")


async def mine(request: web.Request) -> web.StreamResponse | Problem:
    """List the organizers on whose teams one is, and as what."""
    return answer(await teams.mine(request.app[SERVICES], request[PRINCIPAL]), headers=PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read an organizer on whose team one is."""
    return answer(await teams.read(*_of(request)), headers=PERSONAL)


async def rename(request: web.Request) -> web.StreamResponse | Problem:
    """Call an organizer something else; its owners may."""
    asked = await read_body(request, _NAME)
    return answer(await teams.rename(*_of(request), asked), headers=PERSONAL)


async def list_events(request: web.Request) -> web.StreamResponse | Problem:
    """
    List an organizer's events, drafts as well, those made last first; of one `status`, if asked.

    Whose place on the team is for some events sees those.
    """
    limit, before_id = page_limit(request), page_start(request)[1]
    status = query_once(request, "status")
    if status is not None and status not in _STATES:
        raise invalid("/query/status", f"must be one of {', '.join(_STATES)}")
    page = await discovery.of_organizer(
        *_of(request), before_id=before_id, limit=limit, status=status
    )
    return answer_page(request, EventPage, page, PERSONAL)


async def create_event(request: web.Request) -> web.StreamResponse | Problem:
    """Make a draft of this organizer, as `POST /v1/events` makes one of the only one."""
    asked = await read_body(request, _NEW_EVENT)
    made = await drafts.create_of(*_of(request), asked)
    if isinstance(made, Denied):
        return problem_of(made)
    return answer(made, status=201, headers={"Location": f"/v1/events/{made.id}"})


async def members(request: web.Request) -> web.StreamResponse | Problem:
    """List a team, the longest there first; its owners and managers may."""
    limit, after = page_limit(request), page_start(request, _LONG_AGO)
    page = await teams.members(*_of(request), after=after, limit=limit)
    return answer_page(request, MemberPage, page, PERSONAL)


async def change_member(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give somebody on the team another place: a role, and the events that it is for.

    Owners give any, managers those at the desk and the gate. There is always an owner.
    """
    asked = await read_body(request, _PLACE)
    user_id = request.match_info["user_id"]
    return answer(await teams.change_member(*_of(request), user_id, asked), headers=PERSONAL)


async def remove_member(request: web.Request) -> web.StreamResponse | Problem:
    """Take somebody off the team, or leave it; the last owner cannot."""
    user_id = request.match_info["user_id"]
    return answer_nothing(await teams.remove_member(*_of(request), user_id))


async def invite(request: web.Request) -> web.StreamResponse | Problem:
    """
    Ask whoever has an address to join the team, for two weeks.

    The answer does not tell whether the address has an account. Inviting it again makes the
    earlier invitation void.
    """
    asked = await read_body(request, _INVITE)
    return answer(await teams.invite(*_of(request), asked), status=201, headers=PERSONAL)


async def invitations(request: web.Request) -> web.StreamResponse | Problem:
    """List an organizer's open invitations, newest first."""
    limit, before = page_limit(request), page_start(request)
    page = await teams.invitations(*_of(request), before=before, limit=limit)
    return answer_page(request, InvitationPage, page, PERSONAL)


async def withdraw(request: web.Request) -> web.StreamResponse | Problem:
    """Take an invitation back."""
    own_id = request.match_info["invitation_id"]
    return answer_nothing(await teams.withdraw(*_of(request), own_id))


async def invitations_to(request: web.Request) -> web.StreamResponse | Problem:
    """List the open invitations to one's own address, once it is verified."""
    told = await teams.invitations_to(request.app[SERVICES], request[PRINCIPAL])
    return answer(told, headers=PERSONAL)


async def accept(request: web.Request) -> web.StreamResponse | Problem:
    """Join a team by an invitation to one's own verified address."""
    own_id = request.match_info["invitation_id"]
    told = await teams.accept(request.app[SERVICES], request[PRINCIPAL], own_id)
    return answer(told, headers=PERSONAL)


async def decline(request: web.Request) -> web.StreamResponse | Problem:
    """Refuse an invitation to one's own verified address."""
    own_id = request.match_info["invitation_id"]
    return answer_nothing(await teams.decline(request.app[SERVICES], request[PRINCIPAL], own_id))


def _of(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info["organizer_id"]
