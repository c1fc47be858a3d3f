"""The public proof of a sale: its numbers, and what the continuous check says of them."""

from __future__ import annotations

import datetime as dt
import math

from aiohttp import web

from api.answers import problem_of
from api.http import SERVICES
from api.problems import Problem, not_found
from usecases import events, proof
from usecases.denials import Denied
from web.addresses import event_id_of, event_path
from web.rendering import PUBLIC_URL, page
from web.serving import PageRoute


async def show(request: web.Request) -> web.StreamResponse | Problem:
    """Show capacity, sold, held, oversold and drift of a sale, and up to which record is proved."""
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    services = request.app[SERVICES]
    seen = await events.read(services, None, event_id, "")
    if isinstance(seen, Denied):
        return problem_of(seen)
    path = f"{event_path(seen.view)}/proof"
    if request.rel_url.raw_path != path:
        return web.Response(status=301, headers={"Location": path})
    found = await proof.read(services, event_id)
    if isinstance(found, Denied):
        return problem_of(found)
    row = found.found
    return page(
        request,
        "proof/proof.html",
        event=seen.view,
        names={tier.id: tier.name for tier in seen.view.tiers},
        proof=found,
        looked_s=None if row is None else math.floor(row.looked_s),
        proved_at=_ago(row.proved_s) if row is not None else None,
        event_url=event_path(seen.view),
        canonical=request.app[PUBLIC_URL] + path,
    )


def _ago(seconds: float | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)


ROUTES = (PageRoute("GET", "/e/{name}/proof", show, is_public=True),)
