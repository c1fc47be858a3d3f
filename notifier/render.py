"""
What a letter says, in the reader's language: the words of a kind, put into one form.

Words stand in `papers/messages/<language>.toml`, the form in `templates/`. Text of others is
put in as text: HTML escapes all of it, and nothing that is read can name what is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from engine.currencies import amount_of
from notifier.letter import CODE_ID, NOTHING, Enclosed, Wording, one_line
from papers.formats import coded
from papers.messages import filled, sentences
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
    #: Where letters of this kind are ended; empty: nowhere.
    end_url: str = ""
    #: What it encloses.
    enclosed: Enclosed = NOTHING


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
        return filled(text, fields)

    hello = common["hello"] if content.name else common["hello_nobody"]
    labels = words["labels"]
    form: dict[str, Any] = {
        "language": language,
        "direction": common["direction"],
        "subject": said(own["subject"]),
        "hello": filled(hello, {"name": one_line(content.name)}),
        "lines": [said(line) for line in own["lines"]],
        "enclosing": _enclosing(content.enclosed, common),
        "code": f"cid:{CODE_ID}" if content.enclosed.code is not None else "",
        "code_words": LANGUAGES[language].code,
        "facts": [(labels[fact.label], one_line(fact.value)) for fact in content.facts],
        "url": content.url if own.get("action") else "",
        "action": own.get("action", ""),
        "link": common["link"],
        "footer": common["footer_asked" if content.end_url else "footer"],
        "end": common["end"],
        "end_url": content.end_url,
    }
    sender = "Evently"
    if content.organizer:
        sender = filled(common["sender"], {"organizer": one_line(content.organizer)})
    return Wording(
        subject=form["subject"],
        sender_name=sender,
        text=_plain(_template("letter.txt")).render(form),
        html=_html(_template("letter.html")).render(form),
        language=language,
    )


def brief(content: Content, language: str) -> Brief:
    """Return a content as a letter's subject and its sentences, and where it leads."""
    words = sentences(language)
    own = words[content.words]
    fields = {name: one_line(value) for name, value in content.fields.items()}
    title, *lines = (filled(text, fields) for text in (own["subject"], *own["lines"]))
    return Brief(title, " ".join(lines), content.url, language, words["common"]["direction"])


def _enclosing(enclosed: Enclosed, common: Mapping[str, str]) -> list[str]:
    """Return the sentences that say what lies in a letter, or where it is."""
    names = []
    if enclosed.ticket_count:
        names.append("tickets_at_link" if enclosed.tickets is None else "tickets_enclosed")
    if enclosed.entry is not None:
        names.append("entry_over" if enclosed.is_cancelled else "entry_enclosed")
    return [_plain(common[name]).render(count=enclosed.ticket_count) for name in names]


def money(minor: int, currency: str, language: str) -> str:
    """Return an amount with its currency's code, which no two currencies share."""
    return coded(amount_of(minor, currency), currency, language)


@cache
def _template(name: str) -> str:
    return (resources.files("notifier.templates") / name).read_text(encoding="utf-8")


@cache
def _html(text: str) -> Template:
    """Compile a text of ours once: that costs more than all else of a letter."""
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(text)


@cache
def _plain(text: str) -> Template:
    """Compile what is no HTML, or becomes it as a value that is escaped then; texts of ours."""
    environment = SandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(text)
