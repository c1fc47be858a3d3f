"""Times of an event that are changed: what moves with its start, and what must fit together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from store import events
from store.changes import Times
from usecases.asked import EventChange
from usecases.denials import invalid
from usecases.drafts import doors_before, zone_name
from usecases.moments import in_utc, ms_of, over_at

#: What of a change moves an event, or its sale as a whole.
_TIMES = ("timezone", "starts_at", "ends_at", "sale_opens_at")


def are_asked(asked: EventChange) -> bool:
    """Tell whether other times are asked for."""
    return any(getattr(asked, name) is not None for name in _TIMES)


def changed(event: events.Event, tiers: Sequence[events.Tier], asked: EventChange) -> Times:
    """
    Return an event's times as they are to be.

    With the start move the end, the doors and the end of a sale that ended with it, unless they are
    given as well. A sale that has opened does not open again, and one that is over stays so.

    Raises:
        Denied: they do not fit together; the first one that does not is named.
    """
    now, is_draft = dt.datetime.now(dt.UTC), event.status == "draft"
    starts_at = _wanted(asked, "starts_at", event.starts_at)
    if asked.sale_opens_at is not None and not is_draft and event.sale_opens_at <= now:
        raise invalid("/sale_opens_at", "is that of a sale that has opened")
    if asked.starts_at is not None and starts_at <= now:
        raise invalid("/starts_at", "is not in the future")
    by = starts_at - event.starts_at
    ends_at = _wanted(asked, "ends_at", event.ends_at + by)
    if ends_at < starts_at:
        raise invalid("/ends_at", "is before starts_at")
    doors_at = event.doors_at and event.doors_at + by
    if not isinstance(asked.doors_at, msgspec.UnsetType):
        doors_at = asked.doors_at
    opens_at = _wanted(asked, "sale_opens_at", event.sale_opens_at)
    is_over = not is_draft and event.sale_closes_at <= now
    # The end of a sale is kept in whole ms once it was moved.
    closes_with_it = ms_of(event.sale_closes_at) == ms_of(event.starts_at) and not is_over
    closes_at = _wanted(
        asked, "sale_closes_at", starts_at if closes_with_it else event.sale_closes_at
    )
    if asked.sale_closes_at is not None or not is_over:
        _require_sale(opens_at, closes_at, over_at(starts_at, ends_at), tiers, asked)
    return Times(
        event.timezone if asked.timezone is None else zone_name(asked.timezone),
        starts_at,
        ends_at,
        doors_before(starts_at, doors_at),
        opens_at,
        closes_at,
    )


def _wanted(asked: EventChange, name: str, else_at: dt.datetime) -> dt.datetime:
    moment: dt.datetime | None = getattr(asked, name)
    return in_utc(name, else_at if moment is None else moment)


def _require_sale(
    opens_at: dt.datetime,
    closes_at: dt.datetime,
    over: dt.datetime,
    tiers: Sequence[events.Tier],
    asked: EventChange,
) -> None:
    """Deny a sale without length, beyond the event's end, or narrower than that of a tier."""
    at = "/sale_opens_at" if asked.sale_closes_at is None else "/sale_closes_at"
    if closes_at <= opens_at:
        raise invalid(at, "leaves no time to sell")
    if closes_at > over and not any(tier.sells_after_end for tier in tiers):
        raise invalid("/sale_closes_at", "is after the event's end")
    for tier in tiers:
        opens = tier.sale_opens_at or opens_at
        closes = tier.sale_closes_at or closes_at
        if not opens_at <= opens < closes <= closes_at:
            raise invalid(at, f"leaves out a part of the sale of {tier.name}")
