"""What is one's own: the next event, bookings, tickets, lists and offers, gifts, invitations."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from api.admission import Work
from api.answers import cursor_of
from api.http import FAR_AHEAD, SERVICES, page_start
from usecases import accounts, bookings, gifts, mine, teams, tickets, told, waitlist
from usecases.services import Services
from usecases.tokens import Principal
from web import forms
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other

#: Rows of a page of a list, and of each list on the first page.
LIST_ROWS = 20
FIRST_ROWS = 5
#: What may be said as done, by the address that a form led to.
_DONE = frozenset(
    {
        "verified",
        "letter",
        "joined",
        "declined",
        "saved",
        "password",
        "email",
        "ended",
        "told",
        "tested",
        "off",
    }
)


def done_of(request: web.Request) -> str:
    """Return what a form has done that led here; empty: none did."""
    done = request.query.get("done", "")
    return done if done in _DONE else ""


async def overview(request: web.Request) -> web.StreamResponse:
    """Show what comes next and what must be decided, then the latest of each list."""
    services, person = request.app[SERVICES], person_of(request)
    first: dict[str, Any] = {"before": FAR_AHEAD, "limit": FIRST_ROWS}
    many: dict[str, Any] = {"before": FAR_AHEAD, "limit": LIST_ROWS}
    account, next_one, invited = await asyncio.gather(
        accounts.me(services, person),
        mine.coming(services, person),
        teams.invitations_to(services, person),
    )
    lists = await asyncio.gather(
        bookings.mine(services, person, **first),
        tickets.given(services, person, **first),
        waitlist.mine(services, person, **many),
        gifts.mine(services, person, **many),
    )
    booked, given, waits, offered = (
        needed(lists[0]),
        needed(lists[1]),
        needed(lists[2]),
        needed(lists[3]),
    )
    live = [one for one in waits.data if one.status in {"waiting", "offered"}]
    return page(
        request,
        "me/me.html",
        me=needed(account),
        coming=needed(next_one),
        booked=booked,
        given=given,
        offers=[one for one in live if one.offer is not None],
        waits=[one for one in live if one.offer is None],
        gifts=[one for one in offered.data if one.direction == "offered"],
        giving=[one for one in offered.data if one.direction == "given"],
        invitations=needed(invited).data,
        posters=await _posters(request, [*booked.data, *live]),
        up_to_date=booked.up_to_date and given.up_to_date and waits.up_to_date,
        done=done_of(request),
        now=dt.datetime.now(dt.UTC),
    )


def _own(request: web.Request) -> tuple[Services, Principal]:
    return request.app[SERVICES], person_of(request)


def _part(request: web.Request) -> dict[str, Any]:
    return {"before": page_start(request), "limit": LIST_ROWS}


async def _posters(
    request: web.Request, rows: Iterable[told.Booking | told.WaitlistEntry]
) -> dict[str, Any]:
    return dict(await mine.posters(request.app[SERVICES], {one.event_id for one in rows}))


def _next_url(path: str, found: told.Page[Any]) -> str:
    return "" if found.last is None else f"{path}?after={cursor_of(found.last)}"


async def given(request: web.Request) -> web.StreamResponse:
    """List the tickets that others gave."""
    found = needed(await tickets.given(*_own(request), **_part(request)))
    return page(request, "me/tickets.html", found=found, next_url=_next_url("/me/tickets", found))


async def waiting(request: web.Request) -> web.StreamResponse:
    """List where one waits or waited, the newest first, each as it is now."""
    found = needed(await waitlist.mine(*_own(request), **_part(request)))
    return page(
        request,
        "me/waiting.html",
        found=found,
        posters=await _posters(request, found.data),
        next_url=_next_url("/me/waiting", found),
        now=dt.datetime.now(dt.UTC),
    )


async def invitation(request: web.Request) -> web.StreamResponse:
    """Ask whether to join a team; an invitation that is not to one's address is not there (S8)."""
    found = needed(await teams.invitations_to(*_own(request)))
    wanted = request.match_info["invitation_id"]
    one = next((one for one in found.data if one.id == wanted), None)
    return page(request, "me/invitation.html", status=200 if one else 404, invitation=one)


async def accept_invitation(request: web.Request) -> web.StreamResponse:
    """Join a team."""
    await forms.read(request)
    needed(await teams.accept(*_own(request), request.match_info["invitation_id"]))
    return see_other("/me?done=joined")


async def decline_invitation(request: web.Request) -> web.StreamResponse:
    """Refuse to join a team."""
    await forms.read(request)
    needed(await teams.decline(*_own(request), request.match_info["invitation_id"]))
    return see_other("/me?done=declined")


_INVITATION = "/invitations/{invitation_id}"
ROUTES = (
    PageRoute("GET", "/me", overview, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/tickets", given, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/waiting", waiting, Work.OWN, needs_person=True),
    PageRoute("GET", _INVITATION, invitation, Work.OWN, needs_person=True),
    PageRoute("POST", f"{_INVITATION}/accept", accept_invitation, Work.CHANGES, needs_person=True),
    PageRoute(
        "POST", f"{_INVITATION}/decline", decline_invitation, Work.CHANGES, needs_person=True
    ),
)
