"""Times of a draft that are changed: what moves with its start, and what must fit together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from store import events
from store.changes import Times
from usecases.asked import EventChange
from usecases.denials import invalid
from usecases.drafts import doors_before, zone_name
from usecases.moments import in_utc, over_at

#: What of a change only a draft takes: what is on sale is sold for its time.
OF_DRAFTS = ("timezone", "starts_at", "ends_at", "sale_opens_at")


def first_of_drafts(asked: EventChange) -> str | None:
    """Return the first thing asked for that only a draft takes."""
    return next((name for name in OF_DRAFTS if getattr(asked, name) is not None), None)


def changed(event: events.Event, tiers: Sequence[events.Tier], asked: EventChange) -> Times:
    """
    Return a draft's times as they are to be.

    With the start move the end, the doors and the end of a sale that ended with it, unless they are
    given as well.

    Raises:
        Denied: they do not fit together; the first one that does not is named.
    """
    starts_at = _wanted(asked, "starts_at", event.starts_at)
    if asked.starts_at is not None and starts_at <= dt.datetime.now(dt.UTC):
        raise invalid("/starts_at", "is not in the future")
    by = starts_at - event.starts_at
    ends_at = _wanted(asked, "ends_at", event.ends_at + by)
    if ends_at < starts_at:
        raise invalid("/ends_at", "is before starts_at")
    doors_at = event.doors_at and event.doors_at + by
    if not isinstance(asked.doors_at, msgspec.UnsetType):
        doors_at = asked.doors_at
    opens_at = _wanted(asked, "sale_opens_at", event.sale_opens_at)
    closes_with_it = event.sale_closes_at == event.starts_at
    closes_at = _wanted(
        asked, "sale_closes_at", starts_at if closes_with_it else event.sale_closes_at
    )
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
