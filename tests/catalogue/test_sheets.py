"""Tables of events: what spreadsheets write is read, and nothing that is written runs in one."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import events
from tests.catalogue.test_search import event
from usecases import exports, sheets
from usecases.candidates import Candidate, Defaults, Unreadable, draft_of

ORGANIZER = "org_00000000000000000000000000"
DEFAULTS = Defaults(timezone="Europe/Berlin", capacity=50, currency="EUR")
START = "2099-06-01T20:00"
HEAD = "source_id,name,starts_at,price"

#: What spreadsheets take for the begin of a formula, also in full width and behind blanks.
STARTS = [
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\0",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
    " =",
    "'=",
]
CELLS = st.one_of(
    st.text(max_size=50), st.tuples(st.sampled_from(STARTS), st.text(max_size=20)).map("".join)
)


def read(text: str, defaults: Defaults = DEFAULTS) -> list[Candidate]:
    """Read a table."""
    return list(sheets.read(text.encode(), defaults).candidates)


@given(CELLS)
def test_s19_no_cell_is_a_formula(cell: str) -> None:
    """S19: whatever stands in a cell, a spreadsheet takes it for text; and it is read as it was."""
    safe = sheets.safe(cell)
    assert safe.lstrip(" \u00a0")[:1] not in {*sheets.FORMULA_STARTS}
    assert cell == sheets.unsafe(safe)


@given(st.lists(CELLS, min_size=11, max_size=11))
def test_s19_no_export_has_a_formula(cells: list[str]) -> None:
    """S19: of an export every cell is quoted and safe, whichever field has what."""
    texts: dict[str, Any] = dict(zip(sheets.TEXTS, cells, strict=True))
    own = event(ORGANIZER, **texts).event
    tiers = [events.Tier(own.id, 1, "tier", cells[0], 100, 5, 10)]
    text = sheets.header() + sheets.written(own, tiers)
    names, row = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [*sheets.TOLD, *sheets.COLUMNS] == names
    for name, cell in zip(names, row, strict=True):
        assert cell.lstrip(" \u00a0")[:1] not in {*sheets.FORMULA_STARTS}, name
    found = {name: sheets.unsafe(cell) for name, cell in zip(names, row, strict=True)}
    assert texts == {name: found[name] for name in sheets.TEXTS}
    assert text.count("\r\n") >= 2
    assert text.startswith('"id","status","source_id"')


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_what_spreadsheets_write(delimiter: str, bom: str) -> None:
    """Cells may be apart by comma, semicolon or tab, with a BOM or without, in lines of any end."""
    rows = [
        HEAD.split(","),
        ["a", "Crème\nbrûlée, live", START, "15.00"],
        ["b", "Zwei", START, "0"],
    ]
    text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    found = read(bom + text)
    assert [(2, "a"), (3, "b")] == [(one.row, one.source_id) for one in found]
    made = draft_of(found[0], ORGANIZER, [0])
    assert made is not None
    assert (1500, 50) == (made[1].tiers[0].price_minor, made[1].tiers[0].capacity)
    assert dt.datetime(2099, 6, 1, 18, tzinfo=dt.UTC) == made[1].event.starts_at


def test_tiers_of_one_event() -> None:
    """Rows with one id are one event; what they say of it must be one."""
    head = f"{HEAD},tier,capacity"
    found = read(
        f"{head}\na,Show,{START},20,Stalls,100\na,,,10,Balcony,50\nb,Other,{START},5,,\n"
        f"c,Show,{START},1,A,1\nc,Show 2,{START},1,B,1\n"
    )
    made = draft_of(found[0], ORGANIZER, [0])
    assert made is not None
    assert [("Stalls", 2000, 100), ("Balcony", 1000, 50)] == [
        (tier.name, tier.price_minor, tier.capacity) for tier in made[1].tiers
    ]
    assert [2, 4, 5] == [one.row for one in found]
    assert [("name", "is another in row 6, of the same event")] == found[2].faults


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (f"a,,{START},1", ["name"]),
        ("a,Show,,1", ["starts_at"]),
        ("a,Show,tomorrow,1", ["starts_at"]),
        ("a,Show,2020-01-01,1", ["starts_at"]),
        (f"a,Show,{START},", ["price"]),
        (f"a,Show,{START},free", ["price"]),
        (f"a,Show,{START},1.005", ["price"]),
        (f'a,Show,{START},"1,50"', ["price"]),
        ("a,Show,tomorrow,free", ["starts_at", "price"]),
        (f"a,Show,{START}", [""]),
        (f"a,Show,{START},1,more", [""]),
    ],
)
def test_what_cannot_be_sold_is_named(row: str, fields: list[str]) -> None:
    """A bad row is named by its number and column, and the next one is read."""
    bad, good = read(f"{HEAD}\n{row}\nb,Good,{START},1\n")
    draft_of(bad, ORGANIZER, [0])
    assert (2, fields) == (bad.row, [name for name, _ in bad.faults])
    assert draft_of(good, ORGANIZER, [0]) is not None


POOLED = f"{HEAD},tier,capacity,pool,pool_capacity"


def test_pools() -> None:
    """Tiers that name one pool share its places; what they do not say themselves is the pool's."""
    [found] = read(
        f"{POOLED}\na,Show,{START},20,Adult,,Room,70\na,,,10,Child,20,Room,\n"
        "a,,,5,Stand,,,\na,,,5,Box,9,Boxes,\na,,,6,Loge,8,Boxes,9\n"
    )
    made = draft_of(found, ORGANIZER, [0])
    assert made is not None, found.faults
    assert ("p70t1t2tp9t4t5t", "Room\nBoxes") == (made[1].event.pools, made[1].event.pool_names)
    assert [70, 20, 50, 9, 8] == [tier.capacity for tier in made[1].tiers]
    # The command's number is that of a pool which says none.
    [found] = read(f"{POOLED}\na,Show,{START},20,A,,Room,\na,,,10,B,,Room,\n")
    made = draft_of(found, ORGANIZER, [0])
    assert made is not None, found.faults
    assert "p50t1t2t" == made[1].event.pools


