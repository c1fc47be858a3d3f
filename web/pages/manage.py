"""
The organizer's desk: one's own events, a new one, who has booked, and a sale as it goes.

All of another organizer is not there (S8): each page asks a use case that says so.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping

import msgspec
from aiohttp import web

from api.admission import Work
from api.answers import cursor_of, problem_of
from api.codes import CODES
from api.http import SERVICES, page_start, query_once, query_text
from api.problems import Problem, not_found
from engine.errors import EngineError
from usecases import availability, changes, desk, discovery, drafts, events, repeats, teams, told
from usecases.denials import Denied
from usecases.doors import BEGIN
from usecases.repeats import UNDER_WAY, KeptAnswer
from usecases.rights import Act
from web import draft_form, forms
from web.problems import N_
from web.problems import told as in_words
from web.rendering import page, said
from web.serving import PageRoute, person_of, see_other, visit_of
from web.states import EventNow, now_of

EVENTS_A_PAGE = 50
BOOKINGS_A_PAGE = 50
#: Seconds from one look to the next where no script runs.
REFRESH_S = 10
#: Said of a draft that can be published, and would be found by few.
_LACKS = (
    ("summary", N_("a summary in one sentence")),
    ("venue", N_("the venue")),
    ("place", N_("the town")),
    ("description", N_("a description")),
)


async def show_list(request: web.Request) -> web.StreamResponse | Problem:
    """Show the events of one of the organizers on whose teams one is."""
    services, person = request.app[SERVICES], person_of(request)
    own = await teams.mine(services, person)
    if isinstance(own, Denied):
        return problem_of(own)
    wanted = query_once(request, "o") or next((one.id for one in own.data), "")
    if not wanted:
        return page(request, "manage/none.html")
    found = await discovery.of_organizer(
        services, person, wanted, before_id=page_start(request)[1], limit=EVENTS_A_PAGE
    )
    if isinstance(found, Denied):
        return problem_of(found)
    cards = await asyncio.gather(*(_now(request, one) for one in found.data))
    return page(
        request,
        "manage/list.html",
        organizers=own.data,
        chosen=wanted,
        cards=cards,
        lacks_of=lambda event: lacks(request, event),
        cursor=cursor_of(found.last) if found.last is not None else "",
    )


def lacks(request: web.Request, event: told.Event) -> list[str]:
    """Return what a draft lacks, in words; nothing of an event that is published."""
    if event.status != "draft":
        return []
    language = visit_of(request).language
    missing = [said(language, what) for name, what in _LACKS if not getattr(event, name)]
    if event.starts_at <= dt.datetime.now(dt.UTC):
        missing.append(said(language, N_("a start in the future")))
    return missing


async def _now(request: web.Request, event: told.Event) -> EventNow:
    """Return how the sale of an event stands, hidden tiers as well."""
    left = None
    if event.status != "draft":
        try:
            found = await availability.read(request.app[SERVICES], person_of(request), event.id, "")
            left = None if isinstance(found, Denied) else found.view
        except EngineError:
            left = None
    return now_of(event, left, dt.datetime.now(dt.UTC))


async def _managed(request: web.Request) -> told.Event | Problem:
    """Return the event of the address if it is one's own."""
    found = await events.managed(
        request.app[SERVICES], person_of(request), request.match_info["event_id"]
    )
    return problem_of(found) if isinstance(found, Denied) else found


async def show_event(request: web.Request) -> web.StreamResponse | Problem:
    """Show an event to who makes it: what it is, how it sells, and what can be done."""
    event = await _managed(request)
    if isinstance(event, Problem):
        return event
    return await _event_page(request, event)


async def _event_page(
    request: web.Request, event: told.Event, problem: Problem | None = None
) -> web.Response:
    return page(
        request,
        "manage/event.html",
        status=200 if problem is None else problem.status,
        event=event,
        now=await _now(request, event),
        lacks=lacks(request, event),
        mistake="" if problem is None else in_words(request, problem),
    )


async def publish(request: web.Request) -> web.StreamResponse | Problem:
    """Publish a draft; what stands in the way is said on its page."""
    await forms.read(request)
    services, person = request.app[SERVICES], person_of(request)
    return await _acted(
        request, await events.publish(services, person, request.match_info["event_id"])
    )


async def close(request: web.Request) -> web.StreamResponse | Problem:
    """End a sale, for good or until it is opened again."""
    await forms.read(request)
    services, person = request.app[SERVICES], person_of(request)
    return await _acted(
        request, await changes.close(services, person, request.match_info["event_id"])
    )


async def _acted(request: web.Request, done: told.Event | Denied) -> web.StreamResponse | Problem:
    if not isinstance(done, Denied):
        return see_other(f"/manage/e/{done.id}")
    event, problem = await _managed(request), problem_of(done)
    if isinstance(event, Problem):
        return event
    return await _event_page(request, event, problem)


