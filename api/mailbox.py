"""
The mailbox of a development machine, at `/dev/mailbox`: mail that did not leave, to look at.

It shows everybody's letters to whoever asks, so it is there only where a folder is named, which the
settings refuse in production and `evently up` does on a machine's own address alone. A letter's
HTML is shown in a sandbox: nothing of it runs or is fetched.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import partial
from pathlib import Path

from aiohttp import web

from api import pages

_Handler = Callable[[Path, web.Request], Awaitable[web.StreamResponse]]

SHOWN_MAX = 100
SUFFIX = ".eml"
_NAME = re.compile(r"[0-9]{20}-[0-9]{6}")
_OWN_CSP = f"{pages.HEADERS['Content-Security-Policy']}; frame-src 'self'"
_LETTER_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_HOSTS = {"127.0.0.1", "::1", "localhost"}


def add_mailbox(app: web.Application, folder: Path) -> None:
    """Show the letters of a folder."""
    for path, handler in (
        ("/dev/mailbox", _list),
        ("/dev/mailbox/{name}", _show),
        ("/dev/mailbox/{name}/{form}", _part),
    ):
        app.router.add_get(path, partial(_own_pages_alone, handler, folder))


async def _own_pages_alone(
    handler: _Handler, folder: Path, request: web.Request
) -> web.StreamResponse:
    """Answer who names this machine: a page elsewhere cannot make its name lead here and read."""
    if (request.url.host or "") not in _HOSTS:
        raise web.HTTPNotFound
    return await handler(folder, request)


async def _list(folder: Path, _: web.Request) -> web.StreamResponse:
    """List the newest letters."""
    letters = await asyncio.to_thread(_newest, folder)
    rows = "".join(
        f"<tr><td>{_text(letter, 'To')}</td>"
        f'<td><a href="/dev/mailbox/{name}">{_text(letter, "Subject")}</a></td></tr>'
        for name, letter in letters
    )
    count = len(letters)
    table = f"<table><tr><th>To</th><th>Subject</th></tr>{rows}</table>" if count else ""
    return _page(f"Mailbox: {count} letters", f"<p>Nothing of this has left.</p>{table}")


async def _show(folder: Path, request: web.Request) -> web.StreamResponse:
    """Show one letter."""
    letter = await _letter(folder, request)
    at = f"/dev/mailbox/{request.match_info['name']}"
    facts = "".join(
        f"<tr><th>{name}</th><td>{_text(letter, name)}</td></tr>"
        for name in ("From", "To", "Message-ID", "References")
    )
    links = f'<p><a href="{at}/text">text</a> · <a href="{at}/raw">raw</a></p>'
    frame = f'<iframe sandbox src="{at}/html" title="the letter"></iframe>'
    back = '<p><a href="/dev/mailbox">all letters</a></p>'
    title = str(letter["Subject"] or "no subject")
    return _page(title, f"{back}<table>{facts}</table>{links}{frame}")


async def _part(folder: Path, request: web.Request) -> web.StreamResponse:
    """Show the HTML of a letter, its text, or all of it as it came."""
    letter, form = await _letter(folder, request), request.match_info["form"]
    if form == "raw":
        return _answer(letter.as_bytes(), "text/plain", _LETTER_CSP)
    if form not in {"html", "text"}:
        raise web.HTTPNotFound
    body = letter.get_body(("html",) if form == "html" else ("plain",))
    if body is None:
        raise web.HTTPNotFound
    kind = "text/html" if form == "html" else "text/plain"
    return _answer(str(body.get_content()).encode(), kind, _LETTER_CSP)


async def _letter(folder: Path, request: web.Request) -> EmailMessage:
    name = request.match_info["name"]
    if not _NAME.fullmatch(name):
        raise web.HTTPNotFound
    try:
        return await asyncio.to_thread(_read, folder / f"{name}{SUFFIX}")
    except OSError as error:
        raise web.HTTPNotFound from error


def _newest(folder: Path) -> list[tuple[str, EmailMessage]]:
    paths = sorted(folder.glob(f"*{SUFFIX}"), reverse=True)[:SHOWN_MAX]
    return [(path.stem, _read(path)) for path in paths]


def _read(path: Path) -> EmailMessage:
    return BytesParser(EmailMessage, policy=policy.default).parsebytes(path.read_bytes())


def _text(letter: EmailMessage, header: str) -> str:
    return html.escape(str(letter[header] or ""))


def _page(title: str, body: str) -> web.Response:
    heading = html.escape(title)
    page = pages.html(heading, f"<h1>{heading}</h1>{body}", is_wide=True)
    return _answer(page.encode(), "text/html", _OWN_CSP)


def _answer(body: bytes, kind: str, csp: str) -> web.Response:
    headers = {
        "Content-Security-Policy": csp,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "SAMEORIGIN",
    }
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)
