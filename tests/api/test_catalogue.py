"""An organizer's catalogue over HTTP: what events say, copies, drafts, files; and finding."""

from __future__ import annotations

import csv
import datetime as dt
import io
import secrets
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from engine.ids import new_id
from store import organizers, users
from tests.api.shop import Shop
from tests.api.test_seats import seated_event
from tests.api.world import Event, World, check_problem, from_now, new_event

ABOUT = {
    "slug": "Midnight Show",
    "summary": "All night",
    "image": "https://example.org/café.jpg",
    "image_alt": "A stage",
    "address": "1 Road\nTown",
    "place": "Toronto",
    "access_notes": "No steps.\nA loop for hearing aids.",
    "languages": ["en", "pt-br", "en"],
}
KEPT = ABOUT | {
    "slug": "midnight-show",
    "image": "https://example.org/caf%C3%A9.jpg",
    "languages": ["en", "pt-BR"],
}


async def own_events(world: World, token: str, query: str = "") -> Any:
    """Return a page of the events of somebody's one organizer."""
    [house] = (await world.call("GET", "/v1/organizers", token=token)).body["data"]
    return await world.call("GET", f"/v1/organizers/{house['id']}/events?{query}", token=token)


def moment(text: str) -> dt.datetime:
    """Read a moment of an answer."""
    return dt.datetime.fromisoformat(text)


async def ids(world: World, query: str) -> list[str]:
    """Return the ids that visitors find."""
    answer = await world.call("GET", f"/v1/events?limit=200&{query}")
    assert 200 == answer.status, answer.text
    return [event["id"] for event in answer.body["data"]]


async def patch(world: World, event_id: str, token: str, **fields: Any) -> Any:
    """Change an event, whatever it is."""
    headers = {"If-Match": "*"}
    path = f"/v1/events/{event_id}"
    return await world.call("PATCH", path, token=token, json=fields, headers=headers)


async def test_what_an_event_says(world: World, organizer: str) -> None:
    """What is told of an event is kept in one form, shown to all, and may change at any time."""
    starts_at = from_now(days=9)
    draft = await world.draft(organizer, 5, starts_at=starts_at, doors_at=from_now(days=8), **ABOUT)
    for name, value in KEPT.items():
        assert value == draft[name], name
    published = (await world.publish(draft["id"], organizer)).body
    shown = (await world.call("GET", f"/v1/events/{draft['id']}")).body
    assert KEPT == {name: shown[name] for name in KEPT} == {name: published[name] for name in KEPT}
    fewer = {name: [] if name == "languages" else "" for name in ABOUT} | {"slug": "new"}
    changed = await patch(world, draft["id"], organizer, doors_at=None, **fewer)
    assert 200 == changed.status, changed.text
    assert fewer | {"doors_at": None} == {name: changed.body[name] for name in [*fewer, "doors_at"]}
    same = await patch(world, draft["id"], organizer, summary="Now")
    assert ("new", "Now") == (same.body["slug"], same.body["summary"])


async def test_what_an_event_leaves_unsaid(world: World, organizer: str) -> None:
    """A plain draft, or an event of older code, is told with what is empty, and a slug."""
    draft = await world.draft(organizer, 5, name="Straße & Café")
    empty = {name: [] if name == "languages" else "" for name in ABOUT}
    assert empty | {"slug": "strasse-cafe", "doors_at": None} == {
        name: draft[name] for name in [*empty, "doors_at"]
    }
    nameless = await world.draft(organizer, 5, name="!!!")
    assert "event" == nameless["slug"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"image": "javascript:alert(1)"}, "/image"),
        ({"image": "https://user@example.org/"}, "/image"),
        ({"slug": "a/b"}, "/slug"),
        ({"slug": "x" * 81}, "/slug"),
        ({"languages": ["english"]}, "/languages/0"),
        ({"languages": ["en"] * 21}, "/languages"),
        ({"summary": "a\nb"}, "/summary"),
        ({"summary": "x" * 301}, "/summary"),
        ({"place": "x" * 101}, "/place"),
        ({"address": "x" * 501}, "/address"),
        ({"access_notes": "x" * 2_001}, "/access_notes"),
        ({"doors_at": from_now(days=60)}, "/doors_at"),
    ],
)
async def test_s21_bad_fields(
    world: World, organizer: str, change: dict[str, Any], pointer: str
) -> None:
    """S21: what cannot stand in a link, or is too long, is refused by field, new or changed."""
    draft = await world.draft(organizer, 5)
    before = await world.state()
    made = await world.call("POST", "/v1/events", token=organizer, json=new_event() | change)
    check_problem(made, 422, "invalid", pointer)
    check_problem(await patch(world, draft["id"], organizer, **change), 422, "invalid", pointer)
    assert before == await world.state()


