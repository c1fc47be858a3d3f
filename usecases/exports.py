"""Exports: the events of an organizer as files that `usecases.imports` reads again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from store import events, imports, tenants
from store.pool import Pool
from usecases import schema_org, sheets
from usecases.denials import as_value
from usecases.drafts import organizer_of
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

#: What could end a script or a string of a page that shows the JSON within itself (S20).
_IN_PAGES = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class Form(NamedTuple):
    """A form of files: events between a head and a foot."""

    content_type: str
    write: Callable[[events.Event, Sequence[events.Tier]], str]
    head: str = ""
    between: str = ""
    foot: str = ""


class Excerpt(NamedTuple):
    """Some of the events, each as it stands in the file."""

    events: list[str]
    #: The id that the next part begins after; "" if there is none.
    last_id: str


def _json(event: events.Event, tiers: Sequence[events.Tier]) -> str:
    return msgspec.json.encode(schema_org.written(event, tiers)).decode().translate(_IN_PAGES)


def _json_line(event: events.Event, tiers: Sequence[events.Tier]) -> str:
    return f"{_json(event, tiers)}\n"


FORMS = {
    "csv": Form("text/csv", sheets.written, head=sheets.header()),
    "jsonld": Form("application/ld+json", _json, head="[", between=",\n", foot="]\n"),
    "jsonl": Form("application/x-ndjson", _json_line),
}


@as_value
async def own(
    services: Services,
    person: Principal,
    organizer_id: str | None,
    *,
    form: Form,
    after_id: str,
    limit: int,
) -> Excerpt:
    """
    Return a part of an organizer's events, in the order of their ids.

    Args:
        organizer_id: Whose; None: of the only one of which the person sees all.
    """
    whose = await organizer_of(services, person, Act.SEE, named=organizer_id)
    return await part_of(
        services.pools.organizers, whose, form=form, after_id=after_id, limit=limit
    )


async def part_of(
    pool: Pool, organizer_id: str, *, form: Form, after_id: str, limit: int
) -> Excerpt:
    """Return a part of an organizer's events, in the order of their ids."""
    async with tenants.rows_of(pool, organizer_id) as connection:
        ids = await imports.next_ids(connection, organizer_id, after_id=after_id, limit=limit + 1)
        page = await events.by_ids(connection, ids[:limit], organizer_id)
        tiers = await events.tiers_of(connection, ids[:limit])
    written = [form.write(event, tiers.get(event.id, [])) for event in page]
    return Excerpt(written, ids[limit - 1] if len(ids) > limit else "")


def whole(form: Form, part: Excerpt) -> bytes:
    """Return a part as a file of its own."""
    return "".join([form.head, form.between.join(part.events), form.foot]).encode()
