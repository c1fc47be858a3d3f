"""Reads pages as tests look at them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlencode

from tests.api.world import Answer, World

HTML = {"Accept": "text/html"}
FROM_HERE = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}


class Element(NamedTuple):
    """An element of a page, as it stands in its source."""

    tag: str
    attributes: dict[str, str | None]
    #: The text up to the next tag.
    text: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(Element(tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            last = self.found[-1]
            self.found[-1] = last._replace(text=last.text + data)


def elements(text: str, tag: str = "") -> list[Element]:
    """Return the elements of a page, all of them or those of a tag."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return [one for one in reader.found if tag in {"", one.tag}]


def words(text: str) -> str:
    """Return what is to be read on a page, without its head."""
    body = text.partition("<body")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def fields(text: str) -> dict[str, str]:
    """Return what the hidden fields of a page's forms hold."""
    return {
        one.attributes.get("name") or "": one.attributes.get("value") or ""
        for one in elements(text, "input")
        if one.attributes.get("type") == "hidden"
    }


async def page(world: World, path: str, language: str = "en", **headers: str) -> Answer:
    """Ask for a page as a browser does; redirections are followed."""
    return await world.call(
        "GET", path, headers=HTML | {"Accept-Language": language} | dict(headers)
    )


async def send(
    world: World, path: str, given: Mapping[str, str], headers: Mapping[str, str] = FROM_HERE
) -> Answer:
    """Send a form as a browser does, and stay at what comes first."""
    body = urlencode(given).encode()
    async with world.client.post(
        path, data=body, headers=HTML | dict(headers), allow_redirects=False
    ) as response:
        text = await response.text()
        return Answer(response.status, response.headers, None, text)
