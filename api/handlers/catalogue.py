"""An organizer's catalogue: copies of events, and what goes in and out as files."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, problem_of
from api.handlers.events import own as own_event
from api.http import PRINCIPAL, SERVICES, decode, page_limit, query_once, read_body, read_raw
from api.problems import Problem, invalid
from api.schemas import Events
from engine.ids import is_id
from usecases import copies, exports, imports
from usecases.asked import Copy, EventImport, Series
from usecases.denials import Denied

_COPY = msgspec.json.Decoder(Copy)
_SERIES = msgspec.json.Decoder(Series)
_IMPORT = msgspec.json.Decoder(EventImport)


async def duplicate(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make a draft like an event of one's own; its times are as far from its start as the event's.

    Tiers, seats, rules and promo codes are copied, bookings are not. Without a body, the copy
    begins when the event does.
    """
    raw = await read_raw(request)
    asked = decode(raw, _COPY) if raw else Copy()
    made = await copies.duplicate(*own_event(request), asked)
    if isinstance(made, Denied):
        return problem_of(made)
    return answer(made, status=201, headers={"Location": f"/v1/events/{made.id}"})


async def series(request: web.Request) -> web.StreamResponse | Problem:
    """Make a draft like an event of one's own for each of some starts: all of them or none."""
    asked = await read_body(request, _SERIES)
    made = await copies.series(*own_event(request), asked)
    return problem_of(made) if isinstance(made, Denied) else answer(Events(data=made), status=201)


async def delete(request: web.Request) -> web.StreamResponse | Problem:
    """Take a draft of one's own away; what was ever published stays, and can be cancelled."""
    return answer_nothing(await copies.delete(*own_event(request)))


async def import_(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make drafts of a catalogue: a table (CSV), or events of schema.org as JSON-LD.

    Rows that cannot be sold are named with what is wrong, and keep no other row from being taken.
    May be repeated: an event is known by its id at the source. With `dry_run` nothing is made.
    Nothing that the texts name is fetched. Large catalogues are for `evently events import`.
    """
    asked = await read_body(request, _IMPORT)
    return answer(await imports.from_text(request.app[SERVICES], request[PRINCIPAL], asked))


async def export(request: web.Request) -> web.StreamResponse | Problem:
    """
    Write an organizer's events as CSV or JSON-LD (`format`), oldest first.

    Who sees the events of one organizer alone need not name it by `organizer_id`.
    A part of `limit` events at a time; `Link` leads to the next. A cell of the table that a
    spreadsheet would take for a formula begins with an apostrophe, which an import takes away.
    """
    name, limit = query_once(request, "format") or "csv", page_limit(request)
    form = exports.FORMS.get(name)
    if form is None:
        raise invalid("/query/format", f"must be one of {', '.join(exports.FORMS)}")
    after = query_once(request, "after") or ""
    if after and not is_id("evt", after):
        raise invalid("/query/after", "is not the id of an event")
    services, person = request.app[SERVICES], request[PRINCIPAL]
    whose = query_once(request, "organizer_id")
    part = await exports.own(services, person, whose, form=form, after_id=after, limit=limit)
    if isinstance(part, Denied):
        return problem_of(part)
    headers = PERSONAL | {"Content-Disposition": f'attachment; filename="events.{name}"'}
    if part.last_id:
        query = f"format={name}&limit={limit}&after={part.last_id}"
        query += f"&organizer_id={whose}" if whose else ""
        headers["Link"] = f'</v1/events/export?{query}>; rel="next"'
    content = exports.whole(form, part)
    kind = form.content_type
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)
