"""Sealing: a day of acts gets its hash soon after it is over, by whichever process is first."""

from __future__ import annotations

import asyncio

import structlog

from engine.tasks import end
from store import acts
from store.pool import UNANSWERED, Pool
from store.tenants import Connection

log = structlog.get_logger()

#: Time to the first look, and from one to the next, in seconds.
FIRST_S = 5.0
INTERVAL_S = 600.0
#: Time to the next try to end the task, in seconds.


class Sealing:
    """Looks now and then whether a day is over and has no hash, and makes it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        await end(self._task)

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await seal(connection)
            except UNANSWERED as error:
                log.warning("acts not sealed", action="acts_unsealed", error=type(error).__name__)
            await asyncio.sleep(INTERVAL_S)


async def seal(connection: Connection) -> list[acts.Sealed]:
    """Give a hash to every day that is over and has none, and log each; return them."""
    made = await acts.seal(connection)
    for one in made:
        # Here it is out of reach of who can change the database.
        log.info(
            "day of acts sealed",
            action="acts_sealed",
            day=str(one.day),
            rows=one.rows,
            hash=one.hash,
        )
    return made
