"""Imports into PostgreSQL: the real catalogue, again, changed, cut short; and exports of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from store import events, users
from tests.catalogue.conftest import begin
from tests.catalogue.test_schema_org import event, shared
from usecases import exports, imports, told
from usecases.candidates import Defaults
from usecases.imports import Target

TORONTO = Path(__file__).parents[1] / "data" / "toronto" / "events.jsonl"
DEFAULTS = Defaults(timezone="America/Toronto", capacity=100, currency="CAD")
#: Of the forty: no price is told, and they are not free; or the end is before the start.
UNPRICED = {2, 3, 4, 5, 6, 14, 15, 21, 32}
ENDLESS = {14, 37, 38, 39}


def lines(*objects: dict[str, Any]) -> bytes:
    """Write objects as lines."""
    return b"\n".join(map(msgspec.json.encode, objects))


async def run(
    target: Target, content: bytes, *, is_dry_run: bool = False, defaults: Defaults = DEFAULTS
) -> told.Imported:
    """Import lines."""
    return await imports.run(target, "jsonl", content, defaults, is_dry_run=is_dry_run)


def counts(done: told.Imported) -> tuple[int, int, int, int]:
    """Return what became of the events: made, changed, unchanged, refused."""
    return done.made, done.changed, done.unchanged, done.refused


async def rows(target: Target) -> list[events.Event]:
    """Return the organizer's events by source id."""
    found = await target.pool.fetch(
        "SELECT id FROM events WHERE organizer_id = $1 ORDER BY source_id", target.organizer_id
    )
    return await events.by_ids(target.pool, [row["id"] for row in found])


