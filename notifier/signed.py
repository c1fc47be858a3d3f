"""
What a webhook is told: the envelope of Standard Webhooks, and its signatures.

The data are ids, states and numbers, read from the ledger when the message leaves; who a person is
stands in none of it. Messages may come twice and in any order: `webhook-id` is the same at each
attempt, and of one subject the higher `version`, or `epoch` and `seq`, is the later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from standardwebhooks import Webhook

from store import webhooks
from store.deliveries import Delivery
from store.pool import Pool
from store.webhooks import ToSend

CONTENT_TYPE = "application/json"
AGENT = "Evently-Webhooks/1"


async def body_of(pool: Pool, delivery: Delivery, to: ToSend) -> bytes:
    """Return the message of a delivery, as it is true now."""
    data: dict[str, Any] = {"organizer_id": to.organizer_id}
    if delivery.event_id is None:
        data["webhook_id"] = to.id
    else:
        data["event_id"] = delivery.event_id
        data |= await _of_subject(pool, delivery, delivery.event_id)
        data |= {"shard": to.shard, "epoch": to.epoch, "seq": to.seq}
    said = {"type": delivery.kind, "timestamp": to.made_at, "data": data}
    return msgspec.json.encode(said)


async def _of_subject(pool: Pool, delivery: Delivery, event_id: str) -> dict[str, Any]:
    """Return what the ledger has of event, booking, ticket or entry: its id at least."""
    subject = delivery.subject_id
    match delivery.kind.partition(".")[0]:
        case "booking":
            row = await webhooks.booking(pool, event_id, subject)
            found: dict[str, Any] = {"booking_id": subject}
            if row is not None:
                total = {"amount": row["total_minor"], "currency": row["currency"]}
                found |= {"status": row["status"], "version": row["version"]}
                found |= {"places": row["places"], "total": total}
            return found
        case "ticket":
            return {"ticket_id": subject} | dict(
                await webhooks.ticket(pool, event_id, subject) or {}
            )
        case "waitlist":
            return {"waitlist_entry_id": subject} | dict(
                await webhooks.entry(pool, event_id, subject) or {}
            )
        case _:
            return dict(await webhooks.event(pool, event_id) or {})


def headers_of(
    message_id: str, body: bytes, secrets: Sequence[bytes], *, at: dt.datetime
) -> Mapping[str, str]:
    """
    Return the headers of an attempt, with a signature by each secret.

    Args:
        at: When it leaves, in UTC: receivers refuse what is older than five minutes.
    """
    text = body.decode()
    signed = [Webhook(secret).sign(message_id, at, text) for secret in secrets]
    return {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signed),
    }
