"""
A client of Evently's HTTP API: typed values, refusals as values, repetitions that are safe.

It knows the API by its description alone and imports nothing of the service.
"""

from evently_client.client import Client
from evently_client.transport import Answer, Patience, Request, Unanswered, attempt
from evently_client.values import (
    Availability,
    Booking,
    BookingItem,
    Event,
    Hold,
    Item,
    Money,
    Offer,
    Page,
    Refusal,
    Session,
    Ticket,
    Tier,
    TierAvailability,
    WaitlistEntry,
)

__all__ = [
    "Answer",
    "Availability",
    "Booking",
    "BookingItem",
    "Client",
    "Event",
    "Hold",
    "Item",
    "Money",
    "Offer",
    "Page",
    "Patience",
    "Refusal",
    "Request",
    "Session",
    "Ticket",
    "Tier",
    "TierAvailability",
    "Unanswered",
    "WaitlistEntry",
    "attempt",
]
