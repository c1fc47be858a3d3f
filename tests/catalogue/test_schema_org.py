"""Events of schema.org: what catalogues write is read, and what cannot be sold is named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from usecases import schema_org
from usecases.candidates import Candidate, Defaults, Unreadable, draft_of

ORGANIZER = "org_00000000000000000000000000"
DEFAULTS = Defaults(timezone="America/Toronto", capacity=100, currency="CAD")
START = (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).replace(microsecond=0)


def event(**fields: Any) -> dict[str, Any]:
    """Make an object that can be sold."""
    return {
        "@context": "https://schema.org",
        "@type": "Event",
        "name": "Concert",
        "startDate": START.isoformat(),
        "offers": {"@type": "Offer", "price": 15, "priceCurrency": "CAD"},
    } | fields


def read(*found: Any, defaults: Defaults = DEFAULTS) -> list[Candidate]:
    """Read objects as lines."""
    content = b"\n".join(msgspec.json.encode(one) for one in found)
    return list(schema_org.read_lines(content, defaults).candidates)


def one(found: dict[str, Any], defaults: Defaults = DEFAULTS) -> Candidate:
    """Read one object."""
    [candidate] = read(found, defaults=defaults)
    return candidate


def faults(found: dict[str, Any], defaults: Defaults = DEFAULTS) -> list[tuple[str, str]]:
    """Return what is wrong with an object, if it is to be sold."""
    candidate = one(found, defaults)
    draft_of(candidate, ORGANIZER, [0])
    return candidate.faults


def fields_of(candidates: Iterable[tuple[str, str]]) -> list[str]:
    """Return the fields that are named."""
    return [name for name, _ in candidates]


def test_all_that_is_told_is_taken() -> None:
    """Each member of an event comes from where catalogues have it."""
    found = event(
        identifier="abc-1",
        name="R&amp;B <b>Night</b>\n2027",
        description="<p>Doors &amp; bar</p><p>All night</p>",
        disambiguatingDescription="Short",
        endDate=(START + dt.timedelta(hours=3)).isoformat(),
        doorTime=(START - dt.timedelta(hours=1)).isoformat(),
        keywords="Music, Soul",
        inLanguage=["en", {"@type": "Language", "name": "French", "alternateName": "fr-ca"}],
        image=[{"@type": "ImageObject", "url": "https://example.org/x.jpg", "caption": "A stage"}],
        location={
            "@type": "Place",
            "name": "Hall",
            "address": {
                "@type": "PostalAddress",
                "streetAddress": "814 Bloor St W",
                "addressLocality": "Toronto",
                "addressRegion": "ON",
                "postalCode": "M6G 1L9",
                "addressCountry": "CA",
            },
        },
        offers=[
            {"@type": "Offer", "name": "Stalls", "price": "57.85", "inventoryLevel": {"value": 40}},
            {"@type": "Offer", "name": "Free", "price": 0, "priceCurrency": "cad"},
        ],
    )
    made = draft_of(one(found), ORGANIZER, [0])
    assert made is not None
    own, tiers = made[1].event, made[1].tiers
    assert "R&B Night 2027" == own.name
    assert "Doors & bar\n\nAll night" == own.description
    assert ("Short", "Music", "Hall", "Toronto") == (
        own.summary,
        own.category,
        own.venue,
        own.place,
    )
    assert "814 Bloor St W\nToronto ON M6G 1L9\nCA" == own.address
    assert ("https://example.org/x.jpg", "A stage", "en fr-CA") == (
        own.image,
        own.image_alt,
        own.languages,
    )
    assert (START, dt.timedelta(hours=3)) == (own.starts_at, own.ends_at - own.starts_at)
    assert START - dt.timedelta(hours=1) == own.doors_at
    assert ("abc-1", "America/Toronto", "CAD") == (own.source_id, own.timezone, own.currency)
    assert [("Stalls", 5785, 40), ("Free", 0, 100)] == [
        (tier.name, tier.price_minor, tier.capacity) for tier in tiers
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"startDate": None}, "startDate"),
        ({"startDate": "soon"}, "startDate"),
        ({"startDate": "2020-01-01T20:00:00Z"}, "startDate"),
        ({"endDate": "2027-13-01"}, "endDate"),
        ({"endDate": (START - dt.timedelta(hours=1)).isoformat()}, "endDate"),
        ({"offers": None}, "offers.price"),
        ({"offers": {"@type": "Offer"}}, "offers.price"),
        ({"offers": {"price": "15 dollars"}}, "offers.price"),
        ({"offers": {"price": -1}}, "offers.price"),
        ({"offers": {"price": 1.005}}, "offers.price"),
        ({"offers": {"price": True}}, "offers.price"),
        ({"offers": {"price": "NaN"}}, "offers.price"),
        ({"offers": {"price": 10**15}}, "offers.price"),
        ({"offers": {"price": 1, "priceCurrency": "EUX"}}, "offers.priceCurrency"),
        ({"offers": [{"price": 1, "name": "A"}, {"price": 2, "name": "a"}]}, "offers.name"),
        ({"offers": {"price": 1, "inventoryLevel": -5}}, "offers.inventoryLevel"),
        ({"location": {"name": "x" * 201}}, "location.name"),
        ({"eventStatus": "https://schema.org/EventCancelled"}, "eventStatus"),
        ({"eventSchedule": {"scheduleTimezone": "Mars"}}, "eventSchedule.scheduleTimezone"),
    ],
)
def test_what_cannot_be_sold_is_named(changes: dict[str, Any], field: str) -> None:
    """A row that is not taken says which field of the file is to blame, as the file names it."""
    assert [field] == fields_of(faults(event(**changes)))


def test_several_faults_are_all_named() -> None:
    """Who mends a file learns at once what is wrong with a row."""
    found = event(startDate="soon", endDate="later", offers=None)
    assert ["startDate", "endDate", "offers.price"] == fields_of(faults(found))


def test_what_is_not_needed_is_left_out() -> None:
    """A bad picture, tag or time of doors keeps nobody from selling; it is said."""
    found = event(
        image="javascript:alert(1)",
        inLanguage="klingon!",
        doorTime=(START + dt.timedelta(hours=1)).isoformat(),
        description="x" * 20_000,
    )
    candidate = one(found)
    made = draft_of(candidate, ORGANIZER, [0])
    assert made is not None
    assert {"image", "inLanguage", "doorTime", "description"} == set(fields_of(candidate.notes))
    assert ("", "", None) == (made[1].event.image, made[1].event.languages, made[1].event.doors_at)


def test_free_events_and_defaults() -> None:
    """What is free needs no offer; what a file leaves out is given, or refused."""
    free = event(isAccessibleForFree=True, offers=None)
    made = draft_of(one(free), ORGANIZER, [0])
    assert made is not None
    assert [("Ticket", 0, 100)] == [
        (tier.name, tier.price_minor, tier.capacity) for tier in made[1].tiers
    ]
    bare = Defaults()
    assert ["offers.priceCurrency", "offers.inventoryLevel"] == fields_of(faults(free, bare))
    sized = event(maximumAttendeeCapacity="250")
    made = draft_of(one(sized), ORGANIZER, [0])
    assert made is not None
    assert [250] == [tier.capacity for tier in made[1].tiers]
    two = [{"price": 1, "name": "A"}, {"price": 2, "name": "B"}]
    # One capacity of several tiers is not sold twice.
    shared = event(maximumAttendeeCapacity=250, offers=two)
    assert ["offers.inventoryLevel"] * 2 == fields_of(faults(shared, bare._replace(currency="CAD")))


def shared(name: str, pool: Any, capacity: Any, **more: Any) -> dict[str, Any]:
    """Make an offer of places that others are sold as well."""
    said = {"@type": "PropertyValue", "propertyID": schema_org.POOL, "value": pool}
    sized = said if capacity is None else said | {"maxValue": capacity}
    return {"name": name, "price": 1, "additionalProperty": [{"name": "pool"}, sized]} | more


def test_pools() -> None:
    """Offers that name one pool share its places, as often as these are told."""
    offers = [
        shared("Adult", "Room", 70),
        shared("Child", "Room", None, inventoryLevel=20),
        {"name": "Stand", "price": 5},
        shared("Box", "Boxes", "9"),
        shared("Loge", "Boxes", None, inventoryLevel=8),
    ]
    made = draft_of(one(event(offers=offers)), ORGANIZER, [0])
    assert made is not None
    own, tiers = made[1].event, made[1].tiers
    assert ("p70t1t2tp9t4t5t", "Room\nBoxes") == (own.pools, own.pool_names)
    assert [70, 20, 100, 9, 8] == [tier.capacity for tier in tiers]
    written = schema_org.written(own, tiers)
    again = draft_of(one(written, Defaults()), ORGANIZER, [0])
    assert again is not None
    assert (own.pools, own.pool_names) == (again[1].event.pools, again[1].event.pool_names)
    assert [70, 20, 100, 9, 8] == [tier.capacity for tier in again[1].tiers]
    assert "pools" not in one(event()).members


def test_a_pool_with_a_hidden_tier() -> None:
    """Where all others of a pool are hidden, the one that is told has places of its own."""
    offers = [shared("Adult", "Room", 70), shared("Press", "Room", 70), shared("X", "Room", 70)]
    made = draft_of(one(event(offers=offers)), ORGANIZER, [0])
    assert made is not None
    own, tiers = made[1].event, made[1].tiers
    for count, pool in ((2, "p70t1t2t"), (1, "")):
        told = [tier._replace(is_hidden=tier.tier_no > count) for tier in tiers]
        again = draft_of(one(schema_org.written(own, told), Defaults()), ORGANIZER, [0])
        assert again is not None
        assert pool == again[1].event.pools
        assert [70] * count == [tier.capacity for tier in again[1].tiers]


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (shared("A", "Room", 70), shared("B", "Room", 60), "maxValue"),
        (shared("A", "Room", None), shared("B", "Room", None), "maxValue"),
        (shared("A", "Room", 70), shared("B", "Room", "many"), "maxValue"),
        (shared("A", "Room", 70), shared("B", "Room", -1), "maxValue"),
        (shared("A", "Room", 70), shared("B", "", 70), "value"),
        (shared("A", "Room", 70), {"name": "B", "price": 1, "inventoryLevel": 1}, "value"),
        (shared("A", "Room", 70), shared("B", "Room", 70, inventoryLevel=80), None),
    ],
)
def test_bad_pools_are_named(first: Any, second: Any, field: str | None) -> None:
    """What cannot be shared is named as the file names it."""
    found = faults(event(offers=[first, second]), Defaults(currency="CAD"))
    name = f"offers.additionalProperty.{field}" if field else "offers.inventoryLevel"
    assert name in fields_of(found)


def test_times_of_the_zone() -> None:
    """A time without an offset is the zone's; weeks later it is the same time of day."""
    local = (START + dt.timedelta(days=1)).strftime("%Y-%m-%dT20:00:00")
    members = one(event(startDate=local)).members
    toronto = dt.timezone(dt.timedelta(hours=-5)), dt.timezone(dt.timedelta(hours=-4))
    assert 20 in {members["starts_at"].astimezone(zone).hour for zone in toronto}
    for weeks in (26, 52):
        later = one(event(startDate="2026-01-15T20:00:00"), DEFAULTS._replace(weeks_later=weeks))
        is_summer = weeks == 26
        assert (0 if is_summer else 1) == later.members["starts_at"].hour
    midnight = one(event(startDate="2027-01-15")).members["starts_at"]
    assert "2027-01-15T05:00:00+00:00" == midnight.isoformat()


