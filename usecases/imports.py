"""
Imports: the events of another catalogue become drafts of an organizer, and stay what that says.

An event is known by its id at the source, so that a second import makes nothing twice: one that the
source has not changed is left alone; a draft that came from it becomes what it says now; of one
that is published, or that the organizer made, the texts alone. A row that cannot be sold is named
and keeps no other one from being taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from store import acts, changes, events, imports
from store.acts import Actor
from store.pool import Pool
from store.tenants import Connection
from usecases import schema_org, sheets, told
from usecases.acts import actor
from usecases.asked import EventImport, NewEvent
from usecases.candidates import Candidate, Defaults, ReadRows, Unreadable, draft_of
from usecases.denials import as_value
from usecases.drafts import organizer_of, shard_of, shards_of
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

Format = Literal["csv", "jsonld", "jsonl"]
READERS: dict[str, Callable[[bytes, Defaults], ReadRows]] = {
    "csv": sheets.read,
    "jsonld": schema_org.read_document,
    "jsonl": schema_org.read_lines,
}
#: Events that are written in one transaction.
BATCH_EVENTS = 500
#: Rows that are read before others in this process get their turn.
TURN_ROWS = 20
#: Faults of one row that are named.
FAULTS_MAX = 20
#: Problems that an answer over HTTP names; all of them are counted.
PROBLEMS_MAX = 1_000


class Target(NamedTuple):
    """Whose the events become, which shards new ones are spread over, and who does it."""

    pool: Pool
    organizer_id: str
    shards: Sequence[int]
    actor: Actor


class Wanted(NamedTuple):
    """A candidate that can be sold."""

    candidate: Candidate
    asked: NewEvent
    draft: events.Draft


@dataclass(slots=True)
class Import:
    """An import under way: what became of the rows so far."""

    target: Target
    is_dry_run: bool
    on_problem: Callable[[told.RowProblem], None]
    made: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def refuse(self, row: int, name: str, detail: str) -> None:
        """Say what is wrong with a row that is not taken."""
        self.on_problem(told.RowProblem(row=row, field=name, detail=detail, is_refused=True))

    async def take(self, candidates: Sequence[Candidate]) -> None:
        """Write the events of some rows, in one transaction."""
        wanted = []
        for number, candidate in enumerate(candidates):
            if number % TURN_ROWS == 0:
                await asyncio.sleep(0)
            found = self._wanted(candidate)
            if found is not None:
                wanted.append(found)
        target = self.target
        async with imports.alone(target.pool, target.organizer_id) as connection:
            ids = [one.candidate.source_id for one in wanted]
            known = await imports.known(connection, target.organizer_id, ids)
            new: list[events.Draft] = []
            for one in wanted:
                origin = known.get(one.candidate.source_id)
                if origin is None:
                    self.made += 1
                    new.append(one.draft)
                elif origin.source_print == one.draft.event.source_print:
                    self.unchanged += 1
                elif origin.is_untouched and origin.source_print:
                    self.changed += 1
                    if not self.is_dry_run:
                        await events.delete_draft(connection, target.organizer_id, origin.id)
                    new.append(_under(origin.id, one.draft, target.shards))
                else:
                    await self._change(connection, one, origin)
            if self.is_dry_run:
                return
            if new:
                await events.add(connection, new)
            after = {"events": len(wanted), "made": [draft.event.id for draft in new]}
            whose = target.organizer_id
            await acts.add(connection, target.actor, "event.import", whose, after=after)

    def _wanted(self, one: Candidate) -> Wanted | None:
        first = self.seen.setdefault(one.source_id, one.row) if one.source_id else one.row
        if first != one.row:
            one.faults.append(("", f"is the event of row {first} again: {one.source_id}"))
        found = draft_of(one, self.target.organizer_id, self.target.shards)
        for name, detail in one.notes:
            self.on_problem(
                told.RowProblem(row=one.row, field=name, detail=detail, is_refused=False)
            )
        for name, detail in one.faults[:FAULTS_MAX]:
            self.refuse(one.row, name, detail)
        if found is None:
            self.refused += 1
            return None
        return Wanted(one, *found)

    async def _change(self, connection: Connection, one: Wanted, origin: imports.SourceRow) -> None:
        """Bring the texts of an event that is not the source's alone to what that says."""
        row, names, whose = one.candidate.row, one.candidate.names, self.target.organizer_id
        event, wanted = await events.own(connection, whose, origin.id), one.draft.event
        if event is None or wanted.starts_at != origin.starts_at:
            self.refused += 1
            what = "is not that of the event, which an import does not move any more"
            self.refuse(row, names.get("starts_at", ""), what)
            return
        given = {name: getattr(wanted, name) for name in changes.TEXTS}
        texts = {name: new for name, new in given.items() if new != getattr(event, name)}
        doors = None if wanted.doors_at == event.doors_at else changes.Doors(wanted.doors_at)
        if texts or doors:
            self.changed += 1
        else:
            self.unchanged += 1
        if self.is_dry_run:
            return
        if texts or doors:
            await changes.change(
                connection, whose, event.id, texts=texts, doors=doors, is_draft=False
            )
        if event.source_id is not None:
            await imports.note(connection, whose, event.id, wanted.source_print)

    def told(
        self, read: ReadRows, problems: list[told.RowProblem], events_read: int
    ) -> told.Imported:
        """Return what became of the rows."""
        return told.Imported(
            is_dry_run=self.is_dry_run,
            rows=read.rows,
            events=events_read,
            made=self.made,
            changed=self.changed,
            unchanged=self.unchanged,
            refused=self.refused,
            problems=problems,
        )


