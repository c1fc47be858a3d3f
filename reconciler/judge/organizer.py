"""
The organizer's rows against the records of the sale (I8): what is written is what is sold.

The API writes them, the journal's records say what was loaded of them and what was changed since.
What only people read (names, places, words) is in no record, and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.event.image import TIER_RULES
from reconciler.event.state import Sale
from reconciler.event.view import EventView, of_event
from reconciler.event.violation import Violation

TIER_CONSTANTS = ("capacity", "price_minor", "order_max")


def check_event_row(view: EventView) -> list[Violation]:
    """I8: an event's row says of its sale what its records say, and so do its codes' rows."""
    sale = view.state.sale
    if sale is None or not view.stock or view.row is None or view.row.opens_at_ms is None:
        return []
    return [*_fields(view, sale), *_promos(view)]


def wanted_of(sale: Sale) -> dict[str, object]:
    """Return what an event's row must say of its sale, by names of `EventRow`."""
    published, rules = sale.published, sale.published.rules
    wanted: dict[str, object] = {
        "status": sale.status,
        "opens_at_ms": published.opens_at_ms,
        "closes_at_ms": published.closes_at_ms,
        "person_max": published.person_max,
        "cancelled_at_ms": sale.cancelled_at_ms,
        "published_at_ms": published.at_ms,
    }
    if published.version > 1:  # Older records say no rules: the row had them all the same.
        wanted |= {
            "transfers": rules.transfers,
            "offer_ttl_ms": rules.offer_ttl_ms,
            "pools": rules.pools,
        }
    return wanted


def _fields(view: EventView, sale: Sale) -> Iterator[Violation]:
    for name, wanted in {**wanted_of(sale), "shard": view.shard.shard}.items():
        got = getattr(view.row, name)
        if got != wanted:
            yield of_event(
                view,
                "I8",
                "event_status_differs" if name == "status" else "event_row_differs",
                subject=name,
                expected=_shown(wanted),
                found=_shown(got),
                message=f"{name} of the event's row is not what the records say",
            )


def _promos(view: EventView) -> Iterator[Violation]:
    assert view.published is not None
    wanted = {
        promo.code: (promo.uses_max, promo.percent, promo.amount_minor, tuple(promo.tier_nos))
        for promo in view.published.promos
    }
    rows = {row.code: row[2:] for row in view.promo_rows}
    for code in sorted(wanted.keys() | rows.keys()):
        if wanted.get(code) != rows.get(code):
            yield of_event(
                view,
                "I8",
                "promo_row_differs",
                subject=code,
                expected=_shown(wanted.get(code)),
                found=_shown(rows.get(code)),
                message=f"the row of the promo code {code} is not what was published",
            )


def check_tier_rows(view: EventView) -> list[Violation]:
    """I8: the tiers' rows are what the `published` record and its changes say."""
    if view.published is None or not view.stock:
        return []
    found: list[Violation] = []

    def add(code: str, tier_no: int, subject: str, expected: object, got: object) -> None:
        found.append(
            of_event(
                view,
                "I8",
                code,
                tier_no=tier_no,
                subject=subject,
                expected=_shown(expected),
                found=_shown(got),
                message=f"{subject} of the tier's row is not what was published",
            )
        )

    rows = {tier.tier_no: tier for tier in view.tiers}
    after_end = view.published.rules.after_end
    for tier in view.published.tiers:
        row = rows.pop(tier.tier_no, None)
        if row is None:
            add("tier_row_missing", tier.tier_no, "row", "there", "nothing")
            continue
        for name in (*TIER_CONSTANTS, *TIER_RULES, "is_hidden"):
            if getattr(row, name) != getattr(tier, name):
                add("tier_row_differs", tier.tier_no, name, getattr(tier, name), getattr(row, name))
        sells = int(f"t{tier.tier_no}t" in after_end)
        if view.published.version > 1 and row.sells_after_end != sells:
            add("tier_row_differs", tier.tier_no, "sells_after_end", sells, row.sells_after_end)
    for tier_no in rows:
        add("tier_not_published", tier_no, "row", "nothing", "there")
    return found


def _shown(value: object) -> str | int | None:
    return value if value is None or isinstance(value, str | int) else str(value)
