"""
`evently sample`: twelve events to look at, in the first minute of a newcomer; never in production.

Owns what is made (events, one account for the organizer, some dozens for buyers), the small crowd
that comes when the sale of one of them opens, and that all of it goes again. Events, bookings and
places on lists are made and ended by the use cases that serve everybody. What is there is not made
twice: events are found by their source, accounts by their addresses, bookings by their keys.
Leaves which events these are to `sample_events.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import secrets
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from engine.outcomes import Refused
from evently.embedded.errors import ServerError
from evently.newcomer import (
    OPENS_IN_S,
    ORGANIZER_EMAIL,
    SAMPLE_DOMAIN,
    SIGN_INS_FILE,
    keep,
    organizer_of_sample,
    with_organizer,
)
from evently.operators import operator
from evently.options import services_of
from evently.sample_events import Course, Sample, samples
from evently.settings import Settings, SettingsError
from store import imports, operators, tenants, users
from usecases import bookings, changes, copies, drafts, orders, told, waitlist
from usecases.asked import Join, Order, OrderItem
from usecases.denials import Denied
from usecases.events import publish
from usecases.passwords import hash_now
from usecases.privacy import erased
from usecases.services import Services
from usecases.text import email_forms
from usecases.tokens import Principal

log = structlog.get_logger()

#: Accounts of buyers; by their addresses it is found whose they are.
BUYERS = 60
#: The crowd comes within so many seconds, and is gone after so many more at the latest.
RUSH_S = 20.0
RUSH_MOST_S = 120.0
#: How long a removal waits for places that are still given back, in seconds.
EMPTY_WAIT_S = 120.0
_POLL_S = 0.2
#: Of the crowd's moments and wishes, so that each first minute is the same.
_SEED = 15

Done = TypeVar("Done")


class _Cast(NamedTuple):
    """Who acts in the sample."""

    organizer: Principal
    buyers: Sequence[Principal]


async def add(settings: Settings) -> int:
    """
    Add the sample, and be the crowd of its rush; may be repeated, and cut off anywhere.

    Returns:
        How many events were not there before.

    Raises:
        SettingsError: this is production.
        ServerError: it could not be added.
    """
    _refuse_production(settings)
    sign_ins = await with_organizer(settings)
    organizer_id = await organizer_of_sample(settings)
    async with services_of(settings) as services:
        cast = await _cast(services, organizer_id)
        now = dt.datetime.now(dt.UTC)
        wanted = samples(now, opens_in_s=OPENS_IN_S)
        known = await _known(services, organizer_id, wanted)
        made, rush = 0, None
        for sample in wanted:
            event_id = known.get(sample.source_id)
            if event_id is None:
                event_id, made = await _draft(services, cast, organizer_id, sample), made + 1
            event = _granted(await publish(services, cast.organizer, event_id))
            if sample.course is Course.RUSH:
                rush = event
            else:
                await _become(services, cast, event, sample.course)
        keep(settings, msgspec.structs.replace(sign_ins, is_whole=True))
        log.info("sample added", action="sample_added", events=made)
        if rush is not None:
            await _rush(services, cast.buyers, rush)
    return made


def _refuse_production(settings: Settings) -> None:
    if settings.environment == "production":
        raise SettingsError("there is no sample in production")


async def _cast(services: Services, organizer_id: str) -> _Cast:
    """Return who acts; accounts that are not there are made, and nobody knows their password."""
    pool = services.pools.sign_in
    owner = await operators.of_address(pool, email_forms(ORGANIZER_EMAIL))
    if owner is None:
        raise ServerError(f"there is no account {ORGANIZER_EMAIL}: `evently sample remove`")
    password_hash = hash_now(secrets.token_urlsafe(32))
    ids = await users.ensure_many(pool, _buyer_emails(), password_hash=password_hash)
    buyers = [Principal(user_id, "user", None) for user_id in ids]
    return _Cast(Principal(owner, "organizer", organizer_id), buyers)


def _buyer_emails() -> list[str]:
    return [f"buyer-{number}@{SAMPLE_DOMAIN}" for number in range(1, BUYERS + 1)]


async def _known(services: Services, organizer_id: str, wanted: Sequence[Sample]) -> dict[str, str]:
    """Return the ids of the sample's events that are there, by their sources."""
    async with tenants.rows_of(services.pools.organizers, organizer_id) as connection:
        ids = [sample.source_id for sample in wanted]
        found = await imports.known(connection, organizer_id, ids)
    return {source_id: row.id for source_id, row in found.items()}


async def _draft(services: Services, cast: _Cast, organizer_id: str, sample: Sample) -> str:
    draft = drafts.rows_of(sample.asked, organizer_id, drafts.shards_of(services))
    draft = draft._replace(event=draft.event._replace(source_id=sample.source_id))
    await drafts.add(services, cast.organizer, organizer_id, [draft])
    return draft.event.id


