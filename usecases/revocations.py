"""
Revocations: access tokens that are over before their time, known to every process within a second
(S4).

PostgreSQL has them (`store/revocations.py`): a trigger writes one with whatever ends tokens, be it
done by a use case, a command or by hand. Each process looks once a second and whenever it is told,
and keeps them in a dictionary for as long as a token can live: a request costs a look-up.

A process that cannot look does not know who was let go since. While PostgreSQL is away nobody can
be let go, and sales go on (F24). But if others reach PostgreSQL, as the persisters' marks in Redis
show, it is this process that is cut off: then it changes nothing for anybody until it has looked
again (F71).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from engine.lasting import Lasting
from engine.tasks import end
from store.revocations import GONE, Over
from usecases.tokens import LEEWAY_S, Principal

log = structlog.get_logger()

#: Pause between two looks, in seconds.
LOOK_INTERVAL_S = 1.0
#: Longest time that one look may take, in seconds.
LOOK_TIMEOUT_S = 5.0
#: After how long without a look it is asked whether others reach PostgreSQL, in seconds.
BLIND_AFTER_S = 10.0
#: Pause between two times of deleting what is over, in seconds.
TIDY_INTERVAL_S = 60.0
#: How long before a look something may have begun that it found, in seconds.
MARGIN_S = 60
#: The longest life that an access token may be given (`EVENTLY_ACCESS_TOKEN_TTL_S`), in seconds.
TOKEN_LIFE_MAX_S = 604_800

Read = Callable[[int, int], Awaitable[tuple[int, Sequence[Over]]]]
ReadMarks = Callable[[], Awaitable[Mapping[int, int]]]
Tidy = Callable[[int], Awaitable[None]]


class Revocations:
    """Knows which tokens are over; looks until closed."""

    def __init__(self, read: Read, read_marks: ReadMarks, tidy: Tidy, *, ttl_s: int) -> None:
        """
        Args:
            read: Returns what was committed since a look that found some xmin, as old as is said.

            read_marks: Returns of each shard what PostgreSQL has, as it is noted in Redis.

            tidy: Deletes what is as old as is said, in seconds.

            ttl_s: Life of an access token, in seconds.
        """
        self._read = read
        self._read_marks = read_marks
        self._tidy = tidy
        self._kept_s = ttl_s + LEEWAY_S + MARGIN_S
        #: user or session -> version of which its tokens must be at least
        self._over: dict[str, int] = {}
        #: The same -> when it was heard of last, by the loop's clock; the oldest first.
        self._heard_at: OrderedDict[str, float] = OrderedDict()
        self._xmin = 0
        self._looked_at = float("-inf")
        self._tidied_at = float("-inf")
        #: Marks of when it was first asked whether others reach PostgreSQL; whether they moved.
        self._marks: Mapping[int, int] | None = None
        self._have_moved = False
        #: Whether nothing may be changed, since it is not known for whom.
        self.is_shut = True
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    async def start(self) -> None:
        """Look once, be PostgreSQL away, and begin to look again and again."""
        await self._turn()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop looking."""
        await end(self._task)

    def wake(self) -> None:
        """Look now: something has changed."""
        self._has_news.set()

    def note(self, subject: str, version: int = GONE) -> None:
        """Know at once what this process has done itself: tokens of a lower version are over."""
        if version >= self._over.get(subject, 0):
            self._over[subject] = version
        self._heard_at.pop(subject, None)
        self._heard_at[subject] = asyncio.get_running_loop().time()

    def is_over(self, person: Principal) -> bool:
        """
        Tell whether the token is over that says who *person* is.

        Cost: a look-up of the user, and one of the session.
        """
        over = self._over
        if not over:
            return False
        version = over.get(person.user_id, 0)
        if version and person.kind != "user":
            # Keys of machines have no version: they are over when the account is gone.
            return version == GONE or person.session_id in over
        return person.token_version < version or person.session_id in over

    async def look(self) -> None:
        """
        Look once.

        Raises:
            Whatever `read` does.
        """
        asked_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            xmin, found = await self._read(self._xmin, self._kept_s)
            if xmin < self._xmin:  # Another PostgreSQL than before, such as one that was restored.
                xmin, found = await self._read(0, self._kept_s)
        for over in found:
            self.note(over.subject, over.version)
        self._xmin, self._looked_at = xmin, asked_at
        self._marks, self._have_moved, self.is_shut = None, False, False

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), LOOK_INTERVAL_S)
            self._has_news.clear()
            await self._turn()

    async def _turn(self) -> None:
        try:
            await self.look()
        except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
            if self._trouble.is_news("away"):
                log.warning("cannot read revocations", action="read_revocations", error=repr(error))
            await self._ask_around()
            return
        if self._trouble.end():
            log.info("revocations are read again", action="read_revocations_again")
        await self._clean()

    async def _ask_around(self) -> None:
        """Shut, if others reach PostgreSQL, and so may let people go who are unknown here."""
        now = asyncio.get_running_loop().time()
        if self.is_shut or now - self._looked_at < BLIND_AFTER_S:
            return
        if self._have_moved:  # And since then this process has tried in vain once more.
            self.is_shut = True
            log.error(
                "others reach PostgreSQL and this process does not: it changes nothing",
                action="revocations_unknown",
            )
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                marks = await self._read_marks()
                first = self._marks = marks if self._marks is None else self._marks
                moved = (mark != first.get(shard, mark) for shard, mark in marks.items())
                self._have_moved = any(moved)

    async def _clean(self) -> None:
        """Forget, here and in PostgreSQL, what no token can be of any more."""
        now = asyncio.get_running_loop().time()
        if now - self._tidied_at < TIDY_INTERVAL_S:
            return
        self._tidied_at = now
        while self._heard_at:
            subject, heard_at = self._heard_at.popitem(last=False)
            if now - heard_at < self._kept_s:
                self._heard_at[subject] = heard_at
                self._heard_at.move_to_end(subject, last=False)
                break
            del self._over[subject]
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await self._tidy(TOKEN_LIFE_MAX_S + MARGIN_S)
        except Exception as error:  # noqa: BLE001  It is done the next time, or by another process.
            log.info("cannot tidy", action="tidy_failed", error=repr(error))