def test_documents_of_every_form() -> None:
    """One object, an array, a graph; what is no event in it is passed over."""
    place = {"@type": "Place", "name": "Hall"}
    kinds = ["MusicEvent", "Festival", ["Thing", "TheaterEvent"], "https://schema.org/Event"]
    found = [place, *(event(**{"@type": kind}) for kind in kinds)]
    for document in (found, {"@context": "https://schema.org", "@graph": found}):
        read_ = schema_org.read_document(msgspec.json.encode(document), DEFAULTS)
        assert 5 == read_.rows
        assert [2, 3, 4, 5] == [candidate.row for candidate in read_.candidates]
    [single] = schema_org.read_document(msgspec.json.encode(event()), DEFAULTS).candidates
    assert "Concert" == single.members["name"]
    for bad in (b"", b"[1,", b"\xff", b"{" * 100_000):
        with pytest.raises(Unreadable):
            schema_org.read_document(bad, DEFAULTS)


def test_a_bad_line_keeps_no_other_from_being_read() -> None:
    """Lines that are no JSON, no text or no object are named; U+2028 within a text ends no line."""
    good = msgspec.json.encode(event(description="a\u2028b"))
    content = b"\n".join([good, b"{", b"\xff", b"[]", b"", b"1e999", good])
    read_ = schema_org.read_lines(content, DEFAULTS)
    found = [(candidate.row, bool(candidate.faults)) for candidate in read_.candidates]
    assert [(1, False), (2, True), (3, True), (4, True), (6, True), (7, False)] == found


