"""
Organizers and their teams: who is on one, who is invited, and what the organizer is called.

Owners do everything here, managers what concerns the places below their own. Every act reads the
caller's own place under the team's lock, so that two who take each other's place cannot both.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence

from engine.ids import is_id
from store import organizers, outbox, tenants, users
from store.organizers import TeamRole
from store.tenants import Connection
from usecases import acts, rights, told
from usecases.asked import Invite, OrganizerName, TeamPlace
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal

#: People on one team, and invitations that may be open at once.
MEMBERS_MAX = 200
INVITATIONS_MAX = 100
INVITATION_LIFE_S = 14 * 24 * 3600
#: Places that managers give and take.
_BELOW_MANAGER = frozenset[TeamRole]({"box_office", "gate"})


@as_value
async def mine(services: Services, person: Principal) -> told.Organizers:
    """Return the organizers on whose teams the person is."""
    found = await organizers.of_user(services.pools.organizers, person.user_id)
    return told.Organizers(
        data=[_organizer(one, place.role, place.event_ids) for one, place in found]
    )


@as_value
async def read(services: Services, person: Principal, organizer_id: str) -> told.Organizer:
    """Return an organizer to who is on its team, and to admins."""
    return await _read(services, person, organizer_id)


async def _read(services: Services, person: Principal, organizer_id: str) -> told.Organizer:
    standing = await services.standings.of(person)
    place = standing.places.get(organizer_id)
    if not is_id("org", organizer_id):
        raise not_found()
    if place is None and not standing.is_admin:
        raise rights.outsider(standing)
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        found = await organizers.by_id(connection, organizer_id)
    if found is None:
        raise not_found()
    if place is None:
        return _organizer(found, None, None)
    return _organizer(found, place.role, _listed(place.event_ids))


@as_value
async def rename(
    services: Services, person: Principal, organizer_id: str, asked: OrganizerName
) -> told.Organizer:
    """Call an organizer something else."""
    async with _changing(services, person, organizer_id, Act.OWN) as (connection, _):
        own = await organizers.by_id(connection, organizer_id)
        await organizers.rename(connection, organizer_id, asked.name)
        before, after = {"name": own.name if own else ""}, {"name": asked.name}
        await acts.note(
            connection, person, "organizer.rename", organizer_id, before=before, after=after
        )
    return await _read(services, person, organizer_id)


@as_value
async def members(
    services: Services,
    person: Principal,
    organizer_id: str,
    *,
    after: tuple[dt.datetime, str],
    limit: int,
) -> told.Page[told.Member]:
    """Return a page of a team, the longest there first."""
    async with _looking(services, person, organizer_id) as connection:
        found = await organizers.members(connection, organizer_id, after=after, limit=limit + 1)
    page = found[:limit]
    last = (page[-1].added_at, page[-1].user_id) if len(found) > limit else None
    return told.Page(await _members(services, page), last)


@as_value
async def change_member(
    services: Services, person: Principal, organizer_id: str, user_id: str, asked: TeamPlace
) -> told.Member:
    """Give somebody on the team another place. May be repeated."""
    _require_place(asked)
    async with _changing(services, person, organizer_id, Act.LEAD_TEAM) as (connection, own_role):
        row = await _member(connection, organizer_id, user_id)
        _require_below(own_role, row.role, asked.role)
        if row.role == "owner" and asked.role != "owner":
            await _require_other_owner(connection, organizer_id)
        await _require_events(connection, organizer_id, asked.event_ids)
        before = _place(organizer_id, row.role, row.event_ids)
        row = await organizers.set_member(
            connection, organizer_id, user_id, asked.role, asked.event_ids
        )
        after = _place(organizer_id, row.role, row.event_ids)
        await acts.note(connection, person, "team.change", user_id, before=before, after=after)
    services.standings.forget(user_id)
    [view] = await _members(services, [row])
    return view


@as_value
async def remove_member(
    services: Services, person: Principal, organizer_id: str, user_id: str
) -> None:
    """Take somebody off the team; anybody may leave. The last owner stays."""
    act = None if user_id == person.user_id else Act.LEAD_TEAM
    async with _changing(services, person, organizer_id, act) as (connection, own_role):
        row = await _member(connection, organizer_id, user_id)
        if act is not None:
            _require_below(own_role, row.role)
        if row.role == "owner":
            await _require_other_owner(connection, organizer_id)
        await organizers.delete_member(connection, organizer_id, user_id)
        before = _place(organizer_id, row.role, row.event_ids)
        await acts.note(connection, person, "team.remove", user_id, before=before)
    services.standings.forget(user_id)


@as_value
async def invite(
    services: Services, person: Principal, organizer_id: str, asked: Invite
) -> told.Invitation:
    """
    Ask whoever has an address to join, whether or not it has an account: the answer is the same.

    Inviting it again makes the earlier invitation void.
    """
    _require_place(asked)
    async with _changing(services, person, organizer_id, Act.LEAD_TEAM) as (connection, own_role):
        _require_below(own_role, asked.role)
        await _require_events(connection, organizer_id, asked.event_ids)
        if await organizers.count_invitations(connection, organizer_id) >= INVITATIONS_MAX:
            raise Denied(Why.TEAM_FULL, fields={"invitations_max": INVITATIONS_MAX})
        made = await organizers.invite(
            connection,
            organizer_id,
            email=asked.email,
            role=asked.role,
            event_ids=asked.event_ids,
            life_s=INVITATION_LIFE_S,
        )
        own = await organizers.by_id(connection, organizer_id)
        name = own.name if own else ""
        payload = {
            "to": asked.email,
            "invitation_id": made.id,
            "organizer_name": name,
            "role": asked.role,
        }
        await outbox.account_message(connection, "team.invited", person.user_id, payload)
        # Whom it is for stands in the invitation alone, as long as that is open.
        after = _place(organizer_id, asked.role, asked.event_ids)
        await acts.note(connection, person, "team.invite", made.id, after=after)
    return _invitation(made._replace(organizer_name=name))


@as_value
async def invitations(
    services: Services,
    person: Principal,
    organizer_id: str,
    *,
    before: tuple[dt.datetime, str],
    limit: int,
) -> told.Page[told.Invitation]:
    """Return a page of an organizer's open invitations, newest first."""
    async with _looking(services, person, organizer_id) as connection:
        own = await organizers.by_id(connection, organizer_id)
        found = await organizers.invitations(
            connection, organizer_id, before=before, limit=limit + 1
        )
    name, page = own.name if own else "", found[:limit]
    last = (page[-1].created_at, page[-1].id) if len(found) > limit else None
    return told.Page([_invitation(one._replace(organizer_name=name)) for one in page], last)


