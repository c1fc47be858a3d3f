"""Drafts: from what an organizer asks for to the rows of an event that is not on sale yet."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.pools import Pool, write
from engine.seats import ACCESSIBLE, AISLE, RESTRICTED_VIEW, SECTION_SEATS_MAX
from store import events, organizers, tenants
from store.seats import Section
from store.tenants import Connection
from usecases import acts, rights, told
from usecases.asked import NewEvent, NewPromo, NewRow, NewSeat, NewSection, NewTier
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.events import as_loaded, not_its_seats, seats_of_tiers, view_of
from usecases.labels import require_distinct
from usecases.moments import in_utc as _utc
from usecases.moments import over_at
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

#: What is wrong with a tier that is larger than what it shares.
ABOVE_POOL = "is above that of its pool"


@as_value
async def create(services: Services, person: Principal, asked: NewEvent) -> told.Event:
    """Make a draft of the one organizer that the person makes events for."""
    return await _create(services, person, await organizer_of(services, person, Act.CREATE), asked)


@as_value
async def create_of(
    services: Services, person: Principal, organizer_id: str, asked: NewEvent
) -> told.Event:
    """Make a draft of an organizer."""
    whose = await organizer_of(services, person, Act.CREATE, named=organizer_id)
    return await _create(services, person, whose, asked)


async def _create(
    services: Services, person: Principal, organizer_id: str, asked: NewEvent
) -> told.Event:
    draft = rows_of(asked, organizer_id, shards_of(services))
    await add(services, person, organizer_id, [draft])
    return await view_of(services, draft.event)


async def organizer_of(
    services: Services, person: Principal, *wanted: Act, named: str | None = None
) -> str:
    """
    Return the organizer for which a person does some acts: the one named, or else the only one.

    Raises:
        Denied: it is not there for the person, who may not do them, or there are none or several.
    """
    standing = await services.standings.of(person)
    if named is None:
        found = [
            one for one in standing.places if all(rights.may(standing, act, one) for act in wanted)
        ]
        if len(found) == 1:
            return found[0]
        what = "several organizers: name one" if found else "no organizer"
        raise Denied(Why.FORBIDDEN, detail=f"The account does this for {what}.")
    for act in wanted:
        rights.judge(standing, act, named)
    if named not in standing.places:  # An admin may name any, also one that there is not.
        async with tenants.rows_of(services.pools.organizers, named) as connection:
            if await organizers.by_id(connection, named) is None:
                raise not_found()
    return named


async def add(
    services: Services, person: Principal, organizer_id: str, drafts: Sequence[events.Draft]
) -> None:
    """Add drafts of an organizer that a person makes: all of them or none."""
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        await events.add(connection, drafts)
        await note_made(connection, person, drafts)


async def note_made(
    connection: Connection, person: Principal, drafts: Sequence[events.Draft]
) -> None:
    """Note that a person has made some drafts, within the transaction that adds them."""
    for event, tiers, _, _ in drafts:
        made = {
            "name": event.name,
            "starts_at": event.starts_at,
            "tiers": {tier.id: tier.capacity for tier in tiers},
        }
        await acts.note(connection, person, "event.create", event.id, after=made)


def shards_of(services: Services) -> Sequence[int]:
    """Return the shards that new events are spread over."""
    shards = services.engine.shards_for_events
    if not shards:
        raise ShardRecovering
    return shards


def rows_of(asked: NewEvent, organizer_id: str, shards: Sequence[int]) -> events.Draft:
    """Turn what an organizer asks for into rows; raise the problem of the first bad field."""
    sections = _sections(asked)
    pools = _pools(asked)
    places = _capacities(asked, sections, pools)
    event, tiers = _draft(asked, places, organizer_id, shards)
    event = event._replace(
        pools=write(pools), pool_names="\n".join(pool.name for pool in asked.pools)
    )
    _require_labels(asked)
    rows = [section._replace(event_id=event.id) for section in sections]
    return events.Draft(event, tiers, rows, _promos(asked))


def _require_labels(body: NewEvent) -> None:
    """Deny names that people could not tell apart: of tiers, sections, rows, and a row's seats."""
    require_distinct((f"/tiers/{n}/name", tier.name) for n, tier in enumerate(body.tiers))
    require_distinct((f"/pools/{n}/name", pool.name) for n, pool in enumerate(body.pools))
    require_distinct((f"/sections/{n}/name", one.name) for n, one in enumerate(body.sections))
    # Section and row are read together: row A 1 of Stalls is not row 1 of Stalls A as well.
    rows: set[str] = set()
    for n, section in enumerate(body.sections):
        require_distinct(
            (
                (f"/sections/{n}/rows/{number}/name", f"{section.name} {row.name}")
                for number, row in enumerate(section.rows)
            ),
            rows,
        )


