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

from jinja2 import Environment, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from engine.currencies import amount_of
from notifier.letter import Wording, one_line
from papers.formats import coded
from papers.messages import filled, sentences


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
        text=_plain().from_string(_template("letter.txt")).render(form),
        html=_html().from_string(_template("letter.html")).render(form),
        language=language,
    )


def money(minor: int, currency: str, language: str) -> str:
    """Return an amount with its currency's code, which no two currencies share."""
    return coded(amount_of(minor, currency), currency, language)


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
