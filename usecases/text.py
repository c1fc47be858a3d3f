"""
Text as people type it: what of it is taken, and in which one form it is kept and compared.

Every text that comes in declares its kind (`usecases.asked`), and `tidy` brings a whole value into
order. What differs between two ways of typing the same (composed or decomposed accents, full-width
letters in a code, blanks around a name) is one after it; what nobody can see, or what changes how
other text is shown, does not pass. A refusal says in plain words which character stands in the way.

Sources: Unicode 15 categories; RFC 8265 (passwords); RFC 6531 and 5891 (e-mail addresses).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import msgspec
import msgspec.inspect as shapes
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from engine.currencies import DIGITS
from usecases.denials import invalid
from usecases.links import language, slug, url


class Kind(StrEnum):
    """What a text is, and so which rules it has."""

    #: One line that people read: a name, a venue.
    LINE = "line"
    #: Text of several lines.
    LINES = "lines"
    #: What one logs in with.
    PASSWORD = "password"  # noqa: S105 - a kind
    #: An e-mail address; kept in its normal form.
    EMAIL = "email"
    #: A promo code.
    CODE = "code"
    #: Where a ticket is scanned.
    GATE = "gate"
    #: Code of a currency.
    CURRENCY = "currency"
    #: A web address, http or https alone.
    URL = "url"
    #: How something is named in the address of its page.
    SLUG = "slug"
    #: Tag of a language.
    LANGUAGE = "language"
    #: Named values for machines: kept as they are.
    DATA = "data"
    #: An id or another word that is looked up, or compared with words of ours, as it stands.
    WORD = "word"


#: Under which name a type of `usecases.asked` declares the kind of its text.
DECLARED_AS = "text"


EMAIL_CHARS_MAX = 254
CODE_CHARS_MAX = 32
GATE_CHARS_MAX = 40
#: Characters of a name and of a text among named values.
DATA_NAME_MAX = 100
DATA_TEXT_MAX = 500
#: Marks on one letter; more of them draw over the lines around.
MARKS_MAX = 8

#: Format characters that people's own scripts and emoji need: joiners, marks of direction.
_FORMAT = frozenset(
    "\u200c\u200d\u200e\u200f\u061c\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u08e2"
)
#: What comes along by copying, cannot be seen and says nothing: dropped without a word.
_DROPPED = dict.fromkeys(
    map(
        ord,
        "\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff"
        "\u202a\u202b\u202c\u2066\u2067\u2068\u2069",
    )
)
#: Characters of the categories of letters and symbols that nobody can see.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159\u034f")
_FLAG, _TAGS = "\U0001f3f4", re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")
_CODE = re.compile(r"[A-Z0-9_-]+")
_GATE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_WHITE = re.compile(r"\s+")

Value = TypeVar("Value")


def line(pointer: str, text: str, *, chars_max: int, chars_min: int = 0) -> str:
    """
    Return one line as it is kept: composed (NFC), without blanks around.

    Raises:
        Denied: it holds what cannot be seen or changes how other text is shown, or is too long.
    """
    kept = _visible(pointer, unicodedata.normalize("NFC", text.translate(_DROPPED)), also="")
    kept = kept.strip()
    if kept and not any(map(_can_be_seen, kept)):
        raise invalid(pointer, "has nothing that can be seen")
    return _bounded(pointer, kept, chars_min, chars_max)


def lines(pointer: str, text: str, *, chars_max: int) -> str:
    """Return text of several lines as it is kept; as `line`, but with ends of lines and tabs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)
    kept = _visible(pointer, unicodedata.normalize("NFC", text), also="\n\t")
    return _bounded(pointer, kept.strip(), 0, chars_max)


def password(pointer: str, text: str, *, chars_max: int, chars_min: int = 0) -> str:
    """
    Return a password in the one form in which it is hashed (RFC 8265, OpaqueString).

    Blanks of any kind are the common blank, accents are composed; case and width stay.

    Raises:
        Denied: it has a character that other keyboards and screens cannot be relied on to give.
    """
    for char in text:
        if _is_hidden(char):
            raise invalid(pointer, f"has a character that cannot be typed again ({_name(char)})")
    return _bounded(pointer, prepared(text), chars_min, chars_max)


