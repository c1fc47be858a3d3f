"""The form of a simple event: from what is typed into its fields to what the use case is asked."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from api.http import decode
from api.problems import Problem
from engine.currencies import DIGITS
from usecases.asked import NewEvent
from web.problems import N_

#: Tiers that the form has room for.
TIERS = 3
_TEXTS = ("name", "summary", "venue", "place", "description")
_NEW_EVENT = msgspec.json.Decoder(NewEvent)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_TIER = re.compile(r"/tiers/(\d)/(name|price|capacity)")
_NO_DATE = N_("The start must be a day and a time that there are, as 24 12 2027 and 19:30")
_NO_ZONE = N_("The time zone must be a name as Europe/Berlin")
_NO_PRICE = N_("A price must be an amount as 12 or 12.50")
_NO_CAPACITY = N_("The number of places must be a whole number")
_NO_CURRENCY = N_("The currency must be a code as EUR")
_OTHER = N_("This cannot be taken as it is")
#: Where a mistake is shown that the use case has found, and how it is said.
_BY_POINTER = {
    "/name": ("name", N_("The event must have a name")),
    "/starts_at": ("day", N_("The start must be in the future")),
    "/timezone": ("timezone", _NO_ZONE),
}
EMPTY: Mapping[str, str] = {"timezone": "Europe/Berlin", "currency": "EUR", "time": "20:00"}


def read(fields: Mapping[str, str]) -> NewEvent | list[tuple[str, str]]:
    """Return what is asked for; or which fields are wrong, with what is wrong, to be translated."""
    mistakes: list[tuple[str, str]] = []
    zone = fields.get("timezone", "").strip()
    starts_at = _start(fields, zone, mistakes)
    currency = fields.get("currency", "").strip().upper()
    if currency not in DIGITS:
        mistakes.append(("currency", _NO_CURRENCY))
    tiers = _tiers(fields, currency, mistakes)
    if mistakes:
        return mistakes
    body: dict[str, Any] = {name: fields.get(name, "").strip() for name in _TEXTS}
    body["description"] = body["description"].replace("\r\n", "\n")
    body |= {"timezone": zone, "starts_at": starts_at, "tiers": tiers}
    try:
        return decode(msgspec.json.encode(body), _NEW_EVENT)
    except Problem as problem:
        return mistakes_of(problem.errors)


def mistakes_of(errors: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return in which fields of the form the mistakes are that a use case names by pointers."""
    return [_mistake(pointer) for pointer, _ in errors]


def _mistake(pointer: str) -> tuple[str, str]:
    tier = _TIER.match(pointer)
    if tier is not None:
        return f"{tier[2]}_{int(tier[1]) + 1}", _OTHER
    name = pointer.removeprefix("/")
    return _BY_POINTER.get(pointer, (name if name in _TEXTS else "name", _OTHER))


def _start(fields: Mapping[str, str], zone: str, mistakes: list[tuple[str, str]]) -> str:
    """Return the start at its place, with its offset; empty if there is none such."""
    try:
        place = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        mistakes.append(("timezone", _NO_ZONE))
        return ""
    clock = _CLOCK.fullmatch(fields.get("time", "").strip())
    try:
        day, month, year = (int(fields.get(name, "")) for name in ("day", "month", "year"))
        if clock is None:
            raise ValueError
        local = dt.datetime(year, month, day, int(clock[1]), int(clock[2]), tzinfo=place)
    except ValueError:
        mistakes.append(("day", _NO_DATE))
        return ""
    return local.isoformat()


def _tiers(
    fields: Mapping[str, str], currency: str, mistakes: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Return the tiers that have a name; the first must have one."""
    found = []
    for number in range(1, TIERS + 1):
        name = fields.get(f"name_{number}", "").strip()
        if not name:
            if number == 1:
                mistakes.append(("name_1", N_("There must be a category of places")))
            continue
        amount = _minor(fields.get(f"price_{number}", ""), currency)
        if amount is None:
            mistakes.append((f"price_{number}", _NO_PRICE))
        places = fields.get(f"capacity_{number}", "").strip()
        if not (places.isascii() and places.isdecimal() and len(places) < 9):
            mistakes.append((f"capacity_{number}", _NO_CAPACITY))
            continue
        price = {"amount": amount or 0, "currency": currency}
        found.append({"name": name, "price": price, "capacity": int(places)})
    return found


def _minor(text: str, currency: str) -> int | None:
    """Return an amount in minor units; None if it is none of the currency."""
    try:
        amount = Decimal(text.strip().replace(",", ".") or "0")
        minor = amount.scaleb(DIGITS.get(currency, 2))
    except InvalidOperation:
        return None
    if not minor.is_finite() or minor < 0 or minor >= 10**11 or minor != int(minor):
        return None
    return int(minor)
