"""Organizers, their teams and whom they have invited, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine.ids import new_id
from store import events
from store.events import Event
from store.sql import Executor, query
from store.tenants import Connection

#: What somebody is on a team, the highest first.
TeamRole = Literal["owner", "manager", "box_office", "gate"]


class Organizer(NamedTuple):
    """Who makes events."""

    id: str
    name: str
    created_at: dt.datetime


class TeamPlace(NamedTuple):
    """What somebody is on one team; `event_ids` are all that it is for, None for all there are."""

    organizer_id: str
    role: TeamRole
    event_ids: frozenset[str] | None


class Standing(NamedTuple):
    """What an account is at this moment."""

    is_admin: bool
    #: By organizer.
    places: dict[str, TeamPlace]
    #: Whether it is more, and has not been proved by the passkey that its rights ask for.
    lacks_passkey: bool = False


class Member(NamedTuple):
    """Somebody on a team, as its row."""

    user_id: str
    role: TeamRole
    event_ids: list[str] | None
    added_at: dt.datetime


class Invitation(NamedTuple):
    """An address that is asked to join."""

    organizer_id: str
    id: str
    email: str
    role: TeamRole
    event_ids: list[str] | None
    created_at: dt.datetime
    expires_at: dt.datetime
    organizer_name: str = ""


async def standing(database: Executor, user_id: str) -> Standing:
    """Return what an account is; one that is not there, or is disabled, is nothing."""
    rows = await database.fetch(query("standing_of"), user_id)
    if not rows or rows[0]["is_disabled"]:
        return Standing(False, {})
    places = {
        row["organizer_id"]: TeamPlace(
            row["organizer_id"],
            row["role"],
            None if row["event_ids"] is None else frozenset(row["event_ids"]),
        )
        for row in rows
        if row["organizer_id"] is not None
    }
    return Standing(rows[0]["account_role"] == "admin", places)


async def of_user(database: Executor, user_id: str) -> list[tuple[Organizer, Member]]:
    """Return the organizers on whose teams somebody is, and as what."""
    rows = await database.fetch(query("organizers_of"), user_id)
    return [
        (
            Organizer(row["id"], row["name"], row["created_at"]),
            Member(user_id, row["role"], row["event_ids"], row["created_at"]),
        )
        for row in rows
    ]


async def by_id(database: Executor, organizer_id: str) -> Organizer | None:
    """Find an organizer by its id."""
    row = await database.fetchrow(query("organizer_by_id"), organizer_id)
    return None if row is None else Organizer(**row)


async def lock(connection: Connection, organizer_id: str) -> Organizer | None:
    """Let nobody else change the team until the transaction ends."""
    row = await connection.fetchrow(query("lock_team"), organizer_id)
    return None if row is None else Organizer(**row)


async def rename(connection: Connection, organizer_id: str, name: str) -> None:
    """Give an organizer another name."""
    await connection.execute(query("rename_organizer"), organizer_id, name)


async def member(connection: Connection, organizer_id: str, user_id: str) -> Member | None:
    """Find somebody on a team."""
    row = await connection.fetchrow(query("team_member"), organizer_id, user_id)
    return None if row is None else Member(**row)


async def members(
    connection: Connection, organizer_id: str, *, after: tuple[dt.datetime, str], limit: int
) -> list[Member]:
    """Return a page of a team, the longest there first, continuing after (added_at, user_id)."""
    rows = await connection.fetch(query("team_page"), organizer_id, *after, limit)
    return [Member(**row) for row in rows]


async def size(connection: Connection, organizer_id: str) -> tuple[int, int]:
    """Return how many are on a team, and how many of them own it."""
    row = await connection.fetchrow(query("team_size"), organizer_id)
    assert row is not None
    return row["members"], row["owners"]


async def set_member(
    connection: Connection,
    organizer_id: str,
    user_id: str,
    role: TeamRole,
    event_ids: Sequence[str] | None,
) -> Member:
    """Put somebody on a team, or give them another place there."""
    row = await connection.fetchrow(
        query("set_team_member"), organizer_id, user_id, role, event_ids
    )
    assert row is not None
    return Member(**row)


async def delete_member(connection: Connection, organizer_id: str, user_id: str) -> None:
    """Take somebody off a team."""
    await connection.execute(query("delete_team_member"), organizer_id, user_id)


async def foreign_events(
    connection: Connection, organizer_id: str, event_ids: Sequence[str]
) -> list[str]:
    """Return those of some ids that are no event of the organizer, in their order."""
    rows = await connection.fetch(query("events_not_of_organizer"), organizer_id, list(event_ids))
    return [row["id"] for row in rows]


async def invite(
    connection: Connection,
    organizer_id: str,
    *,
    email: str,
    role: TeamRole,
    event_ids: Sequence[str] | None,
    life_s: int,
) -> Invitation:
    """Invite an address; an earlier invitation of it is over."""
    row = await connection.fetchrow(
        query("invite"), organizer_id, new_id("inv"), email, role, event_ids, life_s
    )
    assert row is not None
    return Invitation(**row)


async def count_invitations(connection: Connection, organizer_id: str) -> int:
    """Return how many invitations are open; those that have run out are deleted."""
    await connection.execute(query("delete_expired_invitations"), organizer_id)
    count: int = await connection.fetchval(query("invitations_count"), organizer_id)
    return count


async def invitations(
    connection: Connection, organizer_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Invitation]:
    """Return a page of open invitations, newest first, continuing before (created_at, id)."""
    rows = await connection.fetch(query("invitations_of_organizer"), organizer_id, *before, limit)
    return [Invitation(**row) for row in rows]


async def delete_invitation(
    connection: Connection, organizer_id: str, invitation_id: str
) -> TeamRole | None:
    """Take an invitation back; return what it was for, None if it is not there."""
    role: TeamRole | None = await connection.fetchval(
        query("delete_invitation"), organizer_id, invitation_id
    )
    return role


async def invitations_to(
    database: Executor, user_id: str, invitation_id: str | None = None
) -> list[Invitation]:
    """Return the open invitations, or one of them, to the proved address of an account."""
    rows = await database.fetch(query("invitations_to"), user_id, invitation_id)
    return [Invitation(**row) for row in rows]


async def take_invitation(
    connection: Connection, organizer_id: str, invitation_id: str
) -> TeamPlace | None:
    """Use an invitation up; None if it is not there any more."""
    row = await connection.fetchrow(query("take_invitation"), organizer_id, invitation_id)
    if row is None:
        return None
    event_ids = None if row["event_ids"] is None else frozenset(row["event_ids"])
    return TeamPlace(organizer_id, row["role"], event_ids)


async def events_of(
    connection: Connection,
    organizer_id: str,
    *,
    before_id: str,
    limit: int,
    only: frozenset[str] | None = None,
    status: str | None = None,
) -> list[Event]:
    """
    Return a page of an organizer's events, drafts as well, newest first.

    Args:
        before_id: Continues before the event of this id; "" begins.

        only: Ids of those that may be shown; None for all.

        status: Shows those that are this; None for all.
    """
    rows = await connection.fetch(
        query("events_of_organizer"), organizer_id, before_id, limit, only and sorted(only), status
    )
    return await events.by_ids(connection, [row["id"] for row in rows], organizer_id)