def _under(event_id: str, draft: events.Draft, shards: Sequence[int]) -> events.Draft:
    """Return a draft in the place of one that is there."""
    event = draft.event._replace(id=event_id, shard=shard_of(event_id, shards))
    return draft._replace(
        event=event, tiers=[tier._replace(event_id=event_id) for tier in draft.tiers]
    )


async def run(
    target: Target,
    format_: Format,
    content: bytes,
    defaults: Defaults,
    *,
    is_dry_run: bool,
    on_problem: Callable[[told.RowProblem], None] | None = None,
    on_rows: Callable[[int, int], None] | None = None,
) -> told.Imported:
    """
    Import the events of a file.

    Atomicity: `BATCH_EVENTS` events at a time; whoever is cut short begins again.

    Args:
        on_problem: Is told each problem as it is found; else they stand in what is returned, the
            first `PROBLEMS_MAX`.

        on_rows: Is told how many rows are done, and of how many.
    """
    problems: list[told.RowProblem] = []

    def keep(problem: told.RowProblem) -> None:
        if len(problems) < PROBLEMS_MAX:
            problems.append(problem)

    made = Import(target, is_dry_run, on_problem or keep)
    read, count = ReadRows(0, iter(())), 0
    try:
        read = READERS[format_](content, defaults)
        candidates: Iterator[Candidate] = read.candidates
        while batch := list(islice(candidates, BATCH_EVENTS)):
            count += len(batch)
            await made.take(batch)
            if on_rows is not None:
                on_rows(batch[-1].row, read.rows)
    except Unreadable as error:
        made.refused += 1
        made.refuse(error.row, error.name, error.detail)
    return made.told(read, problems, count)


@as_value
async def from_text(services: Services, person: Principal, asked: EventImport) -> told.Imported:
    """Import what an organizer sends; what a request may hold bounds it."""
    whose = await organizer_of(services, person, Act.CREATE, Act.EDIT, named=asked.organizer_id)
    target = Target(services.pools.organizers, whose, shards_of(services), actor(person))
    defaults = Defaults(asked.timezone, asked.capacity, asked.currency, asked.weeks_later)
    return await run(target, asked.format, asked.text.encode(), defaults, is_dry_run=asked.dry_run)