def test_source_ids() -> None:
    """An event is known by what its source calls it, or by what tells it from others."""
    ids = [
        one(event(**fields)).source_id
        for fields in (
            {"identifier": 7},
            {"identifier": {"@type": "PropertyValue", "value": "seven"}},
            {"@id": "https://example.org/e/7"},
            {"url": "https://example.org/e/8"},
            {"identifier": "x" * 301},
            {"identifier": "a\0b"},
            {},
            {"location": "Elsewhere"},
        )
    ]
    assert ["7", "seven", "https://example.org/e/7", "https://example.org/e/8"] == ids[:4]
    assert len(set(ids)) == len(ids)
    assert all(one_id.startswith("blake2b:") for one_id in ids[4:])


def test_written_is_read_again() -> None:
    """What is exported comes in as it was."""
    found = event(
        identifier="a-1",
        description="Line\n\nLine",
        endDate=(START + dt.timedelta(hours=2)).isoformat(),
        keywords=["Music"],
        location={
            "name": "Hall",
            "address": {"streetAddress": "1 Road", "addressLocality": "Town"},
        },
        inLanguage="en",
        image="https://example.org/x.jpg",
    )
    made = draft_of(one(found), ORGANIZER, [0])
    assert made is not None
    first = made[1]
    for _ in range(2):
        again = draft_of(
            one(schema_org.written(first.event, first.tiers), Defaults()), ORGANIZER, [0]
        )
        assert again is not None
        same = {"id", "shard", "created_at", "sale_opens_at", "source_print"}
        before, after = (
            {name: value for name, value in draft.event._asdict().items() if name not in same}
            for draft in (first, again[1])
        )
        assert before == after
        assert [tier[3:6] for tier in first.tiers] == [tier[3:6] for tier in again[1].tiers]
        first = again[1]