def test_a_table_without_pools_is_what_it_was() -> None:
    """An event that shares no places keeps its digest: it is unchanged, also from an older file."""
    old, new = f"{HEAD},capacity\na,Show,{START},20,7\n", f"{POOLED}\na,Show,{START},20,,7,,\n"
    [before], [after] = read(old), read(new)
    assert "pools" not in before.members
    assert before.print_of() == after.print_of()


@pytest.mark.parametrize(
    ("first", "second", "faults"),
    [
        ("Adult,,Room,70", "Child,,Room,60", ["pool_capacity row 3"]),
        ("Adult,,Room,", "Child,,Room,", ["pool_capacity"]),
        ("Adult,,Room,70", "Child,7,Hall,60", ["pool", "pool row 3"]),
        ("Adult,,Room,70", "Child,80,Room,", ["capacity row 3"]),
        ("Adult,80,Room,70", "Child,,Room,", ["capacity"]),
        ("Adult,,Room,many", "Child,,Room,70", ["pool_capacity"]),
        ("Adult,,Room,70", "Child,,Room,-1", ["pool_capacity row 3"]),
        ("Adult,7,,", "Child,7,,70", ["pool row 3"]),
        (f"Adult,,{'x' * 201},70", f"Child,,{'x' * 201},", ["pool"]),
        ("Adult,,Room,70", "Child,,room,70", ["pool", "pool row 3"]),
        ("Adult,,Room,99999999", "Child,,Room,", ["pool_capacity"]),
    ],
)
def test_bad_pools_are_named(first: str, second: str, faults: list[str]) -> None:
    """What cannot be shared is named by column, and by the row of the tier that says it."""
    text = f"{POOLED}\na,Show,{START},1,{first}\na,,,1,{second}\nb,Good,{START},1,,7,,\n"
    bad, good = read(text, DEFAULTS._replace(capacity=None))
    assert draft_of(bad, ORGANIZER, [0]) is None
    named = [
        f"{name} row 3" if detail.endswith(", in row 3") else name for name, detail in bad.faults
    ]
    assert (2, faults) == (bad.row, named)
    assert draft_of(good, ORGANIZER, [0]) is not None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "name"),
        ("name,price\n", "starts_at"),
        (f"{HEAD},colour\n", "colour"),
        ("name,name,starts_at\n", "name"),
        (f'{HEAD}\n"a', ""),
    ],
)
def test_what_is_no_table(text: str, name: str) -> None:
    """A column that is misspelt or missing ends the import before any row."""
    with pytest.raises(Unreadable) as error:
        read(text)
    assert name == error.value.name


def test_not_utf8() -> None:
    """A file of another encoding is refused at the row that shows it."""
    with pytest.raises(Unreadable) as error:
        sheets.read(f"{HEAD}\na,Caf".encode() + b"\xe9", DEFAULTS)
    assert 2 == error.value.row


def test_written_is_read_again() -> None:
    """What is exported comes in as it was, formulas and lines and all."""
    starts_at = dt.datetime(2099, 6, 1, 18, tzinfo=dt.UTC)
    own = event(
        ORGANIZER,
        starts_at=starts_at,
        ends_at=starts_at + dt.timedelta(hours=2),
        doors_at=starts_at - dt.timedelta(hours=1),
        sale_opens_at=starts_at - dt.timedelta(days=9),
        sale_closes_at=starts_at,
        name="=1+1",
        description='-5 "degrees"\n\n<b>not bold</b> &amp; so',
        venue="'quoted'",
        timezone="Europe/Berlin",
        languages="en de",
        source_id="x-1",
        person_max=4,
        pools="p12t1t3t",
        pool_names="-Room",
    ).event
    tiers = [
        events.Tier(own.id, 1, "t1", "@home", 1500, 5, 10),
        events.Tier(own.id, 2, "t2", "Stage", 0, 7, 10),
        events.Tier(own.id, 3, "t3", "Floor", 0, 12, 10),
    ]
    form = exports.FORMS["csv"]
    content = exports.whole(form, exports.Excerpt([form.write(own, tiers)], ""))
    [candidate] = sheets.read(content, Defaults()).candidates
    made = draft_of(candidate, ORGANIZER, [0])
    assert made is not None, candidate.faults
    skipped = {"id", "shard", "created_at", "source_print"}
    assert {name: value for name, value in own._asdict().items() if name not in skipped} == {
        name: value for name, value in made[1].event._asdict().items() if name not in skipped
    }
    assert [tier[3:6] for tier in tiers] == [tier[3:6] for tier in made[1].tiers]
