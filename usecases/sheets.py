"""
Events as a table (CSV): a row for each tier, those of one event one below the other.

Written so that a spreadsheet runs nothing: every cell is quoted, and one that begins as a formula
does has an apostrophe in front (S19), which is taken away when the table is read.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import zoneinfo
from collections.abc import Iterator, Sequence
from typing import Any

from store import events
from usecases.candidates import (
    TIER_NAME,
    Candidate,
    Defaults,
    ReadRows,
    Share,
    Unreadable,
    in_row,
    moment_of,
    pools_of,
    price_of,
    price_text,
    shares_of,
    source_id_of,
    zone_of,
)

#: Of an event; the texts among them are taken as they stand.
TEXTS = (
    "name",
    "summary",
    "description",
    "category",
    "venue",
    "address",
    "place",
    "slug",
    "image",
    "image_alt",
    "access_notes",
)
#: Of these, and of names of tiers, a cell of several lines is one.
LINES = ("description", "address", "access_notes")
TIMES = ("starts_at", "ends_at", "doors_at", "sale_opens_at", "sale_closes_at")
OF_TIERS = ("tier", "price", "currency", "capacity", "pool", "pool_capacity")
COLUMNS = ("source_id", *TEXTS, "languages", "timezone", *TIMES, "max_per_user", *OF_TIERS)
#: Columns that are written, and skipped when they are read.
TOLD = ("id", "status")
REQUIRED = ("name", "starts_at")
NAMES = {
    "tiers": "tier",
    "tiers/name": "tier",
    "tiers/price": "price",
    "tiers/price/currency": "currency",
    "tiers/capacity": "capacity",
    "tiers/pool": "pool",
    "tiers/pool_capacity": "pool_capacity",
    "pools": "pool",
    "pools/capacity": "pool_capacity",
} | {name: name for name in COLUMNS if name not in OF_TIERS}
#: What a cell must not begin with, also in full width: a spreadsheet would run it, or drop it.
FORMULA_STARTS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"
CELL_CHARS_MAX = 20_000


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; `unsafe` undoes it."""
    return f"'{cell}" if _is_formula(cell) else cell


def unsafe(cell: str) -> str:
    """Return what stood in a cell before it was made safe."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Tell whether a cell would be run, were it not for apostrophes and blanks in front."""
    start = cell.lstrip("' \u00a0")[:1]
    return start != "" and start in FORMULA_STARTS


