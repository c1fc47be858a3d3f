"""Webhooks of organizers: endpoints, what they were told, and telling it again."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, read_body
from api.problems import Problem
from api.schemas import WebhookDeliveryPage
from usecases import webhooks
from usecases.asked import NewWebhook, Redelivery, WebhookChange
from usecases.services import Services
from usecases.tokens import Principal

_NEW = msgspec.json.Decoder(NewWebhook)
_CHANGE = msgspec.json.Decoder(WebhookChange)
_SPAN = msgspec.json.Decoder(Redelivery)


async def make(request: web.Request) -> web.StreamResponse | Problem:
    """
    Be told of what happens to one's events, by signed messages to an address.

    The secret that signs them is shown this once (Standard Webhooks). The first message is a ping.
    Only servers of the public internet are told, by https at its usual port.
    """
    asked = await read_body(request, _NEW)
    return answer(await webhooks.make(*_house(request), asked), status=201, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List an organizer's webhooks, the oldest first; there are ten at most."""
    return answer(await webhooks.listing(*_house(request)), headers=PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read a webhook: where it goes, what it is told, and since when nothing arrives."""
    return answer(await webhooks.read(*_own(request)), headers=PERSONAL)


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """
    Change where a webhook goes or what it is told, turn it off, or on again.

    What was to be told while it was off is not told later, unless it is redelivered.
    """
    asked = await read_body(request, _CHANGE)
    return answer(await webhooks.change(*_own(request), asked), headers=PERSONAL)


async def delete(request: web.Request) -> web.StreamResponse | Problem:
    """Take a webhook away; what waits for it is told no more."""
    return answer_nothing(await webhooks.delete(*_own(request)))


async def rotate(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give a webhook another secret, shown this once.

    For 24 hours each message has two signatures, by the new secret and by the one before.
    """
    return answer(await webhooks.rotate(*_own(request)), headers=PERSONAL)


async def ping(request: web.Request) -> web.StreamResponse | Problem:
    """Send a message of type `webhook.ping`; the log says what became of it."""
    return answer(await webhooks.ping(*_own(request)), status=202, headers=PERSONAL)


async def log(request: web.Request) -> web.StreamResponse | Problem:
    """
    List what a webhook was told, the newest first, for 30 days.

    Of an answer its status is kept, or in a word why there was none.
    """
    limit, before = page_limit(request), page_start(request)
    page = await webhooks.log(*_own(request), before=before, limit=limit)
    return answer_page(request, WebhookDeliveryPage, page, PERSONAL)


async def redeliver(request: web.Request) -> web.StreamResponse | Problem:
    """
    Send a message again, whatever became of it: with the same id, and what is true now.

    One that is under way at this moment is not there.
    """
    message_id = request.match_info["message_id"]
    told = await webhooks.redeliver(*_own(request), message_id)
    return answer(told, status=202, headers=PERSONAL)


async def redeliver_span(request: web.Request) -> web.StreamResponse | Problem:
    """
    Send again what was first told in a time, 1,000 messages at most.

    Those that never arrived, unless `only_failed` is false.
    """
    asked = await read_body(request, _SPAN)
    told = await webhooks.redeliver_span(*_own(request), asked)
    return answer(told, status=202, headers=PERSONAL)


def _house(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info["organizer_id"]


def _own(request: web.Request) -> tuple[Services, Principal, str, str]:
    return *_house(request), request.match_info["webhook_id"]