def _draft(
    body: NewEvent, places: list[int], organizer_id: str, shards: Sequence[int]
) -> tuple[events.Event, list[events.Tier]]:
    """Turn a valid request into rows; raise the problem of the first field that is not."""
    zone_name(body.timezone)
    now = dt.datetime.now(dt.UTC)
    starts_at, ends_at, opens_at, closes_at = _times(body, now)
    currency = body.tiers[0].price.currency
    event_id = new_id("evt")
    tiers = []
    for number, tier in enumerate(body.tiers, start=1):
        if tier.price.currency != currency:
            raise invalid(f"/tiers/{number - 1}/price/currency", f"must be {currency} as well")
        row = events.Tier(
            event_id,
            number,
            new_id("tier"),
            tier.name,
            tier.price.amount,
            places[number - 1],
            tier.max_per_order,
        )
        over = closes_at if tier.sells_after_end else over_at(starts_at, ends_at)
        tiers.append(with_rules(f"/tiers/{number - 1}", row, tier, opens_at, min(closes_at, over)))
    event = events.Event(
        id=event_id,
        organizer_id=organizer_id,
        shard=shard_of(event_id, shards),
        status="draft",
        name=body.name,
        description=body.description,
        category=body.category,
        venue=body.venue,
        timezone=body.timezone,
        currency=currency,
        starts_at=starts_at,
        ends_at=ends_at,
        sale_opens_at=opens_at,
        sale_closes_at=closes_at,
        person_max=body.max_per_user,
        version=1,
        created_at=now,
        published_at=None,
        waitlist_policy=body.waitlist_policy,
        waitlist_patience_ms=body.waitlist_patience_s * 1000,
        transfers=body.transfers,
        offer_ttl_ms=(body.offer_ttl_s or 0) * 1000,
        slug=body.slug,
        summary=body.summary,
        image=body.image,
        image_alt=body.image_alt,
        address=body.address,
        place=body.place,
        doors_at=doors_before(starts_at, body.doors_at),
        access_notes=body.access_notes,
        languages=tags(body.languages),
    )
    return event, tiers


