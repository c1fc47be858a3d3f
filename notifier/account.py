"""The channel `account`: what happened to what somebody has stands in their account as well."""

from __future__ import annotations

from collections.abc import Sequence

from papers.messages import IN_ACCOUNT
from store.deliveries import NewDelivery
from store.sql import InTransaction


async def fan(_connection: InTransaction, new: Sequence[NewDelivery]) -> list[NewDelivery]:
    """Return the messages that facts put into accounts; they are there with their rows."""
    return [
        one._replace(channel="account", target=one.user_id)
        for one in new
        if one.user_id and one.channel == "mail" and one.kind in IN_ACCOUNT
    ]
