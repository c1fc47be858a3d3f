"""
The quota of requests: counted for who calls, before anything is done for them.

Whatever a request turns out to be, it counts: also one without a good token, and one for what is
not there. What machines ask that watch the service does not.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from api.addresses import ADDRESSES, origin_of
from api.answers import problem_of
from api.http import SERVICES
from api.problems import Problem
from engine.lasting import Seldom
from usecases.metrics import count_limited
from usecases.tokens import Principal

log = structlog.get_logger()

_SELDOM = Seldom()


def over_quota(request: web.Request, person: Principal | None) -> Problem | None:
    """
    Count a request; return the answer to one too many.

    Cost: a look-up, and one more for the address of who has no token.

    Args:
        person: Who calls, by a good token; None: nobody has said so.
    """
    quotas = request.app[SERVICES].quotas
    buckets = quotas.people if person is None or person.role == "user" else quotas.staff
    if buckets is None:
        return None
    who = origin_of(request) if person is None else person.user_id
    wait_ms = buckets.take(who) if who else 0
    if not wait_ms:
        return None
    count_limited(buckets.rate.name)
    if person is None:
        _hint(request)
    return problem_of(buckets.rate.denial(wait_ms))


def _hint(request: web.Request) -> None:
    """Say now and then that it may be a proxy whose callers are all taken for one."""
    name = request.app[ADDRESSES].unnamed_proxy(request)
    if name and (left_out := _SELDOM.left_out()) is not None:
        log.warning(
            "a proxy that speaks for others is taken for one caller: is it to be trusted?",
            action="proxy_unnamed",
            setting="EVENTLY_TRUSTED_PROXIES",
            peer=name,
            left_out=left_out,
        )
