"""Made-up contents of every message: for looking at them, and for their golden comparisons."""

from __future__ import annotations

import datetime as dt

from notifier.kinds import KINDS, MADE_AND_CANCELLED, TICKETS, TOPICS
from notifier.letter import NOTHING, Enclosed
from notifier.render import Content, Fact, money
from papers.formats import time_of

KINDS_SHOWN = (*KINDS, MADE_AND_CANCELLED)

_STARTS_AT = dt.datetime(2027, 6, 5, 18, 0, tzinfo=dt.UTC)
_ZONE = "Europe/Berlin"


def of(kind: str, language: str) -> Content | None:
    """Return a content of a kind; None if there is no such message."""
    if kind not in KINDS_SHOWN:
        return None
    until = time_of(_STARTS_AT - dt.timedelta(days=3), _ZONE, language)
    is_of_event = kind.partition(".")[0] not in {"account", "team", "organizer"}
    facts = []
    if is_of_event:
        facts = [
            Fact("event", "Sommernacht <im Park>"),
            Fact("when", time_of(_STARTS_AT, _ZONE, language)),
            Fact("where", "Freilichtbühne, Am Park 1, Berlin"),
        ]
    if kind == "event.changed":
        facts.append(Fact("was_when", time_of(_STARTS_AT - dt.timedelta(days=9), _ZONE, language)))
        facts.append(Fact("was_where", "Parkbühne, Berlin"))
    if kind == "booking.confirmed":
        facts += [
            Fact("booking", "bk_06f0000000000000000000000a"),
            Fact("places", f"2 × Parkett, {money(4_550, 'EUR', language)}"),
            Fact("seats", "Block A, 3, 12; Block A, 3, 13"),
            Fact("total", money(9_100, "EUR", language)),
        ]
    if kind in {"waitlist.offered", "offer.ending"}:
        facts.append(Fact("until", until))
    if kind == "sale.opens_soon":
        opens_at = _STARTS_AT - dt.timedelta(days=90)
        facts += [
            Fact("opens", time_of(opens_at, zone, language)) for zone in (_ZONE, "Asia/Tokyo")
        ]
    page = KINDS["booking.cancelled" if kind == MADE_AND_CANCELLED else kind].page
    return Content(
        words=kind,
        fields={
            "event": "Sommernacht <im Park>",
            "giver": "Noor محمد",
            "device": "Firefox on Linux",
            "issuer": "accounts.example.org",
            "passkey": "Phone",
            "team": "Parkbühne",
            "role": "gate",
            "host": "hooks.example.org",
            "until": until,
        },
        facts=facts,
        name="山田 Zoë",
        organizer="Parkbühne" if is_of_event else "",
        url="https://tickets.example.org/sample" if page else "",
        end_url="https://tickets.example.org/end" if kind in TOPICS else "",
        enclosed=Enclosed(tickets=b"", entry=b"", ticket_count=2) if kind in TICKETS else NOTHING,
    )
