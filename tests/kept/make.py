"""
`python -m tests.kept.make FOLDER`: sell all that can be sold, and keep what both stores have.

Runs `evently up` in a folder of its own, speaks HTTP to it, and writes `redis.json` and
`postgres.txt`, as `tests/kept/README.md` says. Knows next to nothing of the code, so that code of
any age can run it. At the end the persister stands still: some records are in Redis alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis

from engine.records import seal
from evently.embedded.binaries import find_postgres
from evently.settings import Settings

PORT = 18_431
URL = f"http://127.0.0.1:{PORT}"
META = "{s0}:meta"
FAR = "2099-06-01T19:00:00Z"
READ = {"hash": "HGETALL", "set": "SMEMBERS"}
#: Fields that the oldest code refuses and the present code needs: sent, and left out if refused.
NEWER = {"event_id", "offer_ttl_s"}
PASSWORD = "correct horse battery staple"


@contextlib.asynccontextmanager
async def running(folder: Path, *, ttl_ms: int) -> AsyncIterator[Shop]:
    """Run the service; holds and offers last *ttl_ms*."""
    words = {"DATA_DIR": folder, "HTTP_PORT": PORT, "HOLD_TTL_MS": ttl_ms, "OFFER_TTL_MS": ttl_ms}
    words |= {"HOLD_LIFE_MAX_MS": 12 * ttl_ms, "JOURNAL_RETENTION_S": 86_400}
    words |= {"BOOKING_LIMIT_WINDOW_MS": 86_400_000, "BOOKING_LIMIT_ATTEMPTS": 100}
    environ = {f"EVENTLY_{name}": str(value) for name, value in words.items()}
    os.environ |= environ
    up = subprocess.Popen([sys.executable, "-m", "evently", "up"])  # noqa: ASYNC220
    try:
        async with aiohttp.ClientSession() as client:
            while not await _is_ready(client):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            settings = Settings.load()
            redis = Redis.from_url(settings.redis_servers_as("coordinator")["0"])
            database = await asyncpg.connect(settings.database_url)
            yield Shop(client, redis, database, settings.database_url, up.pid)
            await database.close()
            await redis.aclose()
    finally:
        up.terminate()
        up.wait()


async def _is_ready(client: aiohttp.ClientSession) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with client.get(f"{URL}/readyz") as answer:
            return answer.status == 200
    return False


class Shop:
    """The running service, as its customers and its maker see it."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        redis: Redis,
        database: asyncpg.Connection,
        database_url: str,
        pid: int,
    ) -> None:
        self.redis: Any = redis
        self.database, self.database_url = database, database_url
        self._client, self._pid, self._keys = client, pid, 0
        #: Of the last answer.
        self.etag = ""

    async def call(self, method: str, path: str, token: str, json: Any = None, **more: str) -> Any:
        """Send one request under a key of its own; return the answer's body."""
        status, body = await self._send(method, path, token, json, more)
        if status == 422 and NEWER & set(json or ()):
            json = {name: value for name, value in json.items() if name not in NEWER}
            status, body = await self._send(method, path, token, json, more)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {body}")
        return body

    async def _send(
        self, method: str, path: str, token: str, json: Any, more: dict[str, str]
    ) -> tuple[int, Any]:
        self._keys += 1
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"key-{self._keys}"}
        async with self._client.request(
            method, f"{URL}/v1{path}", json=json, headers=headers | more
        ) as answer:
            self.etag = answer.headers.get("ETag", "")
            # A problem has a type of its own.
            return answer.status, await answer.json(content_type=None)

    async def person(self, name: str, role: str = "user", organizer: str | None = None) -> str:
        """Make an account; return its token."""
        about = {"email": f"{name}@example.org", "password": PASSWORD}
        await self.call("POST", "/auth/register", "", about | {"name": name})
        await self.database.execute(
            "UPDATE users SET role = $2, organizer_id = $3 WHERE email = $1",
            about["email"],
            role,
            organizer,
        )
        token: str = (await self.call("POST", "/auth/login", "", about))["access_token"]
        return token

    async def event(self, boss: str, name: str, *capacities: int, **fields: Any) -> Any:
        """Make and publish an event whose tiers have these capacities."""
        tiers = [
            {
                "name": f"T{n}",
                "price": {"amount": 1000 * n, "currency": "EUR"},
                "capacity": capacity,
            }
            for n, capacity in enumerate(capacities, 1)
        ]
        about = {"name": name, "starts_at": FAR, "tiers": tiers} | fields
        made = await self.call("POST", "/events", boss, about)
        return await self.call("POST", f"/events/{made['id']}/publish", boss)

    async def order(
        self, what: str, event: Any, token: str, *items: tuple[int, Any], **more: Any
    ) -> Any:
        """Book or hold: pairs of a tier's number and a quantity, or a list of seats."""
        lines = [
            {"tier_id": event["tiers"][number - 1]["id"], "quantity": asked}
            if isinstance(asked, int)
            else {"seat_ids": asked}
            for number, asked in items
        ]
        return await self.call(
            "POST", f"/events/{event['id']}/{what}", token, {"items": lines} | more
        )

    async def join(self, event: Any, token: str, quantity: int = 1, **more: Any) -> Any:
        """Wait for tier 1."""
        about = {"tier_id": event["tiers"][0]["id"], "quantity": quantity} | more
        return await self.call("POST", f"/events/{event['id']}/waitlist", token, about)

    async def cancel(self, booking: Any, token: str, body: Any = None) -> Any:
        """Cancel a booking, or some places of it."""
        return await self.call("POST", f"/bookings/{booking['id']}/cancel", token, body)

    async def settle(self) -> None:
        """Wait until PostgreSQL has all."""
        while True:
            seq, persisted, state = await self.redis.hmget(META, "seq", "persisted_seq", "state")
            if (seq, state) == (persisted, b"open"):
                return
            await asyncio.sleep(0.05)

    async def until(self, kind: str, count: int = 1) -> None:
        """Wait until PostgreSQL's journal has so many records of a kind."""
        text = f'"kind":"{kind}"'
        while True:
            rows = await self.database.fetch("SELECT records FROM journal")
            if sum(row["records"].count(text) for row in rows) >= count:
                return
            await asyncio.sleep(0.1)

    def stop_persister(self) -> None:
        """Let the persister stand still until the service ends."""
        listed = subprocess.run(
            ["ps", "--ppid", str(self._pid), "-o", "pid=,args="],
            capture_output=True,
            text=True,
            check=True,
        )
        [line] = [line for line in listed.stdout.splitlines() if "persister" in line]
        os.kill(int(line.split()[0]), signal.SIGSTOP)


