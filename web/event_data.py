"""An event as search engines read it: JSON-LD of schema.org, within its page."""

from __future__ import annotations

from typing import Any

import orjson
from markupsafe import Markup

from engine.currencies import amount_of
from papers.formats import zone_of
from web.addresses import event_path
from web.states import EventNow, State, TierNow

_HOME = "https://schema.org/"
#: How each state of a tier is called there.
_OFFERED = {State.ON_SALE: "InStock", State.FEW: "LimitedAvailability", State.SOON: "PreSale"}
#: A block of data is read by nobody as a script, and no `Content-Security-Policy` holds it back; it
#: ends at `</script>`, so nothing in it may look like a tag.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def json_ld(now: EventNow, site: str) -> Markup:
    """Return the data of an event's page, safe to stand in a `script` that is none."""
    text = orjson.dumps(_object(now, site)).decode()
    for char, escaped in _ESCAPES.items():
        text = text.replace(char, escaped)
    return Markup(text)  # noqa: S704 - escaped as JSON, see above


def _object(now: EventNow, site: str) -> dict[str, Any]:
    event, url = now.event, site + event_path(now.event)
    zone = zone_of(event.timezone)
    address = {
        "@type": "PostalAddress",
        "streetAddress": event.address,
        "addressLocality": event.place,
    }
    found: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Event",
        "name": event.name,
        "description": event.summary or event.description[:300],
        "url": url,
        "startDate": event.starts_at.astimezone(zone).isoformat(),
        "endDate": event.ends_at.astimezone(zone).isoformat()
        if event.ends_at > event.starts_at
        else None,
        "doorTime": event.doors_at.astimezone(zone).isoformat() if event.doors_at else None,
        "eventStatus": _HOME + _status(now),
        "eventAttendanceMode": _HOME + "OfflineEventAttendanceMode",
        "inLanguage": event.languages,
        "location": {
            "@type": "Place",
            "name": event.venue or event.place,
            "address": {name: text for name, text in address.items() if text},
        },
        "offers": [_offer(one, now, url) for one in now.tiers],
    }
    if event.postponed_from is not None:
        found["previousStartDate"] = event.postponed_from.astimezone(zone).isoformat()
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _status(now: EventNow) -> str:
    if now.state is State.CANCELLED:
        return "EventCancelled"
    return "EventRescheduled" if now.event.postponed_from is not None else "EventScheduled"


def _offer(one: TierNow, now: EventNow, url: str) -> dict[str, Any]:
    price, opens_at = one.tier.price, one.tier.sale_opens_at or now.event.sale_opens_at
    return {
        "@type": "Offer",
        "name": one.tier.name,
        "url": url,
        "price": str(amount_of(price.amount, price.currency)),
        "priceCurrency": price.currency,
        "validFrom": opens_at.isoformat(),
        "availability": _HOME + _OFFERED.get(one.state, "SoldOut"),
    }
