"""Lifting limits by hand: for a person who has locked themselves out, or an address of many."""

from __future__ import annotations

import os

import structlog

from api.addresses import Addresses
from evently.embedded import ServerError
from evently.operators import operator
from evently.settings import Settings
from store import acts, limits, operators
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
    url = settings.database_url_as("api")
    connection = await connect(url, timeout_ms=settings.database_timeout_ms)
    try:
        account = user_id = ""
        if email:
            account = await limits.account_word(connection, email_forms(email)[0])
            user_id = await operators.of_address(connection, email_forms(email)) or ""
        async with connection.transaction():
            number = await limits.fill(connection, buckets_of(account=account, origin=origin))
            # Neither address is kept: of one the account is, of the other its keyed word.
            after = {"origin": origin or None, "buckets": number}
            await acts.add(connection, operator(), "limits.lift", user_id, after=after)
    finally:
        await connection.close()
    log.warning("limits lifted", action="limits_lifted", buckets=number, by_uid=os.getuid())
    return number
