"""Times and amounts as a language writes them: for papers, letters and pages."""

from __future__ import annotations

import copy
import datetime as dt
import zoneinfo
from decimal import Decimal
from functools import cache

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import NumberPattern, format_decimal

from papers.words import LANGUAGES


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return a zone by its name in the tz database; UTC where there is none of the name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


def time_of(moment: dt.datetime, zone_name: str, language: str) -> str:
    """Return a time at its place, with the zone's name: nobody else's clock is meant."""
    zone = zone_of(zone_name)
    return f"{short_time(moment, zone_name, language, day='full')} ({zone.key})"


def short_time(moment: dt.datetime, zone_name: str, language: str, *, day: str = "medium") -> str:
    """
    Return a time at its place, without the zone: where that is told beside it.

    Args:
        day: How long the day is written: `medium`, `long`, `full`.
    """
    words = LANGUAGES[language]
    date = day_of(moment, zone_name, language, day=day)
    return words.when.format(day=date, time=clock_of(moment, zone_name, language))


def day_of(moment: dt.datetime, zone_name: str, language: str, *, day: str = "full") -> str:
    """Return the day of a time at its place."""
    local = moment.astimezone(zone_of(zone_name))
    return format_date(local.date(), format=day, locale=locale_of(language))


def clock_of(moment: dt.datetime, zone_name: str, language: str, *, length: str = "short") -> str:
    """
    Return the time of day of a time at its place.

    Args:
        length: `short`, or `medium` with its seconds.
    """
    zone = zone_of(zone_name)
    local = moment.astimezone(zone).timetz()
    text = format_time(local, format=length, tzinfo=zone, locale=locale_of(language))
    # Some languages part the time from its half of the day by a blank of their own.
    return text.replace(chr(0x202F), " ")


def coded(amount: Decimal, currency: str, language: str) -> str:
    """Return an amount with its currency's code, which no two currencies share."""
    digits = _digits_of(amount)
    pattern = "#,##0." + "0" * digits if digits else "#,##0"
    return f"{format_decimal(amount, format=pattern, locale=locale_of(language))} {currency}"


def price(amount: Decimal, currency: str, language: str) -> str:
    """Return an amount as the language writes prices, with the digits that it comes with."""
    locale = locale_of(language)
    pattern = _price_pattern(language, _digits_of(amount))
    written: str = pattern.apply(amount, locale, currency=currency, currency_digits=False)
    return written


def number(count: int, language: str) -> str:
    """Return a number with its thousands apart."""
    return format_decimal(count, locale=locale_of(language))


def _digits_of(amount: Decimal) -> int:
    """Return how many digits an amount comes with after its point."""
    return max(0, -int(amount.as_tuple().exponent))


@cache
def _price_pattern(language: str, digits: int) -> NumberPattern:
    pattern: NumberPattern = copy.copy(locale_of(language).currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return pattern


@cache
def locale_of(language: str) -> Locale:
    """Return what babel knows of one of `papers.words.LANGUAGES`."""
    return Locale.parse(LANGUAGES[language].locale)