def read(content: bytes, defaults: Defaults) -> ReadRows:
    """
    Read a table: UTF-8 with or without BOM, cells apart by comma, semicolon or tab.

    Raises:
        Unreadable: it is no table, lacks a column or has one that nobody knows.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(row, "", "is not UTF-8") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for number, cells in enumerate(reader, 1):
            if any(cell.strip() for cell in cells):
                rows.append((number, cells))
    except csv.Error as error:
        raise Unreadable(len(rows) + 1, "", f"is no row of a table: {error}") from error
    names = _header(rows[0][1] if rows else [])
    return ReadRows(len(rows) - 1, _candidates(names, rows[1:], defaults))


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    for name in names:
        if name not in COLUMNS + TOLD:
            raise Unreadable(1, name, f"is no column; there are {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise Unreadable(1, name, "stands twice")
    for name in REQUIRED:
        if name not in names:
            raise Unreadable(1, name, "is missing: a column of this name")
    return names


def _candidates(
    names: Sequence[str], rows: Sequence[tuple[int, list[str]]], defaults: Defaults
) -> Iterator[Candidate]:
    """Yield events: a row with the id of the one above it, or with no event at all, is a tier."""
    group: list[tuple[int, dict[str, str]]] = []
    for number, cells in rows:
        if len(cells) != len(names):
            if group:
                yield _candidate(group, defaults)
                group = []
            fault = f"has {len(cells)} cells, and the first row {len(names)}"
            yield Candidate(number, faults=[("", fault)], names=NAMES)
            continue
        row = {name: unsafe(cell).strip() for name, cell in zip(names, cells, strict=True)}
        own_id = row.get("source_id")
        if group and own_id and own_id == group[0][1].get("source_id"):
            group.append((number, row))
            continue
        if group:
            yield _candidate(group, defaults)
        group = [(number, row)]
    if group:
        yield _candidate(group, defaults)


def _candidate(group: Sequence[tuple[int, dict[str, str]]], defaults: Defaults) -> Candidate:
    number, row = group[0]
    one = Candidate(number, names=NAMES)
    zone = zone_of(one, "timezone", row.get("timezone") or defaults.timezone)
    members: dict[str, Any] = {
        name: row.get(name, "") if name in LINES else _one_line(row.get(name, "")) for name in TEXTS
    }
    members["timezone"] = row.get("timezone") or defaults.timezone
    members["languages"] = row.get("languages", "").replace(",", " ").split()
    for name in TIMES:
        members[name] = moment_of(one, name, row.get(name), zone, defaults.weeks_later)
    if not row.get("starts_at"):
        one.faults.append(("starts_at", "is missing"))
    for name, text in row.items():
        if len(text) > CELL_CHARS_MAX:
            one.faults.append((name, f"has more than {CELL_CHARS_MAX} characters"))
    if row.get("max_per_user"):
        members["max_per_user"] = _count(one, "max_per_user", row["max_per_user"])
    for other, more in group[1:]:
        for name, text in more.items():
            if name not in OF_TIERS and text not in ("", row[name]):
                one.faults.append((name, f"is another in row {other}, of the same event"))
    one.tier_rows = [other for other, _ in group]
    shares: list[Share | None] = []
    members["tiers"] = []
    for other, more in group:
        known = len(one.faults)
        shares.append(_share(one, more))
        members["tiers"].append(_tier(one, more, row, defaults, is_shared=shares[-1] is not None))
        one.faults[known:] = [
            (name, in_row(one, other, detail)) for name, detail in one.faults[known:]
        ]
    members["pools"] = pools_of(one, shares, defaults.capacity)
    one.members = {name: value for name, value in members.items() if value not in (None, "", [])}
    made_of = (row.get("name"), row.get("starts_at"), row.get("venue"))
    one.source_id = source_id_of(row.get("source_id"), *made_of)
    return one


def _share(one: Candidate, row: dict[str, str]) -> Share | None:
    """Return what a row says of the pool that its tier is in; None if it is in none."""
    name, capacity = _one_line(row.get("pool", "")), row.get("pool_capacity")
    if not name:
        if capacity:
            one.faults.append(("pool", "is missing: what has the pool_capacity"))
        return None
    return Share(name, _count(one, "pool_capacity", capacity) if capacity else None)


def _tier(
    one: Candidate,
    row: dict[str, str],
    first: dict[str, str],
    defaults: Defaults,
    *,
    is_shared: bool,
) -> dict[str, Any]:
    currency = row.get("currency") or first.get("currency") or defaults.currency
    price = row.get("price")
    if not price:
        one.faults.append(("price", "is missing; what is free costs 0"))
    # Of a tier that shares places and says no number, it is the pool's.
    places = None if is_shared else defaults.capacity
    if row.get("capacity"):
        places = _count(one, "capacity", row["capacity"])
    elif places is None and not is_shared:
        one.faults.append(("capacity", "is missing: how many places there are"))
    currency = currency.strip().upper()
    amount = price_of(one, "price", price, currency) if price else None
    name = _one_line(row.get("tier") or TIER_NAME)
    return {"name": name, "price": {"amount": amount, "currency": currency}, "capacity": places}


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _count(one: Candidate, name: str, text: str) -> int | None:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        one.faults.append((name, f"is no number: {text[:60]}"))
        return None
    return int(text)


def header() -> str:
    """Return the first row."""
    return _lines([[*TOLD, *COLUMNS]])


def written(event: events.Event, tiers: Sequence[events.Tier]) -> str:
    """Return the rows of an event, with times as at its venue; hidden tiers stand there as well."""
    try:
        zone: dt.tzinfo = zoneinfo.ZoneInfo(event.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zone = dt.UTC
    of_event = event._asdict() | {
        "source_id": event.source_id or event.id,
        "ends_at": event.ends_at if event.ends_at > event.starts_at else None,
        "max_per_user": event.person_max,
    }
    rows, shares = [], shares_of(event)
    for tier in tiers:
        share = shares.get(tier.tier_no)
        values = of_event | {
            "tier": tier.name,
            "price": price_text(tier.price_minor, event.currency),
            "capacity": tier.capacity,
            "pool": share and share.name,
            "pool_capacity": share and share.capacity,
        }
        rows.append([_cell(values[name], zone) for name in (*TOLD, *COLUMNS)])
    return _lines(rows)


def _cell(value: object, zone: dt.tzinfo) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(zone).isoformat()
    return "" if value is None else str(value)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    """Write rows (RFC 4180), each cell quoted and safe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([[safe(cell) for cell in row] for row in rows])
    return text.getvalue()
