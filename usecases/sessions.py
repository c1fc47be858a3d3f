"""Sessions: what a person gets who has proved who they are, by whatever way."""

from __future__ import annotations

import time

from store import users
from usecases import told
from usecases.denials import Denied, Why
from usecases.services import Services
from usecases.tokens import Principal


async def open(  # noqa: A001 - nobody reads files here
    services: Services, user_id: str, *, method: str, device: str
) -> told.Session:
    """
    Open a session of an account.

    Args:
        method: How they have proved it: `password`, `openid`, `passkey`.

        device: What a list of sessions is to call where it was opened.

    Raises:
        Denied: the account is gone.
    """
    user = await users.by_id(services.pools.sign_in, user_id)
    if user is None:
        raise Denied(Why.WRONG_CREDENTIALS)
    person = Principal(
        user.id, user.role, user.organizer_id, method=method, signed_in_s=int(time.time())
    )
    return told.Session(
        access_token=services.tokens.issue(person), expires_in=services.tokens.ttl_s
    )
