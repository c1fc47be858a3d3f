"""Receipts: the key that verifies them."""

from __future__ import annotations

from aiohttp import web

from api.answers import answer
from api.http import SERVICES
from api.problems import Problem
from api.schemas import ReceiptKey, ReceiptKeys


async def keys(request: web.Request) -> web.StreamResponse | Problem:
    """Tell the key that verifies receipts; none while the server makes none."""
    receipts = request.app[SERVICES].receipts
    found = [] if receipts is None else [receipts]
    data = [ReceiptKey(key_id=one.key_id, public_key=one.public_key) for one in found]
    return answer(ReceiptKeys(data=data), headers={"Cache-Control": "public, max-age=3600"})
