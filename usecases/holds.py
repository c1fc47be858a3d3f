"""Holds: places set aside until a deadline, then confirmed, released, or over."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from engine import commands, values
from engine.commands import Own
from engine.durability import Durability
from engine.ids import booking_of_hold, hold_id, is_id
from engine.outcomes import Refused
from engine.status import Status
from usecases import metrics, told
from usecases.bookings import Made, made, unreached
from usecases.catalog import Known
from usecases.denials import Denied, Done, as_value, granted, not_found
from usecases.moments import moment_of
from usecases.orders import Wish, items_of, total_of
from usecases.services import Services
from usecases.tokens import Principal


async def hold(
    services: Services,
    person: Principal,
    wish: Wish,
    key: str,
    wanted: Durability | None,
    origin: str = "",
) -> Done[told.Hold] | Refused | Denied:
    """
    Set places aside; they are the person's until `expires_at`.

    Idempotency: the same wish of the same person under the same key gives the same hold, as it is
    then, until a day after it ended.

    Args:
        origin: A word for the address that the wish comes from; empty if that is not known.
    """
    own_id = hold_id(event_id=wish.event_id, user_id=person.user_id, idempotency_key=key)
    order = commands.Order(
        wish.event_id,
        own_id,
        person.user_id,
        wish.fingerprint,
        wish.detail,
        wish.lines,
        services.hold_ttl_ms,
        origin,
    )
    known = wish.known
    promise = services.acks.promise(wanted, known.shard)
    outcome = await services.engine.hold(known.shard, order)
    metrics.count_outcome(metrics.holds_of, outcome, "held")
    if isinstance(outcome, Refused):
        return outcome
    if not await services.acks.keep(promise, known.shard, outcome):
        return unreached(promise)
    if outcome.is_replay:
        # It may have ended since: tell what it is now.
        now = await read(services, person, own_id)
        if isinstance(now, Denied):
            return now
        return Done(msgspec.structs.replace(now, durability=promise.level), True, promise)
    view = told.Hold(
        id=own_id,
        event_id=wish.event_id,
        status="held",
        items=items_of(known, outcome.items),
        total=total_of(known, outcome.items),
        created_at=moment_of(outcome.at_ms),
        expires_at=moment_of(outcome.expires_at_ms),
        booking_id=None,
        seq=outcome.seq,
        durability=promise.level,
    )
    return Done(view, promise=promise)


@as_value
async def read(services: Services, person: Principal, own_id: str) -> told.Hold:
    """Return a hold of the person's own; what became of it is remembered for a day."""
    return await _view(services, await _own(services, person, own_id))


@as_value
async def confirm(
    services: Services, person: Principal, own_id: str, wanted: Durability | None
) -> tuple[Made, bytes]:
    """
    Turn a hold of the person's own into a booking; return it, and the detail kept with the hold.

    Late is not too late while the places are still there, for the price that was promised, and one
    may have them as the rules of the sale are then. May be repeated: the booking, as it is then, is
    the answer to every further confirmation.
    """
    found = await _own(services, person, own_id)
    promise = services.acks.promise(wanted, found.known.shard)
    outcome = await services.engine.confirm(found.known.shard, found.own)
    metrics.count_booking(outcome, "confirmed", found.known.category)
    if isinstance(outcome, Refused) and outcome.status is Status.HOLD_EXPIRED:
        # Who came too late may wait in the first place, once: `waitlist` takes this.
        outcome = outcome._replace(fields=outcome.fields | {"after_hold": own_id})
    if isinstance(outcome, Refused):
        # Of the hold; the request has no lines that could be pointed at.
        outcome = outcome._replace(fields={k: v for k, v in outcome.fields.items() if k != "line"})
    own = found.own._replace(id=booking_of_hold(own_id))
    booking = await made(services, found.known, own, promise, granted(outcome))
    return booking, found.hold.detail


@as_value
async def extend(services: Services, person: Principal, own_id: str) -> told.Hold:
    """Move the deadline of a hold of the person's own, up to the longest life of a hold."""
    found = await _own(services, person, own_id)
    command = commands.Extend(
        *found.own,
        services.hold_ttl_ms,
        services.hold_life_max_ms,
        services.hold_scarce_percent,
        services.hold_ttl_min_ms,
    )
    outcome = granted(await services.engine.extend(found.known.shard, command))
    kept = found.hold._replace(expires_at_ms=outcome.expires_at_ms)
    return await _view(services, found._replace(hold=kept))


@as_value
async def release(services: Services, person: Principal, own_id: str) -> None:
    """Give a hold of the person's own back. May be repeated; a hold that is over stays over."""
    found = await _own(services, person, own_id)
    granted(await services.engine.release(found.known.shard, found.own))


class Kept(NamedTuple):
    """A hold, its name, and the event it belongs to."""

    own: Own
    known: Known
    hold: values.Hold


async def _own(services: Services, person: Principal, own_id: str) -> Kept:
    """Return a hold, by its id alone, if it is the person's; else it is not there (S8)."""
    if not is_id("hold", own_id):
        raise not_found()

    async def look(event_id: str, known: Known) -> Kept | None:
        kept = await services.engine.read_hold(known.shard, event_id, own_id)
        if kept is None or kept.user_id != person.user_id:
            return None
        return Kept(Own(event_id, own_id, person.user_id), known, kept)

    found = await services.catalog.look_up(own_id, look)
    if found is None:
        raise not_found()
    return found


async def _view(services: Services, found: Kept) -> told.Hold:
    own, known, kept = found
    booking_id, booking_status = None, None
    if kept.status == "confirmed":
        # It does not look live once its booking is not.
        booking_id = booking_of_hold(own.id)
        booking = await services.engine.read_booking(known.shard, own.event_id, booking_id)
        booking_status = booking.status if booking else None
    return told.Hold(
        id=own.id,
        event_id=own.event_id,
        status=kept.status,  # type: ignore[arg-type]  # The scripts know the same words.
        items=items_of(known, kept.items),
        total=total_of(known, kept.items),
        created_at=moment_of(kept.at_ms),
        expires_at=moment_of(kept.expires_at_ms),
        booking_id=booking_id,
        booking_status=booking_status,  # type: ignore[arg-type]  # As above.
        seq=kept.seq,
    )
