"""
One organizer, its people and its buyers, with one of each thing that an id leads to.

What the matrix (`test_matrix.py`) puts into requests. A thing is made when it is first asked for;
what is nobody else's to see bears a mark.
"""

from __future__ import annotations

import datetime as dt
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.http import SERVICES
from engine.ids import new_id
from store import organizers, push, users, ways_in
from store.push import PushKey
from tests.api.world import Answer, Event, World, from_now
from usecases import sessions

#: A key that browsers subscribe with.
PUSH_KEY = PushKey("0a1b2c3d4e", "x" * 87)
#: Tiers of a shop's event, by what they are for.
BOOKED, SCARCE, HIDDEN, SEATED = range(4)


def event_asked(name: str) -> dict[str, Any]:
    """Make the request for an event that has one of each thing."""
    price = {"amount": 100, "currency": "EUR"}
    tiers = [
        {"name": "Booked", "price": price, "capacity": 50},
        {"name": "Scarce", "price": price, "capacity": 1},
        {"name": "Hidden", "price": price, "capacity": 5, "is_hidden": True},
        {"name": "Seated", "price": price},
    ]
    rows = [{"name": "A", "seats": 4}]
    return {
        "name": name,
        "starts_at": from_now(days=30),
        "tiers": tiers,
        "sections": [{"name": "Stalls", "tier": "Seated", "rows": rows}],
        "promo_codes": [{"code": "KEY", "tiers": ["Hidden"], "uses_max": 9}],
    }


class Shop:
    """
    An organizer with its owner, somebody at its gate, and a buyer.

    Tokens are as the log-in makes them; all have accounts.
    """

    def __init__(self, world: World, mark: str) -> None:
        """
        Args:
            mark: Stands in all that is not the public's, and nowhere else.
        """
        self.world = world
        self.mark = mark
        self._made: dict[str, str] = {}
        self._events: dict[str, Event] = {}
        self.organizer_id = ""
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    async def open(self) -> Shop:
        """Make the organizer and its people."""
        database = self.world.database
        self.organizer_id = await users.add_organizer(database, f"House {self.mark}")
        for who, role in (("buyer", "user"), ("gate", "staff"), ("owner", "organizer")):
            organizer_id = None if who == "buyer" else self.organizer_id
            user_id = await users.add(
                database,
                email=f"{who}-{self.mark}@example.org",
                name=f"{who} {self.mark}",
                password_hash="x",
                role=role,
                organizer_id=organizer_id,
            )
            assert user_id is not None
            self.ids[who] = user_id
            self.tokens[who] = self.world.token(
                user_id, role=role, organizer_id=organizer_id, is_fresh=True
            )
        await database.execute(
            "UPDATE users SET email_verified_at = now() WHERE id = $1", self.ids["buyer"]
        )
        return self

    async def confined(self, event_id: str, role: organizers.TeamRole) -> str:
        """Put somebody on the team for one event alone; return their token."""
        user_id = await users.add(
            self.world.database, email=f"{new_id('usr')}@example.org", name="C", password_hash="x"
        )
        assert user_id is not None
        async with self.world.database.acquire() as connection:
            await organizers.set_member(connection, self.organizer_id, user_id, role, [event_id])
        return self.world.token(user_id, role="organizer", organizer_id=self.organizer_id)

    async def get(self, kind: str) -> str:
        """Return the id of a thing of a kind (`MAKERS`), which is made when first asked for."""
        if kind not in self._made:
            self._made[kind] = await MAKERS[kind](self)
        return self._made[kind]

    async def event(self) -> Event:
        """Return the published event."""
        if not self._events:
            token = self.tokens["owner"]
            self._events["on sale"] = await self.world.event(
                token=token, **event_asked("On sale"), description="Public"
            )
        return self._events["on sale"]

    async def tier(self, number: int) -> str:
        """Return the id of a tier of the published event."""
        return str((await self.event())["tiers"][number]["id"])

    async def ask(
        self, method: str, path: str, who: str = "buyer", key: str = "k", **request: Any
    ) -> Answer:
        """Send a request of somebody here; it must succeed."""
        answer = await self.world.call(method, path, token=self.tokens[who], key=key, **request)
        assert answer.status < 300, f"{method} {path}: {answer.text}"
        return answer

    async def book(self, tier_no: int, key: str, who: str = "buyer") -> str:
        """Book a place; return the booking's id."""
        order = {
            "items": [{"tier_id": await self.tier(tier_no), "quantity": 1}],
            "special_requests": f"wish {self.mark}",
        }
        path = f"/v1/events/{(await self.event())['id']}/bookings"
        return str((await self.ask("POST", path, who, key, json=order)).body["id"])

    async def ticket(self) -> dict[str, Any]:
        """Return the ticket of a booking."""
        path = f"/v1/bookings/{await self.get('booking_id')}"
        return dict((await self.ask("GET", path)).body["tickets"][0])


