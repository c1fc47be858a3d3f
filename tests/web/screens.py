"""
`make screens`: twelve key states of the pages as pictures, from a real Evently of its own.

All twelve go into a folder to look at; with `--product` six of them, small, also into
`docs/product/`, where docs/PRODUCT.md shows them. Needs Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime as dt
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from evently_client import Client, Refusal
from playwright.async_api import Browser, Page, async_playwright

from loadtests.backstage import Backstage
from loadtests.events import priced, publish
from loadtests.server import open_folder, running
from tests.web.test_browser import CHROMIUM

PRODUCT = Path(__file__).parents[2] / "docs" / "product"
EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
#: The kind of the documents' pictures: small. Those to look at lose nothing.
WEBP = ".webp"
TIMEOUT_MS = 20_000

Event = dict[str, Any]


class Look(NamedTuple):
    """How a picture is taken."""

    width: int = 390
    height: int = 844
    language: str = "en"
    is_dark: bool = False
    has_scripts: bool = True
    is_guest: bool = False


PHONE, DARK = Look(), Look(is_dark=True)
DESK, DESK_DARK = Look(1280, 860), Look(1280, 860, is_dark=True)


class Shot(NamedTuple):
    """A picture: what it is called, where it is taken, and whether the documents show it."""

    name: str
    path: str
    look: Look
    is_product: bool = False


class Shop(NamedTuple):
    """What there is to be looked at: paths of pages by the state that they are in."""

    on_sale: str
    soon: str
    held: str
    sold_out: str
    cancelled: str
    seats: str
    hold: str
    booking: str
    ticket: str
    wait: str


def shots(shop: Shop) -> list[Shot]:
    """Return the twelve pictures, in the order in which one meets the pages."""
    return [
        Shot("home", "/", DESK._replace(is_guest=True), is_product=True),
        Shot("home-phone-dark", "/", DARK),
        Shot("event", shop.on_sale, DESK_DARK._replace(is_guest=True), is_product=True),
        Shot("event-soon", shop.soon, PHONE._replace(is_guest=True)),
        Shot("event-held-arabic", shop.held, PHONE._replace(language="ar", is_guest=True)),
        Shot(
            "event-sold-out-without-script",
            shop.sold_out,
            PHONE._replace(language="de", has_scripts=False, is_guest=True),
        ),
        Shot("event-cancelled", shop.cancelled, PHONE._replace(is_dark=True, language="de")),
        Shot("seats", shop.seats, DESK, is_product=True),
        Shot("hold", shop.hold, PHONE, is_product=True),
        Shot("booking", shop.booking, PHONE),
        Shot("ticket", shop.ticket, DARK, is_product=True),
        Shot("waiting", shop.wait, PHONE, is_product=True),
    ]


def _hall() -> Event:
    stalls = [{"name": one, "seats": 18} for one in "ABCDEFGHJK"]
    circle = [{"name": str(one), "seats": 20} for one in range(1, 7)]
    return {
        "tiers": [priced("Stalls", price_minor=7_500), priced("Circle", price_minor=4_200)],
        "sections": [
            {"name": "Stalls", "tier": 0, "rows": stalls},
            {"name": "Circle", "tier": 1, "rows": circle},
        ],
    }


def _events() -> list[Event]:
    """Return what is put on sale, in the order in which `stocked` takes them up."""
    now = dt.datetime.now(dt.UTC)
    evening = now.replace(hour=18, minute=0, second=0, microsecond=0)

    def made(name: str, days: int, where: tuple[str, str, str], **more: Any) -> Event:
        category, venue, place = where
        return {
            "name": name,
            "starts_at": (evening + dt.timedelta(days=days)).isoformat(),
            "timezone": "Europe/Berlin",
            "category": category,
            "venue": venue,
            "place": place,
        } | more

    return [
        made(
            "Mahler: Symphony No. 2",
            24,
            ("Concert", "Philharmonie", "Berlin"),
            summary="The Resurrection, with two choirs and bells from above.",
            **_hall(),
        ),
        made(
            "Night of a Hundred Synths",
            12,
            ("Concert", "Kraftwerk", "Berlin"),
            address="Köpenicker Straße 70\n10179 Berlin",
            summary="Twelve hours, one hall, no encore.",
            description="The first set begins when the last lamp is out.\n\nBring warm shoes.",
            access_notes="Step-free from the yard; ask at the door for the lift.",
            tiers=[
                priced("Floor", 400, price_minor=3_900),
                priced("Balcony", 8, price_minor=5_900),
                priced("Early bird", 2, price_minor=1_900),
            ],
        ),
        made(
            "Night Train to Lisbon",
            40,
            ("Theatre", "Teatro São Luiz", "Lisbon"),
            timezone="Europe/Lisbon",
            sale_opens_at=(now + dt.timedelta(hours=2)).isoformat(),
            tiers=[priced("Seat", 300, price_minor=2_800)],
        ),
        made(
            "ليلة العود",
            18,
            ("Concert", "دار الأوبرا", "القاهرة"),
            timezone="Africa/Cairo",
            summary="أربعة عازفين وقاعة واحدة",
            tiers=[priced("صالة", 4, price_minor=2_500)],
        ),
        made(
            "Kleines Haus, große Fragen",
            9,
            ("Theatre", "Schauspielhaus", "Hamburg"),
            tiers=[priced("Parkett", 2, price_minor=3_200)],
        ),
        made(
            "Regatta on the Alster",
            30,
            ("Sport", "Außenalster", "Hamburg"),
            tiers=[priced("Stand", 200, price_minor=1_200)],
        ),
    ]


async def _posted(base: str, token: str, path: str, body: Event) -> Event:
    async with Client(base, token=token) as client:
        answer = await client.call("POST", path, Event, body)
    if isinstance(answer, Refusal):
        raise RuntimeError(f"{path}: {answer}")  # noqa: TRY004
    return answer


async def _ticket_of(base: str, token: str, booking_id: str) -> str:
    """Wait until the ledger has a booking; return the first of its tickets."""
    async with asyncio.timeout(TIMEOUT_MS / 1_000), Client(base, token=token) as client:
        while True:
            found = await client.booking(booking_id)
            if not isinstance(found, Refusal) and found.tickets:
                return found.tickets[0].id
            await asyncio.sleep(0.1)


async def stocked(base: str, admin: str, buyer: str, others: list[str]) -> Shop:
    """Put events of several states on sale, and let a buyer have something of each kind."""

    def of(event: Event, what: str) -> str:
        return f"/v1/events/{event['id']}/{what}"

    def line(event: Event, tier: int = 0, **chosen: Any) -> Event:
        return {"tier_id": event["tiers"][tier]["id"]} | chosen

    hall, night, soon, held, full, gone = [await publish(base, admin, one) for one in _events()]
    for number, token in enumerate(others[:7]):
        seats = [f"s1-{number * 19 + 2 + one}" for one in range(3 + number % 3)]
        await _posted(base, token, of(hall, "bookings"), {"items": [{"seat_ids": seats}]})
    await _posted(base, others[0], of(night, "bookings"), {"items": [line(night, 2, quantity=2)]})
    await _posted(base, others[0], of(held, "holds"), {"items": [line(held, quantity=4)]})
    await _posted(base, others[0], of(full, "bookings"), {"items": [line(full, quantity=2)]})
    await _posted(base, others[1], of(full, "waitlist"), line(full, quantity=2))
    entry = await _posted(base, buyer, of(full, "waitlist"), line(full, quantity=1))
    await _posted(base, admin, of(gone, "cancel"), {})
    items = {"items": [line(night, quantity=2)]}
    booking = await _posted(base, buyer, of(night, "bookings"), items)
    hold = await _posted(base, buyer, of(night, "holds"), {"items": [line(night, 1, quantity=2)]})
    ticket = await _ticket_of(base, buyer, booking["id"])
    return Shop(
        on_sale=f"/e/{night['id']}",
        soon=f"/e/{soon['id']}",
        held=f"/e/{held['id']}",
        sold_out=f"/e/{full['id']}",
        cancelled=f"/e/{gone['id']}",
        seats=f"/e/{hall['id']}/seats/1",
        hold=f"/hold/{hold['id']}",
        booking=f"/b/{booking['id']}?made=now",
        ticket=f"/t/{ticket}",
        wait=f"/wait/{entry['id']}",
    )


async def _signed_in(page: Page, base: str) -> None:
    await page.goto(f"{base}/sign-in?next=/me")
    await page.fill("#email", EMAIL)
    await page.fill("#password", PASSWORD)
    await page.click("main .button")
    await page.wait_for_url(f"{base}/me*")


async def photographed(browser: Browser, base: str, shot: Shot, paths: list[Path]) -> None:
    """Open a page as its look says; write what is seen without scrolling, by the files' kinds."""
    look = shot.look
    context = await browser.new_context(
        viewport={"width": look.width, "height": look.height},
        locale=look.language,
        color_scheme="dark" if look.is_dark else "light",
        timezone_id="Europe/Berlin",
        java_script_enabled=look.has_scripts,
    )
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    if not look.is_guest:
        await _signed_in(page, base)
    answer = await page.goto(base + shot.path)
    if answer is None or not answer.ok:
        raise RuntimeError(f"{shot.name}: {shot.path} was not shown")
    await page.wait_for_load_state("networkidle")
    devtools = await context.new_cdp_session(page)
    for path in paths:
        how = {"format": path.suffix[1:]} | ({"quality": 70} if path.suffix == WEBP else {})
        taken = await devtools.send("Page.captureScreenshot", how)
        path.write_bytes(base64.b64decode(taken["data"]))
    await context.close()


