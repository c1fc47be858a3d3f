"""
Who may do what to an organizer and its events: one table, which every use case asks.

What somebody is, their row says at this moment, and not their token, which may be older than the
last change of a team. It is read for what organizers, staff and admins do; never for buying.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import StrEnum

from engine.ids import is_id
from store import organizers
from store.organizers import Standing, TeamPlace, TeamRole
from store.pool import UNANSWERED, Pool
from usecases.denials import Denied, Why, not_found
from usecases.memory import remember
from usecases.tokens import BY_PASSKEY, Principal

#: How long what an account is may be remembered, in seconds: so long a change takes at most.
FRESH_S = 1.0
#: How long it counts at the gate while PostgreSQL does not answer, and for how long that is not
#: tried again.
KNOWN_S = 3_600.0
SILENT_S = 5.0
REMEMBERED_MAX = 20_000
_NOBODY = Standing(False, {})
_LACKS_PASSKEY = Standing(False, {}, lacks_passkey=True)


class Act(StrEnum):
    """What is done to an organizer, or to one event of it."""

    #: See what the public does not: drafts, hidden tiers.
    SEE = "see"
    CREATE = "create"
    EDIT = "edit"
    PUBLISH = "publish"
    #: End the sale, or go on with it.
    CLOSE = "close"
    #: Call an event off, which is final.
    CANCEL = "cancel"
    #: What is done at the desk: take seats out of sale, and put them back.
    DESK = "desk"
    #: Let people in at the gate, and take that back.
    CHECK_IN = "check_in"
    #: See who is on the team and who is invited.
    SEE_TEAM = "see_team"
    #: Change that, of the roles below one's own.
    LEAD_TEAM = "lead_team"
    #: Say where the organizer is told by machines what happens to its events.
    WEBHOOKS = "webhooks"
    #: Change what the organizer says of itself, and who manages and owns it.
    OWN = "own"


_ALL: tuple[TeamRole, ...] = ("owner", "manager", "box_office", "gate")
#: Who may; admins may everything.
RIGHTS: Mapping[Act, frozenset[TeamRole]] = {
    act: frozenset(_ALL[:count])
    for act, count in {
        Act.SEE: 3,
        Act.CREATE: 2,
        Act.EDIT: 2,
        Act.PUBLISH: 2,
        Act.CLOSE: 2,
        Act.CANCEL: 1,
        Act.DESK: 3,
        Act.CHECK_IN: 4,
        Act.SEE_TEAM: 2,
        Act.LEAD_TEAM: 2,
        Act.WEBHOOKS: 2,
        Act.OWN: 1,
    }.items()
}


class Standings:
    """What accounts are, from PostgreSQL, remembered for a moment."""

    def __init__(self, pool: Pool, wants_passkey: Callable[[str], bool]) -> None:
        """
        Args:
            wants_passkey: Tells whether the rights of an account's role come by a passkey alone.
        """
        self._pool = pool
        self._wants_passkey = wants_passkey
        #: By user id: what they are, and when that was read.
        self._known: OrderedDict[str, tuple[Standing, float]] = OrderedDict()
        self._silent_until_s = 0.0

    async def of(self, person: Principal) -> Standing:
        """
        Return what a person is, as it was a second ago at most.

        Cost: a query by primary key, once a second and person.
        """
        if person.kind != "user":
            return _of_machine(person)
        return self._as_proved(person, await self._read(person.user_id))

    async def needs_passkey(self, person: Principal) -> bool:
        """Tell whether what a person is has its rights by a passkey alone."""
        return self._wants_passkey("admin") and self._is_locked(await self._read(person.user_id))

    async def _read(self, user_id: str) -> Standing:
        known = self._known.get(user_id)
        if known is not None and time.monotonic() - known[1] < FRESH_S:
            return known[0]
        found = await organizers.standing(self._pool, user_id)
        remember(self._known, user_id, (found, time.monotonic()), most=REMEMBERED_MAX)
        return found

    def _is_locked(self, standing: Standing) -> bool:
        return standing.is_admin and self._wants_passkey("admin")

    def _as_proved(self, person: Principal, standing: Standing) -> Standing:
        """Return what a person is as they have signed in: by the row, not by the token's role."""
        if person.method != BY_PASSKEY and self._is_locked(standing):
            return _LACKS_PASSKEY
        return standing

    async def at_gate(self, person: Principal) -> Standing:
        """
        Return the same; while PostgreSQL does not answer, what was last known.

        Of whom nothing is known here, the token's word counts, for the gate alone: people stand
        before it, and what they bring is checked by Redis. Nobody is made less meanwhile either,
        since that would be written to PostgreSQL.
        """
        if person.kind != "user":
            return _of_machine(person)
        now_s = time.monotonic()
        if now_s >= self._silent_until_s:
            try:
                return await self.of(person)
            except UNANSWERED:
                self._silent_until_s = time.monotonic() + SILENT_S
        known, read_at_s = self._known.get(person.user_id, (None, 0.0))
        if known is not None and now_s - read_at_s < KNOWN_S:
            return self._as_proved(person, known)
        if person.lacks_passkey:
            return _LACKS_PASSKEY
        if person.organizer_id is None or person.role not in {"staff", "organizer", "admin"}:
            return _NOBODY
        return Standing(False, _one_place(TeamPlace(person.organizer_id, "gate", None)))

    def forget(self, user_id: str) -> None:
        """Look anew at what a person is, who was just made something else by this process."""
        self._known.pop(user_id, None)


