"""
One event in which every key matters, and for every script a call that goes far into it.

Tier 1 is general and waited for, tier 2 has seats, tier 3 is hidden. There is a live hold, an
overdue one, an open offer, two who wait, bookings with a promo code and with seats, and a ticket
that was let in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine import keys
from engine.calls import Bounds, Limit, call_of
from engine.commands import Order
from engine.ids import new_id
from engine.verbs import VERBS
from tests.checks import FAR_MS, ask
from tests.lua.world import Command, Till

CODE = "VIP"
TTL_MS = 600_000
FORGET_MS = 86_400_000


class Call(NamedTuple):
    """One call of a script, ready to be made, and the status it must reply."""

    script: str
    names: list[str]
    words: tuple[Any, ...]
    status: str


class Stage:
    """Makes the event, and the calls."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.own = keys.event(till.shard, till.event)
        self.users = {name: new_id("usr") for name in "abcdefg"}

    async def open(self) -> None:
        """Load the event and bring it to where every key matters."""
        till = self.till
        seat = [till.meta, self.own.stock, self.own.seats]
        await till.call("seat", seat, till.epoch, 1, 2, "6", "101010")
        await till.call("seat", seat, till.epoch, 2, 2, "4,4", "")
        await till.call("publish", self._publish_names(till.event), *self._publish(till.event))
        await self.till.send("book", self.order("b0", "a", (1, 1)))
        await self.till.send("book", self.order("b1", "b", (1, 2), code=CODE))
        await self.till.send("book", self.order("b2", "c", (2, "2:s2-1+s2-2")))
        await self.till.send(
            "hold", self.order("h1", "d", (1, 1), (2, "1:s1-1"), (3, 1), code=CODE)
        )
        await self.till.send("hold", self.order("h0", "e", (1, 1), (3, 1), code=CODE))
        for name, user in (("w0", "f"), ("w1", "g"), ("w2", "a")):
            await till.call(
                "join", self.names("join"), till.epoch, till.event, 1, *self.join(name, user)
            )
        await self.run("cancel", self.id("bk", "b0"), self.users["a"])
        await self.run("checkin", self.id("bk", "b2"), 1, 1, "north", "usr_s", "scan-0", 7)
        await till.call("block", self.names(), till.epoch, till.event, "s1-6")
        await self._run_out("h0")

    async def run(self, verb: str, *words: Any) -> Any:
        """Send one command of a batched verb."""
        [reply] = await self.till.on_events(verb, [self.till.event], [1, *words])
        return reply

    def names(self, verb: str = "") -> list[str]:
        """Return the keys of most scripts."""
        till = self.till
        names = [till.meta, till.journal, keys.due(till.shard)]
        if verb in {"book", "hold", "join"}:
            names += keys.attempts(till.shard)
        if verb == "hold":
            names += keys.opened(till.shard)
        return [*names, *self.own]

    def id(self, prefix: str, name: str) -> str:
        """Return an id that *name* stands for."""
        return f"{prefix}_{name:0>26}"

    def order(self, name: str, user: str, *lines: tuple[int, int | str], code: str = "") -> Order:
        """Return an order."""
        own_id = self.id("hold" if name[0] == "h" else "bk", name)
        fingerprint = f"f~{code}" if code else "f"
        command = Command(self.users[user], *lines, fingerprint=fingerprint)
        return command.order(self.till.event, own_id, TTL_MS)

    def orders(self, verb: str, count: int) -> list[Any]:
        """Return the words of many orders that are the same."""
        order = self.order(f"{verb[0]}9", "f", (3, 2), (2, "1:best"), code=CODE)
        limit, bounds = Limit(9, TTL_MS), Bounds(9, 9, TTL_MS, 10, 1)
        call = call_of(VERBS[verb], 0, 1, [order] * count, limit=limit, bounds=bounds)
        return call.words[1:]

    def join(self, name: str, user: str) -> list[Any]:
        """Return the words of a join."""
        rules = ["strict", TTL_MS, TTL_MS, 9, "-", 9, TTL_MS]
        return [self.id("wl", name), self.users[user], "f", 1, 1, *rules]

    def calls(self) -> dict[str, Call]:
        """Return calls of all scripts, by what they are about; each script's name comes first."""
        users, hold, bk = self.users, self.id("hold", "h1"), self.id("bk", "b1")
        batched: dict[str, tuple[list[Any], str]] = {
            "confirm": ([hold, users["d"]], "CONFIRMED"),
            "confirm offer": ([self.id("offer", "w0"), users["f"]], "CONFIRMED"),
            "confirm late": ([self.id("hold", "h0"), users["e"]], "HOLD_EXPIRED"),
            "release": ([hold, users["d"]], "RELEASED"),
            "extend": ([hold, users["d"], 2 * TTL_MS, 2 * TTL_MS, 0, 1], "EXTENDED"),
            "cancel": ([bk, users["b"]], "CANCELLED"),
            "cancel_item": ([bk, users["b"], 1, "1:1"], "ITEM_CANCELLED"),
            "join": (self.join("w9", "c"), "JOINED"),
            "leave": ([self.id("wl", "w1"), users["g"]], "LEFT"),
            "leave offer": ([self.id("wl", "w0"), users["f"]], "LEFT"),
            "checkin": ([bk, 1, 1, "north", "usr_s", "scan-1", 7], "CHECKED_IN"),
            "checkin late": (
                [self.id("bk", "b2"), 1, 1, "south", "usr_s", "scan-2", 7],
                "SCAN_REFUSED",
            ),
            "undo_checkin": (
                [self.id("bk", "b2"), 1, 1, "north", "usr_s", "scan-3", 7],
                "CHECK_IN_UNDONE",
            ),
            "transfer": ([bk, 1, users["b"], users["c"]], "TRANSFERRED"),
            "close": ([], "CLOSED"),
            "reopen": ([FAR_MS - 1], "REOPENED"),
            "set_capacity": (["1:9"], "CAPACITY_SET"),
        }
        found = {
            name: self._call(name, self.names(name), self.till.event, 1, *words, status=status)
            for name, (words, status) in batched.items()
        }
        for verb, status in (("book", "BOOKED"), ("hold", "HELD")):
            words = self.orders(verb, 1)
            found[verb] = self._call(verb, self.names(verb), self.till.event, *words, status=status)
        return found | self._others()

    def _others(self) -> dict[str, Call]:
        till, names, own = self.till, self.names(), self.own
        other = new_id("evt")
        cancelling = [*names, keys.cancelling(till.shard)]
        read = [till.meta, own.seats, own.stock, own.promos]
        looked_at = [till.meta, own.stock, own.promos, own.holds, own.deadlines]
        return {
            call.script: call
            for call in (
                self._call("expire", names, till.event, 9, FORGET_MS, status="SWEPT"),
                self._call("block", names, till.event, "s1-5", "s2-3", status="BLOCKED"),
                self._call("unblock", names, till.event, "s1-6", status="UNBLOCKED"),
                self._call(
                    "amend",
                    names,
                    till.event,
                    "person_max=9",
                    "1:9:200:-:-:-:-:-:-:-",
                    "NEW-1:5:50:0:",
                    "[]",
                    "-",
                    status="AMENDED",
                ),
                self._call("cancel_event", cancelling, till.event, status="CANCELLED"),
                self._call(
                    "empty_event",
                    cancelling,
                    till.event,
                    self.id("bk", "b1"),
                    self.id("bk", "b2"),
                    status="EMPTIED",
                ),
                self._call("seats", read, -1, CODE, status="SEATS"),
                self._call("availability", looked_at, CODE, status="STOCK"),
                self._call(
                    "persisted", [till.meta, till.journal], 2, 1, 400, "open", status="PERSISTED"
                ),
                self._call("waitmark", [till.meta, till.journal], status="MARKED"),
                self._call(
                    "seat",
                    [
                        till.meta,
                        keys.event(till.shard, other).stock,
                        keys.event(till.shard, other).seats,
                    ],
                    1,
                    1,
                    "5",
                    "",
                    status="SEATED",
                ),
                Call(
                    "publish",
                    self._publish_names(other),
                    self._publish(other, seats=False),
                    "PUBLISHED",
                ),
            )
        }

    def _call(self, name: str, names: list[str], *words: Any, status: str) -> Call:
        return Call(name.partition(" ")[0], names, (self.till.epoch, *words), status)

    def _publish_names(self, event_id: str) -> list[str]:
        till, own = self.till, keys.event(self.till.shard, event_id)
        return [till.meta, till.journal, keys.events(till.shard), *own]

    def _publish(self, event_id: str, *, seats: bool = True) -> tuple[Any, ...]:
        tiers = (5, 100, 10, 14 if seats else 5, 100, 10, 3, 100, 10)
        rules = (1, 0, 9, 0, 0, 0, 3, 0, 9, 0, 0, 1)
        return (
            self.till.epoch,
            event_id,
            "p",
            0,
            FAR_MS,
            20,
            3,
            *tiers,
            2 if seats else 0,
            *rules,
            f"{CODE}:50:10:0:1+2+3",
        )

    async def _run_out(self, name: str) -> None:
        """Let a hold's deadline have passed long ago."""
        hold_id, redis = self.id("hold", name), self.till.redis
        words = (await ask(redis, "HGET", self.own.holds, hold_id)).decode().split(" ")
        words[8] = "1"
        await ask(redis, "HSET", self.own.holds, hold_id, " ".join(words))
        await ask(redis, "ZADD", self.own.deadlines, 1, hold_id)