@asynccontextmanager
async def stocked_shop() -> AsyncIterator[tuple[str, Shop]]:
    """Run an Evently of one's own with something in each state; give its address and the paths."""
    with open_folder() as folder:
        async with running(folder) as server, Backstage(server.settings) as backstage:
            base = server.base_url
            others = [one.token for one in await backstage.people(8)]
            async with Client(base) as buyer:
                session = await buyer.register(EMAIL, PASSWORD, "Ada Lovelace")
            if isinstance(session, Refusal):
                raise RuntimeError(f"no account: {session}")  # noqa: TRY004
            admin = await backstage.admin_token()
            yield base, await stocked(base, admin, session.access_token, others)


async def screens(folder: Path, *, for_product: bool) -> list[Path]:
    """
    Take all pictures into a folder, and six of them into the documents' if that is wanted.

    Raises:
        RuntimeError: a page was not shown.
    """
    written = []
    async with stocked_shop() as (base, shop), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for shot in shots(shop):
            paths = [folder / f"{shot.name}.png"]
            if for_product and shot.is_product:
                paths.append(PRODUCT / f"{shot.name}{WEBP}")
            await photographed(browser, base, shot, paths)
            written += paths
        await browser.close()
    return written


def main() -> None:
    """Read the arguments, take the pictures, say where they are."""
    parser = argparse.ArgumentParser(prog="screens", description=__doc__)
    parser.add_argument("--into", type=Path, help="folder of the twelve (a temporary one)")
    parser.add_argument("--product", action="store_true", help="write docs/product/ as well")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("screens: no Chromium here: apt-get install chromium")
    folder = arguments.into or Path(tempfile.mkdtemp(prefix="screens-"))
    folder.mkdir(parents=True, exist_ok=True)
    PRODUCT.mkdir(exist_ok=True)
    for path in asyncio.run(screens(folder, for_product=arguments.product)):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
