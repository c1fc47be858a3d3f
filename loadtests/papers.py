"""
What tickets cost: `python -m loadtests.papers` draws 10 000 different ones with each library.

One is the house's own (`papers.tickets`, typst); the other is the best that was found besides,
fpdf2, with the same text, fonts and code, where it is installed (`pip install fpdf2 uharfbuzz`);
it draws a hundredth of them, since it takes some 70 times as long. Each draws in a process of its
own. Decision 0031 has the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import resource
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from papers.values import Occasion, TicketSheet, TicketSheets

TICKETS = 10_000
#: Of so many tickets a library draws one here.
SHARE_OF = {"typst": 1, "fpdf2": 100}
#: Tickets in one part: a part's mean is one figure.
PART = 50
#: What is installed for each, beside the fonts, which both need.
INSTALLED = {
    "typst": ("typst", "babel"),
    "fpdf2": ("fpdf2", "uharfbuzz", "fonttools", "pillow", "defusedxml", "babel"),
}
FONTS = ("manimgx-fonts", "noto-cjk-sans-jp-regular")
#: One of three is in Arabic, one in German with a Japanese name.
PEOPLE = (("en", "Ann Smith"), ("ar", "محمد بن عبد الله"), ("de", "山田太郎"))
_KIB = 1024
_CODE_CHARS = 134


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What tickets cost one library."""

    library: str
    tickets: int
    #: CPU time of a ticket, in ms: median and worst of the means of the parts.
    cpu_ms: float
    cpu_ms_max: float
    #: From nothing imported to the first ticket, in ms of CPU.
    first_ms: float
    #: Resident memory after the first part, and the most there ever was, in MiB.
    early_mib: float
    peak_mib: float
    bytes_each: int
    installed_mib: float
    fonts_mib: float
    #: Whether the PDF says of itself that it is PDF/UA-1.
    is_tagged: bool


