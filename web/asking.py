"""
From a form's fields to what a use case is asked, and from its no to mistakes beside the fields.

What a field wants is said in words of its own, once: the same that its hint says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from api.answers import problem_of
from api.problems import from_validation
from engine.status import Status
from usecases import text as rules
from usecases.asked import Asked
from usecases.denials import Denied, Why
from web import languages
from web.problems import N_, sentence_of, told
from web.rendering import said
from web.serving import visit_of

Form = TypeVar("Form", bound=Asked)

#: What each field wants.
WANTED = {
    "email": N_("Enter an email address, such as name@example.org."),
    "password": N_("A password has at least 8 characters."),
    "new_password": N_("A password has at least 8 characters."),
    "current_password": N_("Enter the password that you have now."),
    "name": N_("Enter a name of at most 200 characters."),
    "language": N_("Choose a language."),
    "timezone": N_("Choose a time zone of the list."),
    "token": N_("Paste the code or the whole link from the letter."),
    "quantity": N_("Choose how many places you need."),
    "tier_id": N_("Choose a category."),
    "bookings": N_("Say what is to become of what you have booked."),
}
_WRONG = {
    "password": N_("The password is wrong."),
    "current_password": N_("The password is wrong."),
}


class Mistakes(NamedTuple):
    """What stands in the way of a form: pairs of a field and what is wrong, and the status."""

    listed: list[tuple[str, str]]
    status: int


def understood(request: web.Request, kind: type[Form], given: Mapping[str, Any]) -> Form | Mistakes:
    """Return what a form asks for, its texts in order; or what is wrong with it."""
    try:
        return rules.tidy(msgspec.convert(given, kind))
    except msgspec.ValidationError as error:
        pointers = [pointer for pointer, _ in from_validation(error).errors]
    except Denied as denied:
        pointers = [pointer for pointer, _ in denied.errors]
    return Mistakes([_wanted(request, pointer.strip("/")) for pointer in pointers], 422)


def _wanted(request: web.Request, field: str) -> tuple[str, str]:
    return field, said(visit_of(request).language, WANTED.get(field, sentence_of("", 422).says))


def mistakes_of(request: web.Request, denied: Denied, field: str) -> Mistakes:
    """
    Return a use case's no as mistakes of the form that asked for it.

    Args:
        field: What the no is shown at where it names none.
    """
    problem = problem_of(denied)
    if denied.why is Why.INVALID and denied.errors:
        named = [pointer.strip("/").partition("/")[0] for pointer, _ in denied.errors]
        return Mistakes([_wanted(request, one or field) for one in named], problem.status)
    language = visit_of(request).language
    if denied.why is Status.RATE_LIMITED:
        return Mistakes([(field, _waiting(language, denied))], problem.status)
    at = denied.errors[0][0].strip("/") if denied.errors else field
    if denied.why is Why.WRONG_CREDENTIALS and denied.errors and at in _WRONG:
        return Mistakes([(at, said(language, _WRONG[at]))], problem.status)
    return Mistakes([(at or field, told(request, problem))], problem.status)


def _waiting(language: str, denied: Denied) -> str:
    """Say when something may be tried again."""
    minutes = max(1, math.ceil(int(denied.fields.get("retry_after_ms", 0)) / 60_000))
    text = languages.texts(language).ngettext(
        "That was too often in a short time. Try again in %(num)d minute.",
        "That was too often in a short time. Try again in %(num)d minutes.",
        minutes,
    )
    return text % {"num": minutes}
