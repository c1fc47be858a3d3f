"""The proof of a sale, for everybody: what is sold of it, and what the continuous check says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from store import drift
from store.drift import ProofRow
from usecases import availability, told
from usecases.denials import Denied, as_value
from usecases.services import Services

#: A check that nobody has done for so long is not one that goes on, in seconds; and how old a whole
#: proof may be.
LOOKED_S_MAX = 120.0
PROVED_S_MAX = 3_600.0


class Judgement(StrEnum):
    """What is to be said of a sale."""

    #: All of it was looked at, and nothing is wrong.
    PROVED = "proved"
    #: Something is wrong now.
    WRONG = "wrong"
    #: Nothing is known to be wrong, and the last proof is old.
    LATE = "late"
    #: Nobody has looked at all of it yet.
    UNKNOWN = "unknown"


class Proof(NamedTuple):
    """How a sale stands by both stores."""

    availability: told.Availability
    #: None while nobody has looked.
    found: ProofRow | None

    @property
    def capacity(self) -> int:
        """Places of all tiers."""
        return sum(one.capacity for one in self.availability.tiers)

    @property
    def sold(self) -> int:
        """Places that are sold."""
        return sum(one.sold for one in self.availability.tiers)

    @property
    def held(self) -> int:
        """Places that are held."""
        return sum(one.held for one in self.availability.tiers)

    @property
    def oversold(self) -> int:
        """Places that are sold or held beyond what their tiers have."""
        tiers = self.availability.tiers
        return sum(max(0, one.sold + one.held - one.capacity) for one in tiers)

    @property
    def drift(self) -> int:
        """What is wrong with the sale now."""
        return 0 if self.found is None else self.found.wrong_with_event

    @property
    def verdict(self) -> Judgement:
        """What is to be said of it all."""
        found = self.found
        if self.oversold or self.drift:
            return Judgement.WRONG
        if found is None or found.proved_s is None:
            return Judgement.UNKNOWN
        is_late = found.looked_s > LOOKED_S_MAX or found.proved_s > PROVED_S_MAX
        return Judgement.LATE if is_late or found.wrong_with_shard else Judgement.PROVED


@as_value
async def read(services: Services, event_id: str) -> Proof:
    """
    Return the proof of an event's sale. Hidden tiers are not told, and are proved all the same.

    Raises:
        ShardUnavailable: nobody knows what is left.
    """
    known = services.catalog.get(event_id) or await services.catalog.need(event_id)
    seen = await availability.read(services, None, event_id, "")
    if isinstance(seen, Denied):
        raise seen
    found = await drift.proof_of(services.pools.events, known.shard, event_id)
    return Proof(seen.view, found)
