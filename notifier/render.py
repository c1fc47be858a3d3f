"""
What a letter says, in the reader's language: the words of a kind, put into one form.

Words stand in `words/<language>.toml`, the form in `templates/`. Text of others is put in as text:
HTML escapes all of it, and nothing that is read can name what is run.
"""

from __future__ import annotations

import datetime as dt
import tomllib
import zoneinfo
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from jinja2 import Environment, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from engine.currencies import DIGITS
from notifier.letter import Wording, one_line
from papers.words import LANGUAGES


class Fact(NamedTuple):
    """A line of a letter: the name of its label, and what stands there."""

    label: str
    value: str


class Content(NamedTuple):
    """What is to be said."""

    #: Of `words`: mostly the kind of the message.
    words: str
    #: What its sentences name.
    fields: Mapping[str, str]
    facts: Sequence[Fact] = ()
    #: Whom it is to; empty: nobody that we know.
    name: str = ""
    #: Whose event it is about; empty: of none.
    organizer: str = ""
    #: Where it leads; empty: nowhere.
    url: str = ""


class Brief(NamedTuple):
    """What a message says where there is room for two sentences."""

    title: str
    body: str
    url: str
    language: str
    #: `ltr` or `rtl`.
    direction: str


def render(content: Content, language: str) -> Wording:
    """Return the letter; *language* is one of `papers.words.LANGUAGES`."""
    words = sentences(language)
    common, own = words["common"], words[content.words]
    fields = {name: one_line(value) for name, value in content.fields.items()}

    def said(text: str) -> str:
        return _plain().from_string(text).render(fields)

    hello = common["hello"] if content.name else common["hello_nobody"]
    labels = words["labels"]
    form: dict[str, Any] = {
        "language": language,
        "direction": common["direction"],
        "subject": said(own["subject"]),
        "hello": _plain().from_string(hello).render(name=one_line(content.name)),
        "lines": [said(line) for line in own["lines"]],
        "facts": [(labels[fact.label], one_line(fact.value)) for fact in content.facts],
        "url": content.url if own.get("action") else "",
        "action": own.get("action", ""),
        "link": common["link"],
        "footer": common["footer"],
    }
    sender = "Evently"
    if content.organizer:
        organizer = one_line(content.organizer)
        sender = _plain().from_string(common["sender"]).render(organizer=organizer)
    return Wording(
        subject=form["subject"],
        sender_name=sender,
        text=_plain().from_string(_template("letter.txt")).render(form),
        html=_html().from_string(_template("letter.html")).render(form),
        language=language,
    )


def brief(content: Content, language: str) -> Brief:
    """Return a content as a letter's subject and its sentences, and where it leads."""
    words = sentences(language)
    own = words[content.words]
    fields = {name: one_line(value) for name, value in content.fields.items()}
    title, *lines = (
        _plain().from_string(text).render(fields) for text in (own["subject"], *own["lines"])
    )
    return Brief(title, " ".join(lines), content.url, language, words["common"]["direction"])


def time_of(moment: dt.datetime, zone_name: str, language: str) -> str:
    """Return a time at its place, with the zone's name: nobody else's clock is meant."""
    try:
        zone = zoneinfo.ZoneInfo(zone_name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zone, zone_name = zoneinfo.ZoneInfo("UTC"), "UTC"
    local = moment.astimezone(zone)
    words = LANGUAGES[language]
    locale = Locale.parse(words.locale)
    day = format_date(local.date(), format="full", locale=locale)
    # Some languages part the time from its half of the day by a blank of their own.
    time = format_time(local.timetz(), format="short", tzinfo=zone, locale=locale)
    said = words.when.format(day=day, time=time.replace(chr(0x202F), " "))
    return f"{said} ({zone_name})"


def money(minor: int, currency: str, language: str) -> str:
    """Return an amount with its currency's code, which no two currencies share."""
    digits = DIGITS.get(currency, 2)
    pattern = "#,##0." + "0" * digits if digits else "#,##0"
    amount = Decimal(minor).scaleb(-digits)
    locale = Locale.parse(LANGUAGES[language].locale)
    return f"{format_decimal(amount, format=pattern, locale=locale)} {currency}"


@cache
def sentences(language: str) -> dict[str, Any]:
    """Return the words of a language, by kind."""
    file = resources.files("notifier.words") / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@cache
def _template(name: str) -> str:
    return (resources.files("notifier.templates") / name).read_text(encoding="utf-8")


@cache
def _html() -> Environment:
    return SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@cache
def _plain() -> Environment:
    """Of what is no HTML, or becomes it as a value that is escaped then."""
    return SandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True
    )
