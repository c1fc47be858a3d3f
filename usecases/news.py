"""
What accounts are told on their streams: of their bookings, offers, tickets, and letters.

The journal's archive is the outbox (docs/decisions/0016), so who listens for accounts follows it as
a notifier does, with a cursor of its own (0027): a message is told once PostgreSQL has what it
speaks of, by whatever process it was done. Records that name nobody who listens here are not even
decoded, and while nobody listens nothing is read. What has no record is read from `outbox`, without
what the letter says, in which there may be secrets.

Once the notifier has put a message into an account, its listeners are told how many they have not
seen.

A message says that something is so and where to read it. Nothing is told again: who was away reads
the lists, and so does everybody when this process has fallen too far behind.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import structlog

from engine.lasting import Lasting
from engine.tasks import end
from store import notifications, outbox
from store.pool import Pool
from usecases import told
from usecases.live import Encode, Hearer

log = structlog.get_logger()

POLL_S = 0.5
#: Longest time that one poll may take.
POLL_TIMEOUT_S = 5.0
#: Batches of the archive that are read of a shard at a time, and in one poll.
BATCHES_AT_ONCE = 2
BATCHES_PER_POLL = 8
#: Records that this may be behind; then it goes on from the end, and says so.
BEHIND_RECORDS_MAX = 100_000
#: Rows of the table that are read in one poll.
ROWS_MAX = 500


class News:
    """Tells accounts what concerns them while they listen."""

    def __init__(self, pool: Pool, encode: Encode) -> None:
        """
        Args:
            pool: Is asked for the archive.

            encode: Makes bytes of what is told.
        """
        self._pool = pool
        self._encode = encode
        self._listeners: dict[str, set[Hearer]] = {}
        #: Of each shard the last record that was looked at: epoch and seq. None: not known yet.
        self._cursors: dict[int, tuple[int, int]] | None = None
        #: The last row of the table before which none can come, and those behind it that were told.
        self._row_id = 0
        self._told: OrderedDict[int, None] = OrderedDict()
        #: The newest message of an account that was looked at.
        self._notification_id = 0
        self._task: asyncio.Task[None] | None = None
        self._trouble = Lasting()

    def join(self, user_id: str, listener: Hearer) -> None:
        """Tell a listener what concerns an account from now on, and first when that has begun."""
        self._listeners.setdefault(user_id, set()).add(listener)
        if self._task is None or self._task.done():
            self._cursors = None
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._cursors is not None:
            listener.hear(self._following())

    def leave(self, user_id: str, listener: Hearer) -> None:
        """Tell a listener no more."""
        listeners = self._listeners.get(user_id, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(user_id, None)

    async def close(self) -> None:
        """Stop following."""
        await end(self._task)

    def _following(self) -> bytes:
        return self._encode("following", told.LiveFollowing(), "")

    async def _run(self) -> None:
        while self._listeners:
            try:
                async with asyncio.timeout(POLL_TIMEOUT_S):
                    await self._poll()
            except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                if self._trouble.is_news(repr(error)):
                    log.warning("cannot follow", action="news_failed", error=repr(error))
            else:
                self._trouble.end()
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        """Tell what has come since the last poll; the first one finds out where that begins."""
        ends = await outbox.ends(self._pool)
        if self._cursors is None or self._is_behind(ends):
            await self._begin(ends)
            return
        for shard, latest in ends.items():
            # A shard that is new has been there for a moment at most.
            await self._read_shard(shard, self._cursors.setdefault(shard, (latest[0], 0)), latest)
        await self._read_rows(is_told=True)
        await self._count_unread()

    async def _begin(self, ends: dict[int, tuple[int, int]]) -> None:
        """Begin at the end, and tell everybody."""
        self._row_id = await outbox.settled_id(self._pool)
        self._told.clear()
        await self._read_rows(is_told=False)
        self._notification_id = await notifications.last_id(self._pool)
        self._cursors = dict(ends)
        data = self._following()
        for listeners in self._listeners.values():
            for listener in list(listeners):
                listener.hear(data)

    def _is_behind(self, ends: dict[int, tuple[int, int]]) -> bool:
        cursors = self._cursors or {}
        return any(
            end[0] == cursors[shard][0] and end[1] - cursors[shard][1] > BEHIND_RECORDS_MAX
            for shard, end in ends.items()
            if shard in cursors
        )

    async def _read_shard(self, shard: int, cursor: tuple[int, int], end: tuple[int, int]) -> None:
        """Tell what the archive of one shard has behind its cursor, and move that."""
        assert self._cursors is not None
        for _ in range(BATCHES_PER_POLL // BATCHES_AT_ONCE):
            epoch, seq = cursor
            if cursor >= end:
                return
            found = await outbox.read(
                self._pool,
                shard=shard,
                epoch=epoch,
                after_seq=seq,
                batches_max=BATCHES_AT_ONCE,
                about=self._listeners.keys(),
            )
            for notice in found.notices:
                self._tell(notice.user_id, notice.kind, notice.event_id, notice.subject_id)
            cursor = (epoch, found.last_seq)
            if found.last_seq == seq:
                # Nothing more of an epoch that is over; of the newest, what is not in yet.
                cursor = (end[0], 0) if epoch < end[0] else end
            self._cursors[shard] = cursor

    async def _read_rows(self, *, is_told: bool) -> None:
        """Read the rows of the table that are new."""
        for row in await outbox.messages(self._pool, self._row_id, limit=ROWS_MAX):
            if row.id not in self._told:
                self._told[row.id] = None
                if is_told:
                    self._tell(row.user_id, row.kind, row.event_id, row.subject_id)
            if row.is_settled:
                self._row_id = row.id
        while self._told and next(iter(self._told)) <= self._row_id:
            self._told.popitem(last=False)

    async def _count_unread(self) -> None:
        """Tell who has new messages how many there are that they have not seen."""
        new = await notifications.new_behind(self._pool, self._notification_id, limit=ROWS_MAX)
        concerned = {user_id for _, user_id in new if user_id in self._listeners}
        if concerned:
            counts = await notifications.count_unseen_of_each(self._pool, concerned)
            for user_id in concerned:
                unread = told.LiveUnread(unread=counts.get(user_id, 0))
                self._say(user_id, self._encode("unread", unread, ""))
        if new:
            self._notification_id = new[-1][0]

    def _tell(self, user_id: str, kind: str, event_id: str | None, subject_id: str) -> None:
        if user_id in self._listeners:
            message = told.LiveMessage(kind=kind, event_id=event_id, subject_id=subject_id)
            self._say(user_id, self._encode("message", message, ""))

    def _say(self, user_id: str, data: bytes) -> None:
        for listener in list(self._listeners.get(user_id, ())):
            listener.hear(data)
