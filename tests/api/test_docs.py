"""The page of the API: whole, safe, and of this server alone."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec

from api.handlers.docs import rendered
from api.openapi import describe
from api.routes import ROUTES
from tests.api.world import World

PAYLOAD = "</p><script>alert(1)</script><img src=x onerror='alert(1)'>"


class Reader(HTMLParser):
    """Reads a page: its elements, links and anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.add(tag)
        for name, value in attrs:
            self.names.add(name)
            if name == "href":
                self.links.add(value or "")
            elif name == "id":
                self.anchors.add(value or "")


async def test_docs_show_every_route(world: World) -> None:
    """The page names each route, links lead to what is there, and nothing comes from elsewhere."""
    answer = await world.call("GET", "/docs")
    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["Content-Type"])
    for route in ROUTES:
        assert f"{route.method} {route.path}" in answer.text
    page = Reader(answer.text)
    assert page.elements.isdisjoint({"script", "img", "iframe", "link", "object", "form"})
    assert not [name for name in page.names if name.startswith("on") or name == "src"]
    own = {link for link in page.links if link.startswith("#")}
    assert {link[1:] for link in own} <= page.anchors
    problems = {f"/problems/{code}" for code in re.findall(r"/problems/(\w+)", answer.text)}
    assert page.links - own == problems | {"/openapi.json", "/problems"}
    for path in sorted(problems):
        assert 200 == (await world.call("GET", path)).status, path
    style = re.search("<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    head = await world.call("HEAD", "/docs")
    assert (200, "") == (head.status, head.text)


def test_s20_the_page_escapes_what_it_shows() -> None:
    """S20: no text of the description becomes an element, wherever in it it stands."""
    text = describe(ROUTES).decode()
    document = msgspec.json.decode(text)

    def spoilt(value: object) -> object:
        if isinstance(value, dict):
            return {name: spoilt(one) for name, one in value.items()}
        if isinstance(value, list):
            return [spoilt(one) for one in value]
        is_ref = isinstance(value, str) and value.startswith("#/")
        return value + PAYLOAD if isinstance(value, str) and not is_ref else value

    clean = Reader(rendered(text.encode()).decode())
    page = rendered(msgspec.json.encode(spoilt(document))).decode()
    dirty = Reader(page)
    assert PAYLOAD not in page
    assert clean.elements == dirty.elements
    assert clean.names == dirty.names