async def _become(services: Services, cast: _Cast, event: told.Event, course: Course) -> None:
    """Have happen to an event what makes it worth looking at."""
    if event.status == "cancelled" or course is Course.SELLS:
        return
    if course is Course.SOLD_OUT:
        tier = event.tiers[0]
        for number, buyer in enumerate(cast.buyers[: tier.capacity // 2]):
            await _book(services, buyer, event, 2, f"sample-sold-{number}")
        for number, buyer in enumerate(cast.buyers[-5:]):
            asked = Join(tier_id=tier.id, quantity=1 + number % 3)
            await waitlist.join(services, buyer, event.id, f"sample-waits-{number}", asked)
        return
    for number, buyer in enumerate(cast.buyers[: 5 + len(event.tiers)]):
        await _book(services, buyer, event, 2, f"sample-begun-{number}", tier=number)
    if course is Course.CANCELLED:
        _granted(await changes.cancel(services, cast.organizer, event.id))


async def _book(
    services: Services,
    buyer: Principal,
    event: told.Event,
    quantity: int,
    key: str,
    *,
    tier: int = 0,
) -> bool:
    """Book places of an event, of its tiers the one whose turn it is; tell whether it was done."""
    own = event.tiers[tier % len(event.tiers)]
    item = OrderItem(tier_id=own.id, quantity=quantity)
    if own.id in await _seated(services, event.id):
        item = OrderItem(tier_id=own.id, quantity=quantity, best_available=True)
    wish = await orders.understand(services, buyer, event.id, Order(items=[item]))
    done = (
        wish if isinstance(wish, Denied) else await bookings.book(services, buyer, wish, key, None)
    )
    return not isinstance(done, Denied | Refused)


async def _seated(services: Services, event_id: str) -> set[str]:
    """Return the tiers of an event that have seats."""
    known = await services.catalog.need(event_id)
    return {known.tier_ids[tier_no] for tier_no in known.section_tiers.values()}


async def _rush(services: Services, buyers: Sequence[Principal], event: told.Event) -> None:
    """Come as a crowd when the sale opens, take what is to be had, and go."""
    wait_s = (event.sale_opens_at - dt.datetime.now(dt.UTC)).total_seconds()
    if wait_s < 0:  # It was opened by a run before, whose crowd this was.
        return
    await asyncio.sleep(wait_s)
    chance = random.Random(_SEED)  # noqa: S311 - no secret
    moments = [min(chance.expovariate(4 / RUSH_S), RUSH_S) for _ in buyers]
    wishes = [chance.choice((1, 2, 2, 3, 4)) for _ in buyers]

    async def come(number: int) -> bool:
        await asyncio.sleep(moments[number])
        buyer, key = buyers[number], f"sample-rush-{number}"
        has_places = await _book(services, buyer, event, wishes[number], key)
        if not has_places and number % 2:
            asked = Join(tier_id=event.tiers[0].id, quantity=wishes[number])
            await waitlist.join(services, buyer, event.id, f"{key}-waits", asked)
        return has_places

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RUSH_MOST_S):
            came = await asyncio.gather(*map(come, range(len(buyers))))
            log.info("the crowd was here", action="sample_rush", booked=sum(came))


async def remove(settings: Settings) -> int:
    """
    Take away all that `add` has made: events go off view, their bookings end, accounts are erased.

    What the ledger knows of a sale stays, as of any other. May be repeated, and cut off anywhere.

    Returns:
        How many events there were.

    Raises:
        SettingsError: this is production.
        ServerError: something stands in the way.
    """
    _refuse_production(settings)
    organizer_id = await organizer_of_sample(settings)
    async with services_of(settings) as services:
        by = Principal(operator().id, "operator", None)
        pool = services.pools.sign_in
        owner = await operators.of_address(pool, email_forms(ORGANIZER_EMAIL))
        known = await _known(
            services, organizer_id, samples(dt.datetime.now(dt.UTC), opens_in_s=OPENS_IN_S)
        )
        if known and owner is None:
            raise ServerError(f"there is no account {ORGANIZER_EMAIL}, whose the events are")
        for event_id in known.values():
            await _end(services, Principal(owner or "", "organizer", organizer_id), event_id)
        for email in (*_buyer_emails(), ORGANIZER_EMAIL):
            user_id = await operators.of_address(pool, email_forms(email))
            if user_id is not None:
                _granted(await _erase(services, by, user_id))
    (settings.data_path / SIGN_INS_FILE).unlink(missing_ok=True)
    return len(known)


async def _end(services: Services, organizer: Principal, event_id: str) -> None:
    """Take an event off view; a draft is deleted, else it is called off first."""
    if not isinstance(await copies.delete(services, organizer, event_id), Denied):
        return
    _granted(await publish(services, organizer, event_id))
    left = _granted(await changes.cancel(services, organizer, event_id))
    try:
        async with asyncio.timeout(EMPTY_WAIT_S):
            while left.places_left:
                await asyncio.sleep(_POLL_S)
                left = _granted(await changes.cancellation(services, organizer, event_id))
    except TimeoutError as error:
        raise ServerError(f"{event_id}: places are still given back; try again") from error
    _granted(await changes.withdraw(services, organizer, event_id))


async def _erase(services: Services, by: Principal, user_id: str) -> told.Erasure | Denied:
    try:
        return await erased(services, by, user_id, "cancel", why="evently sample remove")
    except Denied as denied:
        return denied


def _granted(outcome: Done | Denied) -> Done:
    """Return what a use case gives; what it denies ends the command."""
    if isinstance(outcome, Denied):
        raise ServerError(f"{outcome.why}: {outcome.detail or outcome.errors}")
    return outcome
