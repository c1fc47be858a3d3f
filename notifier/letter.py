"""
A letter as a message of mail: headers, text and HTML.

Guarantees (S18): whatever a name, a title or an address holds, it makes no header and no second
recipient; what cannot be an address goes nowhere. A delivery has one Message-ID in all attempts,
and the messages of a booking are one thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from hashlib import sha256
from typing import NamedTuple

from notifier.smtp import Envelope

SENDER_CHARS_MAX = 75
SUBJECT_CHARS_MAX = 200
TAG_CHARS = 24
#: By which the HTML names the picture of a code that lies beside it.
CODE_ID = "code@evently"
#: What steers a header or the direction of writing.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
#: In a sender's name large providers take these for an address that is forged, or for no name.
_SUSPECT = re.compile(r'[@:,;<>"()\\]+')


class NoAddress(ValueError):
    """Mail cannot go there, whoever tries."""


class Wording(NamedTuple):
    """What a letter says."""

    subject: str
    sender_name: str
    text: str
    html: str
    language: str


class Enclosed(NamedTuple):
    """What lies in a letter beside its text."""

    #: PDF; None: none, or it could not be drawn.
    tickets: bytes | None = None
    #: How many tickets the recipient has that are good.
    ticket_count: int = 0
    #: The one ticket's code, as PNG.
    code: bytes | None = None
    #: iCalendar.
    entry: bytes | None = None
    #: The entry takes itself out of a calendar.
    is_cancelled: bool = False


#: Of a letter that has nothing in it but its text.
NOTHING = Enclosed()


class Post(NamedTuple):
    """From where letters come."""

    #: The sender's address.
    address: str
    #: Where reports of letters that did not arrive go; empty: to the sender's.
    bounces: str = ""

    @property
    def domain(self) -> str:
        """The domain that our ids are of."""
        return self.address.rpartition("@")[2]


def tag_of(fact: str, target: str) -> str:
    """Return what names a delivery: the same after a restore, and not to be guessed."""
    return sha256(f"{fact}\n{target}".encode()).hexdigest()[:TAG_CHARS]


def write(
    words: Wording,
    post: Post,
    *,
    to: str,
    name: str,
    tag: str,
    thread: str | None,
    ends: Sequence[str] = (),
    enclosed: Enclosed = NOTHING,
) -> EmailMessage:
    """
    Return the message.

    Args:
        to: The recipient's address.
        name: Whose it is; empty: not told.
        tag: See `tag_of`.
        thread: What the letters of one thread share.
        ends: How letters of this kind are ended (RFC 8058): https first; none: they cannot be.
        enclosed: What lies in it beside the text.

    Raises:
        NoAddress: *to* is no address.
    """
    message = EmailMessage(policy=policy.SMTP)
    sender = _SUSPECT.sub(" ", _header(words.sender_name)).strip()[:SENDER_CHARS_MAX].strip()
    message["From"] = Address(sender, addr_spec=post.address)
    message["To"] = address_of(to, name)
    message["Subject"] = _header(words.subject)[:SUBJECT_CHARS_MAX]
    message["Message-ID"] = f"<{tag}@{post.domain}>"
    if thread is not None:
        root = f"<{tag_of(thread, '')}@{post.domain}>"
        message["References"] = root
        message["In-Reply-To"] = root
    if ends:
        message["List-Unsubscribe"] = ", ".join(f"<{one}>" for one in ends)
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(words.text, cte="quoted-printable")
    message.add_alternative(words.html, subtype="html", cte="quoted-printable")
    _enclose(message, enclosed)
    message["Content-Language"] = words.language  # Before, it would be the text's alone.
    return message


def _enclose(message: EmailMessage, enclosed: Enclosed) -> None:
    """Put in what a letter encloses: file names in ASCII, which every reader takes."""
    if enclosed.code is not None:
        html = message.get_body(("html",))
        assert isinstance(html, EmailMessage), "a letter has one"
        html.add_related(
            enclosed.code,
            *("image", "png"),
            cid=f"<{CODE_ID}>",
            disposition="inline",
            filename="code.png",
        )
    if enclosed.tickets is not None:
        message.add_attachment(
            enclosed.tickets, maintype="application", subtype="pdf", filename="tickets.pdf"
        )
    if enclosed.entry is not None:
        message.add_attachment(
            enclosed.entry,
            maintype="text",
            subtype="calendar",
            filename="event.ics",
            params={"charset": "utf-8", "method": "CANCEL" if enclosed.is_cancelled else "PUBLISH"},
        )


def envelope(message: EmailMessage, post: Post, *, to: str, tag: str, number: int) -> Envelope:
    """Return how a message goes to the server; its return path names the delivery."""
    recipient = _spec(to)
    sender = post.address
    if post.bounces:
        local, _, domain = post.bounces.rpartition("@")
        sender = f"{local}+{number}-{tag}@{domain}"
    needs_utf8 = not recipient.isascii()
    own = policy.SMTPUTF8 if needs_utf8 else policy.SMTP
    return Envelope(sender, recipient, message.as_bytes(policy=own), needs_utf8)


def address_of(spec: str, name: str) -> Address:
    """Return an address with a name; raises `NoAddress`."""
    local, _, domain = _spec(spec).rpartition("@")
    try:
        return Address(_header(name), username=local, domain=domain)
    except (MessageError, ValueError, IndexError) as error:
        raise NoAddress("no address") from error


def one_line(text: str) -> str:
    """Return *text* as one line that steers nothing."""
    return _STEERING.sub(" ", text).strip()


def _header(text: str) -> str:
    """
    Return *text* as it may stand in a header.

    Python's email package decodes what looks like an encoded word (RFC 2047) in a value that it is
    given, and writes the ends of lines that come out of it as they are: a header of one's own.
    """
    return one_line(text).replace("=?", "= ?")


def _spec(text: str) -> str:
    """Return an address with its domain in ASCII; raises `NoAddress`."""
    local, at, domain = text.rpartition("@")
    is_bad = _STEERING.search(text) or re.search(r"[\s<>,;:()\"\\\[\]]", text)
    if not (local and at and domain) or is_bad or len(text) > 254:
        raise NoAddress("no address")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError as error:
        raise NoAddress("no such domain") from error