def prepared(text: str) -> str:
    """Return a password as it is compared, whatever it holds."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
    return unicodedata.normalize("NFC", spaced)


def email(pointer: str, text: str) -> str:
    """
    Return an address in its normal form: the local part composed, the domain in small letters.

    An international domain is kept in its own letters, not in its ASCII form.

    Raises:
        Denied: it is not an address; the sentence says what is wrong with it.
    """
    found = _address(text)
    if isinstance(found, EmailNotValidError):
        raise invalid(pointer, f"is not an e-mail address: {found}")
    return found.normalized


def email_forms(text: str) -> list[str]:
    """
    Return all forms in which an account may have this address: the normal one first, then in ASCII,
    as it was typed last.

    Older accounts have it as it was typed, or its domain in ASCII. Of a text that is no address
    there is one form, which is nobody's.
    """
    typed = text.replace("\0", "").strip()[:EMAIL_CHARS_MAX]
    found = _address(text)
    if isinstance(found, EmailNotValidError):
        return [typed]
    in_ascii = f"{found.local_part}@{found.ascii_domain}"
    return [found.normalized, in_ascii, typed]


def code(pointer: str, text: str) -> str:
    """
    Return a promo code as it is kept: capital letters, without blanks around.

    Raises:
        Denied: it cannot be a code; the sentence names the first character that is none of it.
    """
    kept = unicodedata.normalize("NFKC", text.translate(_DROPPED)).strip().upper()
    rule = "a code has letters from A to Z, digits, - and _"
    if not kept:
        raise invalid(pointer, f"is empty: {rule}")
    if len(kept) > CODE_CHARS_MAX:
        raise invalid(pointer, f"is longer than {CODE_CHARS_MAX} characters")
    if _CODE.fullmatch(kept):
        return kept
    if _WHITE.search(kept):
        raise invalid(pointer, f"has a blank in it: {rule}")
    strange = next(char for char in kept if not _CODE.fullmatch(char))
    if strange.isalpha():
        raise invalid(pointer, f"has a letter of another alphabet ({_name(strange)}): {rule}")
    raise invalid(pointer, f"has a character that no code has ({_name(strange)}): {rule}")


def gate(pointer: str, text: str) -> str:
    """Return the name of a gate as it is kept."""
    kept = unicodedata.normalize("NFKC", text.translate(_DROPPED)).strip()
    if len(kept) > GATE_CHARS_MAX:
        raise invalid(pointer, f"is longer than {GATE_CHARS_MAX} characters")
    if not _GATE.fullmatch(kept):
        rule = "letters from A to Z, digits, point, - and _, and does not begin with -"
        raise invalid(pointer, f"is not the name of a gate, which has {rule}")
    return kept


def currency(pointer: str, text: str) -> str:
    """Return the code of a currency that there is."""
    kept = text.strip().upper()
    if kept not in DIGITS:
        raise invalid(pointer, "is not a currency of ISO 4217 that prices can be in")
    return kept


def data(pointer: str, values: dict[str, Any], *, name_max: int, text_max: int) -> dict[str, Any]:
    """Return named values as they are; refuse what a text cannot have."""
    for name, value in values.items():
        at = pointer + "/" + name.replace("~", "~0").replace("/", "~1")
        if len(name) > name_max or _CONTROL.search(name):
            raise invalid(at, f"has a name that is no text of at most {name_max} characters")
        if isinstance(value, str) and (len(value) > text_max or _CONTROL.search(value)):
            raise invalid(at, f"is no text of at most {text_max} characters")
    return values


def searched(text: str) -> str:
    """Return what is searched for, as the database compares it (`search_text` folds the rest)."""
    return " ".join(unicodedata.normalize("NFC", text.translate(_DROPPED)).split())


#: Control characters but for tab and ends of lines.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def _address(text: str) -> ValidatedEmail | EmailNotValidError:
    try:
        found = validate_email(
            unicodedata.normalize("NFC", text.translate(_DROPPED).strip()),
            check_deliverability=False,
            allow_domain_literal=False,
            allow_quoted_local=False,
            globally_deliverable=False,
        )
    except EmailNotValidError as error:
        return error
    # That of a machine in one's own network has no point, and there is none to be mailed to.
    if "." not in found.domain:
        return EmailNotValidError("The part after the @-sign has no period.")
    return found


def _visible(pointer: str, text: str, *, also: str) -> str:
    """Return *text*; deny it if it holds what cannot be seen, but for the characters of *also*."""
    if text.isascii() and text.isprintable():
        return text
    marks = 0
    for char in _TAGS.sub(_FLAG, text):
        if char in also:
            marks = 0
            continue
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks > MARKS_MAX:
            raise invalid(pointer, f"has more than {MARKS_MAX} marks on one letter")
        if category[0] == "C" and char not in _FORMAT:
            raise invalid(pointer, f"has a character that cannot be seen ({_name(char)})")
        if category in {"Zl", "Zp"}:
            raise invalid(pointer, f"has the end of a line in it ({_name(char)})")
    return text


def _can_be_seen(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNPS" and char not in _BLANK


def _is_hidden(char: str) -> bool:
    """Tell whether PRECIS's FreeformClass has no such character."""
    category = unicodedata.category(char)
    return category[0] == "C" or category in {"Zl", "Zp"} or char in _BLANK


def _bounded(pointer: str, text: str, chars_min: int, chars_max: int) -> str:
    if len(text) < chars_min:
        must = "must not be empty" if chars_min == 1 else f"has fewer than {chars_min} characters"
        raise invalid(pointer, must)
    if len(text) > chars_max:
        raise invalid(pointer, f"has more than {chars_max} characters")
    return text


