"""Events: make, publish, list, read, and what is left of them."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Collection, Sequence
from hashlib import blake2b

import msgspec
from aiohttp import web

from api.catalog import Known
from api.http import (
    PRINCIPAL,
    answer,
    decode_cursor,
    encode_cursor,
    page_limit,
    query_moment,
    query_text,
    read_body,
)
from api.moments import moment_of, ms_of
from api.problems import Problem, invalid, not_found, refusal
from api.schemas import PROMO_CODE, Event, EventPage, Money, NewEvent, NewTier, Tier
from api.seating import as_loaded, capacities, draft_sections
from api.services import SERVICES, Services
from api.tokens import Principal
from engine.commands import Promo, Publish, TierStock
from engine.engine import ALL_TIERS
from engine.ids import is_id, new_id
from engine.outcomes import Refused
from store import events, seats

_NEW_EVENT = msgspec.json.Decoder(NewEvent)
#: Years that an event may lie in.
YEAR_MIN = 2000
YEAR_MAX = 2999
_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: What is told with a promo code, or to an organizer, is for nobody else.
PRIVATE = {"Cache-Control": "private, no-store"}
PUBLIC = {"Cache-Control": "public, max-age=1, stale-while-revalidate=5"}


async def create(request: web.Request) -> web.StreamResponse:
    """Make a draft."""
    body = await read_body(request, _NEW_EVENT)
    principal = request[PRINCIPAL]
    services = request.app[SERVICES]
    if principal.organizer_id is None:
        raise Problem(403, "forbidden", "The account belongs to no organizer.")
    sections = draft_sections(body)
    event, tiers = _draft(body, capacities(body, sections), principal.organizer_id, services.shards)
    rows = [section._replace(event_id=event.id) for section in sections]
    await events.add(services.pool, event, tiers, rows, _promos(body))
    made = await _load(services, event.id)
    return answer(made, status=201, headers={"Location": f"/v1/events/{event.id}"})


async def publish(request: web.Request) -> web.StreamResponse:
    """
    Load the event's stock; from its opening on it may be sold.

    May be repeated: the event is published once. Answers when PostgreSQL has it, too.
    """
    services = request.app[SERVICES]
    event = await _own_event(request)
    if event.status != "draft":
        # Capacities may have changed since: it is no longer what was published.
        return answer(await _load(services, event.id))
    tiers = (await events.tiers_of(services.pool, [event.id]))[event.id]
    sections = [as_loaded(row) for row in await seats.of_event(services.pool, event.id)]
    content = Publish(
        event_id=event.id,
        fingerprint="",
        opens_at_ms=ms_of(event.sale_opens_at),
        closes_at_ms=ms_of(event.sale_closes_at),
        person_max=event.person_max,
        tiers=tuple(map(_stock, tiers)),
        section_count=len(sections),
        promos=tuple(Promo(*promo) for promo in await events.promos_of(services.pool, event.id)),
    )
    for section in sections:
        refused = await services.engine.seat(event.shard, event.id, section)
        if refused is not None:
            raise refusal(refused)
    print_of = msgspec.json.encode((content, sections) if sections else content)
    fingerprint = blake2b(print_of, digest_size=8).hexdigest()
    outcome = await services.engine.publish(event.shard, content._replace(fingerprint=fingerprint))
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    await services.watermark.reach(
        shard=event.shard,
        epoch=outcome.epoch,
        seq=outcome.seq,
        timeout_ms=services.catch_up_timeout_ms,
    )
    body = await _load(services, event.id)
    if body.status == "draft":  # PostgreSQL is behind; the sale is on all the same.
        body = msgspec.structs.replace(
            body, status="published", published_at=moment_of(outcome.at_ms)
        )
    return answer(body)


async def listing(request: web.Request) -> web.StreamResponse:
    """List published events by start; filter by text, category and time."""
    services = request.app[SERVICES]
    limit = page_limit(request)
    found = await events.published(
        services.pool,
        after=decode_cursor(request, (_LONG_AGO, "")),
        text=query_text(request, "q"),
        category=query_text(request, "category"),
        starts_from=query_moment(request, "from"),
        starts_before=query_moment(request, "to"),
        limit=limit + 1,
    )
    page = found[:limit]
    tiers = await events.tiers_of(services.pool, [event.id for event in page])
    has_more = len(found) > limit
    body = EventPage(
        data=[_event(event, _shown(tiers.get(event.id, []))) for event in page],
        has_more=has_more,
        next_cursor=encode_cursor(page[-1].starts_at, page[-1].id) if has_more else None,
    )
    return answer(body, headers=PUBLIC)


async def read(request: web.Request) -> web.StreamResponse:
    """
    Read one event; a draft only by its organizer.

    Hidden tiers are shown to its organizer, and with `promo_code` those that the code unlocks.
    """
    services = request.app[SERVICES]
    event = await _find(services, request.match_info["event_id"])
    code = promo_code(request, event)
    if event.status == "draft" and code != ALL_TIERS:
        raise not_found()
    etag = f'"{event.version}-{event.status}"'
    if _matches(request.headers.getall("If-None-Match", ()), etag):
        return web.Response(status=304, headers={"ETag": etag})
    tiers = (await events.tiers_of(services.pool, [event.id])).get(event.id, [])
    if code != ALL_TIERS:
        promos = await events.promos_of(services.pool, event.id) if code else []
        tiers = _shown(tiers, {no for one in promos if one.code == code for no in one.tier_nos})
    cache = "private, no-cache" if code else "no-cache"
    return answer(_event(event, tiers), headers={"ETag": etag, "Cache-Control": cache})


def promo_code(request: web.Request, event: events.Event | Known) -> str:
    """Return what unlocks hidden tiers of *event* for the caller: a code, or being organizer."""
    if _is_own(request.get(PRINCIPAL), event):
        return ALL_TIERS
    code = query_text(request, "promo_code")
    if code is not None and re.fullmatch(PROMO_CODE, code) is None:
        raise invalid("/query/promo_code", "is not a promo code")
    return code.upper() if code else ""


def _matches(headers: Sequence[str], etag: str) -> bool:
    """Tell whether If-None-Match names *etag*; weakly, as RFC 9110 §13.1.2 has it."""
    names = [name.strip() for header in headers for name in header.split(",")]
    return "*" in names or etag in {name.removeprefix("W/") for name in names}


def _draft(
    body: NewEvent, places: list[int], organizer_id: str, shards: int
) -> tuple[events.Event, list[events.Tier]]:
    """Turn a valid request into rows; raise the problem of the first field that is not."""
    try:
        zoneinfo.ZoneInfo(body.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise invalid("/timezone", "is not an IANA time zone") from error
    now = dt.datetime.now(dt.UTC)
    starts_at = _utc("starts_at", body.starts_at)
    ends_at = _utc("ends_at", body.ends_at or starts_at)
    opens_at = _utc("sale_opens_at", body.sale_opens_at or now)
    closes_at = _utc("sale_closes_at", body.sale_closes_at or starts_at)
    if ends_at < starts_at:
        raise invalid("/ends_at", "is before starts_at")
    if closes_at <= opens_at:
        raise invalid("/sale_closes_at", "is not after sale_opens_at")
    for name in ("name", "description", "category", "venue"):
        if "\0" in getattr(body, name):
            raise invalid(f"/{name}", "must not contain NUL")
    currency = body.tiers[0].price.currency
    event_id = new_id("evt")
    tiers = []
    for number, tier in enumerate(body.tiers, start=1):
        if tier.price.currency != currency:
            raise invalid(f"/tiers/{number - 1}/price/currency", f"must be {currency} as well")
        if "\0" in tier.name:
            raise invalid(f"/tiers/{number - 1}/name", "must not contain NUL")
        row = events.Tier(
            event_id,
            number,
            new_id("tier"),
            tier.name,
            tier.price.amount,
            places[number - 1],
            tier.max_per_order,
        )
        tiers.append(_with_rules(row, tier, opens_at, closes_at))
    event = events.Event(
        id=event_id,
        organizer_id=organizer_id,
        shard=_shard_of(event_id, shards),
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
    )
    return event, tiers


def _with_rules(
    row: events.Tier, tier: NewTier, opens_at: dt.datetime, closes_at: dt.datetime
) -> events.Tier:
    """Add a tier's own rules to its row; the event is on sale from *opens_at* to *closes_at*."""
    at = f"tiers/{row.tier_no - 1}"
    if tier.min_per_order > tier.max_per_order:
        raise invalid(f"/{at}/min_per_order", "is above max_per_order")
    if tier.max_per_user is not None and tier.max_per_user < tier.min_per_order:
        raise invalid(f"/{at}/max_per_user", "is below min_per_order")
    opens, closes = (
        moment and _utc(f"{at}/{name}", moment)
        for name, moment in (
            ("sale_opens_at", tier.sale_opens_at),
            ("sale_closes_at", tier.sale_closes_at),
        )
    )
    if opens is not None and not opens_at <= opens < closes_at:
        raise invalid(f"/{at}/sale_opens_at", "is not within the sale of the event")
    if closes is not None and not (opens or opens_at) < closes <= closes_at:
        raise invalid(f"/{at}/sale_closes_at", "is not within the sale of the event and tier")
    return row._replace(
        order_min=tier.min_per_order if tier.min_per_order > 1 else 0,
        person_max=tier.max_per_user or 0,
        sale_opens_at=opens,
        sale_closes_at=closes,
        is_hidden=tier.is_hidden,
    )


