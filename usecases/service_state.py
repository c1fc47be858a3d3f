"""Whether all can be bought that is on sale, for everybody to see."""

from __future__ import annotations

import datetime as dt

from store import reigns
from store.pool import UNANSWERED
from usecases.services import Services


async def since(services: Services, *, is_open: bool) -> dt.datetime | None:
    """
    Return since when sales are open, or are not; None where nobody can tell.

    Args:
        is_open: As who asks has found it; PostgreSQL may not know yet, and then nobody can tell.
    """
    try:
        found = await reigns.since(services.pools.events)
    except UNANSWERED:
        return None
    return found[1] if found is not None and found[0] == is_open else None
