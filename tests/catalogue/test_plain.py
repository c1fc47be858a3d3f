"""Texts of other catalogues become plain ones, slugs, web addresses and tags of languages."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usecases.denials import Denied
from usecases.links import SLUG_CHARS_MAX, language, slug, slug_of, url
from usecases.plain import one_line, plain
from usecases.text import lines

URL_CHARS_MAX = 2_000


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\nthree"),
        ("Fish &amp; chips &lt;b&gt; &#8364;5 &nbsp; now", "Fish & chips <b> €5 now"),
        ("&amp;amp;", "&amp;"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n\n- b"),
        ("a<script>alert(1)</script>b<style>p{}</style>c", "abc"),
        ("<a href='javascript:x'>link</a><img src=http://x/y>", "link"),
        ("we <3 this, 1 < 2 & 3 > 2", "we <3 this, 1 < 2 & 3 > 2"),
        ("R&B, AT&T", "R&B, AT&T"),
        ("a\u2028b\r\nc\x0bd\x85e", "a\nb\nc\nd\ne"),
        ("a\x00b\x1bc\ue000d", "abcd"),
        ("a\n\n\n\n\nb   c\u00a0d", "a\n\nb c d"),
        ("<!-- note -->text<![CDATA[x]]>", "text"),
    ],
)
def test_html_becomes_text(given_text: str, expected: str) -> None:
    """Tags go, entities become what they stand for, once; what is no HTML stays as it is."""
    assert expected == plain(given_text)


def test_one_line() -> None:
    """A name of several lines is one."""
    assert "A & B" == one_line(" A\n<br>&amp; \u2028B ")


@given(st.text())
def test_plain_text_is_always_taken(text: str) -> None:
    """Whatever comes in, what comes out has no tag-like end of line, and is plain a second time."""
    once = plain(text, may_be_html=False)
    assert once == plain(once, may_be_html=False)
    assert not set("\r\x00\x1b\u2028") & set(once)
    with contextlib.suppress(Denied):  # Marks in heaps, and what turns other text.
        kept = lines("/description", once, chars_max=10_000)
        assert kept == lines("/description", kept, chars_max=10_000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Café Łódź – 100% Straße!", "cafe-lodz-100-strasse"),
        ("東京 Tower", "東京-tower"),
        ("Ёлка", "елка"),
        ("हिन्दी कविता", "हिन्दी-कविता"),
        ("  --a__b  ", "a-b"),
        ("!!!", ""),
        ("word " * 40, "-".join(["word"] * 16)),
        ("x" * 200, "x" * SLUG_CHARS_MAX),
    ],
)
def test_slug_of_a_name(name: str, expected: str) -> None:
    """A slug has the letters and digits of a name, in any script, and ends with a word."""
    assert expected == slug_of(name)
    assert len(expected) <= SLUG_CHARS_MAX


def test_slug_is_taken_or_refused() -> None:
    """A slug that is given is kept in one form; what cannot be one is refused."""
    assert "my-show-2" == slug("/slug", " My Show_2 ")
    for bad in ("a/b", "../x", "a?b", "--", "a" * 81, "a%2fb", "a\u202eb"):
        with pytest.raises(Denied):
            slug("/slug", bad)


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://example.org/a.jpg?x=1&y=2#z", "https://example.org/a.jpg?x=1&y=2#z"),
        ("HTTP://Example.org", "http://example.org"),
        (" https://example.org/café.jpg ", "https://example.org/caf%C3%A9.jpg"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://example.org:8443/a%20b", "https://example.org:8443/a%20b"),
        ("http://[::1]/x", "http://[::1]/x"),
    ],
)
def test_s21_web_addresses(given_url: str, kept: str) -> None:
    """S21: http and https alone, in ASCII, as they may stand in a link."""
    assert kept == url("/image", given_url, chars_max=URL_CHARS_MAX)
    assert kept == url("/image", kept, chars_max=URL_CHARS_MAX)


@pytest.mark.parametrize(
    "bad",
    [
        "javascript:alert(1)",
        "JaVaScRiPt://example.org/%0aalert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.org",
        "//example.org/x",
        "/x.jpg",
        "example.org/x.jpg",
        "https://",
        "https:///x",
        "https://user:pass@example.org/",
        "https://example.org@evil.example/",
        "https://example.org/a b",
        'https://example.org/"onload=',
        "https://example.org/<x>",
        "https://example.org\\@evil.example",
        "https://exa\u202emple.org/",
        "https://example.org:99999/",
        "https://example.org/%zz",
        "https://[::1/",
        "https://-.example..org/",
        "https://" + "a" * 300 + ".example/",
        "https://example.org/" + "é" * 1_000,
    ],
)
def test_s21_other_schemes_are_refused(bad: str) -> None:
    """S21: what is no http address, names a user or could leave its attribute is refused."""
    with pytest.raises(Denied):
        url("/image", bad, chars_max=URL_CHARS_MAX)


def test_languages() -> None:
    """Tags of languages are kept in their usual case; what is none is refused."""
    tags = {"EN": "en", "pt-br": "pt-BR", "ZH_hant_tw": "zh-Hant-TW", "es-419": "es-419"}
    assert list(tags.values()) == [language("", tag) for tag in tags]
    for bad in ("english", "e", "en-", "en us", "12", "de-DE-1996-x"):
        with pytest.raises(Denied):
            language("", bad)