def _promos(body: NewEvent) -> list[events.Promo]:
    """Turn promo codes into what is loaded; raise the problem of the first that is not valid."""
    names: dict[str | int, int] = {}
    for number, tier in enumerate(body.tiers):
        names[number] = number + 1
        names.setdefault(tier.name, number + 1)
    hidden = {number for number, tier in enumerate(body.tiers, start=1) if tier.is_hidden}
    promos: dict[str, events.Promo] = {}
    for number, promo in enumerate(body.promo_codes):
        at = f"/promo_codes/{number}"
        if promo.code in promos:
            raise invalid(f"{at}/code", "is there already")
        for place, name in enumerate(promo.tiers):
            if name not in names:
                raise invalid(f"{at}/tiers/{place}", "is neither the name nor the index of a tier")
        tier_nos = tuple(sorted({names[name] for name in promo.tiers}))
        count = (promo.percent_off is not None) + (promo.amount_off is not None)
        if count > 1 or (count == 0 and not hidden & set(tier_nos)):
            raise invalid(at, "needs either percent_off or amount_off, or a hidden tier to unlock")
        promos[promo.code] = events.Promo(
            promo.code, promo.uses_max, promo.percent_off or 0, promo.amount_off or 0, tier_nos
        )
    for number in sorted(hidden.difference(*(promo.tier_nos for promo in promos.values()))):
        raise invalid(f"/tiers/{number - 1}/is_hidden", "needs a promo code that names the tier")
    return list(promos.values())


