"""
Letters as they should read: `python -m tests.notifier.looks` writes the golden ones anew.

Whoever writes them anew looks at them: `python -m tests.notifier.looks FOLDER` writes the HTML as
pages for a browser, which shows them about as a reader of mail does (`--window-size=390,1400`).
"""

from __future__ import annotations

import base64
import datetime as dt
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

from notifier.letter import CODE_ID, NOTHING, Enclosed, Post, write
from notifier.render import Content, Fact, money, render
from papers import qr
from papers.formats import time_of
from papers.words import LANGUAGES
from tests.papers.looks import CODE

GOLDEN = Path(__file__).parent / "golden"
STARTS_AT = dt.datetime(2027, 6, 21, 17, 30, tzinfo=dt.UTC)


class Look(NamedTuple):
    """A letter to be looked at."""

    language: str
    words: str
    event: str
    name: str
    seats: int
    enclosed: Enclosed
    zone: str = "Europe/Berlin"


def one_ticket() -> Enclosed:
    """Return what a letter of one ticket encloses."""
    return Enclosed(b"%PDF-", 1, qr.png(CODE), b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")


def tickets(count: int) -> Enclosed:
    """Return what a letter of several tickets encloses."""
    return one_ticket()._replace(ticket_count=count, code=None)


OVER = Enclosed(entry=b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", is_cancelled=True)
AT_LINK = Enclosed(ticket_count=2, entry=b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
LONG = ("The Very Long Title of an Evening of Music and " * 5)[:200]
LOOKS = {
    "arabic": Look(
        "ar",
        "booking.confirmed",
        "مهرجان الموسيقى العربية الكبير",
        "محمد بن عبد الله",
        1,
        one_ticket(),
        "Africa/Cairo",
    ),
    "arabic_name_in_english": Look(
        "en", "booking.confirmed", "River Night", "محمد بن عبد الله الأمين", 1, one_ticket()
    ),
    "japanese": Look(
        "de", "ticket.transferred", "夏の音楽祭 2027", "山田太郎", 1, one_ticket(), "Asia/Tokyo"
    ),
    "emoji": Look(
        "en", "booking.changed", "🎉🎶 Party! 👩‍👩‍👧‍👦", "Ann 🎸 Smith 👩‍🎤", 2, tickets(2)
    ),
    "long_title": Look("en", "booking.confirmed", LONG, "Ann Smith", 1, one_ticket()),
    "ten_seats": Look("de", "booking.confirmed", "River Night", "Ann Smith", 10, tickets(10)),
    "at_the_link": Look("en", "booking.confirmed", "River Night", "Ann Smith", 2, AT_LINK),
    "cancelled": Look("en", "booking.cancelled", "River Night", "Ann Smith", 0, OVER),
    "moved": Look("en", "event.changed", "River Night", "Ann Smith", 0, one_ticket()),
    "moved_arabic": Look(
        "ar", "event.changed", "مهرجان الموسيقى", "محمد", 0, tickets(2), "Africa/Cairo"
    ),
    "no_tickets": Look("ar", "booking.confirmed", "River Night", "Ann Smith", 2, NOTHING),
}


def letter(look: Look) -> EmailMessage:
    """Write a letter."""
    language = look.language
    place = LANGUAGES[language].place
    facts = [
        Fact("event", look.event),
        Fact("when", time_of(STARTS_AT, look.zone, language)),
        Fact("where", "Old Harbour Hall, Quay Street 12, 20459 Hamburg"),
        Fact("booking", "bk_06f0000000000000000000000a"),
    ]
    if look.words == "event.changed":
        before = STARTS_AT - dt.timedelta(days=9)
        facts.append(Fact("was_when", time_of(before, look.zone, language)))
        facts.append(Fact("was_where", "New Harbour Hall"))
    if look.seats:
        seats = "; ".join(place("A", "12", str(number + 1)) for number in range(look.seats))
        facts += [
            Fact("places", f"{look.seats} × Parkett, {money(4_550, 'EUR', language)}"),
            Fact("seats", seats),
            Fact("total", money(4_550 * look.seats, "EUR", language)),
        ]
    content = Content(
        words=look.words,
        fields={"event": look.event},
        facts=facts,
        name=look.name,
        organizer="River Concerts",
        url="https://tickets.example.org/b/bk_06f0000000000000000000000a",
        enclosed=look.enclosed,
    )
    words, post = render(content, language), Post("tickets@example.org")
    return write(
        words,
        post,
        to="ann@example.org",
        name=look.name,
        tag="t",
        thread="bk_1",
        enclosed=look.enclosed,
    )


def parts(message: EmailMessage, depth: int = 0) -> Iterator[str]:
    """Yield what a message is made of, a line each."""
    about = [message.get_content_type(), message.get_content_disposition() or "inline"]
    about += [f"{name}={text}" for name in ("method",) if (text := message.get_param(name))]
    about += [str(text) for text in (message.get_filename(), message["Content-ID"]) if text]
    yield "  " * depth + " ".join(about)
    if message.is_multipart():
        for part in message.iter_parts():
            assert isinstance(part, EmailMessage)
            yield from parts(part, depth + 1)


def said(message: EmailMessage) -> str:
    """Return all that a letter says, as it is kept."""
    names = ("From", "To", "Subject", "Content-Language")
    heads = [f"{name}: {message[name]}" for name in names]
    bodies = []
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        bodies.append(body.get_content())
    return "\n".join([*heads, "", *parts(message), "", *bodies])


def page(message: EmailMessage) -> str:
    """Return the HTML of a letter with its picture in it."""
    html = message.get_body(("html",))
    assert html is not None
    text: str = html.get_content()
    for part in message.walk():
        if part["Content-ID"] == f"<{CODE_ID}>":
            raw = part.get_payload(decode=True)
            assert isinstance(raw, bytes)
            image = base64.b64encode(raw).decode()
            text = text.replace(f"cid:{CODE_ID}", f"data:image/png;base64,{image}")
    return text


def main(folder: Path | None) -> None:
    """Write all of them."""
    for name, look in LOOKS.items():
        if folder is None:
            (GOLDEN / f"{name}.txt").write_text(said(letter(look)), encoding="utf-8")
        else:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.html").write_text(page(letter(look)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
