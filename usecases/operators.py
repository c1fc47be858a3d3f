"""What admins do: look for accounts and organizers, change roles, keep somebody out."""

from __future__ import annotations

from engine.ids import is_id
from store import operators, sessions
from store.operators import Outcome
from store.organizers import Organizer
from usecases import acts, told
from usecases.asked import AccountChange, NewOrganizer
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def search(
    services: Services, *, text: str | None, role: str | None, after: str, limit: int
) -> told.Page[told.Account]:
    """Return a page of accounts, those made first first, whose address, name or id matches."""
    pool = services.pools.search
    found = await operators.search(pool, after=after, text=text, role=role, limit=limit + 1)
    page = found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page([_account(one, []) for one in page], last)


@as_value
async def read(services: Services, user_id: str) -> told.Account:
    """Return an account, and the teams it is on."""
    return await _read(services, user_id)


@as_value
async def change(
    services: Services, person: Principal, user_id: str, asked: AccountChange
) -> told.Account:
    """Make an account a user, staff or organizer of an organizer, or an admin; may be repeated."""
    if asked.organizer_id is not None and not is_id("org", asked.organizer_id):
        raise invalid("/organizer_id", "is not an organizer")
    outcome = Outcome.NOT_FOUND
    if is_id("usr", user_id):
        outcome = await operators.set_role(
            services.pools.organizers, acts.actor(person), user_id, asked.role, asked.organizer_id
        )
    if outcome is Outcome.NO_ORGANIZER:
        raise invalid("/organizer_id", "must be the organizer whose team it is")
    if outcome is Outcome.LAST_OWNER:
        raise Denied(Why.LAST_OWNER)
    return await _done(services, user_id, outcome)


@as_value
async def set_disabled(
    services: Services, person: Principal, user_id: str, *, is_disabled: bool
) -> told.Account:
    """Keep an account out, or let it in again; may be repeated."""
    outcome = Outcome.NOT_FOUND
    if is_id("usr", user_id):
        outcome = await operators.set_disabled(
            services.pools.organizers, acts.actor(person), user_id, is_disabled=is_disabled
        )
    return await _done(services, user_id, outcome)


@as_value
async def end_sessions(services: Services, person: Principal, user_id: str) -> told.Account:
    """End all sessions of an account, wherever it is signed in. May be repeated."""
    found = await _read(services, user_id)
    async with services.pools.sign_in.acquire() as connection, connection.transaction():
        ended = await sessions.end_others(connection, user_id, None)
        after = {"sessions": len(ended)}
        await acts.note(connection, person, "account.end_sessions", user_id, after=after)
    for session_id in ended:
        services.revocations.note(session_id)
    return found


@as_value
async def find_organizers(
    services: Services, *, text: str | None, after: str, limit: int
) -> told.Page[told.Organizer]:
    """Return a page of organizers, those made first first, whose name or id matches."""
    pool = services.pools.search
    found = await operators.find_organizers(pool, after=after, text=text, limit=limit + 1)
    page = found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page([_organizer(one) for one in page], last)


@as_value
async def add_organizer(
    services: Services, person: Principal, asked: NewOrganizer
) -> told.Organizer:
    """Add an organizer, with an owner if one is named."""
    owner_id = asked.owner_id
    made = None
    if owner_id is None or is_id("usr", owner_id):
        made = await operators.add_organizer(
            services.pools.organizers, acts.actor(person), asked.name, owner_id
        )
    if made is None:
        raise invalid("/owner_id", "is not an account")
    if owner_id is not None:
        services.standings.forget(owner_id)
    return _organizer(made)


async def _read(services: Services, user_id: str) -> told.Account:
    pool = services.pools.organizers
    account = await operators.by_id(pool, user_id) if is_id("usr", user_id) else None
    if account is None:
        raise not_found()
    return _account(account, await operators.memberships(pool, user_id))


async def _done(services: Services, user_id: str, outcome: Outcome) -> told.Account:
    """Return an account as it is after an act; deny what the act refused."""
    services.standings.forget(user_id)
    if outcome is Outcome.NOT_FOUND:
        raise not_found()
    if outcome is Outcome.LAST_ADMIN:
        raise Denied(Why.LAST_ADMIN)
    return await _read(services, user_id)


def _account(row: operators.Account, memberships: list[operators.Membership]) -> told.Account:
    return told.Account(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        email_verified_at=row.email_verified_at,
        teams=[
            told.Membership(organizer_id=one.organizer_id, role=one.role, event_ids=one.event_ids)
            for one in memberships
        ],
    )


def _organizer(row: Organizer) -> told.Organizer:
    return told.Organizer(
        id=row.id, name=row.name, created_at=row.created_at, role=None, event_ids=None
    )
