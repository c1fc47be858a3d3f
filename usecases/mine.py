"""What one has, at a glance: the event that comes next, and what events are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from store import bookings, events
from store.bookings import Coming
from store.events import Poster
from usecases.denials import as_value
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def coming(services: Services, person: Principal) -> Coming | None:
    """Return the event that a person goes to next, by what is booked or was given."""
    found, _ = await services.near_own(
        lambda database: bookings.next_of_user(database, person.user_id)
    )
    return found


async def posters(services: Services, event_ids: Iterable[str]) -> Mapping[str, Poster]:
    """Return what events are called, when and where they are, by their ids."""
    return await events.posters(services.pools.events, sorted(set(event_ids)))
