"""
What of an event may still change once it is on sale: from what is asked to a command of the script.

Orders from then on are meant: who has booked or holds places keeps what was shown. What people
count on stays: currency, seats, whether a tier is hidden or sells after the end, what a promo code
takes off. Of a draft the same is changed, in PostgreSQL alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from engine.commands import Amend, Promo, TierAmendment
from engine.ids import new_id
from engine.records import Amended, Tier, TierName
from engine.records import Promo as PromoRecord
from store import events
from store.changes import Times
from usecases.asked import EventChange, Money, NewPromo, NewTier, PromoChange, TierChange
from usecases.denials import invalid
from usecases.drafts import promo_of, with_rules
from usecases.labels import as_read, require_distinct
from usecases.moments import in_utc, ms_of, over_at

#: Tiers, and promo codes, that an event may have.
ROWS_MAX = 100


def wanted(
    event: events.Event,
    draft: events.Draft,
    asked: EventChange,
    capacities: Mapping[int, int],
    pools: Mapping[int, int],
    times: Times | None,
) -> Amend:
    """
    Return what is to change of a sale, but for what PostgreSQL has alone.

    Args:
        event: As it is sold now; *draft* has its tiers and promo codes.

        capacities: Those wanted, by tier_no, perhaps of tiers that were not asked about;
            *pools* by the number of the pool.

        times: Those wanted; None if they stay.

    Raises:
        Denied: something does not fit; the first that does not is named.
    """
    sale: dict[str, int] = {}
    opens_at, closes_at = event.sale_opens_at, event.sale_closes_at
    over = over_at(event.starts_at, event.ends_at)
    if times is not None:
        over = over_at(times.starts_at, times.ends_at)
        opens_at, closes_at = times.sale_opens_at, times.sale_closes_at
    if asked.starts_at is not None or asked.ends_at is not None:
        sale["ends_at_ms"] = ms_of(over)
    if opens_at != event.sale_opens_at:
        sale["opens_at_ms"] = ms_of(opens_at)
    if asked.sale_closes_at is not None:
        closes_at = in_utc("sale_closes_at", asked.sale_closes_at)
    if closes_at != event.sale_closes_at:
        sale["closes_at_ms"] = ms_of(closes_at)
    if asked.max_per_user is not None:
        sale["person_max"] = asked.max_per_user
    if not isinstance(asked.offer_ttl_s, msgspec.UnsetType):
        sale["offer_ttl_ms"] = (asked.offer_ttl_s or 0) * 1000
    changed = _tiers(draft, asked.tiers, capacities, (opens_at, closes_at))
    known = {tier.tier_no for tier in changed}
    changed += [TierAmendment(no, size) for no, size in capacities.items() if no not in known]
    new = _new_tiers(draft, asked.add_tiers, opens_at, closes_at, over)
    promos = _promos(draft, asked, [*draft.tiers, *new])
    tiers = (*changed, *map(_added, new))
    return Amend(event.id, sale, tiers, promos, tuple(pools.items()))


def needs_script(command: Amend) -> bool:
    """Tell whether a command asks for more than capacities and another end of the sale."""
    return (
        bool(command.promos)
        or bool(command.sale.keys() - {"closes_at_ms"})
        or any(tier != TierAmendment(tier.tier_no, tier.capacity) for tier in command.tiers)
    )


def as_record(command: Amend, rows: Sequence[events.Tier]) -> Amended:
    """Return the record that the script would make of a command; for drafts, which have none."""
    known = {row.tier_no: row for row in rows}
    after_end = "".join(f"{tier.tier_no}t" for tier in command.tiers if tier.sells_after_end)
    return Amended(
        version=2,
        at_ms=0,
        event_id=command.event_id,
        opens_at_ms=command.sale.get("opens_at_ms", 0),
        person_max=command.sale.get("person_max", 0),
        offer_ttl_ms=command.sale.get("offer_ttl_ms", -1),
        after_end=after_end and f"t{after_end}",
        tiers=[_whole(tier, known.get(tier.tier_no)) for tier in command.tiers],
        promos=[
            PromoRecord(*promo[:-1], tier_nos=list(promo.tier_nos)) for promo in command.promos
        ],
        names=[tier.name for tier in command.tiers if tier.name is not None],
    )


def _whole(tier: TierAmendment, row: events.Tier | None) -> Tier:
    """Return a tier with what stays of it."""
    stays = tier if row is None else _added(row)

    def figure(name: str) -> int:
        asked = getattr(tier, name)
        return int(getattr(stays, name) if asked is None else asked)

    return Tier(*map(figure, Tier.__struct_fields__))


def _added(row: events.Tier) -> TierAmendment:
    """Return a tier with all its figures, as the script takes a new one."""
    return TierAmendment(
        row.tier_no,
        row.capacity,
        row.price_minor,
        row.order_max,
        row.order_min,
        row.person_max,
        ms_of(row.sale_opens_at) if row.sale_opens_at else 0,
        ms_of(row.sale_closes_at) if row.sale_closes_at else 0,
        row.is_hidden,
        row.sells_after_end,
        TierName(row.tier_no, row.id, row.name),
    )


def _tiers(
    draft: events.Draft,
    asked: Sequence[TierChange],
    capacities: Mapping[int, int],
    sale: tuple[dt.datetime, dt.datetime],
) -> list[TierAmendment]:
    rows = {row.id: row for row in draft.tiers}
    return [
        _tier(f"/tiers/{index}", rows[change.id], change, draft.event.currency, sale)._replace(
            capacity=capacities.get(rows[change.id].tier_no)
        )
        for index, change in enumerate(asked)
    ]


def _tier(
    at: str,
    row: events.Tier,
    change: TierChange,
    currency: str,
    sale: tuple[dt.datetime, dt.datetime],
) -> TierAmendment:
    """Return what is to change of one tier; deny what does not fit to what stays."""
    _require_currency(at, change.price, currency)
    order_max = change.max_per_order or row.order_max
    order_min = change.min_per_order or max(1, row.order_min)
    if order_min > order_max:
        name = "max_per_order" if change.min_per_order is None else "min_per_order"
        raise invalid(f"{at}/{name}", "leaves no order: the least is above the most")
    if change.max_per_user is not None:
        if not row.person_max:
            raise invalid(f"{at}/max_per_user", "is new: nobody has counted what people have")
        if change.max_per_user < order_min:
            raise invalid(f"{at}/max_per_user", "is below min_per_order")
    opens = _moment(f"{at[1:]}/sale_opens_at", change.sale_opens_at, row.sale_opens_at)
    closes = _moment(f"{at[1:]}/sale_closes_at", change.sale_closes_at, row.sale_closes_at)
    is_moved = (opens, closes) != (row.sale_opens_at, row.sale_closes_at)
    if is_moved and not sale[0] <= (opens or sale[0]) < (closes or sale[1]) <= sale[1]:
        is_end = not isinstance(change.sale_closes_at, msgspec.UnsetType)
        name = "sale_closes_at" if is_end else "sale_opens_at"
        raise invalid(f"{at}/{name}", "is not within the sale of the event and tier")
    return TierAmendment(
        row.tier_no,
        price_minor=None if change.price is None else change.price.amount,
        order_max=change.max_per_order,
        order_min=None if change.min_per_order is None else order_min * (order_min > 1),
        person_max=change.max_per_user,
        opens_at_ms=None
        if isinstance(change.sale_opens_at, msgspec.UnsetType)
        else (opens and ms_of(opens)) or 0,
        closes_at_ms=None
        if isinstance(change.sale_closes_at, msgspec.UnsetType)
        else (closes and ms_of(closes)) or 0,
    )


def _moment(
    name: str, asked: dt.datetime | msgspec.UnsetType | None, now: dt.datetime | None
) -> dt.datetime | None:
    """Return a moment that may be asked for, taken away, or stay."""
    if isinstance(asked, msgspec.UnsetType):
        return now
    return asked and in_utc(name, asked)


def _require_currency(at: str, price: Money | None, currency: str) -> None:
    if price is not None and price.currency != currency:
        raise invalid(f"{at}/price/currency", f"must be {currency}, as the event's")


def _new_tiers(
    draft: events.Draft,
    asked: Sequence[NewTier],
    opens_at: dt.datetime,
    closes_at: dt.datetime,
    over: dt.datetime,
) -> list[events.Tier]:
    """Return the rows of tiers that are added, numbered behind those that are there."""
    names, new = {as_read(row.name) for row in draft.tiers}, []
    require_distinct(((f"/add_tiers/{n}/name", one.name) for n, one in enumerate(asked)), names)
    for number, tier in enumerate(asked):
        at = f"/add_tiers/{number}"
        if len(draft.tiers) + number >= ROWS_MAX:
            raise invalid(at, f"is one too many: an event has {ROWS_MAX} tiers at most")
        _require_currency(at, tier.price, draft.event.currency)
        if tier.capacity is None:
            raise invalid(f"{at}/capacity", "is required: a tier that is added has no seats")
        row = events.Tier(
            draft.event.id,
            len(draft.tiers) + number + 1,
            new_id("tier"),
            tier.name,
            tier.price.amount,
            tier.capacity,
            tier.max_per_order,
        )
        ends = closes_at if tier.sells_after_end else min(closes_at, over)
        new.append(with_rules(at, row, tier, opens_at, ends))
    return new


def _promos(
    draft: events.Draft, asked: EventChange, tiers: Sequence[events.Tier]
) -> tuple[Promo, ...]:
    """Return the promo codes that are new or may be used another number of times."""
    known = {promo.code: promo for promo in draft.promos}
    names: dict[str | int, int] = {tier.tier_no - 1: tier.tier_no for tier in tiers}
    names |= {tier.name: tier.tier_no for tier in reversed(tiers)}
    hidden = {tier.tier_no for tier in tiers if tier.is_hidden}
    promos: dict[str, Promo] = {}
    for number, change in enumerate(asked.promo_codes):
        at, code = f"/promo_codes/{number}", change.code
        if code in promos:
            raise invalid(f"{at}/code", "stands there already")
        promos[code] = Promo(*_promo(at, change, known.get(code), names, hidden))
    if len(known.keys() | promos.keys()) > ROWS_MAX:
        raise invalid("/promo_codes", f"are too many: an event has {ROWS_MAX} at most")
    unlocked = {no for promo in promos.values() for no in promo.tier_nos if promo.uses_max}
    for tier in tiers[len(draft.tiers) :]:
        if tier.is_hidden and tier.tier_no not in unlocked:
            at = f"/add_tiers/{tier.tier_no - len(draft.tiers) - 1}/is_hidden"
            raise invalid(at, "needs a promo code that names the tier")
    return tuple(promos.values())


def _promo(
    at: str,
    change: PromoChange,
    known: events.Promo | None,
    names: Mapping[str | int, int],
    hidden: set[int],
) -> events.Promo:
    terms = (change.percent_off, change.amount_off, *change.tiers)
    if known is not None:
        if any(term is not None for term in terms):
            raise invalid(f"{at}/code", "is there, and its terms stay: change uses_max alone")
        return known._replace(uses_max=change.uses_max)
    if not change.uses_max:
        raise invalid(f"{at}/uses_max", "is 0, and there is no such code to stop")
    new = NewPromo(
        code=change.code,
        percent_off=change.percent_off,
        amount_off=change.amount_off,
        tiers=change.tiers,
        uses_max=change.uses_max,
    )
    return promo_of(at, new, names, hidden)
