"""Texts that stand in links and attributes of pages: web addresses, slugs, tags of languages."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, urlsplit

from usecases.denials import invalid

SLUG_CHARS_MAX = 80
#: What a web address may have besides letters and digits; a non-ASCII letter is written as bytes.
_URL_CHARS = ":/?#[]@!$&'()*+,;=-._~%"
_NO_URL = re.compile(
    r"[\x00-\x20\x7f-\xa0\"<>\\^`{|}\u2000-\u200f\u2028-\u202f\u2060-\u206f\ufeff]"
)
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+|\[[0-9A-Fa-f:.]+\]")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{4}))?(?:-([A-Za-z]{2}|[0-9]{3}))?")
#: Accents, which a slug is written without; signs of other scripts are letters of it.
_ACCENTS = re.compile(r"[\u0300-\u036f]")
_SLUG_GAP = re.compile(r"[\s_-]+")
_PLAIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


def url(pointer: str, text: str, *, chars_max: int) -> str:
    """
    Return a web address (http or https) in ASCII, as it may stand in a link of a page.

    Raises:
        Denied: it is of another kind (`javascript:`, `data:`), names a user, or is no address.
    """
    text = text.strip()
    if _NO_URL.search(text) or _NO_ESCAPE.search(text):
        raise invalid(pointer, "has a character that no web address has")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise invalid(pointer, "is not a web address") from error
    if parts.scheme.lower() not in {"http", "https"}:
        raise invalid(pointer, "must begin with https:// or http://")
    if "@" in parts.netloc:
        raise invalid(pointer, "must not name a user")
    in_brackets = f"[{host}]" if ":" in host else host
    if len(host) > 253 or not _HOST.fullmatch(in_brackets):
        raise invalid(pointer, "has no name of a machine in it")
    port = "" if parts.port is None else f":{parts.port}"
    rest = text[text.index("//") + 2 + len(parts.netloc) :]
    kept = f"{parts.scheme.lower()}://{in_brackets}{port}{quote(rest, safe=_URL_CHARS)}"
    if len(kept) > chars_max:
        raise invalid(pointer, f"has more than {chars_max} characters")
    return kept


def slug(pointer: str, text: str) -> str:
    """Return a slug as it is kept: small letters and digits of any script, with hyphens between."""
    kept = _SLUG_GAP.sub("-", _plain(text)).strip("-")
    if not all(char == "-" or _is_letter(char) for char in kept):
        raise invalid(pointer, "has other characters than letters, digits and hyphens")
    if not kept or not slug_of(kept):
        raise invalid(pointer, "has neither a letter nor a digit")
    if len(kept) > SLUG_CHARS_MAX:
        raise invalid(pointer, f"has more than {SLUG_CHARS_MAX} characters")
    return kept


def slug_of(name: str) -> str:
    """Return the slug of a name: what can be kept of it, cut between words; "" if nothing can."""
    kept = "".join(char if _is_letter(char) else "-" for char in _plain(name))
    kept = _SLUG_GAP.sub("-", kept).strip("-")
    if len(kept) <= SLUG_CHARS_MAX:
        return kept
    head = kept[: SLUG_CHARS_MAX + 1].rpartition("-")[0] or kept[:SLUG_CHARS_MAX]
    return head.strip("-")


def language(pointer: str, text: str) -> str:
    """Return the tag of a language (BCP 47: language, script, region) in its usual case."""
    match = _LANGUAGE.fullmatch(text.strip().replace("_", "-"))
    if match is None:
        raise invalid(pointer, "is not the tag of a language, such as `en`, `pt-BR` or `zh-Hant`")
    own, script, region = match.groups()
    parts = [own.lower(), script and script.title(), region and region.upper()]
    return "-".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Return a text in small letters without accents."""
    folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).lower().translate(_PLAIN)
    return unicodedata.normalize("NFC", folded)


def _is_letter(char: str) -> bool:
    """Tell whether a character is a letter, a digit, or a sign on one."""
    return unicodedata.category(char)[0] in "LNM"
