"""
What somebody would like of an event, before it is theirs: from a form or an address, and back.

A choice stands in the address of the page that checks it, and so survives signing in without
anything being kept of it. Whoever writes such an address writes it for themselves: all in it is
bounded here, and judged by the use case as any order is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from engine.commands import ORDER_LINES_MAX
from usecases import told
from web.bill import Line

_PLACES = re.compile("n_(tier_[0-9a-v]{26})")
_NUMBER = re.compile("[0-9]{1,2}", re.ASCII)
CODE_CHARS_MAX = 64


class Choice(NamedTuple):
    """How many places of which tiers, and what else an order says."""

    #: By tier id; each at least 1.
    places: dict[str, int]
    #: As it was typed; empty if there is none.
    code: str = ""
    #: Whether seats apart are better than none, and whether one must be accessible.
    is_apart: bool = False
    is_accessible: bool = False

    def fields(self) -> dict[str, str]:
        """Return the choice as a form or an address has it."""
        fields = {f"n_{tier_id}": str(count) for tier_id, count in self.places.items()}
        fields |= {"promo_code": self.code} if self.code else {}
        fields |= {"apart": "1"} if self.is_apart else {}
        return fields | ({"accessible": "1"} if self.is_accessible else {})

    def query(self, **more: str) -> str:
        """Return the choice as the query of an address."""
        return urlencode(self.fields() | more)

    def order(self, seated: Container[str]) -> dict[str, Any]:
        """
        Return the choice as an order (`usecases.asked.Order`).

        Args:
            seated: Ids of tiers with seats, of which the best together are meant.
        """
        items: list[dict[str, Any]] = []
        for tier_id, count in self.places.items():
            item: dict[str, Any] = {"tier_id": tier_id, "quantity": count}
            if tier_id in seated:
                item |= {"best_available": True, "split": self.is_apart}
                item["accessible"] = self.is_accessible
            items.append(item)
        return {"items": items} | ({"promo_code": self.code} if self.code else {})

    def lines(self, tiers: list[told.Tier]) -> list[Line]:
        """Return what is chosen of an event's tiers, at their full prices."""
        return [
            Line(tier.name, self.places[tier.id], tier.price)
            for tier in tiers
            if tier.id in self.places
        ]


def read(fields: Mapping[str, str]) -> Choice:
    """Return the choice in a form or an address; what is none of it is left out."""
    places: dict[str, int] = {}
    for name, text in fields.items():
        tier, number = _PLACES.fullmatch(name), _NUMBER.fullmatch(text.strip())
        if tier and number and int(number[0]) and len(places) < ORDER_LINES_MAX:
            places[tier[1]] = int(number[0])
    code = fields.get("promo_code", "").strip()[:CODE_CHARS_MAX]
    return Choice(places, code, "apart" in fields, "accessible" in fields)


def choosable(tier: told.Tier, event: told.Event) -> list[int]:
    """Return how many places of a tier one order may have, by the rules that never change."""
    most = min(tier.max_per_order, event.max_per_user, tier.max_per_user or tier.max_per_order)
    return list(range(tier.min_per_order, most + 1))