@as_value
async def withdraw(
    services: Services, person: Principal, organizer_id: str, invitation_id: str
) -> None:
    """Take an invitation back."""
    if not is_id("inv", invitation_id):
        raise not_found()
    async with _changing(services, person, organizer_id, Act.LEAD_TEAM) as (connection, own_role):
        role = await organizers.delete_invitation(connection, organizer_id, invitation_id)
        if role is None:
            raise not_found()
        _require_below(own_role, role)
        before = {"organizer_id": organizer_id, "role": role}
        await acts.note(connection, person, "team.withdraw", invitation_id, before=before)


@as_value
async def invitations_to(services: Services, person: Principal) -> told.Invitations:
    """Return the open invitations to the person's address, once it is proved to be theirs."""
    found = await organizers.invitations_to(services.pools.organizers, person.user_id)
    return told.Invitations(data=[_invitation(one) for one in found])


@as_value
async def accept(services: Services, person: Principal, invitation_id: str) -> told.Organizer:
    """
    Join a team by an invitation to one's own proved address.

    Who is on the team already has no use for it: what they are, the team's owners change.
    """
    invited = await _invited(services, person, invitation_id)
    organizer_id = invited.organizer_id
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        own = await organizers.lock(connection, organizer_id)
        place = await organizers.take_invitation(connection, organizer_id, invitation_id)
        if own is None or place is None:
            raise not_found()
        if await organizers.member(connection, organizer_id, person.user_id) is not None:
            raise Denied(Why.ALREADY_MEMBER)
        if (await organizers.size(connection, organizer_id))[0] >= MEMBERS_MAX:
            raise Denied(Why.TEAM_FULL, fields={"members_max": MEMBERS_MAX})
        event_ids = _listed(place.event_ids)
        await organizers.set_member(connection, organizer_id, person.user_id, place.role, event_ids)
        after = _place(organizer_id, place.role, event_ids)
        await acts.note(connection, person, "team.accept", invitation_id, after=after)
    services.standings.forget(person.user_id)
    return _organizer(own, place.role, event_ids)


@as_value
async def decline(services: Services, person: Principal, invitation_id: str) -> None:
    """Refuse an invitation to one's own proved address."""
    invited = await _invited(services, person, invitation_id)
    async with tenants.rows_of(services.pools.organizers, invited.organizer_id) as connection:
        role = await organizers.delete_invitation(connection, invited.organizer_id, invitation_id)
        if role is not None:
            before = _place(invited.organizer_id, role, invited.event_ids)
            await acts.note(connection, person, "team.decline", invitation_id, before=before)


