"""Lifting limits by hand: for a person who has locked themselves out, or an address of many."""

from __future__ import annotations

import os

import structlog

from api.addresses import Addresses
from evently.embedded import ServerError
from evently.settings import Settings
from store import limits
from store.pool import connect
from usecases.attempts import buckets_of
from usecases.text import email_forms

log = structlog.get_logger()


async def lift(settings: Settings, *, email: str, address: str) -> int:
    """
    Give an account, a network address, or both, all their attempts again.

    Processes that have refused them lately may go on to do so until the next attempt would have
    come back anyway.

    Args:
        email: Address of an account, whether there is one or not; empty: of none.

        address: IPv4 or IPv6, of which the first 64 bits count; empty: of none.

    Returns:
        How many buckets were not full.

    Raises:
        ServerError: the address is none.
    """
    origin = Addresses(secret=settings.jwt_secret).word(address) if address else ""
    if address and not origin:
        raise ServerError(f"{address} is no IPv4 or IPv6 address")
    connection = await connect(settings.database_url, timeout_ms=settings.database_timeout_ms)
    try:
        account = await limits.account_word(connection, email_forms(email)[0]) if email else ""
        number = await limits.fill(connection, buckets_of(account=account, origin=origin))
    finally:
        await connection.close()
    log.warning("limits lifted", action="limits_lifted", buckets=number, by_uid=os.getuid())
    return number