async def new_form(request: web.Request) -> web.StreamResponse | Problem:
    """Ask for a simple event on one page."""
    whose = await _maker(request)
    if isinstance(whose, Problem):
        return whose
    return _new_page(request, whose, draft_form.EMPTY, [])


async def _maker(request: web.Request) -> str | Problem:
    """Return for which organizer one makes an event: the one named, or the only one."""
    named = query_once(request, "o") or None
    try:
        return await drafts.organizer_of(
            request.app[SERVICES], person_of(request), Act.CREATE, named=named
        )
    except Denied as denied:
        return problem_of(denied)


def _new_page(
    request: web.Request, whose: str, given: Mapping[str, str], mistakes: list[tuple[str, str]]
) -> web.Response:
    language = visit_of(request).language
    return page(
        request,
        "manage/new.html",
        status=422 if mistakes else 200,
        whose=whose,
        given=given,
        mistakes=[(name, said(language, what)) for name, what in mistakes],
        tiers=range(1, draft_form.TIERS + 1),
    )


async def make(request: web.Request) -> web.StreamResponse | Problem:
    """Make a draft once, however often its form is sent."""
    fields = await forms.read(request)
    whose = await _maker(request)
    if isinstance(whose, Problem):
        return whose
    asked = draft_form.read(fields)
    if isinstance(asked, list):
        return _new_page(request, whose, fields, asked)
    services, person = request.app[SERVICES], person_of(request)
    body = msgspec.json.encode(asked)
    attempt = await repeats.begin(
        services, person, forms.key_of(fields), f"POST /manage/new {whose}", body
    )
    if isinstance(attempt, KeptAnswer):
        return see_other(attempt.body.decode())
    if isinstance(attempt, Denied):
        return problem_of(attempt)
    token = UNDER_WAY.set(attempt)
    try:
        made = await drafts.create_of(services, person, whose, asked)
    except BaseException:
        await repeats.let_go(services, attempt)
        raise
    finally:
        UNDER_WAY.reset(token)
    if isinstance(made, Denied):
        await repeats.let_go(services, attempt)
        if made.errors:
            return _new_page(request, whose, fields, draft_form.mistakes_of(made.errors))
        return problem_of(made)
    path = f"/manage/e/{made.id}"
    await repeats.keep(services, attempt, KeptAnswer(201, "", path.encode()))
    return see_other(path)


async def show_bookings(request: web.Request) -> web.StreamResponse | Problem:
    """Show who has booked, a page at a time; by name, address or number of the booking."""
    event = await _managed(request)
    if isinstance(event, Problem):
        return event
    text = query_text(request, "q") or ""
    found = await desk.listing(
        request.app[SERVICES],
        person_of(request),
        event.id,
        after_id=page_start(request, BEGIN)[1],
        limit=BOOKINGS_A_PAGE,
        text=text or None,
    )
    if isinstance(found, Denied):
        return problem_of(found)
    return page(
        request,
        "manage/bookings.html",
        event=event,
        text=text,
        orders=found.data,
        names={tier.id: tier.name for tier in event.tiers},
        up_to_date=found.up_to_date,
        cursor=cursor_of(found.last) if found.last is not None else "",
    )


async def show_live(request: web.Request) -> web.StreamResponse | Problem:
    """Show a sale as it goes; a script follows it, without one the page asks again by itself."""
    event = await _managed(request)
    if isinstance(event, Problem):
        return event
    if event.status == "draft":
        raise not_found()
    paused = ""
    try:
        found = await availability.read(request.app[SERVICES], person_of(request), event.id, "")
        left = None if isinstance(found, Denied) else found.view
    except EngineError as error:
        left, paused = None, CODES[getattr(error, "code", "shard_recovering")].title
    return page(
        request,
        "manage/live.html",
        event=event,
        now=now_of(event, left, dt.datetime.now(dt.UTC)),
        left=left,
        paused=paused,
        refresh_s=REFRESH_S,
    )


ROUTES = (
    PageRoute("GET", "/manage", show_list, Work.CHANGES, needs_person=True),
    PageRoute("GET", "/manage/new", new_form, Work.CHANGES, needs_person=True),
    PageRoute("POST", "/manage/new", make, Work.CHANGES, needs_person=True),
    PageRoute("GET", "/manage/e/{event_id}", show_event, Work.CHANGES, needs_person=True),
    PageRoute("POST", "/manage/e/{event_id}/publish", publish, Work.CHANGES, needs_person=True),
    PageRoute("POST", "/manage/e/{event_id}/close", close, Work.CHANGES, needs_person=True),
    PageRoute(
        "GET", "/manage/e/{event_id}/bookings", show_bookings, Work.CHANGES, needs_person=True
    ),
    PageRoute("GET", "/manage/e/{event_id}/live", show_live, Work.CHANGES, needs_person=True),
)