def _name(char: str) -> str:
    """Name a character that cannot be shown, or that looks like another."""
    name = unicodedata.name(char, "").lower()
    return f"U+{ord(char):04X}" + (f", {name}" if name else "")


#: Brings the text at a pointer into order.
Clean = Callable[[str, Any], Any]


def tidy(value: Value, pointer: str = "") -> Value:
    """
    Return what was asked with every text in order, as its type declares it.

    Cost: looks at declared texts alone; what has none comes back as it is.

    Raises:
        Denied: a text is not one of its kind; with a pointer to the first.
    """
    changes: dict[str, Any] = {}
    for name, clean in _plan(type(value)):  # type: ignore[arg-type]  # A class is hashable.
        given = getattr(value, name)
        if given:  # What is empty or not given has nothing to be put in order.
            kept = clean(f"{pointer}/{name}", given)
            if kept is not given:
                changes[name] = kept
    if not changes:
        return value
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var]


def _tidy_at(pointer: str, value: Any) -> Any:
    return tidy(value, pointer)


def undeclared(kind: type) -> list[str]:
    """Return the fields of a type, and of those within it, that have text of no declared kind."""
    return [f"{kind.__name__}.{name}" for name in _undeclared(shapes.type_info(kind), "")]


@cache
def _plan(kind: type) -> list[tuple[str, Clean]]:
    """Return what is to be done with the fields of a type; nothing if it is no struct."""
    if not issubclass(kind, msgspec.Struct):
        return []
    info = shapes.type_info(kind)
    assert isinstance(info, shapes.StructType)
    plans = [(field.name, _cleaner(field.type)) for field in info.fields]
    return [(name, clean) for name, clean in plans if clean is not None]


def _cleaner(info: shapes.Type) -> Clean | None:
    """Return what brings a value of a type into order; None where there is nothing to be done."""
    kind = None
    if isinstance(info, shapes.Metadata):
        kind, info = (info.extra or {}).get(DECLARED_AS), info.type
    if kind is not None:
        return _cleaner_of(kind, info)
    match info:
        case shapes.StructType(cls=cls):
            return _tidy_at if _plan(cls) else None
        case shapes.ListType(item_type=item_type):
            each = _cleaner(item_type)
            return None if each is None else _of_list(each)
        case shapes.UnionType(types=types):
            return _of_union([clean for one in types if (clean := _cleaner(one)) is not None])
        case _:
            return None


def _of_list(each: Clean) -> Clean:
    def clean(pointer: str, values: list[Any]) -> list[Any]:
        kept = [each(f"{pointer}/{number}", value) for number, value in enumerate(values)]
        return kept if any(map(_differ, kept, values)) else values

    return clean


def _of_union(cleaners: list[Clean]) -> Clean | None:
    """Of the types that a value may have, one at most has text to be put in order."""
    if not cleaners:
        return None
    [clean] = cleaners

    def clean_text(pointer: str, value: Any) -> Any:
        return clean(pointer, value) if isinstance(value, str | list | msgspec.Struct) else value

    return clean_text


def _differ(one: object, other: object) -> bool:
    return one is not other


def _cleaner_of(kind: Kind, info: shapes.Type) -> Clean | None:
    """Return the rule of a kind, with the bounds that the type declares."""
    if kind is Kind.DATA:
        return lambda at, values: data(at, values, name_max=DATA_NAME_MAX, text_max=DATA_TEXT_MAX)
    assert isinstance(info, shapes.StrType)
    least, most = info.min_length or 0, info.max_length or 0
    rules: dict[Kind, Clean] = {
        Kind.LINE: lambda at, given: line(at, given, chars_min=least, chars_max=most),
        Kind.LINES: lambda at, given: lines(at, given, chars_max=most),
        Kind.PASSWORD: lambda at, given: password(at, given, chars_min=least, chars_max=most),
        Kind.EMAIL: email,
        Kind.CODE: code,
        Kind.GATE: gate,
        Kind.CURRENCY: currency,
        Kind.URL: lambda at, given: url(at, given, chars_max=most),
        Kind.SLUG: slug,
        Kind.LANGUAGE: language,
    }
    return rules.get(kind)


def _undeclared(info: shapes.Type, at: str) -> list[str]:
    match info:
        case shapes.Metadata(type=inner, extra=extra):
            return [] if extra and DECLARED_AS in extra else _undeclared(inner, at)
        case shapes.StructType(fields=fields):
            return [name for one in fields for name in _undeclared(one.type, one.name)]
        case shapes.ListType(item_type=inner):
            return _undeclared(inner, at)
        case shapes.UnionType(types=types):
            return [name for one in types for name in _undeclared(one, at)]
        case shapes.DictType() | shapes.StrType():
            return [at]
        case _:
            return []
