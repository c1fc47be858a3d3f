"""
Denials: how a use case says no.

A denial says why, about which of the values it was given, and in figures. Within the room it is
raised, since a rule may stand deep; whoever calls a use case gets it as a value (`as_value`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from functools import wraps
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from engine.outcomes import Refused
from engine.status import Status
from usecases.acks import Promise

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Why(StrEnum):
    """Why a use case denies what no script was asked, or none has refused."""

    INVALID = "invalid"
    FORBIDDEN = "forbidden"
    WRONG_CREDENTIALS = "wrong_credentials"
    #: It must be said what becomes of live bookings.
    BOOKINGS_OPEN = "bookings_open"
    #: The account is kept out, which who has proved that it is theirs is told.
    ACCOUNT_DISABLED = "account_disabled"
    #: There must be an owner of each team, and an admin.
    LAST_OWNER = "last_owner"
    LAST_ADMIN = "last_admin"
    ALREADY_MEMBER = "already_member"
    TEAM_FULL = "team_full"
    #: The refresh token is not good, or no longer.
    SESSION_OVER = "session_over"
    #: The token of a letter is not good, or no longer.
    LINK_OVER = "link_over"
    #: A flow that is not ours, of another, too old, or ended before.
    SIGN_IN_OVER = "sign_in_over"
    #: The provider's word, or what a passkey signed, is not proved.
    SIGN_IN_REFUSED = "sign_in_refused"
    PROVIDER_AWAY = "provider_unavailable"
    #: The provider vouches for no address, so no account can be made by its word.
    ADDRESS_UNVERIFIED = "address_unverified"
    #: The address has an account, to which the identity is joined by who is signed in alone.
    LINK_NEEDED = "link_needed"
    #: The identity, or the passkey, is joined to an account.
    IDENTITY_TAKEN = "identity_taken"
    PASSKEY_KNOWN = "passkey_known"
    PASSKEYS_OFF = "passkeys_off"
    PUSH_OFF = "push_off"
    WALLET_OFF = "wallet_off"
    BROWSERS_FULL = "too_many_browsers"
    TOO_MANY_WAYS_IN = "too_many_ways_in"
    #: Without it nobody could sign in to the account, or not as its role asks for.
    LAST_WAY_IN = "last_way_in"
    #: The last sign-in is too long ago for this.
    SIGN_IN_AGAIN = "sign_in_again"
    #: The role's rights come by a passkey alone.
    PASSKEY_REQUIRED = "passkey_required"
    #: The caller must say which version they have seen; or it is no longer that.
    VERSION_WANTED = "precondition_required"
    VERSION_PASSED = "precondition_failed"
    #: The ticket is for another event than the gate's.
    WRONG_EVENT = "wrong_event"
    #: It is not said which of a booking's tickets.
    SEVERAL_TICKETS = "several_tickets"
    #: Only a draft can be taken away.
    NO_DRAFT = "not_a_draft"
    #: An organizer's API keys, or an event's devices, are as many as they may be.
    KEYS_FULL = "too_many_keys"
    #: An organizer has as many webhooks as it may have; or this one is turned off.
    WEBHOOKS_FULL = "too_many_webhooks"
    WEBHOOK_OFF = "webhook_off"
    #: Nothing here can keep their secrets.
    WEBHOOKS_OFF = "webhooks_off"
    #: Of an order nothing is left to give back, or it was settled otherwise.
    NOTHING_DUE = "refund_not_due"
    #: An order has as many notes as it may have.
    NOTES_FULL = "too_many_notes"
    #: Nobody need be told before it opens; or somebody wishes to be of as many as they may.
    SALE_HAS_OPENED = "sale_has_opened"
    REMINDERS_FULL = "too_many_reminders"
    #: The same request, by its key: under way elsewhere; or done, and its answer is not kept.
    IN_PROGRESS = "request_in_progress"
    DONE_BEFORE = "done_before"
    #: PostgreSQL is behind Redis, or a level of durability was not reached in time.
    CATCHING_UP = "catching_up"
    OUTCOME_UNKNOWN = "outcome_unknown"


class Denied(Exception):
    """A use case's no."""

    def __init__(
        self,
        why: Status | Why,
        *errors: tuple[str, str],
        detail: str = "",
        fields: Mapping[str, int | str] | None = None,
    ) -> None:
        """
        Args:
            errors: Pairs of what is wrong, as a JSON pointer into what was asked, and how; ""
                says no more than the reason does.

            detail: What is special about this one.

            fields: Further figures, as in `engine.outcomes.REFUSAL_FIELDS`.
        """
        super().__init__(f"{why}: {errors} {detail}")
        self.why = why
        self.errors = errors
        self.detail = detail
        self.fields = fields or {}


class Done(NamedTuple, Generic[Result]):
    """What a use case did, as it is told."""

    told: Result
    #: Whether an earlier request like this one did it.
    is_replay: bool = False
    #: What the answer promises, where the caller had a say in it.
    promise: Promise | None = None


def as_value(
    usecase: Callable[Given, Coroutine[Any, Any, Result]],
) -> Callable[Given, Coroutine[Any, Any, Result | Denied]]:
    """Return a use case whose denials are values."""

    @wraps(usecase)
    async def asked(*args: Given.args, **kwargs: Given.kwargs) -> Result | Denied:
        try:
            return await usecase(*args, **kwargs)
        except Denied as denied:
            return denied

    return asked


def granted(outcome: Result | Refused, line_at: str = "") -> Result:
    """
    Return a script's outcome; raise its refusal.

    Args:
        line_at: Where a refused line, from 0, stands in what was asked.
    """
    if not isinstance(outcome, Refused):
        return outcome
    fields, errors = dict(outcome.fields), []
    if line_at and "line" in fields:
        errors.append((line_at.format(int(fields.pop("line")) - 1), ""))
    raise Denied(outcome.status, *errors, fields=fields)


def invalid(pointer: str, detail: str) -> Denied:
    """Return the denial of a bad value at *pointer*."""
    return Denied(Why.INVALID, (pointer, detail))


def not_found() -> Denied:
    """Return the one denial for what is not there and for what is not the caller's (S8)."""
    return Denied(Status.NOT_FOUND)
