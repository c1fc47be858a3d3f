"""What browsers and search engines ask for by themselves: files, icon, site map, robots."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from xml.sax.saxutils import escape

import orjson
from aiohttp import hdrs, web

from api.admission import Work
from api.answers import cursor_of
from api.http import SERVICES, page_start
from api.problems import not_found
from usecases import discovery
from usecases.memory import remember
from web import headers
from web.addresses import path_of
from web.assets import address, assets, edition
from web.rendering import PUBLIC_URL
from web.serving import PageRoute

#: Events of one part of the site map; that many addresses, and a few, a file may have.
PART_EVENTS = 49_000
#: Parts that are remembered, and for how long, in seconds.
MAPS_MAX = 8
MAP_AGE_S_MAX = 600
LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")
#: Pages to be found that are no event's.
OTHER_PAGES = ("/", "/events", "/help", "/accessibility")
MAPS_MADE: web.AppKey[OrderedDict[str, tuple[float, bytes]]] = web.AppKey("maps", OrderedDict)
#: Sides of the icons of the installed site, in pixels.
ICON_SIZES = (192, 512)


async def static(request: web.Request) -> web.StreamResponse:
    """Send a file; of another edition than this process has, the file as it is now."""
    asset = assets().get(request.match_info["name"])
    if asset is None:
        raise not_found()
    is_of_now = request.match_info["edition"] == edition()
    takes = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    charset = None if asset.kind == "image/png" else "utf-8"
    response = web.Response(
        body=asset.gzipped if takes else asset.body, content_type=asset.kind, charset=charset
    )
    if takes:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    response.headers[hdrs.CACHE_CONTROL] = headers.FOREVER if is_of_now else "no-cache"
    response.headers[hdrs.VARY] = "Accept-Encoding"
    return response


async def icon(request: web.Request) -> web.StreamResponse:
    """Send the icon to who asks for it by its old name."""
    response = web.Response(body=assets()["icon.svg"].body, content_type="image/svg+xml")
    response.headers[hdrs.CACHE_CONTROL] = "public, max-age=86400"
    return response


async def worker(request: web.Request) -> web.StreamResponse:
    """Send the service worker; it is asked for at the root, which is what it serves."""
    response = web.Response(
        body=assets()["worker.js"].body, content_type="text/javascript", charset="utf-8"
    )
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    return response


async def manifest(request: web.Request) -> web.StreamResponse:
    """Say how the site is installed as an app."""
    icons = [
        {"src": address(f"icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png"}
        for size in ICON_SIZES
    ]
    body = orjson.dumps(
        {
            "id": "/",
            "name": "Evently",
            "short_name": "Evently",
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#fbfaf8",
            "theme_color": "#4338ca",
            # They have room to be cut round.
            "icons": [*icons, *({**icon, "purpose": "maskable"} for icon in icons)],
        }
    )
    response = web.Response(body=body, content_type="application/manifest+json")
    response.headers[hdrs.CACHE_CONTROL] = "public, max-age=3600"
    return response


async def robots(request: web.Request) -> web.StreamResponse:
    """Tell search engines what is worth reading."""
    own = ("/v1/", "/me", "/b/", "/t/", "/hold/", "/gifts/", "/sign-in")
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in own), ""]
    lines.append(f"Sitemap: {request.app[PUBLIC_URL]}/sitemap.xml")
    response = web.Response(text="\n".join(lines) + "\n", content_type="text/plain")
    response.headers[hdrs.CACHE_CONTROL] = "public, max-age=3600"
    return response


async def site_map(request: web.Request) -> web.StreamResponse:
    """List the pages of what is to come, for search engines: all of them, or their parts."""
    return await _mapped(request, "", partial(_whole_map, request))


async def site_map_part(request: web.Request) -> web.StreamResponse:
    """List the pages of a part of the site map."""
    after = page_start(request, LONG_AGO)
    return await _mapped(request, cursor_of(after), partial(_part, request, after))


async def _whole_map(request: web.Request) -> str:
    site = request.app[PUBLIC_URL]
    ends = await discovery.parts_of_list(request.app[SERVICES], PART_EVENTS)
    if not ends:
        return await _part(request, LONG_AGO)
    rows = [f"{site}/sitemap-part.xml?after={cursor_of(one)}" for one in (LONG_AGO, *ends)]
    return _xml("sitemapindex", "sitemap", rows)


async def _part(request: web.Request, after: tuple[dt.datetime, str]) -> str:
    site = request.app[PUBLIC_URL]
    found = await discovery.part_of_list(request.app[SERVICES], after=after, size=PART_EVENTS)
    rows = [site + path_of(event_id, slug) for event_id, slug in found]
    first = [f"{site}{path}" for path in OTHER_PAGES] if after == LONG_AGO else []
    return _xml("urlset", "url", [*first, *rows])


def _xml(whole: str, each: str, addresses: list[str]) -> str:
    rows = "\n".join(f"<{each}><loc>{escape(one)}</loc></{each}>" for one in addresses)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{whole} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}\n</{whole}>\n'
    )


async def _mapped(
    request: web.Request, name: str, make: Callable[[], Awaitable[str]]
) -> web.StreamResponse:
    """Return a map, as it was made within the last minutes: it is large, and asked for seldom."""
    made = request.app[MAPS_MADE]
    found = made.get(name)
    if found is None or time.monotonic() - found[0] > MAP_AGE_S_MAX:
        text = await make()
        # So long a text would keep others waiting.
        packed = await asyncio.to_thread(gzip.compress, text.encode(), 6, mtime=0)
        found = (time.monotonic(), packed)
        remember(made, name, found, most=MAPS_MAX)
    takes = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    response = web.Response(
        body=found[1] if takes else gzip.decompress(found[1]), content_type="application/xml"
    )
    if takes:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    response.headers[hdrs.CACHE_CONTROL] = f"public, max-age={MAP_AGE_S_MAX}"
    response.headers[hdrs.VARY] = "Accept-Encoding"
    return response


ROUTES = (
    PageRoute("GET", "/static/{edition}/{name}", static, is_file=True),
    PageRoute("GET", "/favicon.ico", icon, is_file=True),
    PageRoute("GET", "/worker.js", worker, is_file=True),
    PageRoute("GET", "/manifest.webmanifest", manifest, is_file=True),
    PageRoute("GET", "/robots.txt", robots, is_file=True),
    PageRoute("GET", "/sitemap.xml", site_map, Work.LISTS),
    PageRoute("GET", "/sitemap-part.xml", site_map_part, Work.LISTS),
)
