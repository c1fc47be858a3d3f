"""Checking a receipt: by the visitor's own browser, without the network, or by us."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec
from aiohttp import web

from api.http import SERVICES
from api.problems import Problem
from engine.receipts import RECEIPT_CHARS_MAX, InvalidReceipt, Receipt
from usecases.moments import moment_of
from web import forms
from web.rendering import page
from web.serving import PageRoute


class ReceiptCheck(NamedTuple):
    """What is to be said of a receipt."""

    #: What it says; None if it is not genuine.
    receipt: Receipt | None

    @property
    def places(self) -> int:
        """How many places it is of."""
        return sum(item.quantity for item in self.receipt.items) if self.receipt else 0

    @property
    def at(self) -> dt.datetime | None:
        """When the booking was made."""
        return moment_of(self.receipt.at_ms) if self.receipt else None


async def verify_form(request: web.Request) -> web.StreamResponse | Problem:
    """Take a receipt to check; one that the address has is checked at once."""
    return _page(request, request.query.get("receipt", ""))


async def verify(request: web.Request) -> web.StreamResponse | Problem:
    """Say whether a receipt is genuine, where the browser cannot."""
    fields = await forms.read(request)
    return _page(request, fields.get("receipt", ""))


def _page(request: web.Request, typed: str) -> web.Response:
    text = "".join(typed.split())[: RECEIPT_CHARS_MAX + 1]
    receipts = request.app[SERVICES].receipts
    keys = receipts.public_keys if receipts is not None else {}
    verdict = None
    if text and receipts is not None:
        try:
            verdict = ReceiptCheck(receipts.verified(text))
        except InvalidReceipt:
            verdict = ReceiptCheck(None)
    return page(
        request,
        "booking/verify.html",
        text=text,
        verdict=verdict,
        has_keys=bool(keys),
        keys=msgspec.json.encode(keys).decode(),
    )


ROUTES = (PageRoute("GET", "/verify", verify_form), PageRoute("POST", "/verify", verify))