async def late(shop: Shop, organizer: str) -> None:
    """Sell where holds and offers last a second: they expire, or are confirmed late."""
    boss = await shop.person("boss", "organizer", organizer)
    ann, bob, cid = [await shop.person(name) for name in ("ann", "bob", "cid")]
    event = await shop.event(boss, "Late", 4, 3, max_per_user=4, offer_ttl_s=1)
    early = await shop.order("holds", event, ann, (1, 2), metadata={"a": 1.5, "b": None})
    await shop.order("holds", event, bob, (2, 1))
    await shop.until("expired", 2)
    await shop.call("POST", f"/holds/{early['id']}/confirm", ann)
    missed = await shop.order("holds", event, bob, (1, 1))
    await shop.until("expired", 3)
    full = await shop.order("bookings", event, cid, (1, 2))
    await shop.join(event, bob, 1, after_hold=missed["id"])
    await shop.cancel(full, cid)
    await shop.until("expired", 4)
    await shop.settle()


async def lost(shop: Shop) -> None:
    """Let a worker remember records behind a gap: recovery writes what it can, and `lost`."""
    text = await shop.database.fetchval(
        'SELECT records FROM journal WHERE records LIKE \'%"kind":"booked"%\' LIMIT 1'
    )
    record = next(line for line in text.split("\n") if '"kind":"booked"' in line)[8:]
    about = json.loads(record)
    epoch, seq = (int(word) for word in await shop.redis.hmget(META, "epoch", "seq"))
    for place, end, items in ((3, "kept", "[[2,1,2000]]"), (5, "many", "[[2,9,2000]]")):
        new = record.replace(about["booking_id"], about["booking_id"][:-4] + end)
        new = new.replace("[[1,2,1000]]", items)
        await shop.database.execute(
            "INSERT INTO redo (shard, epoch, seq, record, worker) VALUES (0, $1, $2, $3, 'kept')",
            epoch,
            seq + place,
            seal(new.encode()).decode(),
        )
    await shop.until("lost", 4)
    await shop.settle()
    # As a human does who has made it good; the journal keeps the mark.
    await shop.database.execute("DELETE FROM conflicts")


