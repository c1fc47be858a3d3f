"""The API's verbs as methods."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from evently_client.transport import TIMEOUT_S, Answer, Patience, Request, until_decided
from evently_client.values import (
    Availability,
    Booking,
    Event,
    Hold,
    Item,
    Page,
    Refusal,
    Session,
    WaitlistEntry,
)

Told = TypeVar("Told")


class Client:
    """
    Asks one service on behalf of one account, or of nobody.

    Each method returns what was told, or the `Refusal`. All raise `Unanswered` where nobody has
    decided in time, and `msgspec.DecodeError` where the answer is none of this API's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        patience: Patience = Patience(),  # noqa: B008 - it cannot be changed
        timeout_s: float = TIMEOUT_S,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        """
        Args:
            base_url: Where the service is, without `/v1`.

            token: An access token, API key or device's token.

            patience: How long it is asked again.

            timeout_s: Longest time of one attempt, in seconds.

            session: Whose connections are used, of the same base URL; else an own one.
        """
        self.token = token
        self._refresh_token = ""
        self._patience = patience
        self._timeout_s = timeout_s
        self._base_url = base_url
        self._session = session
        self._is_own = session is None
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, if they are its own."""
        if self._is_own and self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, request: Request) -> Answer:
        """
        Send any request until it is decided; a token that has ended is renewed once.

        Raises:
            Unanswered: see `transport.until_decided`.
        """
        token = self.token
        answer = await self._ask(request, token)
        if answer.status == 401 and token and await self._renewed(token):
            answer = await self._ask(request, self.token)
        return answer

    async def call(
        self,
        method: str,
        path: str,
        told: type[Told],
        body: Any = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Told | Refusal:
        """
        Ask for what has no method of its own here.

        Args:
            told: What the answer is decoded into; `dict` takes all.

            key: Idempotency-Key; one is made for each POST and PATCH without.
        """
        if not key and method in {"POST", "PATCH"}:
            key = str(uuid.uuid4())
        answer = await self.ask(Request(path, body, key, method, headers or {}))
        return _told(answer, told)

    async def register(self, email: str, password: str, name: str) -> Session | Refusal:
        """Make an account, and be it from now on."""
        body = {"email": email, "password": password, "name": name}
        return self._signed_in(await self.call("POST", "/v1/auth/register", Session, body))

    async def log_in(self, email: str, password: str) -> Session | Refusal:
        """Be an account from now on."""
        body = {"email": email, "password": password}
        return self._signed_in(await self.call("POST", "/v1/auth/login", Session, body))

    async def events(
        self,
        *,
        q: str | None = None,
        category: str | None = None,
        place: str | None = None,
        starts_from: dt.datetime | None = None,
        starts_before: dt.datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Event] | Refusal:
        """Return a page of published events, by start."""
        return await self.call(
            "GET",
            "/v1/events"
            + _query(
                q=q,
                category=category,
                place=place,
                limit=limit,
                after=after,
                **{"from": starts_from, "to": starts_before},
            ),
            Page[Event],
        )

    async def event(self, event_id: str, *, promo_code: str | None = None) -> Event | Refusal:
        """Return an event; a promo code shows tiers that are hidden else."""
        path = f"/v1/events/{_id(event_id)}{_query(promo_code=promo_code)}"
        return await self.call("GET", path, Event)

    async def make_event(self, body: Mapping[str, Any], *, key: str = "") -> Event | Refusal:
        """Make a draft; see `NewEvent` in the API's description."""
        return await self.call("POST", "/v1/events", Event, body, key=key)

    async def publish(self, event_id: str) -> Event | Refusal:
        """Put a draft on sale."""
        return await self.call("POST", f"/v1/events/{_id(event_id)}/publish", Event)

    async def availability(self, event_id: str) -> Availability | Refusal:
        """Return what is left of an event."""
        return await self.call("GET", f"/v1/events/{_id(event_id)}/availability", Availability)

    async def book(
        self,
        event_id: str,
        items: Sequence[Item],
        *,
        promo_code: str | None = None,
        key: str = "",
        durability: str = "",
    ) -> Booking | Refusal:
        """
        Book places, all or none; with the same key once.

        Args:
            key: Keep it, and ask again with it, if the program may end before it has heard.

            durability: `memory`, `fsync`, `replicated` or `database`, if more than the service's.
        """
        body = {"items": items} | ({"promo_code": promo_code} if promo_code else {})
        headers = _prefer(durability)
        path = f"/v1/events/{_id(event_id)}/bookings"
        return await self.call("POST", path, Booking, body, key=key, headers=headers)

    async def hold(
        self, event_id: str, items: Sequence[Item], *, promo_code: str | None = None, key: str = ""
    ) -> Hold | Refusal:
        """Set places aside, all or none; with the same key once."""
        body = {"items": items} | ({"promo_code": promo_code} if promo_code else {})
        return await self.call("POST", f"/v1/events/{_id(event_id)}/holds", Hold, body, key=key)

    async def confirm(self, hold_id: str) -> Booking | Refusal:
        """Book what is held."""
        return await self.call("POST", f"/v1/holds/{_id(hold_id)}/confirm", Booking)

    async def extend(self, hold_id: str) -> Hold | Refusal:
        """Ask for more time."""
        return await self.call("POST", f"/v1/holds/{_id(hold_id)}/extend", Hold)

    async def release(self, hold_id: str) -> Refusal | None:
        """Give back what is held."""
        return _nothing(await self.ask(Request(f"/v1/holds/{_id(hold_id)}", method="DELETE")))

    async def booking(self, booking_id: str) -> Booking | Refusal:
        """Return a booking of one's own."""
        return await self.call("GET", f"/v1/bookings/{_id(booking_id)}", Booking)

    async def bookings(
        self, *, limit: int | None = None, after: str | None = None
    ) -> Page[Booking] | Refusal:
        """Return a page of one's bookings, the latest first."""
        return await self.call(
            "GET", f"/v1/bookings{_query(limit=limit, after=after)}", Page[Booking]
        )

    async def cancel(self, booking_id: str) -> Booking | Refusal:
        """Give a whole booking back."""
        return await self.call("POST", f"/v1/bookings/{_id(booking_id)}/cancel", Booking)

    async def join(
        self, event_id: str, tier_id: str, quantity: int, *, key: str = ""
    ) -> WaitlistEntry | Refusal:
        """Wait for places of a tier."""
        body = {"tier_id": tier_id, "quantity": quantity}
        path = f"/v1/events/{_id(event_id)}/waitlist"
        return await self.call("POST", path, WaitlistEntry, body, key=key)

    async def waiting(self, entry_id: str) -> WaitlistEntry | Refusal:
        """Return one's place on a waitlist."""
        return await self.call("GET", f"/v1/waitlist/{_id(entry_id)}", WaitlistEntry)

    async def leave(self, entry_id: str) -> Refusal | None:
        """Wait no longer."""
        return _nothing(await self.ask(Request(f"/v1/waitlist/{_id(entry_id)}", method="DELETE")))

    async def accept(self, offer_id: str) -> Booking | Refusal:
        """Book what one was offered."""
        return await self.call("POST", f"/v1/offers/{_id(offer_id)}/accept", Booking)

    async def decline(self, offer_id: str) -> WaitlistEntry | Refusal:
        """Let the next have what one was offered."""
        return await self.call("POST", f"/v1/offers/{_id(offer_id)}/decline", WaitlistEntry)

    async def _ask(self, request: Request, token: str) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(self._base_url)
        return await until_decided(
            self._session, request, self._patience, token=token, timeout_s=self._timeout_s
        )

    async def _renewed(self, ended: str) -> bool:
        """Have a new token in place of *ended*; who comes meanwhile shares it."""
        async with self._refreshing:
            if self.token != ended:
                return True
            if not self._refresh_token:
                return False
            request = Request(
                "/v1/auth/refresh", {"refresh_token": self._refresh_token}, str(uuid.uuid4())
            )
            told = self._signed_in(_told(await self._ask(request, ""), Session))
            if isinstance(told, Refusal):
                self._refresh_token = ""
            return not isinstance(told, Refusal)

    def _signed_in(self, told: Session | Refusal) -> Session | Refusal:
        if isinstance(told, Session):
            self.token, self._refresh_token = told.access_token, told.refresh_token
        return told


def _told(answer: Answer, told: type[Told]) -> Told | Refusal:
    if answer.is_ok:
        return msgspec.json.decode(answer.content, type=told)
    return _refusal(answer)


def _nothing(answer: Answer) -> Refusal | None:
    return None if answer.is_ok else _refusal(answer)


def _refusal(answer: Answer) -> Refusal:
    body = answer.body
    return Refusal(
        status=answer.status,
        code=str(body.get("code", answer.status)),
        title=str(body.get("title", "")),
        detail=str(body.get("detail", "")),
        retry_after_s=answer.retry_after_s,
        more=body,
    )


def _id(text: str) -> str:
    """Make one segment of a path, whatever it is."""
    return quote(text, safe="")


def _query(**values: Any) -> str:
    given = {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in values.items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""


def _prefer(durability: str) -> dict[str, str]:
    return {"Prefer": f"durability={durability}"} if durability else {}
