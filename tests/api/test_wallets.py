"""Tickets for wallets over HTTP: for who has the ticket, where there are certificates."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from papers.wallet import Wallets
from tests.api.test_gate import booked, scan
from tests.api.test_papers import codes_of, give, paper
from tests.api.world import Event, Serve, World, check_problem
from tests.papers import made_up
from tests.papers.test_wallet import claims_of, files_in

WAYS = ("ticket.pkpass", "google-wallet")


async def pass_of(world: World, path: str, token: str) -> dict[str, Any]:
    """Read the pass of a ticket, or of a booking of one."""
    answer = await paper(world, f"{path}/ticket.pkpass", token)
    assert (200, "application/vnd.apple.pkpass") == (
        *(answer.status, answer.headers["Content-Type"]),
    )
    assert "private, no-store" == answer.headers["Cache-Control"]
    return dict(msgspec.json.decode(files_in(answer.raw)["pass.json"]))


async def link_of(world: World, path: str, token: str) -> dict[str, Any]:
    """Read what the link of a ticket, or of a booking of one, saves."""
    answer = await paper(world, f"{path}/google-wallet", token)
    assert (200, "private, no-store") == (answer.status, answer.headers["Cache-Control"])
    [saved] = claims_of(answer.body["url"])["payload"]["eventTicketObjects"]
    return dict(saved)


async def test_code_in_wallets_lets_in_once(world: World, event: Event, user: str) -> None:
    """Both wallets have the code that the PDF has; it lets in once, not twice."""
    booking = await booked(world, event, user)
    own_id = booking["tickets"][1]["id"]
    made, saved = await pass_of(world, own_id, user), await link_of(world, own_id, user)
    codes = [made["barcodes"][0]["message"], saved["barcode"]["value"]]
    codes += codes_of((await paper(world, f"{own_id}/ticket.pdf", user)).raw)
    assert [booking["tickets"][1]["code"]] * 3 == codes
    assert made["eventTicket"]["primaryFields"][0]["value"] == event["name"]
    staff = world.token(role="staff", organizer_id=event["organizer_id"])
    assert 200 == (await scan(world, event, codes[0], staff)).status
    check_problem(await scan(world, event, codes[1], staff), 409, "already_checked_in")


async def test_wallets_are_of_who_has_the_ticket(world: World, event: Event, user: str) -> None:
    """Another's ticket is not there; one that was given away is its holder's, with its new code."""
    booking = await booked(world, event, user)
    first, second, third = (ticket["id"] for ticket in booking["tickets"])
    friend = await give(world, first, user, "wallet-friend@example.org")
    for way in WAYS:
        check_problem(await paper(world, f"{first}/{way}", user), 404, "not_found")
        check_problem(await paper(world, f"{second}/{way}", friend), 404, "not_found")
        check_problem(await paper(world, f"{booking['id']}/{way}", friend), 404, "not_found")
        check_problem(await paper(world, f"{booking['id']}/{way}", user), 409, "several_tickets")
        wrong = await paper(world, f"{second}/{way}?language=!", user)
        check_problem(wrong, 422, "invalid")
    made, saved = await pass_of(world, first, friend), await link_of(world, first, friend)
    code = made["barcodes"][0]["message"]
    assert saved["barcode"]["value"] == code != booking["tickets"][0]["code"]
    cut = {"version": 1, "ticket_ids": [third]}
    path = f"/v1/bookings/{booking['id']}/cancel"
    assert 200 == (await world.call("POST", path, token=user, json=cut)).status
    for way in WAYS:
        check_problem(await paper(world, f"{third}/{way}", user), 410, "ticket_cancelled")
    made = await pass_of(world, booking["id"], user)  # Of what is left.
    saved = await link_of(world, booking["id"], user)
    assert second == made["serialNumber"]
    assert f".{second}." in saved["id"]


@pytest.mark.parametrize("is_over", [False, True])
async def test_hidden_without_certificates(
    world: World, event: Event, user: str, serve: Serve, *, is_over: bool
) -> None:
    """Without certificates, or when they have ended, there is nothing, and a client is told so."""
    told = await world.call("GET", "/v1/wallets")
    assert {"apple": True, "google": True} == told.body
    own_id = (await world.book(event, user)).body["id"]
    ended = made_up.apple(made_up.pem(life=-dt.timedelta(days=1)))
    async with serve(wallets=Wallets(ended if is_over else None, None)) as other:
        told = await other.call("GET", "/v1/wallets")
        assert {"apple": False, "google": False} == told.body
        for path in (own_id, own_id.replace("bk_", "tkt_") + "_1"):
            for way in WAYS:
                check_problem(await paper(other, f"{path}/{way}", user), 404, "wallet_off")
