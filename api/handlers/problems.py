"""What each problem code means: the pages that `type` leads to, for people and as JSON."""

from __future__ import annotations

import msgspec
from aiohttp import hdrs, web

from api import pages
from api.answers import answer
from api.codes import CODES, Code
from api.http import PEOPLE
from api.pages import prose
from api.problems import TYPE_PREFIX, Problem, not_found

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

_HEADERS = {"Cache-Control": "public, max-age=3600", "Vary": "Accept"}
_PAGE_HEADERS = pages.HEADERS | _HEADERS


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
    people = request.app.get(PEOPLE)
    if people is not None:
        return people.explain(request, code)
    return web.Response(
        text=_html(_ONE, **_texts(code)), content_type="text/html", headers=_PAGE_HEADERS
    )


def _wants_json(request: web.Request) -> bool:
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    return "json" in accepted and "text/html" not in accepted


def _texts(code: Code) -> dict[str, str]:
    """Return a code's fields, fit for HTML."""
    fields = {name: prose(str(value)) for name, value in msgspec.structs.asdict(code).items()}
    return fields | {"path": TYPE_PREFIX + code.code}


def _html(body: str, *, title: str, **texts: str) -> str:
    return pages.html(title, body.format(title=title, **texts))


_INDEX = _html(
    _ALL, title="Problems", rows="\n".join(_ROW.format(**_texts(code)) for code in CODES.values())
)
