"""The list that visitors search: its words, how it is kept, and that no way misses any."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import secrets
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import asyncpg
import msgspec
import pytest

from engine.ids import new_id
from evently import sweep
from store import changes, events, search, sql, tenants
from tests.catalogue.conftest import add, begin
from usecases.imports import Target

LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


def event(organizer_id: str, **fields: Any) -> events.Draft:
    """Make a draft that begins in ten days, with one tier."""
    starts_at = fields.get("starts_at", dt.datetime.now(dt.UTC) + dt.timedelta(days=10))
    own = events.Event(
        id=new_id("evt"),
        organizer_id=organizer_id,
        shard=0,
        status="draft",
        name="Concert",
        description="",
        category="",
        venue="",
        timezone="UTC",
        currency="EUR",
        starts_at=starts_at,
        ends_at=starts_at,
        sale_opens_at=starts_at - dt.timedelta(days=400),
        sale_closes_at=starts_at,
        person_max=10,
        version=1,
        created_at=starts_at,
        published_at=None,
    )
    own = own._replace(**fields)
    return events.Draft(own, [events.Tier(own.id, 1, new_id("tier"), "T", 100, 5, 10)])


async def listed(target: Target, **fields: Any) -> str:
    """Add an event and begin its publishing; return its id."""
    draft = event(target.organizer_id, **fields)
    await add(target, draft)
    await begin(target, draft.event.id)
    return draft.event.id


async def found(database: asyncpg.Pool, text: str | None = None, **wanted: Any) -> list[str]:
    """Return the ids of all that a search finds."""
    return await search.find(database, after=LONG_AGO, text=text, limit=10_000, **wanted)


@pytest.mark.parametrize(
    ("name", "queries", "not_found_by"),
    [
        ("Café Łódź – Straße", "cafe CAFÉ cafe\u0301 ｃａｆｅ lodz strasse STRASSE stra", "fe tra"),
        ("Ёлка в Москве", "елка ЁЛКА москве МОСК", "осква"),
        ("Ο ΟΔΥΣΣΕΥΣ", "οδυσσευς ΟΔΥΣΣΕΎΣ οδυσσεύσ", "δυσ"),
        ("東京タワー夜景", "東京 タワー 夜景 京 東京タワー ﾀﾜｰ", "京都 夜東"),
        ("สวัสดีเชียงใหม่", "สวัสดี เชียงใหม่ ดีเชียง", "กรุงเทพ"),
        ("서울 재즈 밤", "서울 재즈 재", "부산"),
        ("שָׁלוֹם עולם", "שלום עולם", "לום"),
        ("مُوسِيقَى عَرَبِيَّة", "موسيقى عربية مـوسيقى", "سيقى"),
        ("हिन्दी कविता", "हिन्दी कविता कवि", "विता"),
        ("Hawaiʻi Night", "hawaii HAWAI", "waii"),
        ("O’Brien & Söhne (live)", "o'brien brien sohne live", "rien"),
        ("🎉 Party👾🙇", "🎉 party 👾 🙇 👾🙇", "💁 🎉🙇"),
        ("C++ / Rock'n'Roll 2027", "c++ rock'n'roll 2027 202", "027"),
    ],
)
async def test_words_in_any_script(
    target: Target, name: str, queries: str, not_found_by: str
) -> None:
    """A name is found by its words without case, width, accents; and by no inside of a word."""
    mark = secrets.token_hex(6)
    own_id = await listed(target, name=name, place=mark)
    for query in queries.split():
        assert [own_id] == await found(target.pool, query, place=mark), query
    for query in not_found_by.split():
        assert [] == await found(target.pool, query, place=mark), query


async def test_all_words_and_the_beginning_of_the_last(target: Target) -> None:
    """All words must be there, in any order; the last may be begun, from three letters on."""
    mark = secrets.token_hex(6)
    own_id = await listed(
        target, name="Midnight Jazz", venue="Blue Hall", category="Music", summary=mark
    )
    for query in ("jazz midnight", "hall music midn", "blue jazz"):
        assert [own_id] == await found(target.pool, f"{mark} {query}"), query
    for query in ("midnight ja", "midn jazz", "jazz rock", "d:2", "d25"):
        assert [] == await found(target.pool, f"{mark} {query}"), query
    for nothing in ("%", "'", "\\", "''' & !", "-", "…", "(", ":*", "<->"):
        assert [] == await found(target.pool, nothing), nothing


async def test_category_and_place_are_whole(target: Target) -> None:
    """A category or place is found whole, in any case and accent, whatever signs it has."""
    for given in ("Rock & Pop", "L'été \\ d'Évry", "a:b", "100%", "音楽"):
        own_id = await listed(target, category=given, place=given)
        for form in (given, given.upper()):
            assert own_id in await found(target.pool, category=form)
            assert own_id in await found(target.pool, place=form)
        assert own_id not in await found(target.pool, category=given[:-1])
        assert own_id not in await found(target.pool, category=given, place="elsewhere")


async def test_longest_texts_are_taken(target: Target) -> None:
    """Whatever a text may hold can be listed and searched: long words, and letters that unfold."""
    for char in ("x", "\ufdfa", "漢", "ﬃ", "\U0001f469\u200d", "ཀྵ"):
        name, kind = (char * 200)[:200], (char * 100)[:100]
        own_id = await listed(
            target,
            name=name,
            venue=name,
            category=kind,
            place=kind,
            description=(char * 10_000)[:10_000],
        )
        assert own_id in await found(target.pool, category=kind, place=kind)
        await found(target.pool, name)


async def test_kept_by_whoever_writes(target: Target) -> None:
    """A draft is in no list; what is begun, changed, moved or deleted is followed at once."""
    pool, mark = target.pool, f"mark{secrets.token_hex(6)}"
    draft = event(target.organizer_id, name=mark)
    await add(target, draft)
    own_id = draft.event.id
    assert [] == await found(pool, mark)
    await begin(target, own_id)
    assert [own_id] == await found(pool, mark)
    await pool.execute("UPDATE events SET status = 'published' WHERE id = $1", own_id)
    assert [own_id] == await found(pool, mark)
    async with tenants.rows_of(pool, target.organizer_id) as connection:
        await changes.change(
            connection, target.organizer_id, own_id, texts={"name": f"{mark}2"}, is_draft=False
        )
    assert [own_id] == await found(pool, f"{mark}2")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=300)
    await pool.execute(
        "UPDATE events SET starts_at = $2, ends_at = $2 WHERE id = $1", own_id, later
    )
    assert [] == await found(pool, f"{mark}2", starts_before=later)
    assert [own_id] == await found(pool, f"{mark}2", starts_before=later + dt.timedelta(seconds=1))
    written = await pool.fetchval("SELECT xmin::text FROM event_search WHERE event_id = $1", own_id)
    await pool.execute("UPDATE events SET version = version + 1 WHERE id = $1", own_id)
    kept = await pool.fetchval("SELECT xmin::text FROM event_search WHERE event_id = $1", own_id)
    assert written == kept, "what is not searched writes nothing"
    await pool.execute("DELETE FROM tiers WHERE event_id = $1", own_id)
    await pool.execute("DELETE FROM events WHERE id = $1", own_id)
    assert [] == await found(pool, mark)


async def test_what_is_over_is_not_listed(target: Target) -> None:
    """An event is listed to its end, or a day from its start; then it is taken out of the list."""
    pool, mark, now = target.pool, f"mark{secrets.token_hex(6)}", dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    running = await listed(target, name=mark, starts_at=now - 90 * 24 * hour, ends_at=now + hour)
    today = await listed(target, name=mark, starts_at=now - 23 * hour, ends_at=now - 23 * hour)
    over = [
        await listed(target, name=mark, starts_at=now - 25 * hour, ends_at=now - 25 * hour),
        await listed(target, name=mark, starts_at=now - 9 * hour, ends_at=now - 2 * hour),
    ]
    assert [running, today] == await found(pool, mark)
    assert not set(over) & set(await found(pool))
    await search.forget_over(pool)
    left = await pool.fetch("SELECT event_id FROM event_search WHERE words @@ $1::tsquery", mark)
    # The second one was over an hour ago at least.
    assert {running, today} == {row["event_id"] for row in left}


async def test_filled_with_what_was_there(target: Target) -> None:
    """The migration lists what was published before it, and nothing that is over or a draft."""
    pool, mark, now = target.pool, f"mark{secrets.token_hex(6)}", dt.datetime.now(dt.UTC)
    own_id = await listed(target, name=mark)
    draft = event(target.organizer_id, name=mark)
    await add(target, draft)
    await listed(target, name=mark, starts_at=now - dt.timedelta(days=3))
    await pool.execute("DELETE FROM event_search")
    files = resources.files("store.migrations")
    text = files.joinpath("0035_search_filled.sql").read_text(encoding="utf-8")
    for _ in range(2):  # What was cut short is begun again.
        await pool.execute(text)
        assert [own_id] == await found(pool, mark)
    assert 1 == await pool.fetchval(
        "SELECT count(*) FROM event_search WHERE words @@ $1::tsquery", mark
    )


async def test_f79_a_wrong_list_is_mended(target: Target) -> None:
    """F79: whatever a hand, or a restore without triggers, did to the list, a round mends it."""
    pool, mark = target.pool, f"mark{secrets.token_hex(6)}"
    ids = sorted([await listed(target, name=f"{mark} {number}") for number in range(4)])
    draft = event(target.organizer_id, name=mark)
    await add(target, draft)
    before = await pool.fetch("SELECT * FROM event_search WHERE event_id = ANY ($1)", ids)
    await pool.execute("DELETE FROM event_search WHERE event_id = $1", ids[0])
    await pool.execute("UPDATE event_search SET words = 'x' WHERE event_id = $1", ids[1])
    await pool.execute("UPDATE event_search SET starts_at = now() WHERE event_id = $1", ids[2])
    await pool.execute(
        "INSERT INTO event_search SELECT $1, starts_at, over_at, words FROM event_search "
        "WHERE event_id = $2",
        draft.event.id,
        ids[3],
    )
    for expected in (4, 0):
        after_id: str | None = ""
        mended = 0
        while after_id is not None:
            after_id, count = await search.mend(pool, after_id)
            mended += count
        assert expected == mended
        found_ = await pool.fetch("SELECT * FROM event_search WHERE event_id = ANY ($1)", ids)
        assert sorted(map(tuple, before)) == sorted(map(tuple, found_))
    assert draft.event.id not in await found(pool, mark)


async def test_f79_the_sweeper_tends_the_list(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F79: what is missing comes back and what is over goes, round after round, by itself."""
    pool, mark, now = target.pool, f"mark{secrets.token_hex(6)}", dt.datetime.now(dt.UTC)
    own_id = await listed(target, name=mark)
    over = await listed(target, name=mark, starts_at=now - dt.timedelta(days=3))
    await pool.execute("DELETE FROM event_search WHERE event_id = $1", own_id)
    monkeypatch.setattr(sweep, "TEND_INTERVAL_S", 0)
    task = asyncio.create_task(sweep._tend_list(pool))
    rows = "SELECT event_id FROM event_search WHERE event_id = ANY ($1)"
    while [own_id] != [row["event_id"] for row in await pool.fetch(rows, [own_id, over])]:
        assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_f79_a_walk_has_an_end(target: Target) -> None:
    """F79: whatever PostgreSQL believes of words, a search walks along so many events at most."""
    place = secrets.token_hex(6)
    for _ in range(40):
        await listed(target, place=place)
    text = sql.query("events_near")
    values = (*LONG_AGO, None, 20, "nowhere", None, None, 7)
    [row] = await target.pool.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *values)
    plan = msgspec.json.decode(row["QUERY PLAN"])[0]["Plan"]
    assert [7] == [one["Actual Rows"] for one in nodes(plan) if one["Node Type"] == "Index Scan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("walk_max", [1, 7, 10_000])
async def test_no_way_misses_any(
    target: Target, monkeypatch: pytest.MonkeyPatch, walk_max: int
) -> None:
    """Pages hold the same whether a walk finds them or the index of words; each event once."""
    monkeypatch.setattr(search, "WALK_MAX", walk_max)
    draw, mark = random.Random(walk_max), secrets.token_hex(6)
    now, rows = dt.datetime.now(dt.UTC), []
    for _ in range(60):
        # Many begin together: the id decides.
        starts_at = now + dt.timedelta(days=1 + draw.randrange(60))
        words = " ".join(draw.sample(["red", "green", "blue", "reddish"], 2))
        rows.append(
            (starts_at, await listed(target, name=words, place=mark, starts_at=starts_at), words)
        )
    rows.sort()
    until = now + dt.timedelta(days=30)
    fitting: dict[str | None, Callable[[str], bool]] = {
        "red": lambda name: "red" in name,
        "green blue": lambda name: {"green", "blue"} <= set(name.split()),
        "redd": lambda name: "reddish" in name,
        None: lambda _: True,
    }
    for query, fits in fitting.items():
        for before in (None, until):
            wanted = [
                own_id
                for starts_at, own_id, words in rows
                if fits(words) and (before is None or starts_at < before)
            ]
            for limit in (1, 9, 100):
                pages: list[str] = []
                after = LONG_AGO
                while page := await search.find(
                    target.pool,
                    after=after,
                    text=query,
                    place=mark,
                    starts_before=before,
                    limit=limit,
                ):
                    pages += page
                    [last] = await events.by_ids(target.pool, page[-1:])
                    after = (last.starts_at, last.id)
                assert wanted == pages, (query, before, limit)


async def test_older_code_searches_on(target: Target) -> None:
    """What code of the version before asks is answered as before, while it runs beside."""
    own_id = await listed(target, name=f"Café {secrets.token_hex(6)}")
    assert await target.pool.fetchval(
        "SELECT search_text(name) LIKE search_pattern('caf') FROM events WHERE id = $1", own_id
    )
    await target.pool.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at, "
        "ends_at, sale_opens_at, sale_closes_at, person_max) "
        "SELECT $2, organizer_id, shard, name, timezone, currency, starts_at, ends_at, "
        "sale_opens_at, sale_closes_at, person_max FROM events WHERE id = $1",
        own_id,
        new_id("evt"),
    )