async def _invited(
    services: Services, person: Principal, invitation_id: str
) -> organizers.Invitation:
    """Return an invitation if it is to the person's proved address; else it is not there (S8)."""
    if is_id("inv", invitation_id):
        found = await organizers.invitations_to(
            services.pools.organizers, person.user_id, invitation_id
        )
        if found:
            return found[0]
    raise not_found()


@contextlib.asynccontextmanager
async def _looking(
    services: Services, person: Principal, organizer_id: str
) -> AsyncIterator[Connection]:
    """Begin a transaction that reads about a team; deny who may not see it."""
    await rights.require(services.standings, person, Act.SEE_TEAM, organizer_id)
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        if await organizers.by_id(connection, organizer_id) is None:
            raise not_found()
        yield connection


@contextlib.asynccontextmanager
async def _changing(
    services: Services, person: Principal, organizer_id: str, act: Act | None
) -> AsyncIterator[tuple[Connection, TeamRole | None]]:
    """
    Begin a transaction that changes a team, alone; deny who may not do *act*, as of now.

    Yields the connection, and the caller's own role: None of an admin who is not on the team.
    """
    services.standings.forget(person.user_id)
    standing = await services.standings.of(person)
    if act is not None or organizer_id not in standing.places:
        rights.judge(standing, act or Act.LEAD_TEAM, organizer_id)
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        if await organizers.lock(connection, organizer_id) is None:
            raise not_found()
        own = await organizers.member(connection, organizer_id, person.user_id)
        if standing.is_admin or person.kind != "user":
            yield connection, None if standing.is_admin else "manager"
            return
        if own is None:
            raise not_found()
        # It may have become another since the standing was read.
        if act is not None and (own.role not in rights.RIGHTS[act] or own.event_ids is not None):
            raise Denied(Why.FORBIDDEN)
        yield connection, own.role


async def _member(connection: Connection, organizer_id: str, user_id: str) -> organizers.Member:
    row = None
    if is_id("usr", user_id):
        row = await organizers.member(connection, organizer_id, user_id)
    if row is None:
        raise not_found()
    return row


def _require_below(own_role: TeamRole | None, *roles: TeamRole) -> None:
    """Deny a manager places that are not below their own; owners and admins give them all."""
    if own_role not in {None, "owner"} and not _BELOW_MANAGER.issuperset(roles):
        raise Denied(Why.FORBIDDEN, detail=f"Your place on the team is {own_role}.")


def _place(organizer_id: str, role: TeamRole, event_ids: Sequence[str] | None) -> dict[str, object]:
    """Return a place on a team as acts have it."""
    return {"organizer_id": organizer_id, "role": role, "event_ids": event_ids}


def _listed(event_ids: frozenset[str] | None) -> list[str] | None:
    return None if event_ids is None else sorted(event_ids)


def _require_place(asked: TeamPlace | Invite) -> None:
    if asked.role == "owner" and asked.event_ids is not None:
        raise invalid("/event_ids", "an owner is for all events")


async def _require_events(
    connection: Connection, organizer_id: str, event_ids: Sequence[str] | None
) -> None:
    """Deny ids that are no events of the organizer, others' or none."""
    for number, event_id in enumerate(event_ids or ()):
        if not is_id("evt", event_id):
            raise invalid(f"/event_ids/{number}", "is not an event of the organizer")
    foreign = await organizers.foreign_events(connection, organizer_id, event_ids or ())
    for event_id in foreign[:1]:
        number = list(event_ids or ()).index(event_id)
        raise invalid(f"/event_ids/{number}", "is not an event of the organizer")


async def _require_other_owner(connection: Connection, organizer_id: str) -> None:
    if (await organizers.size(connection, organizer_id))[1] < 2:
        raise Denied(Why.LAST_OWNER)


async def _members(services: Services, rows: Sequence[organizers.Member]) -> list[told.Member]:
    """Return members with what they are called, which is not of the organizer's rows."""
    names = await users.names(services.pools.organizers, [row.user_id for row in rows])
    return [
        told.Member(
            user_id=row.user_id,
            email=names.get(row.user_id, ("", ""))[0],
            name=names.get(row.user_id, ("", ""))[1],
            role=row.role,
            event_ids=row.event_ids,
            added_at=row.added_at,
        )
        for row in rows
    ]


def _organizer(
    row: organizers.Organizer, role: TeamRole | None, event_ids: Sequence[str] | None
) -> told.Organizer:
    return told.Organizer(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        role=role,
        event_ids=None if event_ids is None else list(event_ids),
    )


def _invitation(row: organizers.Invitation) -> told.Invitation:
    return told.Invitation(
        id=row.id,
        organizer_id=row.organizer_id,
        organizer_name=row.organizer_name,
        email=row.email,
        role=row.role,
        event_ids=row.event_ids,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
