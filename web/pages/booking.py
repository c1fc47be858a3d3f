"""What one has: bookings and tickets, large enough for the gate, and what one does with them."""

from __future__ import annotations

import base64

from aiohttp import web

from api.admission import Work
from api.answers import cursor_of, problem_of
from api.http import FAR_AHEAD, SERVICES, page_start
from api.problems import Problem
from engine.errors import EngineError
from usecases import bookings, events, gifts, papers, told
from usecases.asked import CancelBooking, Transfer
from usecases.denials import Denied, Why
from usecases.services import Services
from usecases.tokens import Principal
from web import forms
from web.addresses import event_path
from web.bill import lines_of
from web.problems import sentence_of
from web.rendering import page
from web.serving import PageHandler, PageRoute, person_of, see_other, visit_of

LIST_BOOKINGS = 20
#: Gifts that are looked through for those of one booking.
GIFTS_MAX = 200
#: When the page of a booking that is being written asks again, in seconds.
WRITING_S = 2


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List one's bookings, the newest first, and the gifts that wait."""
    services, person = _whose(request)
    found = await bookings.mine(services, person, before=page_start(request), limit=LIST_BOOKINGS)
    if isinstance(found, Denied):
        return problem_of(found)
    rows = []
    for one in found.data:
        poster = await services.catalog.poster(one.event_id)
        rows.append((one, poster, sum(item.quantity for item in one.items)))
    return page(
        request,
        "booking/list.html",
        rows=rows,
        gifts=[one for one in await _gifts(request) if one.direction == "offered"],
        is_up_to_date=found.up_to_date,
        next_url=f"/b?after={cursor_of(found.last)}" if found.last else "",
    )


async def show(request: web.Request) -> web.StreamResponse | Problem:
    """Show a booking of one's own, with all that one can do with it."""
    services, person = _whose(request)
    booking = await bookings.read(services, person, request.match_info["booking_id"])
    if isinstance(booking, Denied):
        return _writing(request) if booking.why is Why.CATCHING_UP else problem_of(booking)
    seen = await events.read(services, person, booking.event_id, "")
    if isinstance(seen, Denied):
        return problem_of(seen)
    mine = [one for one in booking.tickets if one.code is not None]
    return page(
        request,
        "booking/booking.html",
        booking=booking,
        short=short_code(booking.id),
        event=seen.view,
        event_url=event_path(seen.view),
        lines=await lines_of(services, booking.event_id, booking.items),
        offered={one.ticket_id: one for one in await _gifts(request)},
        has_own=bool(mine),
        gone=[one for one in booking.tickets if one.status == "cancelled"],
        receipt=await _receipt(request, booking.id),
        made=request.query.get("made"),
        did=request.query.get("did"),
    )


async def cancel_form(request: web.Request) -> web.StreamResponse | Problem:
    """Ask which tickets are to be given back, and say what follows."""
    return await _cancel_page(request)


async def cancel(request: web.Request) -> web.StreamResponse | Problem:
    """Give back all tickets of a booking, or some; safe to send many times."""
    fields = await forms.read(request)
    services, person = _whose(request)
    own_id = request.match_info["booking_id"]
    booking = await bookings.read(services, person, own_id)
    if isinstance(booking, Denied):
        return problem_of(booking)
    live = [one.id for one in booking.tickets if one.status != "cancelled"]
    chosen = [one for one in live if one in fields]
    version = fields.get("version", "")
    if booking.status == "cancelled" or version != str(booking.version):
        # It was sent before, or something else has changed: the page shows what is.
        return see_other(f"/b/{own_id}")
    if not chosen:
        return await _cancel_page(request, is_empty=True)
    if chosen == live:
        done = await bookings.cancel(services, person, own_id)
    else:
        asked = CancelBooking(ticket_ids=chosen, version=booking.version)
        done = await bookings.cancel_places(services, person, own_id, asked)
    if isinstance(done, Denied) and done.why is not Why.CATCHING_UP:
        return await _cancel_page(request, problem_of(done))
    return see_other(f"/b/{own_id}?did=back")