async def test_times_of_a_draft(world: World, organizer: str) -> None:
    """A draft's times can be changed, and what hangs on its start moves along."""
    draft = await world.draft(organizer, 5, ends_at=from_now(days=31), doors_at=from_now(days=29))
    later = from_now(days=50)
    moved = (
        await patch(world, draft["id"], organizer, starts_at=later, timezone="Asia/Tokyo")
    ).body
    assert (later, "Asia/Tokyo") == (moment(moved["starts_at"]).isoformat(), moved["timezone"])
    by = moment(later) - moment(draft["starts_at"])
    for name in ("ends_at", "doors_at", "sale_closes_at"):
        assert by == moment(moved[name]) - moment(draft[name]), name
    assert draft["sale_opens_at"] == moved["sale_opens_at"]
    assert draft["version"] + 1 == moved["version"]
    before = await world.state()
    for bad, pointer in (
        ({"starts_at": from_now(days=-1)}, "/starts_at"),
        ({"ends_at": from_now(days=1)}, "/ends_at"),
        ({"timezone": "Mars"}, "/timezone"),
        ({"starts_at": from_now(days=60), "doors_at": from_now(days=61)}, "/doors_at"),
        ({"sale_opens_at": from_now(days=90)}, "/sale_opens_at"),
        ({"starts_at": from_now(days=1), "sale_closes_at": from_now(days=9)}, "/sale_closes_at"),
        ({"starts_at": "9999-12-31T23:59:59-14:00"}, "/starts_at"),
    ):
        check_problem(await patch(world, draft["id"], organizer, **bad), 422, "invalid", pointer)
    assert before == await world.state()
    opens_at = from_now(seconds=-1)
    opened = (await patch(world, draft["id"], organizer, sale_opens_at=opens_at)).body
    assert moment(opens_at) == moment(opened["sale_opens_at"])
    event = (await world.publish(draft["id"], organizer)).body
    assert 201 == (await world.book(event, None)).status
    refused = await patch(world, draft["id"], organizer, sale_opens_at=later)
    check_problem(refused, 422, "invalid", "/sale_opens_at")


async def test_duplicate(world: World, organizer: str) -> None:
    """A copy has all of the event but what is sold, at times as far from its start."""
    start = from_now(days=20)
    source = await world.event(
        5,
        token=organizer,
        starts_at=start,
        ends_at=from_now(days=21),
        sale_closes_at=from_now(days=19),
        promo_codes=[{"code": "EARLY", "percent_off": 10, "uses_max": 5}],
        **ABOUT,
    )
    assert 201 == (await world.book(source, None, (1, 2))).status
    later = from_now(days=50)
    path = f"/v1/events/{source['id']}/duplicate"
    asked = {"starts_at": later, "name": "Again"}
    copy = await world.call("POST", path, token=organizer, json=asked)
    assert 201 == copy.status, copy.text
    assert f"/v1/events/{copy.body['id']}" == copy.headers["Location"]
    assert ("draft", "Again", 1) == (copy.body["status"], copy.body["name"], copy.body["version"])
    by = moment(later) - moment(start)
    for name in ("starts_at", "ends_at", "sale_opens_at", "sale_closes_at"):
        moved = moment(copy.body[name]) - moment(source[name])
        assert abs(moved - by) < dt.timedelta(milliseconds=1), name
    assert KEPT == {name: copy.body[name] for name in KEPT}
    [tier], [copied] = source["tiers"], copy.body["tiers"]
    assert tier | {"id": copied["id"]} == copied
    assert tier["id"] != copied["id"]
    # Its sale opens as long before it as the event's did.
    await patch(world, copy.body["id"], organizer, sale_opens_at=from_now(seconds=-1))
    sold = (await world.publish(copy.body["id"], organizer)).body
    booked = await world.book(sold, None, (1, 5), promo_code="EARLY")
    assert (201, 4500) == (booked.status, booked.body["total"]["amount"])
    untouched = (await world.call("GET", f"/v1/events/{source['id']}")).body
    assert source["tiers"] == untouched["tiers"]


