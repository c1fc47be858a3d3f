"""The words of papers, in each language that they are made in."""

from __future__ import annotations

from typing import Final, NamedTuple


class PaperWords(NamedTuple):
    """What stands on a paper beside what it is of."""

    #: Of the paper itself.
    ticket: str
    #: Takes the ticket's number within its booking, and of how many.
    nth: str
    tier: str
    section: str
    row: str
    seat: str
    holder: str
    booking: str
    #: Takes a day and a time of it.
    when: str
    doors: str
    organizer: str
    terms: str
    #: What the picture is, for who does not see it.
    code: str
    #: By which babel knows how the language writes dates.
    locale: str
    #: Where an event is, and when it begins.
    venue: str
    begins: str

    def place(self, section: str, row: str, seat: str) -> str:
        """Return what stands on a seat, in a line."""
        return f"{self.section} {section}, {self.row} {row}, {self.seat} {seat}"


LANGUAGES: Final = {
    "en": PaperWords(
        ticket="Ticket",
        nth="Ticket {number} of {count}",
        tier="Category",
        section="Section",
        row="Row",
        seat="Seat",
        holder="Name",
        booking="Booking",
        when="{day}, {time}",
        doors="Doors open",
        organizer="Organizer",
        terms="This ticket lets one person in, once. Whoever shows the code first is let in: "
        "do not share or publish it. A ticket that was cancelled or given away is void.",
        code="QR code of this ticket, to be scanned at the entrance",
        locale="en_GB",
        venue="Venue",
        begins="Begins",
    ),
    "de": PaperWords(
        ticket="Ticket",
        nth="Ticket {number} von {count}",
        tier="Kategorie",
        section="Block",
        row="Reihe",
        seat="Platz",
        holder="Name",
        booking="Buchung",
        when="{day}, {time}",
        doors="Einlass",
        organizer="Veranstalter",
        terms="Dieses Ticket lässt eine Person einmal ein. Wer den Code zuerst zeigt, kommt "
        "hinein: Geben Sie ihn nicht weiter und veröffentlichen Sie ihn nicht. Ein storniertes "
        "oder verschenktes Ticket ist ungültig.",
        code="QR-Code dieses Tickets, am Eingang zu scannen",
        locale="de_DE",
        venue="Ort",
        begins="Beginn",
    ),
    "ar": PaperWords(
        ticket="تذكرة",
        nth="تذكرة {number} من {count}",
        tier="الفئة",
        section="القسم",
        row="الصف",
        seat="المقعد",
        holder="الاسم",
        booking="الحجز",
        when="{day}، {time}",
        doors="فتح الأبواب",
        organizer="المنظِّم",
        terms="تسمح هذه التذكرة بدخول شخص واحد مرة واحدة. يدخل من يُظهر الرمز أولاً، فلا تشاركه "
        "ولا تنشره. التذكرة الملغاة أو الممنوحة لشخص آخر غير صالحة.",
        code="رمز الاستجابة السريعة لهذه التذكرة، يُمسح عند الدخول",
        locale="ar",
        venue="المكان",
        begins="البداية",
    ),
}
DEFAULT: Final = "en"


def language_of(*tags: str | None) -> str:
    """Return the first language that is wished for, by tags of BCP 47, and that there is."""
    for tag in tags:
        primary = (tag or "").partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return DEFAULT
