"""
Templates: everything that is put into a page is escaped, and what is not there is a mistake.

A page's template extends `page.html`; what several need is a macro of `parts.html`.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2
from aiohttp import web
from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from markupsafe import Markup

from engine.currencies import amount_of
from papers import formats
from papers.words import LANGUAGES
from usecases.asked import Money
from web import assets, forms, languages
from web.cookies import GUEST, give
from web.serving import visit_of

#: Where browsers find the site, without a slash at its end.
PUBLIC_URL = web.AppKey("public_url", str)


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """
    Return a page.

    Args:
        template: Its name, as `discovery/home.html` among the templates.

        values: What it shows.
    """
    visit = visit_of(request)
    form = _Form(request)
    html = _environment(visit.language).get_template(template)
    text = html.render(
        values,
        visit=visit,
        form=form,
        path=request.path,
        lang_url=_lang_url(request),
        site=request.app[PUBLIC_URL],
        here=request.app[PUBLIC_URL] + request.rel_url.raw_path,
    )
    response = web.Response(status=status, text=text, content_type="text/html", charset="utf-8")
    if form.guest:
        give(response, request.app, GUEST, form.guest)
    return response


class _Form:
    """What a form that is shown carries; asked for, it binds the page to its visitor."""

    def __init__(self, request: web.Request) -> None:
        self._secret = forms.secret_of(request)
        #: What a visitor's new cookie is to hold; empty if they need none.
        self.guest = ""

    def token(self) -> str:
        """Return a token for a form."""
        if not self._secret:
            self._secret = self.guest = forms.new_key()
        return forms.token_for(self._secret)

    def key(self) -> str:
        """Return the idempotency key of a form."""
        return forms.new_key()


def _lang_url(request: web.Request) -> dict[str, str]:
    """Return where the same page is in each language."""
    others = [(name, text) for name, text in request.query.items() if name != "lang"]
    query = "".join(f"&{quote(name)}={quote(text)}" for name, text in others)
    return {one: f"{request.rel_url.raw_path}?lang={one}{query}" for one in LANGUAGES}


@cache
def _environment(language: str) -> Environment:
    """Return what renders templates in a language."""
    made = Environment(
        loader=PackageLoader("web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_bytecode_cache(),
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    install: Any = made.install_gettext_translations  # type: ignore[attr-defined]
    install(languages.texts(language), newstyle=True)
    made.globals.update(
        {
            "static": assets.address,
            "language": language,
            "locale": str(formats.locale_of(language)).replace("_", "-"),
            "direction": languages.direction(language),
            "languages": languages.NAMES,
        }
    )

    def price(money: Money) -> str:
        amount = amount_of(money.amount, money.currency)
        return formats.price(amount, money.currency, language)

    def at(moment: dt.datetime, zone: str) -> str:
        return formats.time_of(moment, zone, language)

    def shortly(moment: dt.datetime, zone: str) -> str:
        return formats.short_time(moment, zone, language)

    def clock(moment: dt.datetime, zone: str) -> str:
        return formats.clock_of(moment, zone, language, length="medium")

    made.filters.update(
        {
            "price": price,
            "at": at,
            "shortly": shortly,
            "clock": clock,
            "number": lambda number: formats.number(number, language),
            "iso": lambda moment: moment.isoformat(),
            "lines": _lines,
        }
    )
    return made


def _lines(text: str) -> Markup:
    """Return a text of several lines in paragraphs; all of it is text."""
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    escaped = (Markup("<br>").join(part.split("\n")) for part in paragraphs)
    return Markup("\n").join(Markup("<p>{}</p>").format(part) for part in escaped)


def said(language: str, text: str) -> str:
    """Return a text that is marked with `N_` in a language."""
    return languages.texts(language).gettext(text)


@cache
def _bytecode_cache() -> jinja2.BytecodeCache | None:
    """Return where compiled templates are kept for the next process; None if that has no room."""
    try:
        return FileSystemBytecodeCache()
    except (RuntimeError, OSError):
        return None