async def ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Show one ticket large, as a gate reads it; the page works without the network."""
    services, person = _whose(request)
    found = await bookings.ticket(services, person, request.match_info["ticket_id"])
    if isinstance(found, Denied):
        return _writing(request) if found.why is Why.CATCHING_UP else problem_of(found)
    image = ""
    if found.code is not None:
        drawn = await papers.code_of_ticket(services, person, found.id)
        if isinstance(drawn, Denied):
            return problem_of(drawn)
        image = f"data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}"
    return page(
        request,
        "booking/ticket.html",
        ticket=found,
        image=image,
        short=short_code(found.booking_id),
        number=found.id.rpartition("_")[2],
        did=request.query.get("did"),
    )


async def give_form(request: web.Request) -> web.StreamResponse | Problem:
    """Ask for the address that a ticket is given to, or whether it is given back."""
    return await _give_page(request)


async def give(request: web.Request) -> web.StreamResponse | Problem:
    """Offer a ticket to an address, or give it back to who booked it."""
    fields = await forms.read(request)
    services, person = _whose(request)
    own_id = request.match_info["ticket_id"]
    if fields.get("do") == "back":
        done = await gifts.give_back(services, person, own_id)
        if isinstance(done, Denied):
            return await _give_page(request, problem_of(done))
        return see_other("/b")
    email = fields.get("email", "").strip()[:254]
    done = await gifts.transfer(services, person, own_id, Transfer(email=email))
    if isinstance(done, Denied):
        return await _give_page(request, problem_of(done), email)
    return see_other(f"/t/{own_id}?did=offered")


async def gift_form(request: web.Request) -> web.StreamResponse | Problem:
    """Show a ticket that waits for somebody, to who gives it and to whom it is for."""
    return await _gift_page(request)


async def gift(request: web.Request) -> web.StreamResponse | Problem:
    """Accept a ticket, decline it, or take back what one offers; safe to send many times."""
    fields = await forms.read(request)
    services, person = _whose(request)
    own_id = request.match_info["gift_id"]
    if fields.get("do") == "accept":
        taken = await gifts.accept(services, person, own_id)
        if isinstance(taken, Denied):
            return await _gift_page(request, problem_of(taken))
        return see_other(f"/t/{taken.told.id}?did=accepted")
    ended = await gifts.end(services, person, own_id)
    return see_other("/b") if ended is None else problem_of(ended)


async def tickets_file(request: web.Request) -> web.StreamResponse | Problem:
    """Send the tickets of a booking as PDF, one page each."""
    drawn = await papers.sheets_of_booking(*_of(request, "booking_id"), _language(request))
    return _file(drawn, "application/pdf", "tickets.pdf")


async def ticket_file(request: web.Request) -> web.StreamResponse | Problem:
    """Send a ticket as PDF."""
    drawn = await papers.sheet_of_ticket(*_of(request, "ticket_id"), _language(request))
    return _file(drawn, "application/pdf", "ticket.pdf")


async def entry_file(request: web.Request) -> web.StreamResponse | Problem:
    """Send a booking for a calendar."""
    drawn = await papers.entry_of_booking(*_of(request, "booking_id"), _language(request))
    return _file(drawn, "text/calendar", "event.ics")


async def ticket_entry_file(request: web.Request) -> web.StreamResponse | Problem:
    """Send a ticket for a calendar."""
    drawn = await papers.entry_of_ticket(*_of(request, "ticket_id"), _language(request))
    return _file(drawn, "text/calendar", "event.ics")


async def code_file(request: web.Request) -> web.StreamResponse | Problem:
    """Send the code of a ticket that one has, as a picture."""
    drawn = await papers.code_of_ticket(*_of(request, "ticket_id"))
    return _file(drawn, "image/svg+xml", "")


def short_code(booking_id: str) -> str:
    """Return the end of a booking's id in groups, as people read it to each other."""
    end = booking_id[-8:].upper()
    return f"{end[:4]}-{end[4:]}"


def _file(drawn: bytes | Denied, kind: str, name: str) -> web.Response | Problem:
    if isinstance(drawn, Denied):
        return problem_of(drawn)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if name else {}
    charset = None if kind == "application/pdf" else "utf-8"
    return web.Response(body=drawn, content_type=kind, charset=charset, headers=headers)