def zone_name(name: str) -> str:
    """Return the name of a time zone; deny one that there is not."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid("/timezone", "is not an IANA time zone") from error
    return name


def doors_before(starts_at: dt.datetime, doors_at: dt.datetime | None) -> dt.datetime | None:
    """Return when the doors open, in UTC; deny a time after the start."""
    if doors_at is None:
        return None
    doors_at = _utc("doors_at", doors_at)
    if doors_at > starts_at:
        raise invalid("/doors_at", "is after starts_at")
    return doors_at


def tags(languages: Iterable[str]) -> str:
    """Return tags of languages as a row has them, each once."""
    return " ".join(dict.fromkeys(languages))


def _times(
    body: NewEvent, now: dt.datetime
) -> tuple[dt.datetime, dt.datetime, dt.datetime, dt.datetime]:
    """Return the event's start and end, and its sale's; raise the problem of what was asked for."""
    starts_at = _utc("starts_at", body.starts_at)
    if starts_at <= now:
        raise invalid("/starts_at", "is not in the future")
    ends_at = _utc("ends_at", body.ends_at or starts_at)
    if ends_at < starts_at:
        raise invalid("/ends_at", "is before starts_at")
    opens_at = _utc("sale_opens_at", body.sale_opens_at or now)
    over = over_at(starts_at, ends_at)
    closes_at = max(starts_at, ends_at) if opens_at >= starts_at else starts_at
    if body.sale_closes_at is not None:
        closes_at = _utc("sale_closes_at", body.sale_closes_at)
        if closes_at <= opens_at:
            what = "after sale_opens_at" if body.sale_opens_at else "in the future"
            raise invalid("/sale_closes_at", f"is not {what}")
        if closes_at > over and not any(tier.sells_after_end for tier in body.tiers):
            raise invalid("/sale_closes_at", "is after the event's end")
    elif closes_at <= opens_at:
        raise invalid("/sale_opens_at", "is not before the event's start or end")
    return starts_at, ends_at, opens_at, closes_at


def with_rules(
    at: str, row: events.Tier, tier: NewTier, opens_at: dt.datetime, closes_at: dt.datetime
) -> events.Tier:
    """
    Add a tier's own rules to its row; the event is on sale from *opens_at* to *closes_at*.

    Args:
        at: Where the tier stands in what was asked, as a JSON pointer.
    """
    if tier.min_per_order > tier.max_per_order:
        raise invalid(f"{at}/min_per_order", "is above max_per_order")
    if tier.max_per_user is not None and tier.max_per_user < tier.min_per_order:
        raise invalid(f"{at}/max_per_user", "is below min_per_order")
    opens, closes = (
        moment and _utc(f"{at[1:]}/{name}", moment)
        for name, moment in (
            ("sale_opens_at", tier.sale_opens_at),
            ("sale_closes_at", tier.sale_closes_at),
        )
    )
    if opens is not None and not opens_at <= opens < closes_at:
        raise invalid(f"{at}/sale_opens_at", "is not within the sale of the event")
    if closes is not None and not (opens or opens_at) < closes <= closes_at:
        raise invalid(f"{at}/sale_closes_at", "is not within the sale of the event and tier")
    return row._replace(
        order_min=tier.min_per_order if tier.min_per_order > 1 else 0,
        person_max=tier.max_per_user or 0,
        sale_opens_at=opens,
        sale_closes_at=closes,
        is_hidden=tier.is_hidden,
        sells_after_end=tier.sells_after_end,
    )


def _promos(body: NewEvent) -> list[events.Promo]:
    """Turn promo codes into what is loaded; raise the problem of the first that is not valid."""
    names = _tier_nos(body)
    hidden = {number for number, tier in enumerate(body.tiers, start=1) if tier.is_hidden}
    promos: dict[str, events.Promo] = {}
    for number, promo in enumerate(body.promo_codes):
        at = f"/promo_codes/{number}"
        if promo.code in promos:
            raise invalid(f"{at}/code", "is there already")
        promos[promo.code] = promo_of(at, promo, names, hidden)
    for number in sorted(hidden.difference(*(promo.tier_nos for promo in promos.values()))):
        raise invalid(f"/tiers/{number - 1}/is_hidden", "needs a promo code that names the tier")
    return list(promos.values())


def _pools(body: NewEvent) -> list[Pool]:
    """Turn a draft's pools into what is loaded; raise the first problem."""
    names = _tier_nos(body)
    seated = {names.get(section.tier) for section in body.sections}
    seen: set[int] = set()
    pools = []
    for number, pool in enumerate(body.pools):
        tier_nos = []
        for place, name in enumerate(pool.tiers):
            tier_no, at = names.get(name), f"/pools/{number}/tiers/{place}"
            if tier_no is None:
                raise invalid(at, "is neither the name nor the index of a tier")
            if tier_no in seen:
                raise invalid(at, "stands in a pool already")
            if tier_no in seated:
                raise invalid(at, "has seats, which no other tier can share")
            seen.add(tier_no)
            tier_nos.append(tier_no)
        pools.append(Pool(pool.capacity, tuple(sorted(tier_nos))))
    return pools


