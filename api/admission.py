"""
Admission: how many requests of one kind of work are under way at a time; one more is told at once
to come back.

So what waits is bounded before it is begun, in memory and in time, and each kind has its own bound:
however many lists are asked for, or passwords are tried, who buys finds room. A request counts once
its body is there: whoever sends slowly takes nobody's room.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from aiohttp import hdrs, web

from api.http import read_raw
from api.lane import LaneRequest
from api.policy import Handler, Policy
from api.problems import Problem, unavailable
from usecases.metrics import count_limited


class Work(Enum):
    """A kind of work, by what it waits for and whom it would keep waiting."""

    #: Takes places or gives them back.
    SALES = "sales"
    #: Looks at one event.
    LOOKS = "looks"
    #: Reads lists of events, and what else is everybody's.
    LISTS = "lists"
    #: Reads what one has: bookings, tickets, waitlist entries.
    OWN = "own"
    #: Accounts: registering, signing in, oneself.
    SIGN_INS = "sign_ins"
    #: What organizers and gates do.
    CHANGES = "changes"


#: Requests that have come with their bodies.
_WHOLE: frozenset[type] = frozenset({LaneRequest})
_OF_ACCOUNTS = ("/v1/auth", "/v1/me")
_OF_ONE_EVENT = "/v1/events/{event_id}"


def work_of(method: str, path: str, policy: Policy) -> Work | None:
    """Return what kind of work a route is; None for what must always answer."""
    if policy is Policy.OPS:
        return None
    if path.startswith(_OF_ACCOUNTS):
        return Work.SIGN_INS
    if method != hdrs.METH_GET:
        return Work.SALES if policy is Policy.USER else Work.CHANGES
    if path.startswith(_OF_ONE_EVENT):
        return Work.LOOKS
    return Work.LISTS if policy is Policy.PUBLIC else Work.OWN


class Room:
    """How much of one kind of work there is room for."""

    __slots__ = ("most", "name", "under_way")

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.under_way = 0


class Admission:
    """Lets requests in while there is room for their kind of work."""

    def __init__(self, most: Mapping[Work, int]) -> None:
        """
        Args:
            most: Requests under way by kind of work, 1..
        """
        self.rooms = {work: Room(work.value, number) for work, number in most.items()}

    def admit(self, work: Work | None, handler: Handler) -> Handler:
        """
        Return *handler* behind its bound; whoever finds no room is answered 503.

        Cost: a counter, up and down.
        """
        room = None if work is None else self.rooms.get(work)
        if room is None:
            return handler

        async def admitted(request: web.Request) -> web.StreamResponse | Problem:
            # On the fast lane it is.
            if request.method != hdrs.METH_GET and type(request) not in _WHOLE:
                await read_raw(request)
            if room.under_way >= room.most:
                count_limited(room.name)
                return unavailable("backpressure")
            room.under_way += 1
            try:
                return await handler(request)
            finally:
                room.under_way -= 1

        return admitted


ADMISSION = web.AppKey("admission", Admission)