async def test_duplicate_of_what_is_closed_and_seated(world: World, organizer: str) -> None:
    """A copy of a closed hall has its seats and sells until its start; without a body, as it is."""
    made = await world.call("POST", "/v1/events", token=organizer, json=seated_event())
    source = (await world.publish(made.body["id"], organizer)).body
    await world.call("POST", f"/v1/events/{source['id']}/close", token=organizer)
    copy = (await world.call("POST", f"/v1/events/{source['id']}/duplicate", token=organizer)).body
    assert (source["starts_at"], source["starts_at"]) == (copy["starts_at"], copy["sale_closes_at"])
    sold = await world.publish(copy["id"], organizer)
    assert (200, "published") == (sold.status, sold.body["status"])
    maps = [
        (await world.call("GET", f"/v1/events/{own_id}/seats")).body["sections"]
        for own_id in (source["id"], copy["id"])
    ]
    assert [one["name"] for one in maps[0]] == [one["name"] for one in maps[1]]
    assert 201 == (await world.book(copy, None, {"seat_ids": ["s1-1"]})).status


async def test_series(world: World, organizer: str) -> None:
    """Dates become drafts in their order, all or none; each is an event of its own."""
    source = await world.draft(organizer, 5, ends_at=from_now(days=31))
    path = f"/v1/events/{source['id']}/series"
    starts = [from_now(days=days) for days in (60, 40, 50)]
    answer = await world.call("POST", path, token=organizer, json={"starts": starts})
    assert 201 == answer.status, answer.text
    dates = answer.body["data"]
    assert [moment(text) for text in starts] == [moment(one["starts_at"]) for one in dates]
    length = moment(source["ends_at"]) - moment(source["starts_at"])
    assert {length} == {moment(one["ends_at"]) - moment(one["starts_at"]) for one in dates}
    assert 4 == len({one["id"] for one in [source, *dates]})
    assert {"draft"} == {one["status"] for one in dates}
    before = await world.state()
    for bad, pointer in (
        ([*starts, from_now(days=-1)], "/starts/3"),
        ([starts[0], starts[0]], "/starts/1"),
        ([], "/starts"),
        ([starts[0]] * 101, "/starts"),
        (["9999-12-31T23:59:59-14:00"], "/starts/0"),
    ):
        refused = await world.call("POST", path, token=organizer, json={"starts": bad})
        check_problem(refused, 422, "invalid", pointer)
    assert before == await world.state()


async def test_drafts_are_listed_and_deleted(world: World) -> None:
    """An organizer sees its own events by state, the newest first; drafts alone can go."""
    organizer = await world.organizer()
    published = await world.event(5, token=organizer)
    drafts = [await world.draft(organizer, 5) for _ in range(3)]
    everything = [one["id"] for one in (*reversed(drafts), published)]

    async def own(query: str = "", token: str = organizer) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            body = (await own_events(world, token, f"limit=2{query}{after}")).body
            found += [one["id"] for one in body["data"]]
            if not body["has_more"]:
                return found
            after = f"&after={body['next_cursor']}"

    assert everything == await own()
    assert everything[:3] == await own("&status=draft")
    assert everything[3:] == await own("&status=published")
    assert [] == await own(token=await world.organizer())
    answer = await own_events(world, organizer, "status=sold")
    check_problem(answer, 422, "invalid", "/query/status")
    path = f"/v1/events/{drafts[1]['id']}"
    assert 204 == (await world.call("DELETE", path, token=organizer)).status
    check_problem(await world.call("GET", path, token=organizer), 404, "not_found")
    check_problem(await world.call("DELETE", path, token=organizer), 404, "not_found")
    gone = await world.database.fetchval(
        "SELECT count(*) FROM tiers WHERE event_id = $1", drafts[1]["id"]
    )
    assert 0 == gone
    path = f"/v1/events/{published['id']}"
    check_problem(await world.call("DELETE", path, token=organizer), 409, "not_a_draft")
    assert 201 == (await world.book(published, None)).status