def promo_of(
    at: str, promo: NewPromo, names: Mapping[str | int, int], hidden: Container[int]
) -> events.Promo:
    """
    Turn a promo code into what is loaded; raise the problem if it is not valid.

    Args:
        at: Where it stands in what was asked, as a JSON pointer.

        names: The number of each tier by what it may be called.

        hidden: Numbers of the hidden tiers.
    """
    for place, name in enumerate(promo.tiers):
        if name not in names:
            raise invalid(f"{at}/tiers/{place}", "is neither the name nor the index of a tier")
    tier_nos = tuple(sorted({names[name] for name in promo.tiers}))
    count = (promo.percent_off is not None) + (promo.amount_off is not None)
    if count > 1 or (count == 0 and not any(no in hidden for no in tier_nos)):
        raise invalid(at, "needs either percent_off or amount_off, or a hidden tier to unlock")
    return events.Promo(
        promo.code, promo.uses_max, promo.percent_off or 0, promo.amount_off or 0, tier_nos
    )


def _capacities(body: NewEvent, sections: Iterable[Section], pools: Iterable[Pool]) -> list[int]:
    """Return the capacity of each tier: what is given, or its number of seats, or its pool's."""
    seats = seats_of_tiers(map(as_loaded, sections))
    shared = {tier_no: pool.capacity for pool in pools for tier_no in pool.tier_nos}
    found = []
    for number, tier in enumerate(body.tiers):
        most = shared.get(number + 1)
        capacity = seats.get(number + 1, most if tier.capacity is None else tier.capacity)
        if capacity is None:
            raise invalid(f"/tiers/{number}/capacity", "is required where the tier has no seats")
        if most is not None and capacity > most:
            raise invalid(f"/tiers/{number}/capacity", ABOVE_POOL)
        if tier.capacity not in (None, capacity):
            raise invalid(f"/tiers/{number}/capacity", not_its_seats(capacity))
        found.append(capacity)
    return found


def _tier_nos(body: NewEvent) -> dict[str | int, int]:
    """Return the number of each tier by what a request may call it: its index or its name."""
    found: dict[str | int, int] = {}
    for number, tier in enumerate(body.tiers):
        found[number] = number + 1
        found.setdefault(tier.name, number + 1)
    return found


def _sections(body: NewEvent) -> list[Section]:
    """Turn a draft's sections into rows that still lack their event; raise the first problem."""
    tier_nos, sections = _tier_nos(body), []
    for number, section in enumerate(body.sections):
        pointer = f"/sections/{number}"
        tier_no = tier_nos.get(section.tier)
        if tier_no is None:
            raise invalid(f"{pointer}/tier", "is neither the name nor the index of a tier")
        sections.append(_section(pointer, number + 1, tier_no, section))
    return sections


def _section(pointer: str, section_no: int, tier_no: int, section: NewSection) -> Section:
    kinds = []
    rows: list[dict[str, Any]] = []
    counts = []
    for number, row in enumerate(section.rows):
        count = row.seats if isinstance(row.seats, int) else len(row.seats)
        counts.append(count)
        kinds.append(_kinds(row))
        rows.append(_row(f"{pointer}/rows/{number}", row))
    if sum(counts) > SECTION_SEATS_MAX:
        raise invalid(f"{pointer}/rows", f"have more than {SECTION_SEATS_MAX} seats")
    has_kinds = any(digit != "0" for text in kinds for digit in text)
    return Section(
        event_id="",
        section_no=section_no,
        tier_no=tier_no,
        name=section.name,
        row_seats=",".join(map(str, counts)),
        kinds="/".join(kinds) if has_kinds else "",
        rows=msgspec.json.encode(rows).decode(),
    )


def _kinds(row: NewRow) -> str:
    if isinstance(row.seats, int):
        return "0" * row.seats
    return "".join(map(str, map(_kind, row.seats)))


def _kind(seat: NewSeat) -> int:
    return (
        ACCESSIBLE * seat.accessible + RESTRICTED_VIEW * seat.restricted_view + AISLE * seat.aisle
    )


def _row(pointer: str, row: NewRow) -> dict[str, Any]:
    """Return what people need of a row: its name, and its labels if they are not 1, 2, 3, ..."""
    if isinstance(row.seats, int):
        return {"name": row.name}
    labels = [seat.label for seat in row.seats]
    require_distinct((f"{pointer}/seats/{n}/label", label) for n, label in enumerate(labels))
    return {"name": row.name, "labels": labels}


def shard_of(event_id: str, shards: Sequence[int]) -> int:
    """Choose an event's shard, once and for life."""
    return shards[int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest()) % len(shards)]