async def _draft(shop: Shop) -> str:
    asked = event_asked(f"Draft {shop.mark}")
    made = await shop.ask("POST", "/v1/events", "owner", json=asked)
    return str(made.body["id"])


async def _hold(shop: Shop) -> str:
    order = {"items": [{"tier_id": await shop.tier(BOOKED), "quantity": 1}]}
    path = f"/v1/events/{(await shop.event())['id']}/holds"
    return str((await shop.ask("POST", path, key="hold", json=order)).body["id"])


async def _entry(shop: Shop) -> str:
    """Sell the scarce tier out to the owner; the buyer waits."""
    await shop.book(SCARCE, "scarce", "owner")
    wish = {"tier_id": await shop.tier(SCARCE), "quantity": 1}
    path = f"/v1/events/{(await shop.event())['id']}/waitlist"
    return str((await shop.ask("POST", path, key="wait", json=wish)).body["id"])


async def _offer(shop: Shop) -> str:
    """Cancel what the owner booked: the buyer gets an offer."""
    entry_id = await shop.get("entry_id")
    booked = (await shop.ask("GET", "/v1/bookings", "owner")).body["data"][0]["id"]
    await shop.ask("POST", f"/v1/bookings/{booked}/cancel", "owner")
    while True:
        entry = (await shop.ask("GET", f"/v1/waitlist/{entry_id}")).body
        if entry["offer"]:
            return str(entry["offer"]["id"])


async def _invitation(shop: Shop) -> str:
    asked = {"email": f"buyer-{shop.mark}@example.org", "role": "gate"}
    path = f"/v1/organizers/{shop.organizer_id}/invitations"
    return str((await shop.ask("POST", path, "owner", json=asked)).body["id"])


async def _session(shop: Shop) -> str:
    services = shop.world.client.app[SERVICES]
    made = await sessions.open(services, shop.ids["buyer"], method="password", device=shop.mark)
    return made.session_id


async def _identity(shop: Shop) -> str:
    made = await ways_in.add_identity(
        shop.world.database,
        user_id=shop.ids["buyer"],
        issuer="https://id.example",
        subject=shop.mark,
        email=f"buyer-{shop.mark}@example.org",
    )
    assert made is not None
    return made.id


async def _notification(shop: Shop) -> str:
    number = await shop.world.database.fetchval(
        "INSERT INTO deliveries (fact, channel, target, kind, lane, user_id, subject_id, state)"
        " VALUES ($1, 'account', $1, 'booking.confirmed', 2, $1, $2, 'sent') RETURNING id",
        shop.ids["buyer"],
        f"bk_{shop.mark}",
    )
    return str(number)


async def _passkey(shop: Shop) -> str:
    made = await ways_in.add_passkey(
        shop.world.database,
        user_id=shop.ids["buyer"],
        credential_id=secrets.token_bytes(16),
        public_key=b"x",
        sign_count=0,
        transports=["usb"],
        is_synced=False,
        name=shop.mark,
    )
    assert made is not None
    return made.id


