"""
The sample catalogue: twelve events to look at, from several places, in several scripts and
currencies. All of it is made up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from usecases.asked import Money, NewEvent, NewPromo, NewRow, NewSection, NewTier

HALL_SECTIONS = 40
HALL_ROWS = 20
ROW_SEATS = 25
HALL_SEATS = HALL_SECTIONS * HALL_ROWS * ROW_SEATS
RUSH_PLACES = 100


class Course(StrEnum):
    """What becomes of an event once it is published."""

    SELLS = "sells"
    #: A few have booked.
    BEGUN = "begun"
    #: All is sold, and people wait.
    SOLD_OUT = "sold_out"
    CANCELLED = "cancelled"
    #: Opens in a minute, to a crowd.
    RUSH = "rush"


class Sample(NamedTuple):
    """One event: by what it is found again, what is asked for, and what becomes of it."""

    source_id: str
    asked: NewEvent
    course: Course = Course.SELLS


class _Plan(NamedTuple):
    """An event by how far away it is, and at which hour of its place."""

    course: Course
    timezone: str
    in_days: int
    hour: int
    asked: dict[str, Any]
    minute: int = 0
    #: How long it is; 0: that is not told.
    lasts_h: int = 0
    #: When its sale opens, in seconds; 0: at once.
    opens_in_s: int = 0

    def at(self, now: dt.datetime) -> dt.datetime:
        """Return when it starts."""
        day = (now + dt.timedelta(days=self.in_days)).astimezone(ZoneInfo(self.timezone))
        return day.replace(hour=self.hour, minute=self.minute, second=0, microsecond=0)


def _tier(
    name: str, amount: int, currency: str, capacity: int | None, per_order: int = 8
) -> NewTier:
    return NewTier(
        name=name, price=Money(amount, currency), capacity=capacity, max_per_order=per_order
    )


def _hall() -> list[NewSection]:
    """Return the sections of a hall of 20 000 seats: the lower ones, then the upper ones."""
    return [
        NewSection(
            name=f"{'Lower' if number < HALL_SECTIONS // 2 else 'Upper'} {number + 1:02}",
            tier=0 if number < HALL_SECTIONS // 2 else 1,
            rows=[NewRow(name=str(row + 1), seats=ROW_SEATS) for row in range(HALL_ROWS)],
        )
        for number in range(HALL_SECTIONS)
    ]


_PLANS = (
    _Plan(
        Course.RUSH,
        "Europe/Berlin",
        20,
        20,
        asked=dict[str, Any](
            name="Night Trains: one night only",
            summary="A hundred places, and more who want them: the sale opens in a minute.",
            description="Two sets, no support.\n\nDoors at seven, no seats.",
            category="Concert",
            venue="Kesselhaus",
            place="Berlin",
            address="Knaackstraße 97\n10435 Berlin",
            max_per_user=4,
            tiers=[_tier("Standing", 3_200, "EUR", RUSH_PLACES, 4)],
        ),
    ),
    _Plan(
        Course.BEGUN,
        "America/New_York",
        45,
        19,
        minute=30,
        asked=dict[str, Any](
            name="Mahler: Symphony No. 2",
            summary="A hall of twenty thousand seats, each to be chosen.",
            category="Classical",
            venue="Lakeside Arena",
            place="New York",
            access_notes="Places for wheelchairs in each lower section; lift at gate B.",
            languages=["en"],
            tiers=[
                _tier("Lower bowl", 12_500, "USD", None),
                _tier("Upper bowl", 6_000, "USD", None),
            ],
            sections=_hall(),
        ),
    ),
    _Plan(
        Course.SOLD_OUT,
        "Asia/Tokyo",
        12,
        18,
        minute=30,
        asked=dict[str, Any](
            name="春の落語会",
            summary="満席です。キャンセル待ちができます。",
            category="Comedy",
            venue="新宿寄席",
            place="東京",
            languages=["ja"],
            waitlist_policy="skip",
            tiers=[_tier("一般", 4_500, "JPY", 30, 4)],
        ),
    ),
    _Plan(
        Course.CANCELLED,
        "Europe/Berlin",
        16,
        21,
        asked=dict[str, Any](
            name="Sommernachtslauf",
            summary="Zehn Kilometer durch den Stadtpark, bei Fackelschein.",
            category="Sport",
            venue="Stadtpark",
            place="Hamburg",
            languages=["de"],
            tiers=[_tier("Startplatz", 1_800, "EUR", 400, 4)],
        ),
    ),
    _Plan(
        Course.BEGUN,
        "Africa/Cairo",
        25,
        21,
        asked=dict[str, Any](
            name="ليلة الموسيقى العربية",
            summary="عود وقانون وغناء على ضفاف النيل.",
            category="Concert",
            venue="مسرح النيل",
            place="القاهرة",
            languages=["ar"],
            tiers=[_tier("الصالة", 45_000, "EGP", 350), _tier("الشرفة", 25_000, "EGP", 150)],
        ),
    ),
    _Plan(
        Course.SELLS,
        "Europe/Kyiv",
        30,
        18,
        asked=dict[str, Any](
            name="Ніч театру",
            summary="П'ять вистав на п'яти сценах, один квиток.",
            category="Theatre",
            venue="Театр на Подолі",
            place="Київ",
            languages=["uk"],
            tiers=[_tier("Партер", 60_000, "UAH", 220), _tier("Балкон", 35_000, "UAH", 90)],
        ),
    ),
    _Plan(
        Course.BEGUN,
        "Asia/Kolkata",
        33,
        6,
        minute=30,
        asked=dict[str, Any](
            name="राग और ताल",
            summary="सितार और तबला, सुबह के राग।",
            category="Classical",
            venue="कमानी सभागार",
            place="नई दिल्ली",
            languages=["hi"],
            tiers=[_tier("सामान्य", 80_000, "INR", 15, 6)],
        ),
    ),
    _Plan(
        Course.SELLS,
        "Pacific/Auckland",
        40,
        18,
        asked=dict[str, Any](
            name="Databases after dark",
            summary="Six talks on what goes wrong, and how one finds out.",
            category="Talk",
            venue="Town Hall",
            place="Wellington",
            languages=["en"],
            tiers=[_tier("Regular", 9_000, "NZD", 180), _tier("Student", 2_500, "NZD", 40, 1)],
            promo_codes=[NewPromo(code="FRIENDS", percent_off=20, uses_max=50, tiers=[0])],
        ),
    ),
    _Plan(
        Course.SELLS,
        "Europe/Lisbon",
        9,
        20,
        asked=dict[str, Any](
            name="Fado ao entardecer",
            summary="Entrada livre, lugares contados.",
            category="Concert",
            venue="Miradouro da Graça",
            place="Lisboa",
            languages=["pt"],
            tiers=[_tier("Lugar", 0, "EUR", 60, 2)],
        ),
    ),
    _Plan(
        Course.SELLS,
        "America/Sao_Paulo",
        70,
        22,
        opens_in_s=7 * 86_400,
        asked=dict[str, Any](
            name="Carnaval de rua: baile de abertura",
            summary="A venda abre na próxima semana.",
            category="Festival",
            venue="Fundição Progresso",
            place="Rio de Janeiro",
            languages=["pt"],
            tiers=[_tier("Pista", 12_000, "BRL", 2_500), _tier("Camarote", 38_000, "BRL", 120)],
        ),
    ),
    _Plan(
        Course.SELLS,
        "Asia/Seoul",
        55,
        13,
        lasts_h=34,
        asked=dict[str, Any](
            name="서울 재즈 페스티벌",
            summary="이틀 동안 세 무대.",
            category="Festival",
            venue="올림픽공원",
            place="서울",
            languages=["ko"],
            tiers=[_tier("1일권", 99_000, "KRW", 3_000), _tier("2일권", 165_000, "KRW", 2_000)],
        ),
    ),
    _Plan(
        Course.BEGUN,
        "America/Toronto",
        6,
        14,
        asked=dict[str, Any](
            name="Le Petit Prince, spectacle pour enfants",
            summary="À partir de six ans ; quelques places encore.",
            category="Children",
            venue="Théâtre du Rond-Point",
            place="Montréal",
            languages=["fr"],
            tiers=[_tier("Adulte", 2_600, "CAD", 24, 6), _tier("Enfant", 1_400, "CAD", 24, 6)],
        ),
    ),
)


def samples(now: dt.datetime, *, opens_in_s: int) -> Sequence[Sample]:
    """
    Return the twelve events.

    Args:
        now: The events are in the weeks from then on.

        opens_in_s: Seconds until the sale of the one opens that a crowd waits for.
    """
    return [
        Sample(f"evently-sample/{number}", _asked(plan, now, opens_in_s), plan.course)
        for number, plan in enumerate(_PLANS, start=1)
    ]


def _asked(plan: _Plan, now: dt.datetime, rush_in_s: int) -> NewEvent:
    starts_at = plan.at(now)
    opens_in_s = rush_in_s if plan.course is Course.RUSH else plan.opens_in_s
    return NewEvent(
        timezone=plan.timezone,
        starts_at=starts_at,
        ends_at=starts_at + dt.timedelta(hours=plan.lasts_h) if plan.lasts_h else None,
        sale_opens_at=now + dt.timedelta(seconds=opens_in_s) if opens_in_s else None,
        **plan.asked,
    )
