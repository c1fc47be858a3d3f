"""Tickets as PDF: one page each, tagged so that they can be read aloud (PDF/UA-1)."""

from __future__ import annotations

import datetime as dt
import re
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import msgspec
import typst
from babel import Locale
from babel.dates import format_date, format_time, get_timezone_name

from papers import fonts, qr
from papers.values import Occasion, ShareCard, TicketSheet, TicketSheets
from papers.words import LANGUAGES, PaperWords

#: What people wrote on a ticket fits on its page if it has no more characters than these.
SHORT_MAX = 180
#: As many characters without a blank stay together; among more a line may break, so that none runs
#: out of its page or over its neighbour. A row and its seat share a line.
_UNBROKEN = re.compile(r"\S{13,}")
_UNBROKEN_OF_PAIR = re.compile(r"\S{7,}")
#: Not within what several characters draw together: marks on letters, emoji of several parts.
_BREAK_AFTER = re.compile("(.{3}[^\u200d])(?=[^\u200d\ufe0e\ufe0f\u0300-\u036f\u064b-\u0652])")
_ZERO_WIDTH_SPACE = "\u200b"


def pdf(sheets: TicketSheets) -> bytes:
    """
    Return tickets as a PDF, one page each, in the order given.

    Cost: see docs/decisions/0031-tickets-by-typst.md.

    Raises:
        typst.TypstError: the template does not fit its data.
    """
    made = _compiler().compile(
        input=_template("ticket"), sys_inputs=_inputs(sheets), format="pdf", pdf_standards="ua-1"
    )
    assert isinstance(made, bytes)
    return made


def card(asked: ShareCard) -> bytes:
    """
    Return what is shown of an event where its address is shared: a PNG of 1 200 by 630.

    Raises:
        typst.TypstError: the template does not fit its data.
    """
    words, occasion = LANGUAGES[asked.language], asked.occasion
    data = {
        "language": asked.language,
        "is_rtl": Locale.parse(words.locale).text_direction == "rtl",
        "fonts": fonts.FAMILIES,
        "name": _breakable(occasion.name),
        "venue": _breakable(", ".join(filter(None, (occasion.venue, occasion.address_line)))),
        "organizer": _breakable(occasion.organizer),
        **_times(occasion, words),
    }
    inputs = {"data": msgspec.json.encode(data).decode()}
    # A point is a pixel.
    made = _compiler().compile(input=_template("card"), sys_inputs=inputs, format="png", ppi=72)
    assert isinstance(made, bytes)
    return made


def _inputs(sheets: TicketSheets) -> dict[str, str]:
    words, occasion = LANGUAGES[sheets.language], sheets.occasion
    data = {
        "title": f"{words.ticket}: {occasion.name}",
        "language": sheets.language,
        "is_rtl": Locale.parse(words.locale).text_direction == "rtl",
        "fonts": fonts.FAMILIES,
        "words": words._asdict(),
        "name": _breakable(occasion.name),
        "venue": _breakable(occasion.venue),
        "address": _breakable(occasion.address_line),
        "organizer": _breakable(f"{words.organizer}: {occasion.organizer}"),
        **_times(occasion, words),
        "tickets": [_ticket(one, occasion, words) for one in sheets.sheets],
    }
    return {"data": msgspec.json.encode(data).decode()}


def _times(occasion: Occasion, words: PaperWords) -> dict[str, str]:
    """Return when an event is, at the venue's clock, and by which clock that is."""
    zone = ZoneInfo(occasion.timezone)
    locale = Locale.parse(words.locale)
    starts_at = occasion.starts_at.astimezone(zone)

    def clock(moment: dt.datetime) -> str:
        return format_time(moment.astimezone(zone), "short", tzinfo=zone, locale=locale)

    named = get_timezone_name(starts_at, "long", locale=locale)
    day = format_date(starts_at, "full", locale=locale)
    doors = f"{words.doors}: {clock(occasion.doors_at)}" if occasion.doors_at else ""
    return {
        "when": words.when.format(day=day, time=clock(starts_at)),
        "zone": f"{named} ({occasion.timezone})",
        "doors": doors,
    }


def _ticket(ticket: TicketSheet, occasion: Occasion, words: PaperWords) -> dict[str, str | bool]:
    own = {name: getattr(ticket, name) for name in ("tier", "section", "row", "seat", "holder")}
    written = (*own.values(), occasion.name, occasion.venue, occasion.address, occasion.organizer)
    return {
        **{name: _breakable(text) for name, text in own.items()},
        **{name: _breakable(own[name], _UNBROKEN_OF_PAIR) for name in ("row", "seat")},
        "is_short": sum(map(len, written)) <= SHORT_MAX,
        "qr": qr.svg(ticket.code, quiet_zone=0).decode(),
        "nth": words.nth.format(number=ticket.number, count=ticket.count),
        "booking_id": ticket.booking_id,
    }


def _breakable(text: str, unbroken: re.Pattern[str] = _UNBROKEN) -> str:
    return unbroken.sub(lambda run: _BREAK_AFTER.sub(rf"\1{_ZERO_WIDTH_SPACE}", run[0]), text)


@cache
def _template(name: str) -> bytes:
    return files("papers").joinpath(f"{name}.typ").read_bytes()


@cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(font_paths=fonts.loaded())
