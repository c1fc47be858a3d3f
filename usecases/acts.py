"""
Acts of staff, organizers and admins, noted as they are done
(docs/decisions/0022-acts-are-noted.md).

Of what PostgreSQL does, the row is written in the same transaction (`note`). Of what a script in
Redis does, an intent is committed before the script is asked, and its outcome afterwards
(`intended`): an act without a row there cannot be, and a row without an outcome says where to look.
Scans at the gate stand in the journal with who made them; the ledger writer notes them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec
import structlog

from store import acts
from store.acts import Actor
from store.pool import UNANSWERED, Database
from usecases import repeats, told
from usecases.denials import Denied, as_value, invalid
from usecases.services import Services
from usecases.tokens import Principal

log = structlog.get_logger()


class Asking(NamedTuple):
    """Where a request comes from, and its name."""

    origin: str = ""
    request_id: str = ""


#: Tells of the request that is being answered; set by the face, asked only if there is an act.
ASKING: ContextVar[Callable[[], Asking]] = ContextVar("asking", default=Asking)


class Intent:
    """An act that a script is asked for: what is to be said of it when it is done."""

    def __init__(self, database: Database, actor: Actor, act: str, subject: str) -> None:
        self._database = database
        self._said = (actor, act, subject)
        self._own_id: int | None = None
        #: Whether its outcome stands in the transaction that did it.
        self.is_noted = False
        #: What was changed, JSON: what it was, and what it is.
        self.before: object = None
        self.after: object = None

    async def begin(self, why: str) -> None:
        """Note it before anything is done."""
        self._own_id = await acts.add(
            self._database,
            *self._said,
            outcome="intended",
            before=self.before,
            after=self.after,
            why=why,
        )

    async def done(self, connection: Database) -> None:
        """Note that it is done within a transaction that does the rest of it."""
        await self._end(connection, "done", self.before, self.after)
        self.is_noted = True

    async def end(self, outcome: str, after: object) -> None:
        """Note how it ended; the intent stands, and says enough, if that cannot be written."""
        try:
            await self._end(self._database, outcome, self.before, after)
        except UNANSWERED as error:
            log.warning(
                "outcome of an act not noted",
                action="act_unnoted",
                act=self._said[1],
                intent=self._own_id,
                outcome=outcome,
                error=type(error).__name__,
            )

    async def _end(self, database: Database, outcome: str, before: object, after: object) -> None:
        await acts.add(
            database,
            *self._said,
            outcome=outcome,
            intent_id=self._own_id,
            before=before,
            after=after,
        )


async def note(
    database: Database,
    person: Principal,
    act: str,
    subject: str,
    *,
    before: object = None,
    after: object = None,
    why: str = "",
) -> None:
    """
    Note an act of a person, within the transaction that does it.

    Args:
        database: The connection that has the transaction.

        act: What is done, as `event.close`.

        subject: Id of what it is done to.

        before, after: What is changed, JSON; no names, addresses or secrets of people.

    Raises:
        Denied: another attempt of the same request has its turn (`usecases.repeats`).
    """
    await repeats.use(database, subject)
    await acts.add(database, actor(person), act, subject, before=before, after=after, why=why)


@contextlib.asynccontextmanager
async def intended(
    database: Database,
    person: Principal,
    act: str,
    subject: str,
    *,
    before: object = None,
    after: object = None,
    why: str = "",
) -> AsyncIterator[Intent]:
    """
    Note an act before a script is asked for it, and its outcome when the block ends.

    The outcome is `done`, `refused` where the block raises a denial, `unknown` where it fails
    otherwise; whoever is stopped in the middle leaves the intent alone.

    Args:
        database: A pool: both rows are transactions of their own.

        after: What is wished for; what is true afterwards the block puts into the intent.
    """
    intent = Intent(database, actor(person), act, subject)
    intent.before, intent.after = before, after
    await intent.begin(why)
    try:
        yield intent
    except Denied as denied:
        await intent.end("refused", {"why": str(denied.why)})
        raise
    except Exception as error:
        # Its text may hold anything; its kind says enough.
        await intent.end("unknown", {"error": type(error).__name__})
        raise
    if not intent.is_noted:
        await intent.end("done", intent.after)


@as_value
async def listing(
    services: Services,
    *,
    before: tuple[dt.datetime, str],
    actor: str | None,
    subject: str | None,
    act: str | None,
    limit: int,
) -> told.Page[told.NotedAct]:
    """Return a page of all acts, the newest first; for admins."""
    cursor = before[1]
    if cursor and not (cursor.isdecimal() and len(cursor) < 19):
        raise invalid("/query/after", "is not a cursor of this list")
    found = await acts.page(
        services.pools.organizers,
        before_id=int(cursor) if cursor else acts.ID_MAX,
        actor=actor,
        subject=subject,
        act=act,
        limit=limit + 1,
    )
    rows = found[:limit]
    last = (rows[-1].at, str(rows[-1].id)) if len(found) > limit else None
    return told.Page([view(row) for row in rows], last)


def view(row: acts.ActRow) -> told.NotedAct:
    """Return an act as it is told."""
    return told.NotedAct(
        id=row.id,
        at=row.at,
        actor=row.actor,
        role=row.role,
        organizer_id=row.organizer_id,
        act=row.act,
        subject=row.subject,
        outcome=row.outcome,  # type: ignore[arg-type]  # The database's enum has the same values.
        intent_id=row.intent_id,
        before=_parsed(row.before),
        after=_parsed(row.after),
        why=row.why,
        origin=row.origin,
        request_id=row.request_id,
    )


def _parsed(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def keeper(person: Principal) -> Actor | None:
    """Return who acts if they are more than a buyer, whose ways in are their own affair."""
    # Whose rights wait for a passkey is no buyer.
    is_buyer = person.role == "user" and not person.lacks_passkey
    return None if is_buyer else actor(person)


def actor(person: Principal) -> Actor:
    """Return who acts, and from where the request comes that is being answered."""
    asking = ASKING.get()()
    # Of a machine the id is its own: who made it, its row says, and the act of that.
    role = person.role if person.kind == "user" else f"{person.role} {person.kind}"
    return Actor(person.user_id, role, person.organizer_id, asking.origin, asking.request_id)
