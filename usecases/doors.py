"""What an event's gates read of it: its tickets."""

from __future__ import annotations

import datetime as dt

from store import tickets
from usecases import gate, told
from usecases.denials import as_value
from usecases.services import Services
from usecases.tickets import gate_of
from usecases.tokens import Principal

#: Where a list by id begins; its moment says nothing.
BEGIN = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


@as_value
async def gate_list(
    services: Services,
    person: Principal,
    event_id: str,
    *,
    after_id: str,
    limit: int,
    changed_alone: bool,
) -> told.Page[told.ListedTicket]:
    """
    Return a page of an event's tickets, by id, for gates that will be offline.

    Args:
        changed_alone: Leave out those that nothing became of: what is left says which codes that
            are signed well let nobody in, for they are cancelled, given away or used.
    """
    known = await gate.own_door(services, person, event_id)
    up_to_date = await services.catch_up({known.shard})
    found = await tickets.of_event(
        services.pools.organizers,
        event_id,
        after_id=after_id,
        limit=limit + 1,
        changed_alone=changed_alone,
    )
    page = found[:limit]
    last = (BEGIN[0], page[-1].id) if len(found) > limit else None
    views = [_view(ticket, known.tier_ids.get(ticket.tier_no, "")) for ticket in page]
    if changed_alone:
        views = [view for view in views if view.status != "valid" or view.version > 1]
    return told.Page(views, last, up_to_date)


def _view(ticket: tickets.Ticket, tier_id: str) -> told.ListedTicket:
    status = "valid" if ticket.status == "undone" else ticket.status
    is_in = status == "checked_in"
    return told.ListedTicket(
        id=ticket.id,
        booking_id=ticket.booking_id,
        tier_id=tier_id,
        seat_id=ticket.seat_id,
        version=ticket.version,
        status=status,  # type: ignore[arg-type]  # One of the three.
        checked_in_at=ticket.changed_at if is_in else None,
        gate=gate_of(ticket.gate) if is_in else None,
    )