async def test_seated_draft_is_deleted_whole(world: World, organizer: str) -> None:
    """Seats and promo codes go with their draft."""
    body = seated_event() | {"promo_codes": [{"code": "EARLY", "percent_off": 10, "uses_max": 5}]}
    before = await world.state()
    made = await world.call("POST", "/v1/events", token=organizer, json=body)
    path = f"/v1/events/{made.body['id']}"
    assert 204 == (await world.call("DELETE", path, token=organizer)).status
    assert before == await world.state()


async def test_s8_copies_are_the_owners(world: World, organizer: str, event: Event) -> None:
    """S8: nobody copies or deletes what is another organizer's, nor learns that it is there."""
    draft = await world.draft(organizer, 5)
    for token in (await world.organizer(), await world.organizer()):
        for own_id in (draft["id"], event["id"], new_id("evt")):
            path = f"/v1/events/{own_id}"
            for method, verb, body in (
                ("POST", "/duplicate", {}),
                ("POST", "/series", {"starts": [from_now(days=9)]}),
                ("DELETE", "", None),
            ):
                answer = await world.call(method, path + verb, token=token, json=body)
                check_problem(answer, 404, "not_found")


async def test_s9_copies_and_files_by_place_on_the_team(world: World) -> None:
    """S9: who is confined to an event copies it nowhere; who sees all exports, and imports not."""
    shop = await Shop(world, secrets.token_hex(6)).open()
    draft_id = await shop.get("draft")
    confined = await shop.confined(draft_id, "manager")
    desk_id = await users.add(
        world.database, email=f"{new_id('usr')}@example.org", name="D", password_hash="x"
    )
    assert desk_id is not None
    async with world.database.acquire() as connection:
        await organizers.set_member(connection, shop.organizer_id, desk_id, "box_office", None)
    desk = world.token(desk_id, role="staff", organizer_id=shop.organizer_id)
    sent = {"format": "csv", "text": table(f"a,Show,{from_now(days=9)},1,EUR,1")}
    starts = {"starts": [from_now(days=9)]}
    path = f"/v1/events/{draft_id}"
    before = await world.state()
    for token, method, where, body in (
        (confined, "POST", f"{path}/duplicate", None),
        (confined, "POST", f"{path}/series", starts),
        (confined, "POST", "/v1/events/import", sent),
        (confined, "GET", "/v1/events/export", None),
        (desk, "POST", f"{path}/duplicate", None),
        (desk, "POST", "/v1/events/import", sent),
        (desk, "DELETE", path, None),
        (shop.tokens["gate"], "GET", "/v1/events/export", None),
    ):
        answer = await world.call(method, where, token=token, json=body)
        check_problem(answer, 403, "forbidden")
    assert before == await world.state()
    assert 200 == (await world.call("GET", "/v1/events/export", token=desk)).status
    assert 204 == (await world.call("DELETE", path, token=confined)).status