def sheets_of(first: int, count: int) -> Iterator[TicketSheets]:
    """Yield tickets, each with a page, a name, a seat and a code of its own."""
    starts_at = dt.datetime(2027, 6, 21, 17, 30, tzinfo=dt.UTC)
    for number in range(first, first + count):
        language, name = PEOPLE[number % len(PEOPLE)]
        yield TicketSheets(
            occasion=Occasion(
                name="Midsummer Night at the River",
                venue="Old Harbour Hall",
                address="Quay Street 12\n20459 Hamburg",
                organizer="River Concerts",
                starts_at=starts_at + dt.timedelta(days=number // 1_000),
                ends_at=None,
                doors_at=starts_at - dt.timedelta(hours=1),
                timezone="Europe/Berlin",
            ),
            sheets=(
                TicketSheet(
                    code=secrets.token_urlsafe(_CODE_CHARS)[:_CODE_CHARS],
                    tier="Standard",
                    section="Block A",
                    row=str(number // 20 + 1),
                    seat=str(number % 20 + 1),
                    holder=f"{name} {number}",
                    booking_id=f"bk_{number:037}",
                    number=1,
                    count=1,
                ),
            ),
            language=language,
        )


def draw(library: str, count: int) -> Cost:
    """Draw *count* tickets in this process, which has drawn none before."""
    begun_s = time.process_time()
    make = _maker(library)
    made = [make(sheets) for sheets in sheets_of(0, 1)]
    first_s = time.process_time() - begun_s
    parts, size, early_mib = [], 0, 0.0
    for first in range(0, count, PART):
        given = list(sheets_of(first, min(PART, count - first)))
        begun_s = time.process_time()
        made = [make(sheets) for sheets in given]
        parts.append((time.process_time() - begun_s) * 1000 / len(given))
        size += sum(map(len, made))
        early_mib = early_mib or _peak_mib()
    return Cost(
        library=library,
        tickets=count,
        cpu_ms=round(statistics.median(parts), 2),
        cpu_ms_max=round(max(parts), 2),
        first_ms=round(first_s * 1000, 1),
        early_mib=early_mib,
        peak_mib=_peak_mib(),
        bytes_each=size // count,
        installed_mib=sum(map(_installed_mib, INSTALLED[library])),
        fonts_mib=sum(map(_installed_mib, FONTS)),
        is_tagged=b"<pdfuaid:part>1</pdfuaid:part>" in made[0],
    )


async def measured(library: str, count: int) -> Cost:
    """Draw tickets in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests.papers", "--draw", library, "--tickets", str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        found, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{library} ended with {process.returncode}")
    return msgspec.json.decode(found, type=Cost)


def _maker(library: str) -> Callable[[TicketSheets], bytes]:
    if library == "typst":
        from papers import tickets  # noqa: PLC0415  What importing costs is measured too.

        return tickets.pdf
    return _fpdf_maker()


def _fpdf_maker() -> Callable[[TicketSheets], bytes]:
    """Return a maker of plain tickets of the same content with fpdf2, from the same fonts."""
    import fpdf  # noqa: PLC0415
    import manimgx_fonts  # noqa: PLC0415
    import noto_cjk_sans_jp_regular  # noqa: PLC0415
    import segno  # noqa: PLC0415

    from papers import qr, tickets  # noqa: PLC0415

    noto = Path(manimgx_fonts.__file__ or "").parent
    files = {
        "noto": noto / "NotoSans[wght].ttf",
        "arabic": noto / "NotoSansArabic[wght].ttf",
        "japanese": Path(str(noto_cjk_sans_jp_regular.FONT_PATH)),
    }

    def make(sheets: TicketSheets) -> bytes:
        [ticket] = sheets.sheets
        texts: dict[str, Any] = msgspec.json.decode(tickets._inputs(sheets)["data"])  # noqa: SLF001
        document = fpdf.FPDF(format=(148, 210))
        for name, path in files.items():
            document.add_font(name, fname=path)
        document.set_fallback_fonts(["arabic", "japanese"])
        document.set_text_shaping(use_shaping_engine=True)
        document.add_page()
        document.set_font("noto", size=20)
        document.multi_cell(0, text=texts["name"], new_x="LMARGIN", new_y="NEXT")
        document.set_font("noto", size=11)
        lines = [texts[name] for name in ("when", "zone", "doors", "venue", "address", "organizer")]
        lines += [ticket.tier, ticket.section, ticket.row, ticket.seat, ticket.holder]
        for line in [*lines, ticket.booking_id, texts["words"]["terms"]]:
            document.multi_cell(0, text=line, new_x="LMARGIN", new_y="NEXT")
        code = segno.make_qr(ticket.code, error="m", boost_error=False, mask=qr.MASK)
        side, top = 66 / len(code.matrix), document.get_y() + 4
        with document.local_context(fill_color=(0, 0, 0)):
            for y, row in enumerate(code.matrix):
                for x, is_dark in enumerate(row):
                    if is_dark:
                        document.rect(12 + x * side, top + y * side, side, side, style="F")
        return bytes(document.output())

    return make


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB, 1)


def _installed_mib(distribution: str) -> float:
    """Return what a distribution takes on the disk."""
    files = [Path(str(file.locate())) for file in metadata.files(distribution) or []]
    return round(sum(file.stat().st_size for file in files if file.is_file()) / _KIB / _KIB, 1)


def main() -> None:
    """Measure each library that is there, and print what it costs."""
    parser = argparse.ArgumentParser(prog="papers", description=__doc__)
    parser.add_argument("--tickets", type=int, default=TICKETS)
    parser.add_argument("--draw", choices=tuple(INSTALLED), help="in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.draw:
        print(msgspec.json.encode(draw(arguments.draw, arguments.tickets)).decode())
        return
    for library in INSTALLED:
        try:
            metadata.version(library)
        except metadata.PackageNotFoundError:
            print(f"{library}: not installed")
            continue
        cost = asyncio.run(measured(library, arguments.tickets // SHARE_OF[library] or 1))
        print("\n".join(f"{name}: {value}" for name, value in msgspec.structs.asdict(cost).items()))
        print()


if __name__ == "__main__":
    main()
