"""
Events of schema.org as JSON-LD: one object, an array, a `@graph`, or one object a line.

Reads what catalogues write, not what the vocabulary would allow: a place is an object or a name, an
address an object or a text, an offer one or several, a price a number or a text. Writes the same.
Nothing that an object names is fetched.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from store import events
from usecases.candidates import (
    TIER_NAME,
    Candidate,
    Defaults,
    ReadRows,
    Share,
    Unreadable,
    moment_of,
    pools_of,
    price_of,
    price_text,
    shares_of,
    source_id_of,
    zone_of,
)
from usecases.plain import one_line, plain

DESCRIPTION_CHARS_MAX = 10_000
#: Types of events whose names do not say so.
_EVENTS = frozenset(["Festival", "Hackathon", "CourseInstance", "EventSeries"])
_STATES = {"EventCancelled": "is cancelled", "EventPostponed": "is postponed without a new date"}
NAMES = {
    "name": "name",
    "summary": "disambiguatingDescription",
    "description": "description",
    "category": "keywords",
    "venue": "location.name",
    "address": "location.address",
    "place": "location.address.addressLocality",
    "timezone": "eventSchedule.scheduleTimezone",
    "starts_at": "startDate",
    "ends_at": "endDate",
    "doors_at": "doorTime",
    "sale_opens_at": "offers.validFrom",
    "sale_closes_at": "offers.validThrough",
    "image": "image",
    "image_alt": "image.caption",
    "languages": "inLanguage",
    "tiers": "offers",
    "tiers/name": "offers.name",
    "tiers/price": "offers.price",
    "tiers/price/currency": "offers.priceCurrency",
    "tiers/capacity": "offers.inventoryLevel",
    "tiers/pool": "offers.additionalProperty.value",
    "tiers/pool_capacity": "offers.additionalProperty.maxValue",
    "pools": "offers.additionalProperty.value",
    "pools/capacity": "offers.additionalProperty.maxValue",
}
#: Of the property of an offer that says which places it shares with others; schema.org has no word
#: for it. Its value is the pool's name, its `maxValue` how many places that has.
POOL = "evently:pool"


class _Graph(msgspec.Struct):
    graph: list[msgspec.Raw] = msgspec.field(name="@graph")


def read_lines(content: bytes, defaults: Defaults) -> ReadRows:
    """Read one object a line; a line that is none is refused, and the next is read."""
    lines = [(row, line) for row, line in enumerate(content.splitlines(), 1) if line.strip()]
    return ReadRows(len(lines), _candidates(lines, defaults))


def read_document(content: bytes, defaults: Defaults) -> ReadRows:
    """Read one object, an array of them, or an object with a `@graph` of them."""
    parts: list[msgspec.Raw]
    try:
        if content.lstrip()[:1] == b"[":
            parts = msgspec.json.decode(content, type=list[msgspec.Raw])
        else:
            try:
                parts = msgspec.json.decode(content, type=_Graph).graph
            except msgspec.ValidationError:
                parts = [msgspec.json.decode(content, type=msgspec.Raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(1, "", f"the file is not JSON: {error}") from error
    rows = [(row, bytes(part)) for row, part in enumerate(parts, 1)]
    return ReadRows(len(rows), _candidates(rows, defaults))


def _candidates(rows: Sequence[tuple[int, bytes]], defaults: Defaults) -> Iterator[Candidate]:
    for row, raw in rows:
        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Candidate(row, faults=[("", f"is not JSON: {error}")], names=NAMES)
            continue
        if not isinstance(found, dict):
            yield Candidate(row, faults=[("", "is no object")], names=NAMES)
        elif _is_event(found):
            yield _candidate(row, found, defaults)


def _is_event(found: dict[str, Any]) -> bool:
    kinds = [kind.rpartition("/")[2] for kind in _list(found.get("@type")) if isinstance(kind, str)]
    return any(kind.endswith("Event") or kind in _EVENTS for kind in kinds)


def _candidate(row: int, found: dict[str, Any], defaults: Defaults) -> Candidate:
    one = Candidate(row, names=NAMES)
    state = _text(found.get("eventStatus")).rpartition("/")[2]
    if state in _STATES:
        one.faults.append(("eventStatus", _STATES[state]))
    schedule = _object(found.get("eventSchedule"))
    name = _text(schedule.get("scheduleTimezone")) or defaults.timezone
    zone = zone_of(one, NAMES["timezone"], name)

    def moment(value: object, prop: str) -> dt.datetime | None:
        return moment_of(one, prop, value, zone, defaults.weeks_later)

    place = _object(found.get("location"))
    venue = one_line(_text(place.get("name") or found.get("location")))
    address, town = _address(place.get("address"))
    image = next(iter(_list(found.get("image"))), None)
    offers, is_free = _offers(found.get("offers")), found.get("isAccessibleForFree") is True
    members = {
        "name": one_line(_text(found.get("name"))),
        "description": _cut(one, plain(_text(found.get("description")))),
        "summary": one_line(_text(found.get("disambiguatingDescription"))),
        "category": next(iter(_keywords(found.get("keywords"))), ""),
        "venue": venue,
        "address": address,
        "place": town,
        "image": _url(image),
        "image_alt": one_line(_text(_object(image).get("caption"))),
        "languages": [
            _text(_object(tag).get("alternateName") or tag)
            for tag in _list(found.get("inLanguage"))
        ],
        "timezone": name,
        "starts_at": moment(found.get("startDate"), "startDate"),
        "ends_at": moment(found.get("endDate"), "endDate"),
        "doors_at": moment(found.get("doorTime"), "doorTime"),
    } | _tiers(one, offers, found, is_free, defaults)
    if len(offers) == 1:  # Of several, each has a window of its own, which the event's must span.
        members["sale_opens_at"] = moment(offers[0].get("validFrom"), "offers.validFrom")
        members["sale_closes_at"] = moment(offers[0].get("validThrough"), "offers.validThrough")
    if found.get("startDate") in (None, ""):
        one.faults.append(("startDate", "is missing"))
    one.members = {key: value for key, value in members.items() if value not in (None, "", [])}
    identifier = found.get("identifier")
    own_id = _object(identifier).get("value") or identifier or found.get("@id") or found.get("url")
    one.source_id = source_id_of(own_id, found.get("name"), found.get("startDate"), venue)
    return one


def _tiers(
    one: Candidate,
    offers: Sequence[dict[str, Any]],
    found: dict[str, Any],
    is_free: bool,
    defaults: Defaults,
) -> dict[str, list[dict[str, Any]]]:
    """Return the tiers that the offers are, and their pools; a free event without any has one."""
    priced = [offer for offer in offers if offer.get("price") not in (None, "")]
    if not priced and not is_free:
        one.faults.append(
            (NAMES["tiers/price"], "is missing, and the event is not said to be free")
        )
        return {}
    tiers: list[dict[str, Any]] = []
    shares: list[Share | None] = []
    for number, offer in enumerate(priced or [{"price": 0} | (offers[0] if offers else {})], 1):
        given = offer.get("price")
        currency = _text(offer.get("priceCurrency")).strip().upper() or defaults.currency
        price = price_of(one, NAMES["tiers/price"], given if priced else 0, currency)
        places, share = _count(offer.get("inventoryLevel")), _share(one, offer)
        shares.append(share)
        if places is None and len(priced) < 2:
            places = _count(found.get("maximumAttendeeCapacity"))
        if places is None and share is None:
            places = defaults.capacity
        if places is None and share is None:
            one.faults.append((NAMES["tiers/capacity"], "is missing: how many places there are"))
        name = one_line(_text(offer.get("name"))) or TIER_NAME
        tier = {"name": name if len(priced) < 2 or name != TIER_NAME else f"{TIER_NAME} {number}"}
        tiers.append(tier | {"price": {"amount": price, "currency": currency}, "capacity": places})
    return {"tiers": tiers, "pools": pools_of(one, shares, defaults.capacity)}


def _share(one: Candidate, offer: dict[str, Any]) -> Share | None:
    """Return what an offer says of the places that it shares with others; None: it has its own."""
    for said in map(_object, _list(offer.get("additionalProperty"))):
        if _text(said.get("propertyID")) == POOL:
            name, given = one_line(_text(said.get("value"))), said.get("maxValue")
            capacity = _count(given)
            if not name:
                one.faults.append((NAMES["tiers/pool"], "is no name of a pool"))
                return None
            if given is not None and capacity is None:
                what = f"is no number: {str(given)[:60]}"
                one.faults.append((NAMES["tiers/pool_capacity"], what))
            return Share(name, capacity)
    return None


def _offers(value: object, *, is_inner: bool = False) -> list[dict[str, Any]]:
    """Return offers as objects with a price, those of an aggregate one by one."""
    found: list[dict[str, Any]] = []
    for offer in map(_object, _list(value)):
        inner = [] if is_inner else _offers(offer.get("offers"), is_inner=True)
        specified = _object(next(iter(_list(offer.get("priceSpecification"))), None))
        both = {name: specified[name] for name in ("price", "priceCurrency") if name in specified}
        if inner:
            shared = {"priceCurrency": offer.get("priceCurrency")}
            found += [shared | one for one in inner]
        elif offer:
            low = {"price": offer["lowPrice"]} if "lowPrice" in offer else {}
            found.append(low | both | offer)
    return found


def _address(value: object) -> tuple[str, str]:
    """Return an address in lines, and its town."""
    if isinstance(value, str):
        return plain(value), ""
    parts = _object(value)
    street = plain(_text(parts.get("streetAddress")))
    town = one_line(_text(parts.get("addressLocality")))
    country = parts.get("addressCountry")
    rest = [town, *(one_line(_text(parts.get(key))) for key in ("addressRegion", "postalCode"))]
    # A street that has the town in it is an address in itself, as the ones are that we write.
    line = "" if town and town in street else " ".join(part for part in rest if part)
    land = one_line(_text(_object(country).get("name") or country))
    return "\n".join(part for part in (street, line, land) if part), town


def _keywords(value: object) -> list[str]:
    words = value.split(",") if isinstance(value, str) else _list(value)
    lines = (one_line(_text(_object(word).get("name") or word)) for word in words)
    return [line for line in lines if line]


def _cut(one: Candidate, text: str) -> str:
    if len(text) <= DESCRIPTION_CHARS_MAX:
        return text
    one.notes.append(("description", f"is cut after {DESCRIPTION_CHARS_MAX} characters"))
    return text[: DESCRIPTION_CHARS_MAX - 1] + "…"


def _count(value: object) -> int | None:
    """Return a number of places; None if none is told."""
    value = _object(value).get("value", value)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _url(value: object) -> str:
    found = _object(value)
    return _text(found.get("url") or found.get("contentUrl") or value).strip()


def _text(value: object) -> str:
    """Return a text, also of an object with a language; "" of anything else."""
    if isinstance(value, dict):
        value = value.get("@value")
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, Any]:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


class _Times(NamedTuple):
    starts_at: str
    ends_at: str | None
    doors_at: str | None


def written(event: events.Event, tiers: Sequence[events.Tier]) -> dict[str, Any]:
    """Return an event as an object of schema.org; what is hidden is not told."""
    times = _times(event)
    place = {
        "@type": "PostalAddress",
        "streetAddress": event.address,
        "addressLocality": event.place,
    }
    state = "EventCancelled" if event.status == "cancelled" else "EventScheduled"
    object_ = {
        "@context": "https://schema.org",
        "@type": "Event",
        "identifier": event.source_id or event.id,
        "name": event.name,
        "disambiguatingDescription": event.summary,
        "description": event.description,
        "keywords": [event.category] if event.category else [],
        "image": {"@type": "ImageObject", "url": event.image, "caption": event.image_alt}
        if event.image
        else None,
        "inLanguage": event.languages.split(),
        "eventStatus": f"https://schema.org/{state}",
        "eventSchedule": {"@type": "Schedule", "scheduleTimezone": event.timezone},
        "startDate": times.starts_at,
        "endDate": times.ends_at,
        "doorTime": times.doors_at,
        "location": {
            "@type": "Place",
            "name": event.venue,
            "address": {key: value for key, value in place.items() if value},
        },
        "offers": _written_offers(event, tiers),
    }
    return {key: value for key, value in object_.items() if value not in (None, "", [])}


def _written_offers(event: events.Event, tiers: Sequence[events.Tier]) -> list[dict[str, Any]]:
    """Return the tiers that are not hidden; of a pool nothing if but one of its tiers is told."""
    told = [tier for tier in tiers if not tier.is_hidden]
    shares = shares_of(event)
    counts = Counter(shares[tier.tier_no].name for tier in told if tier.tier_no in shares)
    offers = []
    for tier in told:
        offer = {
            "@type": "Offer",
            "name": tier.name,
            "price": price_text(tier.price_minor, event.currency),
            "priceCurrency": event.currency,
            "inventoryLevel": {"@type": "QuantitativeValue", "value": tier.capacity},
        }
        share = shares.get(tier.tier_no)
        if share is not None and counts[share.name] > 1:
            offer["additionalProperty"] = {
                "@type": "PropertyValue",
                "propertyID": POOL,
                "value": share.name,
                "maxValue": share.capacity,
            }
        offers.append(offer)
    return offers


def _times(event: events.Event) -> _Times:
    """Return an event's times with the offset that its venue has then."""
    try:
        zone: dt.tzinfo = zoneinfo.ZoneInfo(event.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zone = dt.UTC

    def text(moment: dt.datetime) -> str:
        return moment.astimezone(zone).isoformat()

    return _Times(
        text(event.starts_at),
        text(event.ends_at) if event.ends_at > event.starts_at else None,
        text(event.doors_at) if event.doors_at else None,
    )
