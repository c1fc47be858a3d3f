"""Texts of other catalogues as plain text: without tags, entities and what cannot be seen."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

_IS_HTML = re.compile(r"<[a-zA-Z/!?]|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]+);")
_BREAKS = re.compile(
    "address|article|blockquote|br|dd|div|dl|dt|figure|footer|h[1-6]|header|hr|li|main|nav|ol|p|"
    "pre|section|table|tr|ul"
)
#: What stands within is no text of the page.
_UNSEEN = frozenset(["head", "noscript", "script", "style", "template", "title"])
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_BLANKS = re.compile(r"[^\S\n]+")


def plain(text: str, *, may_be_html: bool = True) -> str:
    """
    Return a text of several lines as people read it.

    What looks like HTML loses its tags, and its entities become what they stand for, once. Control
    characters and those of nobody's alphabet are left out; other ends of lines become ours.
    """
    if may_be_html and _IS_HTML.search(text):
        reader = _Reader()
        reader.feed(text)
        reader.close()
        text = "".join(reader.parts)
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii():  # Most texts are, and their letters need no looking up.
        text = _CONTROL.sub("", text)
    else:
        text = "".join(char for char in text if char in "\n\t" or _can_stay(char))
    lines = [_BLANKS.sub(" ", line).strip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def one_line(text: str, *, may_be_html: bool = True) -> str:
    """Return a text as one line: see `plain`."""
    if not (text.isascii() and text.isprintable()) or (may_be_html and _IS_HTML.search(text)):
        text = plain(text, may_be_html=may_be_html)
    return " ".join(text.split())


def _can_stay(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cn", "Co", "Cs"}


class _Reader(HTMLParser):
    """Collects the text of a piece of HTML; nothing that it names is fetched."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line where a page would."""
        del attrs
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif _BREAKS.fullmatch(tag):
            self.parts.append("\n- " if tag == "li" else "\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line where a page would; what ends at once holds nothing."""
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """End a line, or what is not seen."""
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif _BREAKS.fullmatch(tag):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep what is seen."""
        if not self._unseen:
            self.parts.append(data)