def subscription(key_id: str, endpoint: str = "https://push.example.org/x") -> dict[str, Any]:
    """Return what a page asks for a browser that has subscribed by a key."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    raw = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {
        name: urlsafe_b64encode(part).rstrip(b"=").decode()
        for name, part in (("p256dh", raw), ("auth", secrets.token_bytes(16)))
    }
    wanted = {"endpoint": endpoint, "expirationTime": None, "keys": keys}
    return {"subscription": wanted, "key_id": key_id}


async def _push(shop: Shop) -> str:
    await push.put_keys(shop.world.database, [PUSH_KEY])
    asked = subscription(PUSH_KEY.id, f"https://push.example.org/{secrets.token_hex(8)}")
    return str((await shop.ask("POST", "/v1/me/push", json=asked)).body["id"])


async def _gift(shop: Shop) -> str:
    """Have somebody else offer a ticket to the buyer's address."""
    booking_id = await shop.book(BOOKED, "gift", "gate")
    [ticket] = (await shop.ask("GET", f"/v1/bookings/{booking_id}", "gate")).body["tickets"]
    path, to = f"/v1/tickets/{ticket['id']}/transfer", f"buyer-{shop.mark}@example.org"
    offered = await shop.ask("POST", path, "gate", json={"email": to})
    return str(offered.body["gift"]["id"])


async def _key(shop: Shop) -> str:
    asked = {"name": shop.mark, "scopes": ["sell"]}
    return str((await shop.ask("POST", "/v1/api-keys", "owner", json=asked)).body["api_key"]["id"])


async def _device(shop: Shop) -> str:
    path, asked = f"/v1/events/{await shop.get('on sale')}/devices", {"gate": shop.mark}
    return str((await shop.ask("POST", path, "owner", json=asked)).body["device"]["id"])


async def _webhook(shop: Shop) -> str:
    path = f"/v1/organizers/{shop.organizer_id}/webhooks"
    asked = {"url": f"https://{shop.mark}.example/", "kinds": ["event.closed"]}
    return str((await shop.ask("POST", path, "owner", json=asked)).body["webhook"]["id"])


async def _message(shop: Shop) -> str:
    own_id = await shop.get("webhook_id")
    path = f"/v1/organizers/{shop.organizer_id}/webhooks/{own_id}/deliveries"
    return str((await shop.ask("GET", path, "owner")).body["data"][0]["id"])


async def _on_sale(shop: Shop) -> str:
    return str((await shop.event())["id"])


async def _draft_tier(shop: Shop) -> str:
    path = f"/v1/events/{await shop.get('draft')}"
    return str((await shop.ask("GET", path, "owner")).body["tiers"][0]["id"])


async def _booked_tier(shop: Shop) -> str:
    return await shop.tier(BOOKED)


async def _booking(shop: Shop) -> str:
    return await shop.book(BOOKED, "booking")


async def _ticket(shop: Shop) -> str:
    return str((await shop.ticket())["id"])


async def _code(shop: Shop) -> str:
    return str((await shop.ticket())["code"])


async def _organizer(shop: Shop) -> str:
    return shop.organizer_id


async def _member(shop: Shop) -> str:
    return shop.ids["gate"]


#: Makes the thing that an id of each kind leads to; whoever adds a kind adds its maker.
MAKERS: dict[str, Callable[[Shop], Awaitable[str]]] = {
    "on sale": _on_sale,
    "draft": _draft,
    "tier_id": _booked_tier,
    "draft tier": _draft_tier,
    "booking_id": _booking,
    "hold_id": _hold,
    "entry_id": _entry,
    "offer_id": _offer,
    "ticket_id": _ticket,
    "code": _code,
    "organizer_id": _organizer,
    "user_id": _member,
    "invitation_id": _invitation,
    "session_id": _session,
    "gift_id": _gift,
    "key_id": _key,
    "device_id": _device,
    "identity_id": _identity,
    "passkey_id": _passkey,
    "notification_id": _notification,
    "webhook_id": _webhook,
    "message_id": _message,
    "push_id": _push,
}


def soon() -> str:
    """Return a moment while a shop's events are on sale."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=2)).isoformat()
