"""
Keeping one embedded server: started again when it ends, ended when it is of no use any more.

Owns what makes a server of no use: its process is gone, its files are gone, or it takes no new
connection, however well the old ones go on. What is done once (`look`, `ask`) is repeated by the
supervisor, whatever it raises. Leaves starting and ending a process to the server itself.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from evently.embedded import process
from evently.embedded.server import Server
from evently.patience import Backoff

log = structlog.get_logger()

LOOK_INTERVAL_S = 0.05
ASK_INTERVAL_S = 1.0
#: So often in a row a server may be silent. Counted, not timed: a frozen supervisor hears nobody.
SILENCES_MAX = 30
#: A server that answered, and lived this long after it, was well.
WELL_AFTER_S = 0.5


class ServerKeeper:
    """Keeps one server, which has been started once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._backoff = Backoff(well_after_s=WELL_AFTER_S)
        #: How often in a row it has said nothing.
        self._silences = 0
        self._came_up()

    async def look(self) -> None:
        """Wait until the server has ended, by itself or by us; or start it, if it has."""
        server = self._server
        if not server.is_running:
            await come_up(server, is_patient=False)
            self._came_up()
            log.info(
                "server restarted", action="server_restarted", server=server.title, pid=server.pid
            )
            return
        while server.is_running and server.has_data:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_INTERVAL_S)
        if server.is_running:
            # It acknowledges what is on no disk: recovery is to be had while workers remember.
            log.error("server lost its data", action="server_lost_data", server=server.title)
            server.kill()
        wait_s = self._backoff.after(alive_s=time.monotonic() - self._since_s)
        log.error("server died", action="server_died", server=server.title, restart_in_s=wait_s)
        await asyncio.sleep(wait_s)

    async def ask(self) -> None:
        """Ask the server by a new connection; end it if it takes none and never will again."""
        await asyncio.sleep(ASK_INTERVAL_S)
        asked = self._server.pid
        if asked is None or asked != self._pid:  # It is being started, and asked by who does it.
            return
        heard = await self._server.ask()
        self._silences = self._silences + 1 if heard == "silent" else 0
        if self._pid != asked or not (heard == "ending" or self._silences >= SILENCES_MAX):
            return
        log.error(
            "server takes no new connection",
            action="server_shut",
            server=self._server.title,
            pid=asked,
            heard=heard,
        )
        self._silences = 0
        await self._server.finish(at_once=heard == "silent")

    def _came_up(self) -> None:
        #: The process that has answered, and since when.
        self._pid, self._since_s = self._server.pid, time.monotonic()
        self._silences = 0


async def come_up(server: Server, *, is_patient: bool = True) -> None:
    """
    `Server.start()` without blocking the loop while a large log is replayed.

    Raises:
        ServerError, OSError: it did not start; nothing is left running.
    """
    server.launch(is_patient=is_patient)
    while not server.is_ready():
        server.require_heard()
        await asyncio.sleep(process.POLL_S)