async def test_files_of_one_of_several_organizers(world: World) -> None:
    """Who works for several organizers, or is an admin, names the one whose the files are."""
    first, second = [await Shop(world, secrets.token_hex(6)).open() for _ in range(2)]
    async with world.database.acquire() as connection:
        await organizers.set_member(
            connection, second.organizer_id, first.ids["owner"], "manager", None
        )
    token, admin = first.tokens["owner"], world.token(role="admin")
    sent = {"format": "csv", "text": table(f"a,Show,{from_now(days=9)},1,EUR,1")}
    for one in (token, admin):
        answer = await world.call("POST", "/v1/events/import", token=one, json=sent)
        check_problem(answer, 403, "forbidden")
    whose = {"organizer_id": second.organizer_id}
    done = await world.call("POST", "/v1/events/import", token=token, json=sent | whose)
    assert (200, 1) == (done.status, done.body["made"])
    again = await world.call("POST", "/v1/events/import", token=admin, json=sent | whose)
    assert (200, 1) == (again.status, again.body["unchanged"])
    query = f"organizer_id={second.organizer_id}&format=jsonl&limit=1"
    out = await world.call("GET", f"/v1/events/export?{query}", token=token)
    assert ["a"] == [msgspec.json.decode(line)["identifier"] for line in out.text.splitlines()]
    nobody = {"organizer_id": new_id("org")}
    for one in (token, admin):
        answer = await world.call("POST", "/v1/events/import", token=one, json=sent | nobody)
        check_problem(answer, 404, "not_found")


async def test_found_by_place_category_and_words(world: World) -> None:
    """Words of what stands in a list are found, whole places and categories, none that is over."""
    mark = f"m{secrets.token_hex(5)}"
    event = await world.event(
        1,
        name="東京ジャズ",
        venue="Blaue Höhle",
        category=f"Musik {mark}",
        place=f"Łódź {mark}",
        summary="Swing",
        description=f"{mark} improvisation",
    )
    own_id = event["id"]
    for words in ("ジャズ", "hohle", "musik", "lodz", "swing", "improvis", "東京 HÖHLE impro"):
        assert [own_id] == await ids(world, f"q={quote(f'{mark} {words}')}"), words
    assert [own_id] == await ids(world, f"place={quote(f'lodz {mark}'.upper())}")
    both = f"category={quote(f'musik {mark}')}&place={quote(f'Łódź {mark}')}"
    assert [own_id] == await ids(world, both)
    assert [] == await ids(world, f"{both}&q=rock")
    assert [own_id] == await ids(world, f"{both}&q=")
    assert [] == await ids(world, f"place={mark}")
    boss = world.token(role="organizer", organizer_id=event["organizer_id"])
    await patch(world, own_id, boss, place="Elsewhere", name="Concert")
    assert [] == await ids(world, both)
    await world.database.execute(
        "UPDATE events SET starts_at = now() - interval '2 days', "
        "ends_at = now() - interval '1 hour' WHERE id = $1",
        own_id,
    )
    assert [] == await ids(world, f"q={mark}")
    assert 200 == (await world.call("GET", f"/v1/events/{own_id}")).status


async def test_s29_cursors_are_stable(world: World) -> None:
    """S29: whatever comes and goes between two pages, each event that stays is shown once."""
    mark = f"m{secrets.token_hex(5)}"
    organizer = await world.organizer()
    starts = [from_now(days=days) for days in (10, 20, 20, 30)]
    kept = [
        (await world.event(1, token=organizer, starts_at=at, place=mark, name="Word"))["id"]
        for at in starts
    ]
    query = f"/v1/events?limit=2&place={mark}&q=wor"
    first = (await world.call("GET", query)).body
    await world.event(1, token=organizer, starts_at=from_now(days=5), place=mark, name="Word")
    new = await world.event(
        1, token=organizer, starts_at=from_now(days=25), place=mark, name="Word"
    )
    second = (await world.call("GET", f"{query}&after={first['next_cursor']}")).body
    third = (await world.call("GET", f"{query}&after={second['next_cursor']}")).body
    found = [one["id"] for page in (first, second, third) for one in page["data"]]
    assert [kept[0], *sorted(kept[1:3]), new["id"], kept[3]] == found
    assert third["next_cursor"] is None


def table(*rows: str) -> str:
    """Write a table of events."""
    return "\n".join(["source_id,name,starts_at,price,currency,capacity", *rows])


