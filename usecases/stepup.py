"""
What asks for more than a token: to prove anew who one is, before ways into the account change.

Whoever has got hold of a token must not be able to keep the account with it. Nobody is asked for a
password here, which would be one more door to guess at: who is to prove it signs in again, by any
of their ways, and has `RECENT_S` from then on.
"""

from __future__ import annotations

import time

from store import ways_in
from usecases.denials import Denied, Why
from usecases.services import Services
from usecases.tokens import BY_PASSKEY, Principal

#: For how long a sign-in counts as recent, in seconds.
RECENT_S = 600


async def prove(services: Services, person: Principal) -> None:
    """
    Pass on whoever has signed in a moment ago, and by a passkey if they must use theirs.

    Raises:
        Denied: `SIGN_IN_AGAIN`, or as `prove_by_passkey` does.
    """
    if time.time() - person.signed_in_s > RECENT_S:
        raise Denied(Why.SIGN_IN_AGAIN)
    await prove_by_passkey(services, person)


async def prove_by_passkey(services: Services, person: Principal) -> None:
    """
    Pass on whoever has signed in as their role asks for.

    An admin who must have a passkey and has none yet may make the first: that alone is let through.

    Raises:
        Denied: `PASSKEY_REQUIRED`.
    """
    if person.method == BY_PASSKEY or not await services.standings.needs_passkey(person):
        return
    if await ways_in.has_passkey(services.pools.sign_in, person.user_id):
        raise Denied(Why.PASSKEY_REQUIRED)
