"""What use cases work with, and the waits for PostgreSQL that they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from engine.engine import Engine
from engine.errors import EngineError
from engine.outcomes import Applied
from engine.outward import Outside
from engine.ticket_codes import TicketCodes
from papers.press import Press
from papers.wallet import Wallets
from store.pool import Database, Pool
from store.sessions import Life
from store.standby import Need, Standby, written
from store.watermark import Watermark
from usecases.acks import Acks
from usecases.attempts import Attempts
from usecases.bearers import Bearers
from usecases.buckets import Buckets
from usecases.catalog import Catalog
from usecases.flows import Flows
from usecases.keyring import Keyring
from usecases.openid_provider import Provider
from usecases.passwords import Passwords
from usecases.quotas import Quotas
from usecases.receipts import Receipts
from usecases.revocations import Revocations
from usecases.rights import Standings
from usecases.tokens import Tokens

Found = TypeVar("Found")
#: Of the kinds of connections those that a standby has, too.
Near = Literal["own", "organizers", "search"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """
    Connections to PostgreSQL, apart by who asks: bulkheads.

    What is slow makes its own kind wait, for a short time, and then says so; a locked table of
    bookings or a bad search keeps nobody from logging in, and nothing keeps the engine waiting.
    """

    #: Reigns, checkpoints and the redo buffer: what selling and recovery stand on.
    engine: Pool
    #: Single events, and the catalog of the booking path.
    events: Pool
    #: Accounts and sessions: register, sign in, see oneself, find whom to give a ticket.
    sign_in: Pool
    #: What one has: bookings, tickets, waitlist entries.
    own: Pool
    #: What organizers and admins do, and what people are on teams.
    organizers: Pool
    #: Lists of events, which anybody may ask for.
    search: Pool
    #: Who calls: which keys sign, and what API keys and devices may do.
    callers: Pool


class PasskeySite(NamedTuple):
    """For which site passkeys are."""

    #: A domain: passkeys are good on it and below it.
    rp_id: str
    #: Where pages may use them, as `https://example.org`.
    origins: tuple[str, ...]


class WebhookSite(NamedTuple):
    """What secrets of webhooks are sealed with, and where messages may go."""

    key: str
    outside: Outside


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The parts below the faces."""

    engine: Engine
    pools: Pools
    watermark: Watermark
    acks: Acks
    catalog: Catalog
    standings: Standings
    tokens: Tokens
    revocations: Revocations
    #: How long a session lasts.
    session_life: Life
    keyring: Keyring
    #: API keys and devices.
    bearers: Bearers
    #: How often codes of devices may be tried from one address.
    enrolments: Buckets
    passwords: Passwords
    #: Sign-ins under way, by other means than a password.
    flows: Flows
    #: Providers that one can sign in by, by their names here.
    openid: Mapping[str, Provider]
    #: None while nobody can have a passkey.
    passkey_site: PasskeySite | None
    #: None while there are no webhooks.
    webhooks: WebhookSite | None
    #: Which push services a browser may name.
    push_services: Outside
    ticket_codes: TicketCodes
    #: What draws tickets.
    press: Press
    #: Those of phones that tickets can be put into.
    wallets: Wallets
    #: None while bookings are answered without a receipt.
    receipts: Receipts | None
    #: How long a hold lasts, and how long it may be extended to, in ms.
    hold_ttl_ms: int
    hold_life_max_ms: int
    #: Below what share of a tier, in percent, it is shorter, and how short it may get, in ms.
    hold_scarce_percent: int
    hold_ttl_min_ms: int
    #: What strangers may try: passwords, and accounts.
    attempts: Attempts
    #: How much anybody may ask for.
    quotas: Quotas
    #: How long an offer lasts, in ms, and how many may wait for one tier.
    offer_ttl_ms: int
    waitlist_entries_max: int
    #: Time a read waits for PostgreSQL to catch up with Redis, in ms.
    catch_up_timeout_ms: int
    #: None while there is no second PostgreSQL to read from.
    standby: Standby | None = None

    async def near(
        self, whose: Near, work: Callable[[Database], Awaitable[Found]], *, as_now: bool = False
    ) -> Found:
        """
        Return what *work* finds on the standby, or on the primary where that is not to be had.

        Args:
            work: Only reads; may be done twice.

            as_now: Whether all that is committed by now must be there, as for who may have written
                some of it; else it may be ten seconds old (`store.standby.LAG_MAX_S`).
        """
        primary: Pool = getattr(self.pools, whose)
        found = None
        if self.standby is not None:
            needs = partial(written, primary) if as_now else None
            found = await self.standby.read(whose, work, needs=needs)
        return await work(primary) if found is None else found

    async def near_own(self, work: Callable[[Database], Awaitable[Found]]) -> tuple[Found, bool]:
        """
        Do as `near` with one's own rows, once all is there that Redis has now.

        Returns:
            What was found, and whether that is known; see `catch_up`.
        """
        if self.standby is not None:
            found = await self.standby.read("own", work, needs=self._marks)
            if found is not None:
                return found, True
        up_to_date = await self.catch_up()
        return await work(self.pools.own), up_to_date

    async def settle(self, shard: int, outcome: Applied) -> bool:
        """Wait until PostgreSQL has a change, so that what follows sees it; False if too long."""
        return await self._reach(shard, outcome.epoch, outcome.seq)

    async def catch_up(self, shards: Collection[int] | None = None) -> bool:
        """
        Wait until PostgreSQL has all that Redis has now; False if that is not known of a shard.

        A Redis that is not in the reign, say for a FLUSHALL that nobody has noticed yet, cannot
        tell what there was: what it lacks must not be denied (F13). A shard that is shut, or whose
        server is away, keeps nobody waiting for long: the others' answers are told, and that they
        may lack something.

        Args:
            shards: Those that it is about; all of them if not given.
        """

        async def one(shard: int) -> bool:
            last = await self._last(shard)
            return last is not None and await self._reach(shard, *last)

        asked = list(self.engine.shards) if shards is None else shards
        is_known = shards is not None or bool(asked)
        return is_known and all(await asyncio.gather(*map(one, asked)))

    async def _marks(self) -> Need | None:
        """Return the need of all that Redis has now; None if that is not known of a shard."""
        shards = list(self.engine.shards)
        lasts = await asyncio.gather(*map(self._last, shards))
        marks = {shard: last for shard, last in zip(shards, lasts, strict=True) if last is not None}
        return Need(marks=marks) if shards and len(marks) == len(shards) else None

    async def _last(self, shard: int) -> tuple[int, int] | None:
        """Return epoch and number of the last record that Redis has; None if nobody can tell."""
        try:
            async with asyncio.timeout(self.catch_up_timeout_ms / 1000):
                return await self.engine.last(shard)
        except (EngineError, TimeoutError):
            return None

    async def _reach(self, shard: int, epoch: int, seq: int) -> bool:
        return await self.watermark.reach(
            shard=shard, epoch=epoch, seq=seq, timeout_ms=self.catch_up_timeout_ms
        )
