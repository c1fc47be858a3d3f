"""What browsers and search engines ask for by themselves: files, icon, site map, robots."""

from __future__ import annotations

import datetime as dt
from xml.sax.saxutils import escape

import orjson
from aiohttp import hdrs, web

from api.admission import Work
from api.http import SERVICES
from api.problems import not_found
from usecases import discovery, told
from web import headers
from web.addresses import event_path
from web.assets import address, assets, edition
from web.rendering import PUBLIC_URL
from web.serving import PageRoute

#: Events of one part of the site map, and parts that there may be.
PART_EVENTS = 1_000
#: Sides of the icons of the installed site, in pixels.
ICON_SIZES = (192, 512)
_LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


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
    """List the pages of the events that are to come, for search engines."""
    site = request.app[PUBLIC_URL]
    found: list[told.Event] = []
    after = _LONG_AGO
    while len(found) < PART_EVENTS:
        page = await discovery.published(
            request.app[SERVICES],
            after=after,
            limit=200,
            text=None,
            category=None,
            place=None,
            starts_from=None,
            starts_before=None,
        )
        found += page.data
        if page.last is None:
            break
        after = page.last
    addresses = [f"{site}/", *(site + event_path(one) for one in found[:PART_EVENTS])]
    rows = "\n".join(f"<url><loc>{escape(one)}</loc></url>" for one in addresses)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}\n</urlset>\n'
    )
    return web.Response(text=text, content_type="application/xml")


ROUTES = (
    PageRoute("GET", "/static/{edition}/{name}", static, is_file=True),
    PageRoute("GET", "/favicon.ico", icon, is_file=True),
    PageRoute("GET", "/worker.js", worker, is_file=True),
    PageRoute("GET", "/manifest.webmanifest", manifest, is_file=True),
    PageRoute("GET", "/robots.txt", robots, is_file=True),
    PageRoute("GET", "/sitemap.xml", site_map, Work.LISTS, is_public=True),
)
