"""Schemathesis against the served application: what it answers is what the description says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from schemathesis.checks import CHECKS, load_all_checks

from api.routes import ROUTES
from tests.api.drawn import BOOK, UNFIT_CHECKS, UNFIT_ROUTES, Found, fuzz, make_grounds
from tests.api.world import Serve, World

#: The way of a booking, and what is read on it.
SMALL = (
    BOOK,
    ("POST", "/v1/events/{event_id}/holds"),
    ("POST", "/v1/holds/{hold_id}/confirm"),
    ("GET", "/v1/events/{event_id}/availability"),
    ("GET", "/v1/events/{event_id}"),
    ("GET", "/v1/events"),
    ("POST", "/v1/events/{event_id}/waitlist"),
    ("GET", "/v1/bookings/{booking_id}"),
    ("GET", "/v1/bookings"),
)


def check(found: Found) -> None:
    """Hold that nothing was wrong, and that bookings were both made and refused."""
    assert not found.failures, "\n\n".join([found.verdict, *found.failures.values()])
    assert {201, 409} <= found.seen(BOOK)


@pytest.mark.timeout(300)
async def test_small(world: World) -> None:
    """As anybody, a buyer, an organizer and an admin: each answer of the booking path fits."""
    found = await fuzz(world, await make_grounds(world), only=SMALL, examples=4, large=False)
    assert set(SMALL) == {operation for operation, _ in found.statuses}
    check(found)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
async def test_large(
    world: World,
    serve: Serve,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """As each of them, every route: all that may be called was, and each answer fits."""
    examples = 50 if request.config.getoption("--large") else 3
    async with serve(hold_ttl_ms=7_200_000, hold_life_max_ms=7_200_000) as lasting:
        found = await fuzz(lasting, await make_grounds(lasting), examples=examples, large=True)
    record_property("fuzz", found.verdict)
    called = {operation for operation, _ in found.statuses}
    assert {(row.method, row.path) for row in ROUTES} - set(UNFIT_ROUTES) == called
    check(found)


def test_what_is_left_out_exists() -> None:
    """Each check and route that is left out by name is one that there is."""
    load_all_checks()
    assert set(UNFIT_CHECKS) <= set(CHECKS.get_all_names())
    assert set(UNFIT_ROUTES) <= {(row.method, row.path) for row in ROUTES}
