"""S18. Whatever names, titles and addresses hold: no header, no second recipient, no markup."""

from __future__ import annotations

import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest

from engine.currencies import DIGITS
from notifier import samples
from notifier.bounces import read, take
from notifier.kinds import KINDS
from notifier.letter import NoAddress, Post, envelope, tag_of, write
from notifier.render import Content, Fact, money, render
from papers.messages import IN_ACCOUNT, sentences, title
from papers.words import LANGUAGES
from tests.notifier.conftest import POST, House
from tests.store.records import booked

ROOT = Path(__file__).parents[2]
EVIL = [
    "Ada\r\nBcc: all@example.org",
    "Ada\nBcc: all@example.org\n\nnew body",
    "Ada\r\n\r\n<script>",
    "Ada\x00Bcc: x",
    "Ada\u2028Bcc: all@example.org",
    "Ada\x0bBcc: x\x0cCc: y\x85To: z",
    'Ada" <all@example.org>, "',
    "Ada, all@example.org",
    "=?utf-8?q?Ada=0D=0ABcc=3A_all=40example=2Eorg?=",
    "\u202eadA <b>&amp;{{ 7 * 7 }}{% for x in y %}",
    "محمد 山田 😀" * 12,
    "\ud800",
]
HEADERS = {
    *("From", "To", "Subject", "Message-ID", "References", "In-Reply-To", "Auto-Submitted"),
    *("X-Auto-Response-Suppress", "Content-Language", "Content-Type", "MIME-Version"),
}


def letter(text: str, *, to: str = "ada@example.org", language: str = "en") -> EmailMessage:
    """Write a letter in which every name is *text*, and read it as a receiver does."""
    content = Content(
        words="booking.confirmed",
        fields={"event": text},
        facts=[Fact("event", text), Fact("where", text)],
        name=text,
        organizer=text,
        url="https://tickets.example.org/b/x",
    )
    words = render(content, language)
    message = write(words, POST, to=to, name=text, tag="0" * 24, thread="bk_x")
    packed = envelope(message, POST, to=to, tag="0" * 24, number=7)
    assert (to, f"bounces+7-{'0' * 24}@example.org") == (packed.recipient, packed.sender)
    return BytesParser(EmailMessage, policy=policy.default).parsebytes(packed.content)


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("language", LANGUAGES)
def test_s18_names_make_no_headers(text: str, language: str) -> None:
    """S18: a name or title of any kind makes no header, no recipient, no part and no markup."""
    read_back = letter(text, language=language)
    assert set(read_back.keys()) == HEADERS
    assert ["ada@example.org"] == [one.addr_spec for one in read_back["To"].addresses]
    assert ["tickets@example.org"] == [one.addr_spec for one in read_back["From"].addresses]
    assert ["text/plain", "text/html"] == [one.get_content_type() for one in read_back.iter_parts()]
    html = read_back.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()
    assert "49" not in re.sub(r"#\w+|\d+px", "", html.get_content())


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "@example.org", "ada@", "a b@example.org", "a@b@c@", "a,b@example.org"),
        *(
            "ada@example.org\r\nRCPT TO:<x@y>",
            "<ada@example.org>",
            "ada@exa mple.org",
            "a\x00@b.org",
        ),
        *("ada@..", "a" * 260 + "@example.org"),
    ],
)
def test_s18_what_is_no_address_goes_nowhere(address: str) -> None:
    """S18: what could break a command of SMTP is no address."""
    with pytest.raises(NoAddress):
        letter("Ada", to=address)


def test_s18_addresses_of_the_world() -> None:
    """A domain in any script is written in ASCII; a local part needs a server that knows it."""
    words = render(Content(words="account.exists", fields={}), "en")
    post = Post("tickets@example.org")
    for to, recipient, needs_utf8 in (
        ("ada@bücher.example", "ada@xn--bcher-kva.example", False),
        ("zoë@example.org", "zoë@example.org", True),
    ):
        message = write(words, post, to=to, name="", tag="t", thread=None)
        packed = envelope(message, post, to=to, tag="t", number=1)
        assert (recipient, needs_utf8) == (packed.recipient, packed.needs_utf8)
        assert "tickets@example.org" == packed.sender


