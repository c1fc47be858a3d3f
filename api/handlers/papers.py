"""What a holder has in hand: tickets as PDF, their codes as QR, entries for calendars."""

from __future__ import annotations

from aiohttp import web

from api.answers import PERSONAL, answer, problem_of
from api.http import PRINCIPAL, SERVICES, query_once
from api.lean import LeanAnswer
from api.problems import Problem
from usecases import papers
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

PDF = "application/pdf"
CALENDAR = "text/calendar"
SVG = "image/svg+xml"
PKPASS = "application/vnd.apple.pkpass"


async def sheets_of_booking(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read the tickets of a booking of one's own as PDF, one page each.

    Those that were given away are their holders'. `language` is English, German or Arabic; if it
    is not given, the account's own.
    """
    services, person, own_id = _asked(request, "booking_id")
    drawn = await papers.sheets_of_booking(services, person, own_id, _wished(request))
    return _file(drawn, PDF, "ticket.pdf")


async def sheet_of_ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Read a ticket that one has as PDF; `language` as of a booking's."""
    services, person, own_id = _asked(request, "ticket_id")
    drawn = await papers.sheet_of_ticket(services, person, own_id, _wished(request))
    return _file(drawn, PDF, "ticket.pdf")


async def entry_of_booking(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read a booking of one's own for a calendar.

    A newer file takes the place of an older one; that of a cancelled booking takes it out again.
    """
    services, person, own_id = _asked(request, "booking_id")
    drawn = await papers.entry_of_booking(services, person, own_id, _wished(request))
    return _file(drawn, CALENDAR, "event.ics")


async def entry_of_ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Read a ticket that one has for a calendar, as an entry of its own."""
    services, person, own_id = _asked(request, "ticket_id")
    drawn = await papers.entry_of_ticket(services, person, own_id, _wished(request))
    return _file(drawn, CALENDAR, "event.ics")


async def code_of_booking(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read the QR code of a booking's one ticket.

    If there are several, each has its own, at `/v1/tickets/{ticket_id}/qr.svg`.
    """
    drawn = await papers.code_of_booking(*_asked(request, "booking_id"))
    return _file(drawn, SVG)


async def code_of_ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Read the QR code of a ticket that one has, as a gate scans it."""
    drawn = await papers.code_of_ticket(*_asked(request, "ticket_id"))
    return _file(drawn, SVG)


async def pass_of_booking(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read a booking's one ticket as a pass for Apple's wallet.

    If there are several, each has its own, at `/v1/tickets/{ticket_id}/ticket.pkpass`.
    """
    services, person, own_id = _asked(request, "booking_id")
    made = await papers.pass_of_booking(services, person, own_id, _wished(request))
    return _file(made, PKPASS, "ticket.pkpass")


async def pass_of_ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Read a ticket that one has as a pass for Apple's wallet; `language` as of its PDF."""
    services, person, own_id = _asked(request, "ticket_id")
    made = await papers.pass_of_ticket(services, person, own_id, _wished(request))
    return _file(made, PKPASS, "ticket.pkpass")


async def link_of_booking(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read where a booking's one ticket is saved in Google's wallet.

    If there are several, each has its own, at `/v1/tickets/{ticket_id}/google-wallet`.
    """
    services, person, own_id = _asked(request, "booking_id")
    made = await papers.link_of_booking(services, person, own_id, _wished(request))
    return answer(made, headers=PERSONAL)


async def link_of_ticket(request: web.Request) -> web.StreamResponse | Problem:
    """Read where a ticket that one has is saved in Google's wallet; `language` as of its PDF."""
    services, person, own_id = _asked(request, "ticket_id")
    made = await papers.link_of_ticket(services, person, own_id, _wished(request))
    return answer(made, headers=PERSONAL)


async def wallets(request: web.Request) -> web.StreamResponse | Problem:
    """Tell which wallets tickets can be put into here, so that no button leads nowhere."""
    headers = {"Cache-Control": "public, max-age=300"}
    return answer(papers.wallets(request.app[SERVICES]), headers=headers)


def _asked(request: web.Request, name: str) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info[name]


def _wished(request: web.Request) -> str | None:
    return query_once(request, "language")


def _file(
    drawn: bytes | Denied, content_type: str, file_name: str = ""
) -> web.StreamResponse | Problem:
    """
    Answer with a file.

    Args:
        file_name: What it is saved as, in ASCII; empty of what is looked at.
    """
    if isinstance(drawn, Denied):
        return problem_of(drawn)
    lines = PERSONAL | (
        {"Content-Disposition": f'attachment; filename="{file_name}"'} if file_name else {}
    )
    text = "".join([f"{name}: {value}\r\n" for name, value in lines.items()])
    kind = f"{content_type}; charset=utf-8" if content_type == CALENDAR else content_type
    return LeanAnswer(200, drawn, text, content_type=kind)