def _stock(tier: events.Tier) -> TierStock:
    return TierStock(
        capacity=tier.capacity,
        price_minor=tier.price_minor,
        order_max=tier.order_max,
        order_min=tier.order_min,
        person_max=tier.person_max,
        opens_at_ms=ms_of(tier.sale_opens_at) if tier.sale_opens_at else 0,
        closes_at_ms=ms_of(tier.sale_closes_at) if tier.sale_closes_at else 0,
        is_hidden=tier.is_hidden,
    )


def _utc(name: str, moment: dt.datetime) -> dt.datetime:
    """Bring a time to UTC; the ends of the calendar have no other zone to be brought from."""
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise invalid(f"/{name}", "is out of range") from error
    if not YEAR_MIN <= utc.year <= YEAR_MAX:
        raise invalid(f"/{name}", f"must lie in the years {YEAR_MIN} to {YEAR_MAX}")
    return utc


def _shard_of(event_id: str, shards: int) -> int:
    """Choose an event's shard, once and for life."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest()) % shards


async def _find(services: Services, event_id: str) -> events.Event:
    event = await events.by_id(services.pool, event_id) if is_id("evt", event_id) else None
    if event is None:
        raise not_found()
    return event


async def _own_event(request: web.Request) -> events.Event:
    """Return the event of the path if the caller may change it; else 404, not 403 (S8)."""
    event = await _find(request.app[SERVICES], request.match_info["event_id"])
    if not _is_own(request[PRINCIPAL], event):
        raise not_found()
    return event


def _is_own(principal: Principal | None, event: events.Event | Known) -> bool:
    if principal is None:
        return False
    return principal.role == "admin" or (
        principal.role == "organizer" and principal.organizer_id == event.organizer_id
    )


async def _load(services: Services, event_id: str) -> Event:
    event = await _find(services, event_id)
    return _event(event, (await events.tiers_of(services.pool, [event_id]))[event_id])


def _shown(tiers: list[events.Tier], unlocked: Collection[int] = ()) -> list[events.Tier]:
    """Leave out the hidden tiers that are not unlocked."""
    return [tier for tier in tiers if not tier.is_hidden or tier.tier_no in unlocked]


def _event(event: events.Event, tiers: list[events.Tier]) -> Event:
    return Event(
        id=event.id,
        organizer_id=event.organizer_id,
        status=event.status,  # type: ignore[arg-type]  # The database's enum has the same values.
        name=event.name,
        description=event.description,
        category=event.category,
        venue=event.venue,
        timezone=event.timezone,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        sale_opens_at=event.sale_opens_at,
        sale_closes_at=event.sale_closes_at,
        max_per_user=event.person_max,
        version=event.version,
        created_at=event.created_at,
        published_at=event.published_at,
        waitlist_policy=event.waitlist_policy,  # type: ignore[arg-type]
        waitlist_patience_s=event.waitlist_patience_ms // 1000,
        tiers=[
            Tier(
                id=tier.id,
                name=tier.name,
                price=Money(tier.price_minor, event.currency),
                capacity=tier.capacity,
                max_per_order=tier.order_max,
                min_per_order=max(1, tier.order_min),
                max_per_user=tier.person_max or None,
                sale_opens_at=tier.sale_opens_at,
                sale_closes_at=tier.sale_closes_at,
                is_hidden=tier.is_hidden,
            )
            for tier in tiers
        ],
    )