def _writing(request: web.Request) -> web.Response:
    """Say that a new booking is safe, and is being written; ask again in a moment."""
    shown = page(request, "booking/writing.html", wait_s=WRITING_S)
    shown.headers["Refresh"] = str(WRITING_S)
    return shown


async def _cancel_page(
    request: web.Request, problem: Problem | None = None, *, is_empty: bool = False
) -> web.StreamResponse | Problem:
    services, person = _whose(request)
    booking = await bookings.read(services, person, request.match_info["booking_id"])
    if isinstance(booking, Denied):
        return problem_of(booking)
    if booking.status == "cancelled":
        return see_other(f"/b/{booking.id}")
    poster = await services.catalog.poster(booking.event_id)
    return page(
        request,
        "booking/cancel.html",
        status=422 if is_empty else problem.status if problem else 200,
        booking=booking,
        short=short_code(booking.id),
        poster=poster,
        live=[one for one in booking.tickets if one.status != "cancelled"],
        is_empty=is_empty,
        problem=problem,
        sentence=sentence_of(problem.code, problem.status) if problem else None,
    )


async def _give_page(
    request: web.Request, problem: Problem | None = None, email: str = ""
) -> web.StreamResponse | Problem:
    services, person = _whose(request)
    found = await bookings.ticket(services, person, request.match_info["ticket_id"])
    if isinstance(found, Denied):
        return problem_of(found)
    is_bad_email = problem is not None and "/email" in dict(problem.errors)
    return page(
        request,
        "booking/give.html",
        status=problem.status if problem else 200,
        ticket=found,
        email=email,
        problem=problem,
        is_bad_email=is_bad_email,
        sentence=sentence_of(problem.code, problem.status) if problem else None,
    )


async def _gift_page(
    request: web.Request, problem: Problem | None = None
) -> web.StreamResponse | Problem:
    found = await gifts.read(*_of(request, "gift_id"))
    if isinstance(found, Denied):
        return problem_of(found)
    return page(
        request,
        "booking/gift.html",
        status=problem.status if problem else 200,
        gift=found,
        problem=problem,
        sentence=sentence_of(problem.code, problem.status) if problem else None,
    )


async def _gifts(request: web.Request) -> list[told.Gift]:
    services, person = _whose(request)
    found = await gifts.mine(services, person, before=FAR_AHEAD, limit=GIFTS_MAX)
    return [] if isinstance(found, Denied) else found.data


async def _receipt(request: web.Request, own_id: str) -> str | None:
    """Return a booking's receipt; None as well where nobody can make it now."""
    try:
        made = await bookings.receipt(*_whose(request), own_id)
    except EngineError:
        return None
    return None if isinstance(made, Denied) else made


def _language(request: web.Request) -> str:
    return visit_of(request).language


def _of(request: web.Request, name: str) -> tuple[Services, Principal, str]:
    return *_whose(request), request.match_info[name]


def _whose(request: web.Request) -> tuple[Services, Principal]:
    return request.app[SERVICES], person_of(request)


def _own(method: str, path: str, handler: PageHandler, work: Work = Work.OWN) -> PageRoute:
    return PageRoute(method, path, handler, work, needs_person=True)


ROUTES = (
    _own("GET", "/b", listing),
    _own("GET", "/b/{booking_id}", show),
    _own("GET", "/b/{booking_id}/tickets.pdf", tickets_file),
    _own("GET", "/b/{booking_id}/event.ics", entry_file),
    _own("GET", "/b/{booking_id}/cancel", cancel_form),
    _own("POST", "/b/{booking_id}/cancel", cancel, Work.SALES),
    _own("GET", "/t/{ticket_id}", ticket),
    _own("GET", "/t/{ticket_id}/ticket.pdf", ticket_file),
    _own("GET", "/t/{ticket_id}/event.ics", ticket_entry_file),
    _own("GET", "/t/{ticket_id}/qr.svg", code_file),
    _own("GET", "/t/{ticket_id}/give", give_form),
    _own("POST", "/t/{ticket_id}/give", give, Work.SALES),
    _own("GET", "/gifts/{gift_id}", gift_form),
    _own("POST", "/gifts/{gift_id}", gift, Work.SALES),
)
