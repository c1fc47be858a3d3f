"""The waiting list: joining it, where one stands and why, and what one is offered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from aiohttp import web

from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES
from api.problems import Problem, not_found, unavailable
from engine.errors import EngineError, OutcomeUnknown
from usecases import availability, events, told, waitlist
from usecases.asked import Join
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal
from web import again, forms
from web.addresses import event_id_of, event_path
from web.asking import Mistakes, mistakes_of, understood
from web.bill import lines_of
from web.pages.order import made_path
from web.problems import told as said_of
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other, visit_of
from web.states import EventNow, State, TierNow, now_of

Found = TypeVar("Found")

#: Of a tier in such a state one can wait for places.
WAITABLE = frozenset({State.KEPT, State.ALL_HELD, State.SOLD_OUT, State.WAITLIST})
PLACES_MAX = 10


async def join_form(request: web.Request) -> web.StreamResponse:
    """Ask for which category and how many places somebody waits, and say how the list works."""
    return await _join_page(request, request.query)


async def _join_page(
    request: web.Request, given: Mapping[str, str], mistakes: Mistakes | None = None
) -> web.Response:
    now, found = await _now(request), mistakes or Mistakes([], 200)
    chosen = given.get("tier_id", "")
    waitable = waitable_of(now)
    if not any(one.tier.id == chosen for one in waitable):
        chosen = waitable[0].tier.id if len(waitable) == 1 else ""
    return page(
        request,
        "waiting/join.html",
        status=found.status,
        now=now,
        event=now.event,
        event_url=event_path(now.event),
        waitable=waitable,
        chosen=chosen,
        quantity=given.get("quantity", ""),
        after_hold=given.get("after_hold", ""),
        most=max((_most(one, now.event) for one in waitable), default=PLACES_MAX),
        mistakes=found.listed,
    )


def waitable_of(now: EventNow) -> list[TierNow]:
    """Return the tiers of an event that have a list which one can join now."""
    return [one for one in now.tiers if one.state in WAITABLE and not one.tier.is_hidden]


def _most(one: TierNow, event: told.Event) -> int:
    tier = one.tier
    return min(tier.max_per_order, event.max_per_user, tier.max_per_user or PLACES_MAX)


async def _now(request: web.Request) -> EventNow:
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    services, person = request.app[SERVICES], visit_of(request).person
    event = needed(await events.read(services, person, event_id, "")).view
    left = await availability.read(services, person, event_id, "")
    at = dt.datetime.now(dt.UTC)
    return now_of(event, None if isinstance(left, Denied) else left.view, at)


async def join(request: web.Request) -> web.StreamResponse | Problem:
    """Wait for places; the same form sent again leads to the same entry."""
    return await _join(request, await forms.read(request))


async def join_again(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for what a form asked for, with its key (`web.again`)."""
    fields = again.read(request)
    if fields is None:
        return see_other(request.path.removesuffix("/again"))
    return await _join(request, fields)


async def _join(request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse | Problem:
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    number = fields.get("quantity", "")
    wanted: dict[str, object] = {"tier_id": fields.get("tier_id", "")}
    wanted |= {"quantity": int(number) if number.isdecimal() and len(number) < 3 else 0}
    wanted |= {"after_hold": fields["after_hold"]} if fields.get("after_hold") else {}
    asked = understood(request, Join, wanted)
    if isinstance(asked, Mistakes):
        return await _join_page(request, fields, asked)
    key = forms.key_of(fields)
    done = await _tried(
        waitlist.join(request.app[SERVICES], person_of(request), event_id, key, asked)
    )
    if isinstance(done, Problem):
        kept = {name: fields.get(name, "") for name in ("tier_id", "quantity", "after_hold")}
        kept |= {forms.KEY_FIELD: key}
        return again.asks(request, done, f"/e/{event_id}/wait/again", kept)
    if isinstance(done, Denied):
        return await _join_page(request, fields, mistakes_of(request, done, "tier_id"))
    return see_other(f"/wait/{done.told.id}")


async def _tried(asking: Awaitable[Found]) -> Found | Problem:
    """Ask a use case; where nobody can tell what became of it, return the problem that says so."""
    try:
        return await asking
    except EngineError as error:
        is_unknown = isinstance(error, OutcomeUnknown)
        return unavailable("outcome_unknown" if is_unknown else "shard_recovering")


async def show(request: web.Request) -> web.StreamResponse:
    """Show where an entry of one's own stands, or what it was offered."""
    return await _show(request)


async def _show(request: web.Request, problem: Problem | None = None) -> web.Response:
    services, person, own_id = _own(request)
    entry = needed(await waitlist.read(services, person, own_id))
    event = needed(await events.read(services, person, entry.event_id, "")).view
    items = needed(await waitlist.offered(services, person, own_id)) if entry.offer else []
    return page(
        request,
        "waiting/entry.html",
        status=problem.status if problem else 200,
        entry=entry,
        event=event,
        event_url=event_path(event),
        tier=next((one for one in event.tiers if one.id == entry.tier_id), None),
        lines=await lines_of(services, entry.event_id, items),
        mistake=said_of(request, problem) if problem is not None else "",
        now=dt.datetime.now(dt.UTC),
    )


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """Accept or decline an offer, or leave the list; each may be sent many times."""
    fields = await forms.read(request)
    services, person, own_id = _own(request)
    done: told.WaitlistEntry | Denied | None = None
    match fields.get("do"):
        case "accept":
            return await _accept(request)
        case "decline":
            done = await waitlist.decline(services, person, _offer_id(own_id))
        case "leave":
            done = await waitlist.leave(services, person, own_id)
    if isinstance(done, Denied):
        return await _show(request, problem_of(done))
    return see_other(request.path)


async def accept_again(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for the booking of an offer (`web.again`)."""
    if again.read(request) is None:
        return see_other(request.path.removesuffix("/again"))
    return await _accept(request)


async def _accept(request: web.Request) -> web.StreamResponse | Problem:
    services, person, own_id = _own(request)
    made = await _tried(waitlist.accept(services, person, _offer_id(own_id), None))
    if isinstance(made, Denied):
        made = problem_of(made)
    if not isinstance(made, Problem):
        return see_other(made_path(made))
    if made.status == 503:
        return again.asks(request, made, f"/wait/{own_id}/again", {"do": "accept"})
    return await _show(request, made)


def _offer_id(own_id: str) -> str:
    """Return the offer that an entry has: they share all but the prefix of their ids."""
    return f"offer_{own_id.partition('_')[2]}"


def _own(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], person_of(request), request.match_info["entry_id"]


_JOIN, _ENTRY = "/e/{name}/wait", "/wait/{entry_id}"
ROUTES = (
    PageRoute("GET", _JOIN, join_form, needs_person=True),
    PageRoute("POST", _JOIN, join, Work.SALES, needs_person=True),
    PageRoute("GET", f"{_JOIN}/again", join_again, Work.SALES, needs_person=True),
    PageRoute("GET", _ENTRY, show, Work.OWN, needs_person=True),
    PageRoute("POST", _ENTRY, change, Work.SALES, needs_person=True),
    PageRoute("GET", f"{_ENTRY}/again", accept_again, Work.SALES, needs_person=True),
)