def in_the_future() -> Defaults:
    """Return weeks after which all of the catalogue is to come."""
    first = dt.datetime(2024, 5, 9, tzinfo=dt.UTC)
    return DEFAULTS._replace(weeks_later=(dt.datetime.now(dt.UTC) - first).days // 7 + 2)


async def test_real_catalogue(target: Target) -> None:
    """All that can be sold is made, what cannot is named by row; again changes nothing."""
    content, defaults = TORONTO.read_bytes(), in_the_future()
    tried = await run(target, content, is_dry_run=True, defaults=defaults)
    assert [] == await rows(target)
    done = await run(target, content, defaults=defaults)
    bad = UNPRICED | ENDLESS
    assert (40 - len(bad), 0, 0, len(bad)) == counts(done)
    assert msgspec.structs.replace(tried, is_dry_run=False) == done
    assert UNPRICED == {one.row for one in done.problems if one.field == "offers.price"}
    assert ENDLESS - UNPRICED == {one.row for one in done.problems if one.field == "endDate"}
    again = await run(target, content, defaults=defaults)
    assert (0, 0, 40 - len(bad), len(bad)) == counts(again)
    made = await rows(target)
    assert 40 - len(bad) == len(made)
    assert {"CAD"} == {one.currency for one in made}
    assert {0, 1} == {one.shard for one in made}
    by_event = await events.tiers_of(target.pool, [one.id for one in made])
    prices = sorted(tiers[0].price_minor for tiers in by_event.values())
    assert (0, 1, 12_000) == (prices[0], min(price for price in prices if price), prices[-1])
    assert all("\u2028" not in one.description + one.name for one in made)
    past = await run(target, content)
    assert 40 == past.refused


async def test_what_changes_at_the_source(target: Target) -> None:
    """A draft becomes what the source says; of what is begun the texts alone."""
    pool = target.pool
    await run(target, lines(event(identifier="a"), event(identifier="b"), event(identifier="c")))
    first, second, third = await rows(target)
    await begin(target, second.id)
    await begin(target, third.id)
    third = (await rows(target))[2]
    other = {"price": 99, "priceCurrency": "CAD"}
    later = (first.starts_at + dt.timedelta(days=1)).isoformat()
    changed = lines(
        event(identifier="a", name="New", offers=other, startDate=later),
        event(identifier="b", name="New", offers=other),
        event(identifier="c", name="New", startDate=later),
        event(identifier="d"),
    )
    tried = await run(target, changed, is_dry_run=True)
    done = await run(target, changed)
    assert counts(tried) == counts(done) == (1, 2, 0, 1)
    assert [(3, "startDate")] == [(one.row, one.field) for one in done.problems]
    one, two, three, _ = await rows(target)
    assert [first.id, second.id, third.id] == [one.id, two.id, three.id]
    assert ("New", first.starts_at + dt.timedelta(days=1)) == (one.name, one.starts_at)
    assert ("New", second.starts_at, second.version + 1) == (two.name, two.starts_at, two.version)
    assert third == three
    tiers = await events.tiers_of(pool, [one.id, two.id])
    assert [9900, 1500] == [tiers[own.id][0].price_minor for own in (one, two)]
    assert (0, 0, 3, 1) == counts(await run(target, changed))


async def test_what_an_organizer_made_is_not_replaced(target: Target) -> None:
    """An event of one's own that comes back by an export keeps its seats, tiers and prices."""
    [own] = [msgspec.json.encode(event(identifier="x"))]
    await run(target, own)
    [made] = await rows(target)
    # As if it had been made by hand.
    await target.pool.execute("UPDATE events SET source_id = NULL, source_print = ''")
    form = exports.FORMS["jsonl"]
    part = await exports.part_of(target.pool, target.organizer_id, form=form, after_id="", limit=9)
    back = await run(target, exports.whole(form, part), defaults=Defaults())
    assert (0, 0, 1, 0) == counts(back)
    renamed = msgspec.json.decode(part.events[0]) | {"name": "New", "offers": {"price": 1}}
    again = await run(target, lines(renamed))
    assert (0, 1, 0, 0) == counts(again)
    [now] = await rows(target)
    assert ("New", made.id, None) == (now.name, now.id, now.source_id)
    tiers = await events.tiers_of(target.pool, [now.id])
    assert 1500 == tiers[now.id][0].price_minor


async def test_ids_are_an_organizers_own(target: Target, database: asyncpg.Pool) -> None:
    """Two organizers may import one catalogue; one cannot touch the other's events."""
    content = lines(event(identifier="same"))
    other = target._replace(organizer_id=await users.add_organizer(database, "Other"))
    assert (1, 0, 0, 0) == counts(await run(target, content))
    [own] = await rows(target)
    assert (1, 0, 0, 0) == counts(await run(other, content))
    stolen = lines(event(identifier=own.id, name="Stolen"))
    assert (1, 0, 0, 0) == counts(await run(other, stolen))
    assert [own] == await rows(target)


async def test_twice_in_a_file(target: Target) -> None:
    """The second of two rows with one id is refused, and told which the first is."""
    done = await run(target, lines(event(identifier="a"), {}, event(identifier="a", name="B")))
    assert (1, 0, 0, 1) == counts(done)
    assert [3] == [one.row for one in done.problems]
    assert "row 1" in done.problems[0].detail


async def test_cut_short_and_begun_again(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that ended in its midst leaves whole events; the next one makes the rest."""
    monkeypatch.setattr(imports, "BATCH_EVENTS", 10)
    content = lines(*(event(identifier=f"e{number:02}") for number in range(35)))

    def cut(row: int, _: int) -> None:
        if row >= 20:
            raise RuntimeError("the power is out")

    with pytest.raises(RuntimeError, match="power"):
        await imports.run(target, "jsonl", content, DEFAULTS, is_dry_run=False, on_rows=cut)
    assert 20 == len(await rows(target))
    assert (15, 0, 20, 0) == counts(await run(target, content))
    assert 35 == len(await rows(target))


@pytest.mark.parametrize("name", list(exports.FORMS))
async def test_export_comes_in_again(
    target: Target, name: imports.Format, database: asyncpg.Pool
) -> None:
    """What is exported makes the same catalogue elsewhere, and nothing twice here."""
    await run(target, TORONTO.read_bytes(), defaults=in_the_future())
    pooled = [shared("Adult", "Room", 70), shared("Child", "Room", None, inventoryLevel=20)]
    await run(target, lines(event(offers=pooled)))
    form = exports.FORMS[name]
    pieces: list[str] = []
    after_id = ""
    while True:
        part = await exports.part_of(
            database, target.organizer_id, form=form, after_id=after_id, limit=11
        )
        pieces += part.events
        after_id = part.last_id
        if not after_id:
            break
    content = exports.whole(form, exports.Excerpt(pieces, ""))
    other = target._replace(organizer_id=await users.add_organizer(database, "Other"))
    done = await imports.run(other, name, content, Defaults(), is_dry_run=False)
    assert (29, 0, 0, 0) == counts(done), done.problems
    told_of = (
        "name",
        "description",
        "venue",
        "place",
        "address",
        "starts_at",
        "ends_at",
        "category",
        "pools",
        "pool_names",
    )
    found = [
        [[getattr(one, field) for field in told_of] for one in await rows(whose)]
        for whose in (target, other)
    ]
    assert found[0] == found[1]
    assert 1 == sum(["p70t1t2t", "Room"] == one[-2:] for one in found[1])
    again = await imports.run(target, name, content, Defaults(), is_dry_run=False)
    assert (0, 29) == (again.made, again.changed + again.unchanged)
    assert b"<" not in content or name == "csv"
