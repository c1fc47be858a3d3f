"""What is one's own: the next event, bookings, tickets, lists and offers, gifts, invitations."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from api.admission import Work
from api.answers import cursor_of, problem_of
from api.http import FAR_AHEAD, SERVICES, page_start
from api.problems import Problem
from usecases import accounts, bookings, gifts, mine, teams, tickets, told, waitlist
from usecases.denials import Denied
from usecases.tokens import Principal
from web import forms
from web.rendering import page
from web.serving import PageRoute, see_other, visit_of

#: Rows of a page of a list, and of each list on the first page.
LIST_ROWS = 20
FIRST_ROWS = 5
#: What may be said as done, by the address that a form led to.
_DONE = frozenset(
    {"verified", "letter", "joined", "declined", "saved", "password", "email", "ended"}
)


def person_of(request: web.Request) -> Principal:
    """Return who is signed in, on a page that needs somebody."""
    person = visit_of(request).person
    assert person is not None
    return person


def done_of(request: web.Request) -> str:
    """Return what a form has done that led here; empty: none did."""
    done = request.query.get("done", "")
    return done if done in _DONE else ""


async def overview(request: web.Request) -> web.StreamResponse | Problem:
    """Show what comes next and what must be decided, then the latest of each list."""
    services, person = request.app[SERVICES], person_of(request)
    first: dict[str, Any] = {"before": FAR_AHEAD, "limit": FIRST_ROWS}
    found = await asyncio.gather(
        accounts.me(services, person),
        mine.coming(services, person),
        bookings.mine(services, person, **first),
        tickets.given(services, person, **first),
        waitlist.mine(services, person, before=FAR_AHEAD, limit=LIST_ROWS),
        gifts.mine(services, person, before=FAR_AHEAD, limit=LIST_ROWS),
        teams.invitations_to(services, person),
    )
    for one in found:
        if isinstance(one, Denied):
            return problem_of(one)
    me, coming, booked, given, waits, offered, invited = found
    assert not isinstance(booked, Denied)
    assert not isinstance(given, Denied)
    assert not isinstance(waits, Denied)
    assert not isinstance(offered, Denied)
    live = [one for one in waits.data if one.status in {"waiting", "offered"}]
    return page(
        request,
        "me/me.html",
        me=me,
        coming=coming,
        booked=booked,
        given=given,
        offers=[one for one in live if one.offer is not None],
        waits=[one for one in live if one.offer is None],
        gifts=[one for one in offered.data if one.direction == "offered"],
        giving=[one for one in offered.data if one.direction == "given"],
        invitations=invited.data if not isinstance(invited, Denied) else [],
        posters=await _posters(request, [*booked.data, *live]),
        up_to_date=booked.up_to_date and given.up_to_date and waits.up_to_date,
        done=done_of(request),
        now=dt.datetime.now(dt.UTC),
    )


async def _posters(
    request: web.Request, rows: Iterable[told.Booking | told.WaitlistEntry]
) -> dict[str, Any]:
    return dict(await mine.posters(request.app[SERVICES], {one.event_id for one in rows}))


def _next_url(path: str, found: told.Page[Any]) -> str:
    return "" if found.last is None else f"{path}?after={cursor_of(found.last)}"


async def booked(request: web.Request) -> web.StreamResponse | Problem:
    """List one's bookings, the newest first, a page at a time."""
    found = await bookings.mine(
        request.app[SERVICES], person_of(request), before=page_start(request), limit=LIST_ROWS
    )
    if isinstance(found, Denied):
        return problem_of(found)
    return page(
        request,
        "me/bookings.html",
        found=found,
        posters=await _posters(request, found.data),
        next_url=_next_url("/me/bookings", found),
    )


async def given(request: web.Request) -> web.StreamResponse | Problem:
    """List the tickets that others gave."""
    found = await tickets.given(
        request.app[SERVICES], person_of(request), before=page_start(request), limit=LIST_ROWS
    )
    if isinstance(found, Denied):
        return problem_of(found)
    return page(request, "me/tickets.html", found=found, next_url=_next_url("/me/tickets", found))


async def waiting(request: web.Request) -> web.StreamResponse | Problem:
    """List where one waits or waited, the newest first, each as it is now."""
    found = await waitlist.mine(
        request.app[SERVICES], person_of(request), before=page_start(request), limit=LIST_ROWS
    )
    if isinstance(found, Denied):
        return problem_of(found)
    return page(
        request,
        "me/waiting.html",
        found=found,
        posters=await _posters(request, found.data),
        next_url=_next_url("/me/waiting", found),
        now=dt.datetime.now(dt.UTC),
    )


async def invitation(request: web.Request) -> web.StreamResponse | Problem:
    """Ask whether to join a team; an invitation that is not to one's address is not there (S8)."""
    found = await teams.invitations_to(request.app[SERVICES], person_of(request))
    if isinstance(found, Denied):
        return problem_of(found)
    wanted = request.match_info["invitation_id"]
    one = next((one for one in found.data if one.id == wanted), None)
    return page(request, "me/invitation.html", status=200 if one else 404, invitation=one)


async def accept_invitation(request: web.Request) -> web.StreamResponse | Problem:
    """Join a team."""
    await forms.read(request)
    joined = await teams.accept(
        request.app[SERVICES], person_of(request), request.match_info["invitation_id"]
    )
    return problem_of(joined) if isinstance(joined, Denied) else see_other("/me?done=joined")


async def decline_invitation(request: web.Request) -> web.StreamResponse | Problem:
    """Refuse to join a team."""
    await forms.read(request)
    denied = await teams.decline(
        request.app[SERVICES], person_of(request), request.match_info["invitation_id"]
    )
    return problem_of(denied) if denied is not None else see_other("/me?done=declined")


_INVITATION = "/invitations/{invitation_id}"
ROUTES = (
    PageRoute("GET", "/me", overview, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/bookings", booked, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/tickets", given, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/waiting", waiting, Work.OWN, needs_person=True),
    PageRoute("GET", _INVITATION, invitation, Work.OWN, needs_person=True),
    PageRoute("POST", f"{_INVITATION}/accept", accept_invitation, Work.CHANGES, needs_person=True),
    PageRoute(
        "POST", f"{_INVITATION}/decline", decline_invitation, Work.CHANGES, needs_person=True
    ),
)
