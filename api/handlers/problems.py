"""What each problem code means: the pages that `type` leads to, for people and as JSON."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

import msgspec
from aiohttp import hdrs, web

from api.answers import answer
from api.codes import CODES, Code
from api.problems import TYPE_PREFIX, Problem, not_found

_STYLE = """
:root { color-scheme: light dark; font: 1.0625rem/1.5 system-ui, sans-serif }
body { max-width: 38rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 1rem }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: 0 0 .5rem }
ul { list-style: none; padding: 0; margin: 1rem 0 0 }
li, nav { border-top: 1px solid #8885 }
li a, nav a { display: block; padding: .625rem 0 }
nav { margin-top: 2rem }
.small { display: block; opacity: .75; font-size: .9375rem }
.whole { white-space: nowrap }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
{body}
</body>
</html>
"""
_ONE = """<main>
<p class="small"><code>{code}</code> · <span class="whole">HTTP {http_status}</span></p>
<h1>{title}</h1>
<h2>What happened</h2>
<p>{meaning}</p>
<h2>What to do next</h2>
<p>{next_step}</p>
</main>
<nav><a href="/problems">All problems</a></nav>"""
_ALL = """<main>
<h1>{title}</h1>
<p>What the service says when it cannot do what was asked, and what to do then.</p>
<ul>
{rows}
</ul>
</main>"""
_ROW = '<li><a href="{path}">{title} <code class="small">{code}</code></a></li>'

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {"Cache-Control": "public, max-age=3600", "Vary": "Accept"}
_PAGE_HEADERS = _HEADERS | {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


class Codes(msgspec.Struct):
    """All codes there are."""

    data: list[Code]


async def index(request: web.Request) -> web.StreamResponse | Problem:
    """List every problem code with its meaning; a page for people, JSON if that is asked for."""
    if _wants_json(request):
        return answer(Codes(list(CODES.values())), headers=_HEADERS)
    return web.Response(text=_INDEX, content_type="text/html", headers=_PAGE_HEADERS)


async def page(request: web.Request) -> web.StreamResponse | Problem:
    """Tell what one problem code means, and what to do next."""
    code = CODES.get(request.match_info["code"])
    if code is None:
        raise not_found()
    if _wants_json(request):
        return answer(code, headers=_HEADERS)
    return web.Response(
        text=_html(_ONE, **_texts(code)), content_type="text/html", headers=_PAGE_HEADERS
    )


def _wants_json(request: web.Request) -> bool:
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    return "json" in accepted and "text/html" not in accepted


def _texts(code: Code) -> dict[str, str]:
    """Return a code's fields, fit for HTML; what stands in backticks becomes code."""
    fields = {name: escape(str(value)) for name, value in msgspec.structs.asdict(code).items()}
    fields |= {name: re.sub("`(.+?)`", r"<code>\1</code>", fields[name]) for name in fields}
    return fields | {"path": TYPE_PREFIX + code.code}


def _html(body: str, *, title: str, **texts: str) -> str:
    return _PAGE.format(title=title, css=_STYLE, body=body.format(title=title, **texts))


_INDEX = _html(
    _ALL, title="Problems", rows="\n".join(_ROW.format(**_texts(code)) for code in CODES.values())
)
