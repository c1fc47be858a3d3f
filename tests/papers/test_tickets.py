"""Tickets as PDF: as they should look, read by a scanner, and read aloud."""

from __future__ import annotations

import pypdfium2
import pytest
import zxingcpp

from papers import qr, tickets
from papers.values import TicketSheets
from tests.papers.looks import CODE, GOLDEN, LARGE, LOOKS, SMALL, Picture, pages, read, sheet
from tests.papers.looks import sheets as sheets_of

#: Grey levels by which a pixel may be another without being seen, and the share that may be more.
LEVELS_MAX = 40
OTHER_MAX = 0.002


def codes_in(picture: Picture) -> list[str]:
    """Return the codes that a scanner finds."""
    view = memoryview(picture.pixels).cast("B", (picture.height, picture.width))
    return [found.text for found in zxingcpp.read_barcodes(view)]


def text_of(pdf: bytes) -> str:
    """Return the text of a PDF, on one line."""
    with pypdfium2.PdfDocument(pdf) as document:
        found = " ".join(page.get_textpage().get_text_bounded() for page in document)
    return " ".join(found.replace("\u200b", "").split())


@pytest.mark.parametrize("name", LOOKS)
def test_looks_as_it_should(name: str) -> None:
    """A page a ticket, each with its code, the last one as it looked when somebody looked at it."""
    own = LOOKS[name]
    pdf = tickets.pdf(own)
    assert [[one.code] for one in own.sheets] == [
        codes_in(page) for page in pages(pdf, scale=LARGE)
    ]
    picture, golden = pages(pdf, scale=SMALL)[-1], read(GOLDEN / f"{name}.pgm")
    assert golden[:2] == picture[:2]
    others = sum(
        abs(one - other) > LEVELS_MAX
        for one, other in zip(picture.pixels, golden.pixels, strict=True)
    )
    assert others <= OTHER_MAX * len(golden.pixels)


def test_another_look_is_seen() -> None:
    """The comparison above sees a seat that is another, or a name that is cut."""
    golden = read(GOLDEN / "ten_seats.pgm")
    [picture] = pages(tickets.pdf(sheets_of("en", sheet(holder="Ann", count=10))), scale=SMALL)
    others = sum(
        abs(one - other) > LEVELS_MAX
        for one, other in zip(picture.pixels, golden.pixels, strict=True)
    )
    assert others > OTHER_MAX * len(golden.pixels)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            sheets_of("en"),
            "Midsummer Night at the River|Monday, 21 June 2027, 19:30|"
            "Central European Summer Time (Europe/Berlin)|Doors open: 18:30|Old Harbour Hall|"
            "Quay Street 12, 20459 Hamburg|Category Standard|Section Block A|Row 12|Seat 7|"
            "Name Ann Smith|Ticket 1 of 1|Organizer: River Concerts|lets one person in, once",
        ),
        (
            sheets_of("de", timezone="America/New_York"),
            "Montag, 21. Juni 2027, 13:30|"
            "Nordamerikanische Ostküsten-Sommerzeit (America/New_York)|"
            "Einlass: 12:30|Block Block A|Reihe 12|Platz 7|Veranstalter: River Concerts",
        ),
        (LOOKS["japanese"], "夏の音楽祭 2027|東京国際フォーラム|山田太郎|Japanische Normalzeit"),
    ],
    ids=["en", "de", "ja"],
)
def test_says_what_it_should(own: TicketSheets, said: str) -> None:
    """All that a guest and a gate need stands on it, in words that can be searched."""
    text = text_of(tickets.pdf(own))
    booking_id = own.sheets[0].booking_id
    assert [] == [part for part in [*said.split("|"), booking_id] if part not in text]


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_can_be_read_aloud(language: str) -> None:
    """It is tagged (PDF/UA-1), names its language, and is the same each time."""
    pdf = tickets.pdf(sheets_of(language))
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    assert f"<dc:language><rdf:Bag><rdf:li>{language}</rdf:li>".encode() in pdf
    assert pdf == tickets.pdf(sheets_of(language))


def test_what_was_written_is_no_command() -> None:
    """Whatever people wrote stands there as they wrote it, and does nothing."""
    text = '#panic("x") *b* $x$ <b> \\ @r // [ ] `c` "q"'
    own = sheets_of("en", sheet(holder=text), name=text)
    assert 2 == text_of(tickets.pdf(own)).count(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "W" * 70, "venue": "W" * 40, "address": "", "organizer": "x"},
        {"name": "W" * 32, "venue": "W" * 110, "address": "", "organizer": "x"},
        {"name": "W" * 33, "venue": "W", "address": "W" * 110, "organizer": "x"},
        {"name": "W" * 20, "venue": "W", "address": "W", "organizer": "W" * 100},
    ],
)
def test_short_texts_need_no_measure(fields: dict[str, str]) -> None:
    """Texts that are short together fit on their page however wide their letters are."""
    left = tickets.SHORT_MAX - sum(map(len, fields.values()))
    own = sheet(holder="W" * (left - 4), tier="W", section="W", row="W", seat="W")
    assert 1 == len(pages(tickets.pdf(sheets_of("de", own, **fields)), scale=SMALL))


def test_code_alone() -> None:
    """The picture of a code alone is read by a scanner, and runs nothing."""
    svg = qr.svg(CODE).decode()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 57 57"')
    assert not {"script", "style", "href", "text"} & set(svg.replace("<", " ").split())
    assert CODE == decoded(svg)


def decoded(svg: str) -> str:
    """Draw the runs of a picture by hand, as large as a scanner likes, and read it."""
    side, scale = 57, 6
    rows = [bytearray(b"\xff" * side * scale) for _ in range(side * scale)]
    for run in svg.rpartition('d="')[2].partition('"')[0].split("M")[1:]:
        x, y, width = (int(float(part)) for part in run.replace("h", " ").split())
        for row in rows[y * scale : (y + 1) * scale]:
            row[x * scale : (x + width) * scale] = bytes(width * scale)
    [text] = codes_in(Picture(side * scale, side * scale, b"".join(map(bytes, rows))))
    return text
