"""
The bare handler: what the given stack can do at most, run as `python -m loadtests.bench.bare`.

aiohttp and uvloop in one process, no access log; a POST handler that reads the body, parses it as
JSON, and answers with fixed JSON. Prints the port it listens on, then serves until it is killed.
"""

from __future__ import annotations

import asyncio

import orjson
import uvloop
from aiohttp import web

ANSWER = b'{"ok":true}'
PATH = "/bare"


async def handle(request: web.Request) -> web.Response:
    """Do the least that a handler with a body does."""
    orjson.loads(await request.read())
    return web.Response(body=ANSWER, content_type="application/json")


async def serve() -> None:
    """Listen on a port of the system's choice; say which."""
    app = web.Application()
    app.router.add_post(PATH, handle)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