def _of_machine(person: Principal) -> Standing:
    """Return what a machine is: a device at its event's gate, an API key a manager at most."""
    if person.organizer_id is None:
        return _NOBODY
    if person.kind == "api_key":  # Its scopes say what of that it may.
        return Standing(False, _one_place(TeamPlace(person.organizer_id, "manager", None)))
    event_ids = frozenset(() if person.event_id is None else (person.event_id,))
    return Standing(False, _one_place(TeamPlace(person.organizer_id, "gate", event_ids)))


def _one_place(place: TeamPlace) -> dict[str, TeamPlace]:
    return {place.organizer_id: place}


def covers(place: TeamPlace | None, event_id: str | None) -> bool:
    """Tell whether a place on a team is for an event; for the organizer as a whole, if None."""
    return place is not None and (place.event_ids is None or event_id in place.event_ids)


def may(standing: Standing, act: Act, organizer_id: str, event_id: str | None = None) -> bool:
    """
    Tell whether somebody may do a thing.

    Args:
        event_id: The event that it is done to; None for the organizer as a whole, which is for
            those alone who are confined to no events.
    """
    if standing.is_admin:
        return True
    place = standing.places.get(organizer_id)
    return place is not None and covers(place, event_id) and place.role in RIGHTS[act]


def judge(standing: Standing, act: Act, organizer_id: str, event_id: str | None = None) -> None:
    """Deny what somebody may not; to whom it is no concern, it is not there (S8)."""
    if not is_id("org", organizer_id):
        raise not_found()
    if may(standing, act, organizer_id, event_id):
        return
    place = standing.places.get(organizer_id)
    if place is None or (event_id is not None and not covers(place, event_id)):
        raise outsider(standing)
    raise Denied(Why.FORBIDDEN, detail=f"Your place on the team is {place.role}.")


def outsider(standing: Standing) -> Denied:
    """
    Return what somebody is told of a thing that is no concern of theirs: that it is not there.

    Whose rights wait for a passkey is told that instead, of what there is as of what there is not.
    """
    return Denied(Why.PASSKEY_REQUIRED) if standing.lacks_passkey else not_found()


async def require(
    standings: Standings,
    person: Principal,
    act: Act,
    organizer_id: str,
    event_id: str | None = None,
) -> None:
    """Deny a person what they may not do, as `judge` does."""
    judge(await standings.of(person), act, organizer_id, event_id)


async def sees(
    standings: Standings, person: Principal | None, organizer_id: str, event_id: str
) -> bool:
    """Tell whether a person sees what the public does not of an event."""
    if person is None:
        return False
    return may(await standings.of(person), Act.SEE, organizer_id, event_id)


async def unseen(standings: Standings, person: Principal | None) -> Denied:
    """Return what a person is told of a draft that they do not see, as `outsider` does."""
    return not_found() if person is None else outsider(await standings.of(person))
