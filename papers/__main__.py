"""What `papers.press` starts: draws what it is told on its input, and ends with it."""

from __future__ import annotations

import os
import sys

import msgspec

from papers.press import ANSWERED, ASKED
from papers.values import CalendarEntry, CalendarFeed, CodeImage, Paper, ShareCard, TicketSheets

#: How much it gives way to others: a third of an equal share is left to it. With all it can give,
#: no ticket would be drawn in time on a machine whose cores are all busy.
NICENESS = 5
_PAPER: msgspec.json.Decoder[Paper] = msgspec.json.Decoder(Paper)


def draw(paper: Paper) -> bytes:
    """Return a paper as a file; what its kind does not need is not loaded."""
    match paper:
        case TicketSheets():
            from papers import tickets  # noqa: PLC0415

            return tickets.pdf(paper)
        case CalendarEntry():
            from papers import calendar  # noqa: PLC0415

            return calendar.written(paper)
        case CalendarFeed():
            from papers import calendar  # noqa: PLC0415

            return calendar.feed(paper)
        case ShareCard():
            from papers import tickets  # noqa: PLC0415

            return tickets.card(paper)
        case CodeImage():
            from papers import qr  # noqa: PLC0415

            return qr.png(paper.text) if paper.is_png else qr.svg(paper.text)


def main() -> None:
    """Answer each paper that is asked for, in order, until there are no more."""
    os.nice(NICENESS)
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := asked.read(ASKED.size)) == ASKED.size:
        text = asked.read(ASKED.unpack(head)[0])
        try:
            is_drawn, body = True, draw(_PAPER.decode(text))
        except Exception as error:  # noqa: BLE001  The next paper may be another's.
            is_drawn, body = False, f"{type(error).__name__}: {error}".encode()
        answers.write(ANSWERED.pack(is_drawn, len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    main()
