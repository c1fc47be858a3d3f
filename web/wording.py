"""
The catalogues of texts: `python -m web.wording` writes what is new into them, `--check` finds what
is missing, half or of no use.

Each language has a catalogue for each group of pages, so that those who write pages side by side
write into different files. A text that several groups use stands in one of them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from papers.words import DEFAULT, LANGUAGES
from web.languages import SUFFIX, group_files, parsed

ROOM = Path(__file__).parent
WORDS = ROOM / "words"
#: Pages of those who work with this, and the languages that they are in; others are complete.
STAFF = frozenset({"manage", "admin", "draft_form"})
STAFF_LANGUAGES = frozenset({"de"})
#: What marks a text, and which of its arguments are texts.
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
_OPTIONS = {"trimmed": "false", "silent": "false", "newstyle_gettext": "true"}

TextId = str | tuple[str, ...]


def used(language: str) -> dict[TextId, str]:
    """Return all texts of the pages of a language, each with the group that uses it first."""
    found: dict[TextId, str] = {}
    # What others have as well is theirs.
    sources = sorted(_sources(), key=lambda source: source[1] in STAFF)
    for path, group, method in sources:
        if group in STAFF and language not in STAFF_LANGUAGES:
            continue
        options = {**_OPTIONS, "trim_blocks": "true", "lstrip_blocks": "true"}
        extracted = extract_from_file(method, path, keywords=KEYWORDS, options=options)
        for _, text, _, _ in extracted:
            found.setdefault(text, group)
    return found


def _sources() -> Iterator[tuple[Path, str, str]]:
    for path in sorted((ROOM / "templates").rglob("*.html")):
        yield path, path.parent.name, "jinja2.ext:babel_extract"
    for path in sorted(ROOM.rglob("*.py")):
        yield path, path.stem, "python"


def catalogues(language: str) -> dict[str, Catalog]:
    """Return the catalogues of a language by group."""
    return {group: parsed(text, language) for group, text in group_files(language).items()}


def faults(language: str) -> list[str]:
    """Return what is wrong with the texts of a language."""
    wanted, seen, found = used(language), set(), []
    for group, catalogue in catalogues(language).items():
        for message in _messages(catalogue):
            at = f"{language}/{group}: {message.id!r}"
            if message.id not in wanted:
                found.append(f"{at} is used nowhere")
            if message.id in seen:
                found.append(f"{at} stands twice")
            if message.fuzzy or not _is_whole(message, catalogue):
                found.append(f"{at} is not translated")
            found += [f"{at}: {error}" for error in message.check(catalogue)]
            seen.add(message.id)
    return found + [f"{language}: {one!r} is missing" for one in wanted if one not in seen]


def _messages(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def _is_whole(message: Message, catalogue: Catalog) -> bool:
    if isinstance(message.id, str):
        return bool(message.string)
    forms = message.string
    return isinstance(forms, tuple) and len(forms) == catalogue.num_plurals and all(forms)


def write(language: str) -> None:
    """Write what is new into the catalogues of a language, and take out what is used nowhere."""
    wanted, own = used(language), catalogues(language)
    for catalogue in own.values():
        for message in _messages(catalogue):
            if message.id not in wanted:
                catalogue.delete(message.id)
    known = {message.id for catalogue in own.values() for message in _messages(catalogue)}
    for text, group in wanted.items():
        if text not in known:
            own.setdefault(group, Catalog(locale=language)).add(text)
    for group, catalogue in own.items():
        path = WORDS / language / f"{group}{SUFFIX}"
        if _messages(catalogue):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(written(catalogue, language))
        else:
            path.unlink(missing_ok=True)


def written(catalogue: Catalog, language: str) -> bytes:
    """Return a catalogue as its file, without what changes by itself: dates, lines, versions."""
    plain = Catalog(locale=language, header_comment="")
    for message in _messages(catalogue):
        plain.add(message.id, message.string, flags=message.flags)
    body = io.BytesIO()
    write_po(body, plain, omit_header=True, sort_output=True, width=99)
    head = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {language}\\n"\n"Plural-Forms: {plain.plural_forms}\\n"\n\n'
    )
    return head.encode() + body.getvalue().strip() + b"\n"


def main(arguments: list[str]) -> int:
    """Write or check the catalogues; return the status to exit with."""
    others = [language for language in LANGUAGES if language != DEFAULT]
    if "--check" in arguments:
        found = [fault for language in others for fault in faults(language)]
        sys.stderr.writelines(f"{fault}\n" for fault in found)
        return int(bool(found))
    for language in others:
        write(language)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
