"""
Tickets as they should look, as small grey pictures: `python -m tests.papers.looks` makes them anew.

Whoever makes them anew looks at them: `python -m tests.papers.looks FOLDER` writes them large.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2

from papers import tickets
from papers.values import Occasion, TicketSheet, TicketSheets

GOLDEN = Path(__file__).parent / "golden"
#: Pixels a point of the small pictures, and of those in which codes are read: 22 and 90 dpi.
SMALL, LARGE = 0.3, 1.25
#: As long as a real one, and of its characters.
CODE = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5-_" + 52 * "x"


class Picture(NamedTuple):
    """A page in grey, a byte a pixel."""

    width: int
    height: int
    pixels: bytes


def occasion(**fields: Any) -> Occasion:
    """Make an event."""
    given: dict[str, Any] = {
        "name": "Midsummer Night at the River",
        "venue": "Old Harbour Hall",
        "address": "Quay Street 12\n20459 Hamburg",
        "organizer": "River Concerts",
        "starts_at": dt.datetime(2027, 6, 21, 17, 30, tzinfo=dt.UTC),
        "ends_at": dt.datetime(2027, 6, 21, 21, 0, tzinfo=dt.UTC),
        "doors_at": dt.datetime(2027, 6, 21, 16, 30, tzinfo=dt.UTC),
        "timezone": "Europe/Berlin",
    }
    return Occasion(**given | fields)


def sheet(**fields: Any) -> TicketSheet:
    """Make a ticket."""
    given: dict[str, Any] = {
        "code": CODE,
        "tier": "Standard",
        "section": "Block A",
        "row": "12",
        "seat": "7",
        "holder": "Ann Smith",
        "booking_id": "bk_06f1c2d3e4g5h6j7k8m9n0p1q2r3s4t5v6",
        "number": 1,
        "count": 1,
    }
    return TicketSheet(**given | fields)


def sheets(language: str = "en", *own: TicketSheet, **fields: Any) -> TicketSheets:
    """Make tickets of an event; one, if none are given."""
    return TicketSheets(occasion=occasion(**fields), sheets=own or (sheet(),), language=language)


LOOKS = {
    "arabic": sheets(
        "ar",
        sheet(tier="عادي", section="يسار", holder="محمد بن عبد الله الأمين"),
        name="مهرجان الموسيقى العربية الكبير",
        venue="دار الأوبرا",
        address="شارع التحرير ٢٣، القاهرة",
        organizer="جمعية الموسيقى",
        timezone="Africa/Cairo",
    ),
    "arabic_name_in_english": sheets("en", sheet(holder="محمد بن عبد الله الأمين")),
    "japanese": sheets(
        "de",
        sheet(holder="山田太郎", section="", row="", seat=""),
        name="夏の音楽祭 2027",
        venue="東京国際フォーラム",
        address="東京都千代田区丸の内3丁目5番1号",
        timezone="Asia/Tokyo",
    ),
    "emoji": sheets(
        "en", sheet(holder="Ann 🎸 Smith 👩‍🎤"), name="🎉🎶 Party! 👩‍👩‍👧‍👦", doors_at=None
    ),
    "long_title": sheets("en", name=("The Very Long Title of an Evening of Music and " * 5)[:200]),
    "all_long": sheets(
        "de",
        sheet(
            holder="Hubertus Wolfeschlegelstein " * 3,
            tier="Tier of many words " * 5,
            section="Section " * 12,
            row="Row of twenty letters",
            seat="WWWWWWWWWW",
        ),
        name="W" * 200,
        venue="Venue with a long name " * 8,
        address="An address of many words\n" * 20,
        organizer="The Organizers of Long Evenings " * 3,
    ),
    "ten_seats": sheets(
        "en",
        *(
            sheet(seat=str(number), number=number, count=10, code=f"{number:04}{CODE[4:]}")
            for number in range(1, 11)
        ),
    ),
}


def pages(pdf: bytes, *, scale: float) -> list[Picture]:
    """Render a PDF, as another program than made it reads it."""
    with pypdfium2.PdfDocument(pdf) as document:
        pictures = []
        for page in document:
            image = page.render(scale=scale, grayscale=True)
            rows = [
                bytes(image.buffer)[y * image.stride : y * image.stride + image.width]
                for y in range(image.height)
            ]
            pictures.append(Picture(image.width, image.height, b"".join(rows)))
        return pictures


def read(path: Path) -> Picture:
    """Read a picture (PGM)."""
    _, width, height, _, pixels = path.read_bytes().split(maxsplit=4)
    return Picture(int(width), int(height), pixels)


def write(path: Path, picture: Picture) -> None:
    """Write a picture (PGM)."""
    head = f"P5 {picture.width} {picture.height} 255\n".encode()
    path.write_bytes(head + picture.pixels)


def main(folder: Path, scale: float) -> None:
    """Write the last page of each."""
    folder.mkdir(exist_ok=True)
    for name, own in LOOKS.items():
        write(folder / f"{name}.pgm", pages(tickets.pdf(own), scale=scale)[-1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), LARGE)
    else:
        main(GOLDEN, SMALL)
