"""Receipts: the keys that verify them."""

from __future__ import annotations

from aiohttp import web

from api.answers import answer
from api.http import SERVICES
from api.problems import Problem
from api.schemas import ReceiptKey, ReceiptKeys


async def keys(request: web.Request) -> web.StreamResponse | Problem:
    """Tell the keys that verify receipts; none while the server makes none."""
    receipts = request.app[SERVICES].receipts
    found = {} if receipts is None else receipts.public_keys
    data = [ReceiptKey(key_id=key_id, public_key=key) for key_id, key in found.items()]
    return answer(ReceiptKeys(data=data), headers={"Cache-Control": "public, max-age=300"})