async def test_s18_letters_of_spite_arrive(house: House) -> None:
    """S18: names as bad as a store may hold go through a real server, one letter to each person."""
    event = await house.event(name="Night\u2028Bcc: all@example.org", organizer='A "B" <c@d.org>,')
    people = [
        await house.person(text) for text in EVIL if "\x00" not in text and text.isprintable()
    ]
    await house.write(*[booked(event, user_id=one) for one in people])
    letters = await house.send(sent=len(people))
    addresses = {await house.address_of(one) for one in people}
    assert addresses == {str(one["X-Recipient"]) for one in letters}
    assert all(one["Bcc"] is None for one in letters)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_has_its_words(language: str) -> None:
    """Each kind that is told has its words in each language, and all of them can be rendered."""
    words = sentences(language)
    assert set(samples.KINDS_SHOWN) | {"common", "labels"} == set(words)
    for kind in samples.KINDS_SHOWN:
        content = samples.of(kind, language)
        assert content is not None
        written = render(content, language)
        assert written.subject
        assert bool(content.url) == ("https://tickets.example.org/sample" in written.text)
        if "event" in {fact.label for fact in content.facts}:
            assert "Sommernacht &lt;im Park&gt;" in written.html
        assert "Sommernacht <im" not in written.html


def test_messages_lead_to_the_same_page_everywhere() -> None:
    """What stands in the account leads to where its letter leads, and its title names the event."""
    assert {kind: KINDS[kind].page for kind in IN_ACCOUNT} == IN_ACCOUNT
    for language in LANGUAGES:
        for kind in IN_ACCOUNT:
            assert "Night" in title(kind, language, {"event": "Night"})


def test_every_kind_has_its_message() -> None:
    """Each kind that docs/DATA.md lists has a letter, and there is no letter of another."""
    text = (ROOT / "docs" / "DATA.md").read_text()
    told = text[text.index("What is to be told") : text.index("## Ids")]
    kinds = (
        r"`((?:account|booking|event|offer|organizer|reminder|sale|ticket|team|waitlist)\.[a-z_]+)`"
    )
    assert set(KINDS) == set(re.findall(kinds, told))


def test_a_field_that_is_not_told_is_a_fault() -> None:
    """A sentence whose field nobody tells is not sent with a hole in it."""
    with pytest.raises(KeyError):
        render(Content(words="booking.confirmed", fields={}), "en")


def test_money_has_its_currencys_digits() -> None:
    """Amounts have as many digits as their currency, in the reader's way."""
    assert "1,234.50 EUR" == money(123_450, "EUR", "en")
    assert "1.234,50 EUR" == money(123_450, "EUR", "de")
    assert "1,235 JPY" == money(1_235, "JPY", "en")
    assert "1.234 KWD" == money(1_234, "KWD", "en")
    assert {0, 2, 3} == set(DIGITS.values())


def report(to: str, status: str) -> bytes:
    """Return a delivery report as a mail server writes it."""
    return (
        f"To: {to}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; m.example\r\n\r\n"
        f"Final-Recipient: rfc822; ada@example.org\r\nAction: failed\r\nStatus: {status}\r\n"
        "--b--\r\n"
    ).encode()


async def test_a_report_suppresses_its_address(house: House) -> None:
    """A report of a letter of ours ends it and its address; one with a guessed tag does nothing."""
    person = await house.person()
    await house.write(booked(await house.event(), user_id=person))
    [sent] = await house.send(sent=1)
    path = str(sent["X-Sender"])
    for to, status, said, states in (
        (re.sub(r"-\w{24}@", f"-{'0' * 24}@", path), "5.1.1", "no letter of ours", {"sent": 1}),
        (path, "4.2.2", "4.2.2: it may still arrive", {"sent": 1}),
        (path, "5.1.1", "5.1.1: it did not arrive", {"dead": 1}),
        (path, "5.1.1", "no letter of ours", {"dead": 1}),
    ):
        found = read(report(to, status))
        assert found is not None
        assert said == await take(house.pool, found)
        assert states == await house.states()
    assert 1 == await house.pool.fetchval("SELECT count(*) FROM suppressions")
    assert read(b"Subject: hello\r\n\r\nno report") is None
    assert read(report("somebody@example.org", "5.1.1")) is None


def test_tags_are_not_to_be_guessed() -> None:
    """A tag is the same for the same fact and target, and another for any other."""
    assert tag_of("a", "b") == tag_of("a", "b")
    assert 3 == len({tag_of("a", "b"), tag_of("a", "c"), tag_of("b", "b")})