async def test_import_and_export(world: World) -> None:
    """A catalogue comes in and goes out over HTTP; twice is once, and a dry run makes nothing."""
    organizer = await world.organizer()
    start = from_now(days=30)
    asked = {
        "format": "csv",
        "text": table(
            f"a,=Show,{start},15,EUR,100", f"b,Bad,{start},free,EUR,1", f"c,C,{start},0,EUR,1"
        ),
    }
    path = "/v1/events/import"
    tried = (await world.call("POST", path, token=organizer, json=asked | {"dry_run": True})).body
    assert (True, 3, 2, 1) == tuple(
        tried[name] for name in ("is_dry_run", "rows", "made", "refused")
    )
    assert [] == (await own_events(world, organizer)).body["data"]
    done = (await world.call("POST", path, token=organizer, json=asked)).body
    assert tried | {"is_dry_run": False} == done
    [problem] = done["problems"]
    assert {"row": 3, "field": "price", "is_refused": True} == {
        name: problem[name] for name in ("row", "field", "is_refused")
    }
    again = (await world.call("POST", path, token=organizer, json=asked)).body
    assert (0, 2) == (again["made"], again["unchanged"])
    out = await world.call("GET", "/v1/events/export?format=csv&limit=1", token=organizer)
    assert (200, "text/csv; charset=utf-8") == (out.status, out.headers["Content-Type"])
    assert "attachment" in out.headers["Content-Disposition"]
    assert "private, no-store" == out.headers["Cache-Control"]
    link = out.headers["Link"]
    following = link[1 : link.index(">")]
    rest = await world.call("GET", following, token=organizer)
    assert "Link" not in rest.headers
    pages = [csv.DictReader(io.StringIO(page.text, newline="")) for page in (out, rest)]
    # By id, which of the same ms is in no order.
    assert ["'=Show", "C"] == sorted(row["name"] for page in pages for row in page)
    document = await world.call("GET", "/v1/events/export?format=jsonld", token=organizer)
    assert ["a", "c"] == sorted(one["identifier"] for one in document.body)
    for query, pointer in (("format=xls", "/query/format"), ("after=x", "/query/after")):
        answer = await world.call("GET", f"/v1/events/export?{query}", token=organizer)
        check_problem(answer, 422, "invalid", pointer)
    made = (await own_events(world, organizer, "limit=1")).body["data"][0]
    assert 200 == (await world.publish(made["id"], organizer)).status


async def test_s20_exports_end_no_page(world: World) -> None:
    """S20: JSON-LD that is put into a page holds nothing that could end a script or a string."""
    organizer = await world.organizer()
    bad = "</script><!--<script> & \u2028"
    await world.draft(
        organizer, 1, name=bad.replace("\u2028", ""), description=bad.replace("\u2028", "\n")
    )
    for name in ("jsonld", "jsonl"):
        answer = await world.call("GET", f"/v1/events/export?format={name}", token=organizer)
        assert not {"<", ">", "&", "\u2028"} & set(answer.text)
        assert "\\u003c/script\\u003e" in answer.text


async def test_import_is_bounded(world: World, organizer: str) -> None:
    """What is too large, of no such form, or an order of another zone is refused as a whole."""
    path = "/v1/events/import"
    large = await world.call(
        "POST", path, token=organizer, json={"format": "csv", "text": "x" * 100_000}
    )
    check_problem(large, 413, "too_large")
    for asked, pointer in (
        ({"format": "xls", "text": "x"}, "/format"),
        ({"format": "csv", "text": ""}, "/text"),
        ({"format": "csv", "text": "x", "currency": "EUX"}, "/currency"),
        ({"format": "csv", "text": "x", "capacity": -1}, "/capacity"),
    ):
        answer = await world.call("POST", path, token=organizer, json=asked)
        check_problem(answer, 422, "invalid", pointer)
    broken = await world.call(
        "POST", path, token=organizer, json={"format": "csv", "text": "name,colour\na,b"}
    )
    [problem] = broken.body["problems"]
    assert (200, 1, "colour") == (broken.status, problem["row"], problem["field"])
