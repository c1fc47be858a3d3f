"""
Languages of pages: which one a visitor reads, and its texts.

Texts stand in English where they are used, and their translations in `words/<language>/<group>.po`
(gettext); what is missing there fails `make check` (`web.words`). A visitor's language is the one
they have chosen here, else the first that their browser asks for and that there is.
"""

from __future__ import annotations

import gettext
import io
from functools import cache, lru_cache
from importlib import resources

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from papers.formats import locale_of
from papers.words import DEFAULT, LANGUAGES

#: What each language calls itself.
NAMES = {one: locale_of(one).get_language_name(one) or one for one in LANGUAGES}
SUFFIX = ".po"


def group_files(language: str) -> dict[str, bytes]:
    """Return the catalogues of a language as they stand in their files, by group."""
    folder = resources.files("web.words") / language
    if not folder.is_dir():
        return {}
    return {
        file.name.removesuffix(SUFFIX): file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda one: one.name)
        if file.name.endswith(SUFFIX)
    }


def parsed(content: bytes, language: str) -> Catalog:
    """Read a catalogue."""
    return read_po(io.BytesIO(content), locale=language, abort_invalid=True)


@cache
def texts(language: str) -> gettext.NullTranslations:
    """Return the texts of a language, of all groups together."""
    if language == DEFAULT:
        return gettext.NullTranslations()
    whole = Catalog(locale=language)
    for content in group_files(language).values():
        for message in parsed(content, language):
            if message.id:
                whole[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def direction(language: str) -> str:
    """Return where lines of a language begin: `ltr` or `rtl`."""
    return locale_of(language).text_direction


def chosen(*tags: str | None) -> str | None:
    """Return the first of the languages named that there is; None if there is none of them."""
    for tag in tags:
        primary = (tag or "").replace("_", "-").partition("-")[0].strip().lower()
        if primary in LANGUAGES:
            return primary
    return None


@lru_cache(maxsize=1_024)
def accepted(header: str) -> tuple[str, ...]:
    """Return the languages of an `Accept-Language`, the most wished for first."""
    wished: list[tuple[float, int, str]] = []
    for number, part in enumerate(header.split(",")[:20]):
        tag, _, weight = part.partition(";")
        text = weight.strip().removeprefix("q=")
        try:
            share = float(text) if text else 1.0
        except ValueError:
            continue
        if share > 0:
            wished.append((-share, number, tag.strip()))
    return tuple(tag for _, _, tag in sorted(wished))
