"""
Mail that comes back, as a mail server hands it to a command: reports of letters that did not arrive
(RFC 3464), and wishes for no more of them.

A report names its letter by the address that it came to, which was the letter's return path: number
and tag. Nobody can guess a tag, so nobody has an address suppressed that they never wrote to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from hmac import compare_digest
from typing import NamedTuple

from notifier.letter import TAG_CHARS, tag_of
from store import deliveries, preferences
from store.pool import Pool

BYTES_MAX = 1_048_576
#: Where a mail server says to which address a report came, the surest first.
_ADDRESSED = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
_RETURN_PATH = re.compile(rf"\+(\d{{1,18}})-([0-9a-f]{{{TAG_CHARS}}})@")
_UNSUBSCRIBE = re.compile(r"unsubscribe\s+([0-9a-z_.]{1,100})", re.IGNORECASE)
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})")
#: Codes of an address that takes nothing, as opposed to one that is full or slow.
_GONE = {"5.1.1", "5.1.6", "5.1.10", "5.2.1"}


class Report(NamedTuple):
    """What a report says."""

    number: int
    tag: str
    status: str


def read(raw: bytes, *, to: str = "") -> Report | None:
    """
    Return what a report says; None if it is none, or of no letter of ours.

    Args:
        to: The address that it came to, if the report's own headers do not say.
    """
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(raw)
    named = [to, *(str(message.get(header, "")) for header in _ADDRESSED)]
    for text in named:
        if path := _RETURN_PATH.search(text):
            for status in _statuses(message):
                return Report(int(path[1]), path[2], status)
    return None


def read_end(raw: bytes) -> str | None:
    """Return the token of a mail that ends letters (`List-Unsubscribe`); None if it has none."""
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(raw)
    found = _UNSUBSCRIBE.fullmatch(str(message.get("Subject", "")).strip())
    return found[1] if found is not None else None


async def end_letters(pool: Pool, token: str) -> str:
    """
    End the letters of a topic by a token of one of them; return what was done.

    Idempotency: by state.
    """
    found = preferences.opened(await preferences.secret(pool), token)
    if found is None:
        return "no letter of ours"
    user_id, topic = found
    await preferences.mute(pool, user_id, [(topic, "mail")])
    return f"no more letters of {topic} to {user_id}"


async def take(pool: Pool, report: Report) -> str:
    """
    Believe a report of a letter that was sent; return what was done.

    Idempotency: a report that comes again changes nothing more.
    """
    sent = await deliveries.sent_to(pool, report.number)
    if sent is None or not compare_digest(tag_of(sent.fact, sent.target), report.tag):
        return "no letter of ours"
    if not report.status.startswith("5."):
        return f"{report.status}: it may still arrive"
    if report.status in _GONE:
        await deliveries.suppress(pool, sent.address, f"report: {report.status}")
    await deliveries.note_bounce(pool, report.number, f"report: {report.status}")
    return f"{report.status}: it did not arrive"


def _statuses(message: EmailMessage) -> Iterator[str]:
    """Yield the statuses of recipients that a report gives up."""
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status":
            for block in part.get_payload():
                text = str(block.get("Status", ""))  # type: ignore[union-attr]
                if found := _STATUS.match(text.strip()):
                    yield found[1]
