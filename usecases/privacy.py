"""
One's own data: told in full, and taken back.

Names and addresses stand in one table, and ids everywhere else; so to be forgotten is to have that
row emptied, and what one wrote taken out of the ledger's texts
(docs/decisions/0023-forgotten-by-ids.md). The ledger stays true: bookings, amounts and seats are
those of an id that leads to nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import structlog

from store import operators, privacy, users
from store.operators import Outcome
from store.tenants import Connection
from usecases import accounts, acts, bookings, gifts, told, waitlist
from usecases.asked import Erase
from usecases.attempts import EXPORTS
from usecases.buckets import Rate
from usecases.denials import Denied, Why, as_value, not_found
from usecases.services import Services
from usecases.tokens import Principal

log = structlog.get_logger()

#: Exports that a person may have: each reads the archive.
EXPORTS_RATE = Rate(EXPORTS, 5, 3_600_000)
#: Name of the form of an export.
FORMAT = "evently-export-1"

Fate = Literal["keep", "cancel"]


@as_value
async def export(services: Services, person: Principal) -> AsyncIterator[privacy.Piece]:
    """
    Return what yields all that is kept of a person, table by table, each row as JSON.

    What Redis alone has (attempts, and who opened how many holds, by id) is not in it: it is gone
    within minutes. What PostgreSQL does not have yet is waited for, as with every read.
    """
    user = await users.by_id(services.pools.sign_in, person.user_id)
    if user is None:
        raise not_found()
    await services.attempts.take(EXPORTS_RATE, user.id)
    if not await services.catch_up():
        raise Denied(Why.CATCHING_UP)
    return privacy.pieces(services.pools.own, user.id, user.created_at)


@as_value
async def erase(
    services: Services, person: Principal, asked: Erase, origin: str = ""
) -> told.Erasure:
    """
    Forget a person, who proves by the password, or by a recent sign-in, that it is them; their
    sessions end.

    See `erased` for what becomes of what they have.

    Args:
        origin: A word for the network address that it is asked from.
    """
    await accounts.prove_oneself(services, person, asked.password, "/password", origin)
    return await erased(services, person, person.user_id, asked.bookings)


async def erased(
    services: Services, by: Principal, user_id: str, fate: Fate | None, *, why: str = ""
) -> told.Erasure:
    """
    Forget a person, whoever asks for it.

    Live bookings of events to come, and tickets that others gave: with `cancel` each is given back
    first, to the sale or to who booked it; with `keep` they stay good, and whoever has the codes
    comes in. Without a word nothing is done while there are any. A place on a waitlist is given up;
    open holds end by themselves.

    Atomicity: account, note of the erasure and act are one transaction; what is given back before
    it is given back, and all may be asked for again.

    Raises:
        Denied: see above; or the account is the last admin's, or the last owner's of a team.
    """
    if not await services.catch_up():
        raise Denied(Why.CATCHING_UP)
    pool = services.pools.sign_in
    async with pool.acquire() as connection, connection.transaction():
        await _require_may_go(connection, user_id)  # Before anything is given back.
    kept = await _settled(services, Principal(user_id, "user", None), fate)
    async with pool.acquire() as connection, connection.transaction():
        await _require_may_go(connection, user_id)
        if not await privacy.erase(connection, user_id):
            raise not_found()
        after = {"bookings": fate or "none", "kept": kept}
        await acts.note(connection, by, "person.erase", user_id, after=after, why=why)
    # Whoever restores an older copy of the database finds here whom to erase again.
    log.info("person erased", action="person_erased", user=user_id)
    services.standings.forget(user_id)
    services.revocations.wake()
    return told.Erasure(id=user_id, bookings_kept=kept)


async def _require_may_go(connection: Connection, user_id: str) -> None:
    outcome = await operators.may_go(connection, user_id)
    if outcome is Outcome.NOT_FOUND:
        raise not_found()
    if outcome is Outcome.LAST_ADMIN:
        raise Denied(Why.LAST_ADMIN)
    if outcome is Outcome.LAST_OWNER:
        raise Denied(Why.LAST_OWNER)


async def _settled(services: Services, owner: Principal, fate: Fate | None) -> int:
    """Let go of what a person has to come, as they wish; return how many bookings stay good."""
    pool = services.pools.own
    open_ones = await privacy.open_bookings(pool, owner.user_id)
    given = await privacy.open_tickets(pool, owner.user_id)
    figures: dict[str, int | str] = {"bookings": len(open_ones), "tickets": len(given)}
    if (open_ones or given) and fate is None:
        raise Denied(Why.BOOKINGS_OPEN, ("/bookings", ""), fields=figures)
    if fate == "cancel":
        for ticket_id in given:
            # Refused if it cannot be used any more either.
            await gifts.give_back(services, owner, ticket_id)
        for own_id in open_ones:
            done = await bookings.cancel(services, owner, own_id)
            if isinstance(done, Denied):
                what = f"{own_id} cannot be given back: {done.why}"
                raise Denied(Why.BOOKINGS_OPEN, ("/bookings", what), fields=figures)
    for own_id in await privacy.open_waits(pool, owner.user_id):
        # Refused if it has ended by itself meanwhile.
        await waitlist.leave(services, owner, own_id)
    return len(open_ones) if fate == "keep" else 0


async def document(
    pieces: AsyncIterator[privacy.Piece], user_id: str, made_at: dt.datetime
) -> AsyncIterator[bytes]:
    """Write an export as one JSON document, part by part; a table's pieces follow each other."""
    head = {"format": FORMAT, "person_id": user_id, "made_at": made_at}
    yield msgspec.json.encode(head)[:-1] + b',"tables":{'
    table, has_rows = "", False
    async for piece in pieces:
        if piece.table != table:
            yield b'%b"%b":[' % (b"]," if table else b"", piece.table.encode())
            table, has_rows = piece.table, False
        if piece.rows:
            yield b"%b%b" % (b"," if has_rows else b"", ",".join(piece.rows).encode())
            has_rows = True
    yield b"]}}" if table else b"}}"
