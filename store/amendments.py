"""
What amendments of events on sale make of the organizer's rows (`engine.records.Amended`).

Part of `store.ledger`'s transaction; or, where a draft is changed, of its organizer's. When an
event's sale ends, what its status is and what capacities its tiers have, is written with all other
changes of a sale (`store.gate`, `store.changes`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.records import Amended, Promo, Tier
from store.sql import columns, moment, query
from store.tenants import Connection


async def write(connection: Connection, records: Sequence[Amended]) -> None:
    """Write the records of one batch, in order: the last of each thing stays."""
    for record in records:
        await connection.execute(
            query("amend_event"),
            record.event_id,
            moment(record.opens_at_ms) if record.opens_at_ms else None,
            record.person_max or None,
            None if record.offer_ttl_ms < 0 else record.offer_ttl_ms,
        )
        if record.names:
            await connection.execute(
                query("add_tiers"), record.event_id, *columns(_new_tiers(record))
            )
        if record.tiers:
            rows = [_terms(tier) for tier in record.tiers]
            await connection.execute(query("amend_tiers"), record.event_id, *columns(rows))
        if record.promos:
            await connection.executemany(
                query("amend_promo"), [(record.event_id, *_promo(promo)) for promo in record.promos]
            )


def _new_tiers(record: Amended) -> list[tuple[object, ...]]:
    """Return the rows of new tiers, as far as nothing else of them changes later."""
    tiers = {tier.tier_no: tier for tier in record.tiers}
    return [
        (
            name.tier_no,
            name.tier_id,
            name.name,
            tiers[name.tier_no].capacity,
            bool(tiers[name.tier_no].is_hidden),
            f"t{name.tier_no}t" in record.after_end,
        )
        for name in record.names
        if name.tier_no in tiers
    ]


def _terms(tier: Tier) -> tuple[object, ...]:
    return (
        tier.tier_no,
        tier.price_minor,
        tier.order_max,
        tier.order_min,
        tier.person_max,
        moment(tier.opens_at_ms) if tier.opens_at_ms else None,
        moment(tier.closes_at_ms) if tier.closes_at_ms else None,
    )


def _promo(promo: Promo) -> tuple[object, ...]:
    return promo.code, promo.uses_max, promo.percent, promo.amount_minor, promo.tier_nos
