"""S22, S30: what browsers do with our answers: nothing that another site's page wants."""

from __future__ import annotations

from collections.abc import Mapping

from api.routes import ROUTES
from engine.ids import new_id
from tests.api.world import Answer, Event, Serve, World, check_problem

SITE, STRANGER = "https://shop.example", "https://evil.example"
#: What every answer says, whatever it is.
ALWAYS = {
    "Server": "Evently",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
}
#: Answers that may stand in caches of others, for a while or once asked again.
SHARED = {
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/problems"),
    ("GET", "/problems/{code}"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/{event_id}"),
    ("GET", "/v1/events/{event_id}/availability"),
    ("GET", "/v1/events/{event_id}/seats"),
    ("GET", "/v1/ticket-key"),
    ("GET", "/v1/receipt-key"),
    ("GET", "/v1/wallets"),
    ("GET", "/v1/auth/openid"),
}


def check_headers(headers: Mapping[str, str]) -> None:
    """Fail unless an answer tells browsers to run nothing, guess nothing and tell nobody."""
    assert ALWAYS == {name: headers.get(name) for name in ALWAYS}
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_s30_headers_of_every_route(world: World) -> None:
    """S30: an answer of any route, to whom it knows nothing of, has them all."""
    kept = set()
    for route in ROUTES:
        path = route.path.replace("{code}", "not_found")
        while "{" in path:
            start, end = path.index("{"), path.index("}")
            path = path[:start] + new_id("evt") + path[end + 1 :]
        answer = await world.call(route.method, path)
        check_headers(answer.headers)
        if "no-store" not in answer.headers.get("Cache-Control", ""):
            kept.add((route.method, route.path))
    assert set() == kept - set(SHARED)


async def test_s30_headers_of_every_kind(world: World, event: Event, user: str) -> None:
    """S30: so do a booking, a replay, a refusal, what is not modified, and what is no route."""
    path = f"/v1/events/{event['id']}"
    booked = await world.book(event, user)
    again = await world.book(event, user)
    assert (201, 201) == (booked.status, again.status)
    shown = await world.call("GET", path)
    known = await world.call("GET", path, headers={"If-None-Match": shown.headers["ETag"]})
    assert 304 == known.status
    answers: list[Answer] = [
        booked,
        again,
        shown,
        known,
        await world.call("GET", f"/v1/bookings/{booked.body['id']}", token=user),
        await world.call("GET", "/v1/me", token=user),  # It is nobody's account.
        await world.call("HEAD", path),
        await world.call("OPTIONS", path),
        await world.call("GET", "/nowhere"),
        await world.call("DELETE", "/healthz"),
    ]
    for answer in answers:
        check_headers(answer.headers)
    for own in (booked, again, answers[4]):
        assert "private, no-store" == own.headers["Cache-Control"]
    for nothing in (answers[5], *answers[8:]):
        assert "no-store" == nothing.headers["Cache-Control"]


async def test_s22_no_cookie_signs_in(world: World, event: Event, user: str) -> None:
    """S22: nothing that a browser adds by itself signs in, so another site's page does nothing."""
    path = f"/v1/events/{event['id']}/bookings"
    body = {"items": [{"tier_id": event["tiers"][0]["id"], "quantity": 1}]}
    before = await world.state()
    for name in ("access_token", "session", "Authorization", "__Host-session"):
        headers = {"Cookie": f"{name}={user}", "Origin": STRANGER}
        answer = await world.call("POST", path, key="k", json=body, headers=headers)
        check_problem(answer, 401, "unauthorized")
        assert "Set-Cookie" not in answer.headers
    assert before == await world.state()


async def test_s22_other_sites_read_nothing(serve: Serve) -> None:
    """S22: sites that are not on the list are told nothing, and none gets credentials or a `*`."""
    async with serve(cors_origins=(SITE,)) as world:
        for origin, is_on in ((SITE, True), (STRANGER, False), ("null", False)):
            ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for answer in (
                await world.call("GET", "/v1/events", headers={"Origin": origin}),
                await world.call("OPTIONS", "/v1/events", headers=ask),
                await world.call("GET", "/v1/me", headers={"Origin": origin}),
            ):
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert (SITE if is_on else None) == allowed
                assert "Access-Control-Allow-Credentials" not in answer.headers
                assert "Origin" in answer.headers["Vary"]
