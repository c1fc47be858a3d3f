"""What handlers work with, under one typed key of the application."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
from aiohttp import web

from api.acks import Acks
from api.catalog import Catalog
from api.leftovers import Leftovers
from api.passwords import Passwords
from api.receipts import Receipts
from api.ticket_codes import TicketCodes
from api.tokens import Tokens
from engine.engine import Engine
from store.watermark import Watermark


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The parts below HTTP."""

    engine: Engine
    pool: asyncpg.Pool
    watermark: Watermark
    acks: Acks
    catalog: Catalog
    tokens: Tokens
    passwords: Passwords
    ticket_codes: TicketCodes
    leftovers: Leftovers
    #: None while bookings are answered without a receipt.
    receipts: Receipts | None
    shards: int
    #: How long a hold lasts, and how long it may be extended to, in ms.
    hold_ttl_ms: int
    hold_life_max_ms: int
    #: How long an offer lasts, in ms, and how many may wait for one tier.
    offer_ttl_ms: int
    waitlist_entries_max: int
    #: Time a read waits for PostgreSQL to catch up with Redis, in ms.
    catch_up_timeout_ms: int


SERVICES = web.AppKey("services", Services)