async def hall(shop: Shop, boss: str, staff: str, dan: str, eve: str) -> None:
    """Sell seats, and tiers with rules and promo codes; block, cut, let in, give away, cancel."""
    rows = [{"name": "A", "seats": 6}, {"name": "B", "seats": 6}]
    promos = [
        {"code": "TENTH", "percent_off": 10, "uses_max": 5},
        {"code": "SECRET", "amount_off": 300, "uses_max": 2, "tiers": ["T3"]},
    ]
    hidden = {"name": "T3", "price": {"amount": 3000, "currency": "EUR"}, "capacity": 5}
    tiers = [
        {"name": "T1", "price": {"amount": 1000, "currency": "EUR"}},
        {"name": "T2", "price": {"amount": 2000, "currency": "EUR"}, "capacity": 20}
        | {"max_per_order": 4, "min_per_order": 2, "max_per_user": 6, "sale_closes_at": FAR},
        hidden | {"is_hidden": True},
    ]
    event = await shop.event(
        boss,
        "Hall",
        tiers=tiers,
        promo_codes=promos,
        sections=[{"name": "Left", "tier": "T1", "rows": rows}],
    )
    path = f"/events/{event['id']}"
    await shop.call("POST", f"{path}/seats/block", boss, {"seat_ids": ["s1-1", "s1-2"]})
    await shop.call("POST", f"{path}/seats/unblock", boss, {"seat_ids": ["s1-2"]})
    text = {"special_requests": 'Gänge, "A"\n%s', "metadata": {"x": True, "y": "é"}}
    seated = await shop.order("bookings", event, dan, (1, ["s1-9", "s1-10"]), **text)
    await shop.order("holds", event, eve, (1, 2), (2, 2), promo_code="TENTH")
    held = await shop.order("holds", event, eve, (3, 1), promo_code="SECRET")
    await shop.call("POST", f"/holds/{held['id']}/extend", eve)
    await shop.call("POST", f"/holds/{held['id']}/confirm", eve)
    back = await shop.order("holds", event, eve, (1, ["s1-5"]))
    await shop.call("DELETE", f"/holds/{back['id']}", eve)
    cut = await shop.order("bookings", event, dan, (2, 3), (3, 2), promo_code="SECRET")
    tier = event["tiers"][1]["id"]
    some = {"items": [{"tier_id": tier, "quantity": 1}], "version": 1}
    await shop.cancel(cut, dan, some)
    gone = await shop.order("bookings", event, eve, (1, ["s1-12"]))
    await shop.cancel(gone, eve)
    await shop.settle()
    tickets = (await shop.call("GET", f"/bookings/{seated['id']}", dan))["tickets"]
    codes = [ticket["code"] for ticket in tickets]
    at = {"event_id": event["id"]}
    await shop.call("POST", f"/tickets/{codes[0]}/check-in", staff, at | {"gate": "north"})
    await shop.call("POST", f"/tickets/{codes[0]}/undo", staff, at)
    await shop.call("POST", f"/tickets/{codes[0]}/check-in", staff, at)
    given = {"user_id": (await shop.call("GET", "/me", eve))["id"]}
    await shop.call("POST", f"/tickets/{tickets[1]['id']}/transfer", dan, given)


async def sale(shop: Shop, boss: str, dan: str, eve: str, fay: str) -> None:
    """Change sales, call an event off, and let people wait, be offered, accept, decline, leave."""
    event = await shop.event(boss, "Sale", 2, 0, waitlist_policy="skip", max_per_user=3)
    path = f"/events/{event['id']}"
    both = await shop.order("bookings", event, dan, (1, 2))
    far = {"sale_closes_at": "2099-05-01T00:00:00Z"}
    await shop.call("POST", f"{path}/close", boss)
    await shop.call("POST", f"{path}/reopen", boss, far)
    first = await shop.join(event, eve, 2)
    second = await shop.join(event, fay, 1)
    await shop.cancel(both, dan)
    offer = (await shop.call("GET", f"/waitlist/{first['id']}", eve))["offer"]["id"]
    await shop.call("POST", f"/offers/{offer}/decline", eve)
    offer = (await shop.call("GET", f"/waitlist/{second['id']}", fay))["offer"]["id"]
    await shop.call("POST", f"/offers/{offer}/accept", fay)
    strict = await shop.event(boss, "Strict", 2, waitlist_patience_s=2_592_000)
    one = await shop.order("bookings", strict, dan, (1, 1))
    await shop.order("bookings", strict, dan, (1, 1))
    await shop.join(strict, eve, 2)
    await shop.cancel(one, dan)  # The party of two stalls the list.
    await shop.join(strict, fay, 1)
    left = await shop.join(strict, dan, 1)
    await shop.call("DELETE", f"/waitlist/{left['id']}", dan)
    skips = await shop.event(boss, "Skips", 2, waitlist_policy="skip")
    one = await shop.order("bookings", skips, dan, (1, 1))
    await shop.order("bookings", skips, dan, (1, 1))
    await shop.join(skips, eve, 2)
    await shop.join(skips, fay, 1)
    await shop.cancel(one, dan)
    tiers = [{"id": event["tiers"][1]["id"], "capacity": 4}]
    await shop.call("GET", path, boss)
    about = {"tiers": tiers, "name": "Sold"}
    await shop.call("PATCH", path, boss, about, **{"If-Match": shop.etag})
    off = await shop.event(boss, "Off", 5)
    await shop.order("bookings", off, dan, (1, 1))
    await shop.order("holds", off, eve, (1, 1))
    await shop.call("POST", f"/events/{off['id']}/cancel", boss)
    await shop.until("event_cancelled")


