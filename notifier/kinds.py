"""
The kinds of messages: in which lane each goes, what it leads to, and by which channels.

A kind that is told by the journal or the outbox and stands in no table here is skipped and counted,
as of code that is newer; a test holds the table to the code of this version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from store.deliveries import ChannelName
from store.preferences import Topic

#: What somebody waits for, or must answer in time: before all else.
URGENT = 1
#: What was done.
DONE = 2
#: What is good to know: after all else.
LATER = 3


Channels = frozenset[ChannelName]
MAIL: Channels = frozenset({"mail"})
MAIL_AND_PUSH: Channels = frozenset({"mail", "push"})
PUSH: Channels = frozenset({"push"})
#: Pushed to one browser, to see whether it gets there.
PUSH_TEST = "account.push_test"


class MessageKind(NamedTuple):
    """What the kind of a message says of it."""

    lane: int
    #: The page that it leads to, with fields of what is told; empty: none.
    page: str = ""
    #: By what people are told it; an account's messages go by each.
    channels: Channels = MAIL


_ACCOUNT = MessageKind(URGENT, "/me")
_TOKEN = "#token={token}"  # noqa: S105 - behind `#`, so that no server's log has it

KINDS: Mapping[str, MessageKind] = {
    "account.verify": MessageKind(URGENT, f"/me/verify{_TOKEN}"),
    "account.email": MessageKind(URGENT, f"/me/verify{_TOKEN}"),
    "account.exists": MessageKind(URGENT, "/sign-in"),
    "account.reset": MessageKind(URGENT, f"/reset{_TOKEN}"),
    "account.password_changed": MessageKind(URGENT, "/reset"),
    "account.email_changed": MessageKind(URGENT),
    "account.signed_in": MessageKind(URGENT, "/me/sessions"),
    "account.identity_added": _ACCOUNT,
    "account.identity_removed": _ACCOUNT,
    "account.passkey_added": _ACCOUNT,
    "account.passkey_removed": _ACCOUNT,
    "account.session_copied": MessageKind(URGENT, "/sign-in"),
    PUSH_TEST: MessageKind(URGENT, "/me", PUSH),
    "waitlist.offered": MessageKind(URGENT, "/wait/{about_id}", MAIL_AND_PUSH),
    "ticket.offered": MessageKind(URGENT, "/gifts/{gift_id}"),
    "team.invited": MessageKind(URGENT, "/invitations/{invitation_id}"),
    "organizer.webhook_failing": MessageKind(DONE, "/organizers/{organizer_id}/webhooks"),
    "organizer.webhook_off": MessageKind(DONE, "/organizers/{organizer_id}/webhooks"),
    "booking.confirmed": MessageKind(DONE, "/b/{about_id}"),
    "booking.cancelled": MessageKind(DONE, "/b/{about_id}"),
    "booking.changed": MessageKind(DONE, "/b/{about_id}"),
    "event.changed": MessageKind(DONE, "/e/{event_id}", MAIL_AND_PUSH),
    "event.cancelled": MessageKind(DONE, "/e/{event_id}", MAIL_AND_PUSH),
    "ticket.transferred": MessageKind(DONE, "/t/{about_id}", MAIL_AND_PUSH),
    "ticket.given": MessageKind(DONE, "/me", MAIL_AND_PUSH),
    "ticket.cancelled": MessageKind(DONE, "/e/{event_id}"),
    "waitlist.expired": MessageKind(DONE, "/e/{event_id}", MAIL_AND_PUSH),
    "waitlist.limit": MessageKind(DONE, "/me"),
    "waitlist.too_large": MessageKind(DONE, "/e/{event_id}"),
    "waitlist.event_cancelled": MessageKind(DONE, "/e/{event_id}", MAIL_AND_PUSH),
    "offer.ending": MessageKind(URGENT, "/wait/{about_id}", MAIL_AND_PUSH),
    "reminder.day_before": MessageKind(LATER, "/me", MAIL_AND_PUSH),
    "reminder.soon": MessageKind(LATER, "/me", MAIL_AND_PUSH),
    "sale.opens_soon": MessageKind(LATER, "/e/{event_id}", MAIL_AND_PUSH),
}
#: What somebody may not want to be told; all else is their business.
TOPICS: Mapping[str, Topic] = {
    "reminder.day_before": "reminders",
    "reminder.soon": "reminders",
    "sale.opens_soon": "sales",
}
#: Messages that prove an address go to one that takes nothing as well: else it never could again.
PROVE = frozenset({"account.verify", "account.email"})
#: They say nothing without the secret that opens something.
NEED_TOKEN = PROVE | {"account.reset"}
#: Words of a letter that says that a booking was cancelled before its confirmation left.
MADE_AND_CANCELLED = "booking.made_and_cancelled"
#: A booking ends with these.
ENDS = frozenset({"booking.cancelled", "event.cancelled"})
#: These enclose the tickets that the reader has, and an entry for calendars.
TICKETS = frozenset({"booking.confirmed", "booking.changed", "ticket.transferred", "event.changed"})
#: These take that entry out again.
ENDINGS = ENDS | {"ticket.cancelled"}


def channels_of(kind: str) -> Channels:
    """Return by what a kind is told; of one that is not known, by mail, which skips it."""
    return KINDS[kind].channels if kind in KINDS else MAIL


def lane_of(kind: str) -> int:
    """Return the lane of a kind; of one that is not known, that of what was done."""
    return KINDS[kind].lane if kind in KINDS else DONE
