"""What one wishes to be told: preferences, one sale's opening, and the end of a kind of letters."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any

from aiohttp import web

from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES
from api.problems import Problem, not_found
from store.preferences import CHANNELS, TOPICS
from usecases import events, preferences, reminders
from usecases.asked import PreferencesChange
from usecases.denials import Denied
from web import forms
from web.addresses import event_id_of, event_path
from web.asking import Mistakes, mistakes_of, understood
from web.pages.me import done_of
from web.problems import told as said_of
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other

PREFERENCES = "/me/preferences"
UNSUBSCRIBE = "/unsubscribe"
_NONE = Mistakes([], 200)


@cache
def zones() -> list[str]:
    """Return the names of time zones that somebody may live in, sorted."""
    # Not those of the machine's own, nor those that are left for old programs alone.
    places = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/")
    names = zoneinfo.available_timezones()
    return sorted(name for name in names if name.startswith((*places, "Pacific/", "Antarctica/")))


async def shown(request: web.Request) -> web.StreamResponse:
    """Show what somebody is told."""
    return await _shown(request)


async def _shown(request: web.Request, mistakes: Mistakes = _NONE) -> web.StreamResponse:
    found = needed(await preferences.read(request.app[SERVICES], person_of(request)))
    own = [] if found.timezone in {None, *zones()} else [found.timezone]
    return page(
        request,
        "told/preferences.html",
        status=mistakes.status,
        wanted={topic: getattr(found, topic) for topic in TOPICS},
        timezone=found.timezone or "",
        zones=[*own, *zones()],
        mistakes=mistakes.listed,
        done=done_of(request),
    )


async def save(request: web.Request) -> web.StreamResponse:
    """Keep what somebody is told: a box that is not ticked is not sent, and means no."""
    fields = await forms.read(request)
    given: dict[str, Any] = {
        topic: {channel: f"{topic}_{channel}" in fields for channel in CHANNELS} for topic in TOPICS
    }
    asked = understood(
        request, PreferencesChange, {**given, "timezone": fields.get("timezone", "")}
    )
    if not isinstance(asked, Mistakes):
        done = await preferences.change(request.app[SERVICES], person_of(request), asked)
        if not isinstance(done, Denied):
            return see_other(f"{PREFERENCES}?done=saved")
        asked = mistakes_of(request, done, "timezone")
    return await _shown(request, asked)


async def reminder(request: web.Request) -> web.StreamResponse:
    """Show whether somebody is told before the sale of an event opens."""
    return await _reminder(request)


async def _reminder(request: web.Request, problem: Problem | None = None) -> web.StreamResponse:
    services, person, event_id = request.app[SERVICES], person_of(request), _event_of(request)
    event = needed(await events.read(services, person, event_id, "")).view
    is_asked = needed(await reminders.is_asked(services, person, event_id))
    return page(
        request,
        "told/reminder.html",
        status=problem.status if problem is not None else 200,
        event=event,
        event_url=event_path(event),
        is_asked=is_asked,
        mistakes=[("remind", said_of(request, problem))] if problem is not None else [],
    )


async def remind(request: web.Request) -> web.StreamResponse:
    """Have somebody told before the sale of an event opens, or not any more."""
    fields = await forms.read(request)
    services, person, event_id = request.app[SERVICES], person_of(request), _event_of(request)
    turn = reminders.end if fields.get("do") == "end" else reminders.ask
    denied = await turn(services, person, event_id)
    if denied is not None:
        return await _reminder(request, problem_of(denied))
    return see_other(f"/e/{event_id}/remind")


def _event_of(request: web.Request) -> str:
    event_id = event_id_of(request.match_info["event_id"])
    if event_id is None:
        raise not_found()
    return event_id


async def unsubscribe_form(request: web.Request) -> web.StreamResponse | Problem:
    """Ask whether letters of a kind shall end; what looks through mail fetches this, and may."""
    token = request.query.get("token", "")
    topic = await preferences.topic_of(request.app[SERVICES], token)
    if isinstance(topic, Denied):
        return page(request, "told/unsubscribe.html", status=404, topic="", token="", is_done=False)
    is_done = request.query.get("done") == "ended"
    return page(request, "told/unsubscribe.html", topic=topic, token=token, is_done=is_done)


async def unsubscribe(request: web.Request) -> web.StreamResponse | Problem:
    """End letters of a kind, by the token of one of them, whoever is signed in."""
    token = (await forms.read(request)).get("token", "")
    topic = await preferences.unsubscribe(request.app[SERVICES], token)
    if isinstance(topic, Denied):
        return problem_of(topic)
    return see_other(f"{UNSUBSCRIBE}?token={token}&done=ended")


_REMIND = "/e/{event_id}/remind"
ROUTES = (
    PageRoute("GET", PREFERENCES, shown, Work.OWN, needs_person=True),
    PageRoute("POST", PREFERENCES, save, Work.OWN, needs_person=True),
    PageRoute("GET", _REMIND, reminder, Work.OWN, needs_person=True),
    PageRoute("POST", _REMIND, remind, Work.OWN, needs_person=True),
    PageRoute("GET", UNSUBSCRIBE, unsubscribe_form, Work.SIGN_INS),
    PageRoute("POST", UNSUBSCRIBE, unsubscribe, Work.SIGN_INS),
)