async def open_ends(shop: Shop, boss: str, dan: str, eve: str, fay: str) -> None:
    """Leave what is sold on later: a hold, bookings, one who waits, one who has an offer."""
    event = await shop.event(boss, "Kept", 6, 10)
    await shop.order("bookings", event, dan, (1, 5))
    one = await shop.order("bookings", event, eve, (1, 1))
    await shop.join(event, fay, 1)
    await shop.join(event, eve, 1)
    await shop.cancel(one, eve)  # Offered to fay.
    await shop.order("holds", event, eve, (2, 2))
    gone = await shop.order("bookings", event, fay, (2, 1))
    await shop.settle()
    shop.stop_persister()
    await shop.order("bookings", event, dan, (2, 1), special_requests="in Redis alone")
    held = await shop.order("holds", event, fay, (2, 1))
    await shop.call("POST", f"/holds/{held['id']}/confirm", fay)
    await shop.cancel(gone, fay)


async def keep(shop: Shop, folder: Path) -> None:
    """Write all that both stores have."""
    kept: dict[str, Any] = {}
    for key in sorted(await shop.redis.keys("*")):
        kind = (await shop.redis.type(key)).decode()
        value: Any
        if kind == "stream":
            value = [[entry, *fields.values()] for entry, fields in await shop.redis.xrange(key)]
        elif kind == "zset":
            value = [list(pair) for pair in await shop.redis.zrange(key, 0, -1, withscores=True)]
        else:
            value = await shop.redis.execute_command(READ[kind], key)
        value = sorted(value) if kind == "set" else value
        kept[key.decode()] = [kind, await shop.redis.pttl(key), _text(value)]
    text = json.dumps(kept, indent=0, ensure_ascii=False)
    (folder / "redis.json").write_text(text + "\n", "utf-8")
    await shop.database.execute("UPDATE users SET password_hash = 'none'")
    words = [str(find_postgres().bin_path / "pg_dump"), "--inserts", "--rows-per-insert=50"]
    words += ["--no-owner", "--no-privileges", "--exclude-table-data=script_sets"]  # Large.
    dump = subprocess.run(  # noqa: ASYNC221
        [*words, shop.database_url], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in dump.splitlines() if not line.startswith(("--", "\\", "SET transac"))]
    (folder / "postgres.txt").write_text("\n".join(filter(None, lines)) + "\n", "utf-8")


def _text(value: Any) -> Any:
    """Turn bytes into text, however deep they lie."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_text(key): _text(one) for key, one in sorted(value.items())}
    return [_text(one) for one in value] if isinstance(value, list | tuple) else value


async def make(path: Path, folder: Path) -> None:
    """Sell in two runs at *path*, and keep what there is in *folder*."""
    async with running(path, ttl_ms=1_000) as shop:
        organizer: str = await shop.database.fetchval("SELECT id FROM organizers")
        await late(shop, organizer)
        await lost(shop)
    async with running(path, ttl_ms=7_200_000) as shop:
        boss = await shop.person("chief", "organizer", organizer)
        staff = await shop.person("staff", "staff", organizer)
        dan, eve, fay = [await shop.person(name) for name in ("dan", "eve", "fay")]
        await hall(shop, boss, staff, dan, eve)
        await sale(shop, boss, dan, eve, fay)
        await open_ends(shop, boss, dan, eve, fay)
        await keep(shop, folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kept-") as name:
        Path(name).chmod(0o755)
        asyncio.run(make(Path(name), Path(sys.argv[1])))
