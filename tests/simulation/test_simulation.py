"""
Rig R1: random histories of all scripts of the sale against a real server and the model.

After each step Redis has exactly what the model has (I1 to I3, I6, I9 to I12); at the end the
journal alone folds to it (I7, I8). A failure prints the shortest history that shows it and the
seed that found it. `make simulate` runs the large size; `pytest` a small one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from engine import keys
from engine.commands import (
    Amend,
    CancelItem,
    Extend,
    Join,
    OfEvent,
    Order,
    Own,
    Promo,
    Publish,
    Reopen,
    Scan,
    SetCapacity,
    TierAmendment,
    TierStock,
    Transfer,
)
from engine.ids import booking_id, entry_id, hold_id, new_id, ticket_id
from engine.outcomes import status_of
from engine.pools import Pool, write
from engine.records import Rules, TierName
from engine.seats import Section
from engine.status import Status
from engine.values import parse_entry, parse_hold, parse_items, parse_scans, parse_ticket
from evently.embedded import ValkeyServer
from tests.checks import FAR_MS
from tests.simulation import model
from tests.simulation.fold import Fold
from tests.simulation.staff import StaffedEvent
from tests.simulation.till import AHEAD_MS, BOUNDS, LIFE_MAX_MS, LIMIT, OVERDUE_TTL_MS, TTL_MS, Till

MARK = keys.MARK.encode()
USERS = tuple(new_id("usr") for _ in range(4))
STRANGER = new_id("usr")
#: Where they come from: two share an address, one's is not known.
ORIGINS = dict(zip(USERS, ("a", "a", "b", ""), strict=True))
#: Those who may have bought all there is before the first step.
CROWD = tuple(new_id("usr") for _ in range(3))
PEOPLE = (*USERS, *CROWD, STRANGER)
#: Tiers 1 and 5 are general, 2 has seats, in rows of three and two; 3 is hidden, 4 not open yet.
STOCK = (
    TierStock(6, 100, 4, person_max=4),
    TierStock(5, 100, 3),
    TierStock(3, 100, 3, order_min=2, is_hidden=True),
    TierStock(3, 100, 3, opens_at_ms=FAR_MS - 1),
    TierStock(4, 100, 4),
)
#: At the second event tiers 1, 3 and 5 share seven places.
POOL = (7, (1, 3, 5))
#: The first takes something off all tiers, the second unlocks tier 3.
PROMOS = (Promo("CUT", 3, 10, 0), Promo("KEY", 2, 0, 0, (1, 3)))
ROWS = (("s1-1", "s1-2", "s1-3"), ("s1-5", "s1-6"))
PERSON_MAX = 5
SWEEP_MAX = 2
PATIENCE_MS = 3_600_000

#: Examples and steps of the large run (`make simulate`) and of the small one.
LARGE = (2_000, 60)
SMALL = (80, 40)

Lines = model.Lines
SEATS = st.lists(
    st.sampled_from([seat for row in ROWS for seat in row] * 3 + ["s1-4", "s1-7", "s2-1"]),
    min_size=1,
    max_size=3,
    unique=True,
).map(tuple)
SEATED = st.one_of(
    st.tuples(st.just(2), st.integers(1, 4)),
    st.tuples(st.just(2), st.integers(1, 3), st.just("best,split")),
    SEATS.map(lambda seats: (2, len(seats), "+".join(seats))),
)
LINES = st.one_of(
    st.tuples(st.tuples(st.just(1), st.integers(1, 5))),
    st.tuples(SEATED),
    st.tuples(st.tuples(st.just(1), st.integers(1, 3)), SEATED),
    st.tuples(st.tuples(st.just(3), st.integers(1, 3)), st.just((1, 1))),
    st.sampled_from([((3, 2),), ((4, 1),), ((6, 1),)]),
    st.tuples(st.tuples(st.just(5), st.integers(1, 4))),
    st.tuples(st.tuples(st.just(5), st.integers(1, 3)), st.tuples(st.just(1), st.integers(1, 2))),
)
CODES = st.sampled_from(["", "", "", "~CUT", "~KEY", "~KEY", "~NONE", "~NEW"])
CUTS = st.one_of(
    st.sampled_from([((1, 1),), ((1, 2),), ((1, 3),), ((2, 1),), ((2, 2),), ((1, 1), (2, 1))]),
    st.sampled_from([((1, 3), (2, 1)), ((3, 1),), ((3, 2),)]),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True).map(tuple),
    st.lists(st.sampled_from([1, 3, *ROWS[0]]), min_size=1, max_size=2, unique=True).map(tuple),
)
WANTS = st.sampled_from(
    [*(((1, capacity),) for capacity in (0, 3, 5, 6, 7, 8)), ((2, 5),), ((1, 4), (2, 4)), ((5, 3),)]
)
#: A tier that may come, with or without others; and what of the sale may be amended.
SIXTH = TierAmendment(6, 2, 100, 4, 0, 0, 0, 0, False, False, TierName(6, "tier_6", "Sixth"))
SALES = st.sampled_from(
    [
        *({}, {}, {}),
        *({"person_max": most} for most in (3, 5, 7)),
        *({"closes_at_ms": at_ms} for at_ms in (FAR_MS - 1, FAR_MS, FAR_MS + 1)),
        {"person_max": 5, "closes_at_ms": FAR_MS},
    ]
)
TIERS = st.sampled_from(
    [
        *((), (), (SIXTH,), (SIXTH._replace(tier_no=7),), (SIXTH._replace(capacity=3),)),
        *((TierAmendment(1, price_minor=price),) for price in (100, 150)),
        *((TierAmendment(1, capacity, order_max=most),) for capacity, most in ((3, 2), (7, 4))),
        *((TierAmendment(1, person_max=most),) for most in (2, 4, 0)),
        *((TierAmendment(2, capacity, 150),) for capacity in (5, 9)),
        *((TierAmendment(3, capacity, order_min=1),) for capacity in (1, 3)),
        *((TierAmendment(5, order_min=least, order_max=3),) for least in (0, 2, 4)),
        (TierAmendment(5, 2), TierAmendment(1, 6, 100, 4)),
        (TierAmendment(5, 4), SIXTH),
        (TierAmendment(7, 1),),
    ]
)
AMENDED_PROMOS = st.sampled_from(
    [
        *((), (), ()),
        *((Promo("CUT", uses_max, 10, 0),) for uses_max in (0, 1, 3, 5)),
        *((Promo("KEY", uses_max, 0, 0, (1, 3)),) for uses_max in (0, 2)),
        *((Promo("NEW", 1, 50, 0, (tier_no,)),) for tier_no in (5, 6)),
        (Promo("CUT", 3, 10, 0, (1,)), Promo("NEW", 1, 50, 0, (5,))),
    ]
)
AMENDED_POOLS = st.sampled_from([(), (), (), *(((1, places),) for places in (4, 7, 9))])
QUANTITY = st.sampled_from([1, 2, 3, 1, 2, 5])
MOSTLY = st.sampled_from([True, True, True, False])
SCAN_IDS = st.sampled_from(["-", "scan-1", "scan-2", "scan-3"])
BACK = st.sampled_from([0, 0, 0, 1, -1])
#: How the lists of an event are led, and whose tickets are that were given away.
RULES = st.tuples(
    st.sampled_from(["strict", "skip"]), st.sampled_from(["holder", "holder", "buyer", "none"])
)
WHICH = st.integers(0, 1)
ANY = st.integers(0, 5)


class Sale(RuleBasedStateMachine):
    """Two events of one shard, four users, and whatever they may try."""

    redis: Redis

    @initialize(rules=st.tuples(RULES, RULES), is_full=st.sampled_from([False, True, True]))
    def publish(self, rules: tuple[tuple[str, Any], ...], is_full: bool) -> None:
        """Open the shard, and the sale of both events; perhaps let them sell out."""
        self.till = Till(self.redis)
        self.events: dict[str, StaffedEvent] = {}
        self.sent: list[tuple[str, Any, tuple[Any, ...]]] = []
        attempts: Counter[str] = Counter()
        #: The most that the limits of each event ever were: who has more keeps it.
        self.most: dict[str, Counter[str]] = {}
        for policy, transfers in rules:
            event_id = new_id("evt")
            tiers = {
                n: model.Tier(
                    one.capacity,
                    one.order_max,
                    one.order_min,
                    one.person_max,
                    not one.opens_at_ms,
                    one.is_hidden,
                )
                for n, one in enumerate(STOCK, 1)
            }
            promos = {one.code: (one.uses_max, one.tier_nos) for one in PROMOS}
            self.events[event_id] = StaffedEvent(
                tiers,
                promos,
                PERSON_MAX,
                ROWS,
                FAR_MS,
                policy,
                transfers,
                attempts=attempts,
                attempts_max=LIMIT.attempts_max,
                open_max=BOUNDS[:2],
                origins=ORIGINS,
                after_end=(3,) if self.events else (),
                pool=POOL if self.events else (0, ()),
            )
            self.most[event_id] = self.events[event_id].limits()
            after_end = "t3t" if len(self.events) > 1 else ""
            pools = write([Pool(*POOL)]) if after_end else ""
            own = Rules(transfers, FAR_MS, after_end, pools=pools)
            self.till.seat(event_id, Section(1, 2, tuple(map(len, ROWS))))
            self.till.publish(Publish(event_id, "p", 0, FAR_MS, PERSON_MAX, STOCK, 1, PROMOS, own))
        for which in (0, 1) if is_full else ():
            self.order("book", which, CROWD[0], 9, ((1, 3),))
            self.order("hold", which, CROWD[1], 9, ((1, 1), (2, 1)))
            self.order("book", which, CROWD[2], 9, ((1, 2),))
            self.order("book", which, CROWD[2], 8, ((2, 3),))
            self.order("hold", which, CROWD[0], 8, ((2, 1),))
            for tier_no in (1, 2):
                self.join(which, tier_no, USERS[0], 6 + tier_no, 3, 0)
                self.join(which, tier_no, USERS[1], 6 + tier_no, 1, 0)

    @rule(
        verb=st.sampled_from(["book", "hold", "hold overdue"]),
        which=WHICH,
        key=ANY,
        lines=LINES,
        user=st.sampled_from(USERS),
        code=CODES,
    )
    def order(
        self, verb: str, which: int, user: str, key: int, lines: Lines, code: str = ""
    ) -> None:
        """Ask for places; the key may have been used before, for this or for another order."""
        event_id = list(self.events)[which]
        make_id = booking_id if verb == "book" else hold_id
        own_id = make_id(event_id=event_id, user_id=user, idempotency_key=str(key))
        ttl_ms = {"book": 0, "hold": TTL_MS, "hold overdue": OVERDUE_TTL_MS}[verb]
        fingerprint = repr((verb, lines)).replace(" ", "") + code
        origin = ORIGINS.get(user, "") if ttl_ms else ""
        order = Order(event_id, own_id, user, fingerprint, b"{}", lines, ttl_ms, origin)
        self._run(verb, order, (own_id, user, lines, order.fingerprint))

    @rule(
        which=WHICH,
        tier_no=st.sampled_from([1, 1, 2, 2, 5]),
        user=st.sampled_from(USERS),
        key=ANY,
        quantity=QUANTITY,
        after=ANY,
    )
    def join(
        self, which: int, tier_no: int, user: str, key: int, quantity: int, after: int
    ) -> None:
        """Ask to wait, perhaps for the first place that some hold gave."""
        event_id = list(self.events)[which]
        event = self.events[event_id]
        own_id = entry_id(event_id=event_id, user_id=user, idempotency_key=str(key))
        own = ["", *(k for k, hold in event.holds.items() if hold.status == "expired")]
        hold = own[-1 - after % len(own)]
        fingerprint = f"f{tier_no}:{quantity}"
        join = Join(
            event_id,
            own_id,
            user,
            fingerprint,
            tier_no,
            quantity,
            event.policy,
            PATIENCE_MS,
            TTL_MS,
            model.WAITING_MAX,
            hold,
        )
        self._run("join", join, (own_id, user, tier_no, quantity, fingerprint, hold))

    @rule(index=st.integers(0, 50))
    def repeat(self, index: int) -> None:
        """Send some earlier request again, whatever happened since."""
        if self.sent:
            self._run(*self.sent[-1 - index % len(self.sent)])

    @rule(
        which=WHICH,
        index=ANY,
        is_live=MOSTLY,
        is_owner=MOSTLY,
        verb=st.sampled_from(["confirm", "release", "extend", "run out", "run out", "be ahead"]),
    )
    def hold(self, verb: str, which: int, index: int, is_live: bool, is_owner: bool) -> None:
        """Confirm, release or extend a hold or offer, let its deadline pass, or be far away."""
        event_id = list(self.events)[which]
        holds = self.events[event_id].holds
        live = [key for key, hold in holds.items() if hold.status == "held"]
        found = live if is_live or verb in {"run out", "be ahead"} else list(holds)
        if not found:
            return
        own_id = found[-1 - index % len(found)]
        words = (own_id, holds[own_id].user if is_owner else STRANGER)
        if verb == "run out":
            holds[own_id].overdue_at = self.till.run_out(event_id, own_id)
        elif verb == "be ahead" and not holds[own_id].overdue_at:
            # So far that its life is no longer extended.
            holds[own_id].ahead_at = self.till.run_ahead(event_id, own_id)
            holds[own_id].is_extended = True
        elif verb == "be ahead":
            pass
        elif verb == "extend":
            self._run(verb, Extend(event_id, *words, 2 * LIFE_MAX_MS, LIFE_MAX_MS), words)
        else:
            self._run(verb, Own(event_id, *words), words)

    @rule(which=WHICH, index=ANY, is_owner=MOSTLY, verb=st.sampled_from(["leave", "wait"]))
    def entry(self, which: int, index: int, is_owner: bool, verb: str) -> None:
        """Leave the list; or let those who stopped it have done so long ago."""
        event_id = list(self.events)[which]
        entries = self.events[event_id].entries
        if verb == "leave" and entries:
            own_id = list(entries)[-1 - index % len(entries)]
            words = (own_id, entries[own_id].user if is_owner else STRANGER)
            self._run("leave", Own(event_id, *words), words)
        for key, entry in entries.items() if verb == "wait" else ():
            if entry.status == "waiting" and entry.patience == 1:
                entry.patience = 2
                self.till.lose_patience(event_id, key)

    @rule(
        which=WHICH,
        index=ANY,
        is_owner=MOSTLY,
        back=BACK,
        what=CUTS,
        verb=st.sampled_from(["cancel", "cancel", "cancel_item", "cancel_item", "cancel_item"]),
    )
    def booking(
        self, verb: str, which: int, index: int, is_owner: bool, back: int, what: Any
    ) -> None:
        """Cancel some booking, or some places of it at its version or beside it."""
        event_id, own_id, booking = self._booking(which, index)
        if booking is None:
            return
        user = booking.user if is_owner else STRANGER
        if verb == "cancel":
            self._run(verb, Own(event_id, own_id, user), (own_id, user))
            return
        words = (own_id, user, max(1, 1 + len(booking.cuts) - back), what)
        asked: tuple[Any, ...] = (what,) if isinstance(what[0], tuple) else ((), what)
        self._run(verb, CancelItem(event_id, *words[:3], *asked), words)

    @rule(which=WHICH, index=ANY, times=st.integers(2, 4))
    def cancel_in_one_batch(self, which: int, index: int, times: int) -> None:
        """Cancel a booking several times in one batch: the first ends it."""
        event_id, own_id, booking = self._booking(which, index)
        if booking is None:
            return
        event, own = self.events[event_id], Own(event_id, own_id, booking.user)
        expected = [event.run("cancel", own_id, booking.user) for _ in range(times)]
        assert expected == [status_of(r) for r in self.till.run("cancel", *[own] * times)]
        self._adopt(event_id)

    @rule(
        which=WHICH,
        index=ANY,
        number=st.sampled_from([1, 1, 2, 3, 4]),
        back=BACK,
        other=st.sampled_from(USERS),
        is_holder=MOSTLY,
        verb=st.sampled_from(["checkin", "checkin", "undo_checkin", "transfer"]),
        scan_id=SCAN_IDS,
    )
    def ticket(
        self,
        verb: str,
        which: int,
        index: int,
        number: int,
        back: int,
        other: str,
        is_holder: bool,
        scan_id: str,
    ) -> None:
        """Let in on a ticket, take that back, or give it away; the code may be an old one."""
        event_id, own_id, booking = self._booking(which, index)
        if booking is None:
            return
        ticket = self.events[event_id].tickets.get((own_id, number), model.Ticket(booking.user))
        if verb == "transfer":
            user = ticket.holder if is_holder else booking.user
            self._run(
                verb, Transfer(event_id, own_id, number, user, other), (own_id, number, user, other)
            )
            return
        version = max(1, ticket.version - back)
        self._run(
            verb,
            Scan(event_id, own_id, number, version, "north", STRANGER, scan_id),
            (own_id, number, version, STRANGER, scan_id),
        )

    @rule(which=WHICH, wants=WANTS, closes_at=st.sampled_from([0, 0, FAR_MS, FAR_MS - 1]))
    def set_capacity(self, which: int, wants: tuple[tuple[int, int], ...], closes_at: int) -> None:
        """Change capacities, perhaps with the sale's end; that of seats stays."""
        command = SetCapacity(list(self.events)[which], wants, closes_at)
        self._run("set_capacity", command, (wants, closes_at))

    @rule(which=WHICH, sale=SALES, tiers=TIERS, promos=AMENDED_PROMOS, pools=AMENDED_POOLS)
    def amend(
        self,
        which: int,
        sale: dict[str, int],
        tiers: tuple[TierAmendment, ...],
        promos: tuple[Promo, ...],
        pools: tuple[tuple[int, int], ...],
    ) -> None:
        """Change limits, prices, sizes, codes, tiers and what they share, all or nothing."""
        event_id = list(self.events)[which]
        command = Amend(event_id, sale, tiers, promos, pools)
        self._run("amend", command, (command,))

    @rule(which=WHICH, tier_no=st.integers(1, 2), what=st.sampled_from(["end", "close", "price"]))
    def change_rules(self, which: int, tier_no: int, what: str) -> None:
        """Let the event be over, a tier's window be, or its price be another; or the other way."""
        event_id = list(self.events)[which]
        event, tier = self.events[event_id], self.events[event_id].tiers[tier_no]
        if what == "end":
            event.is_over = not event.is_over
            self.till.set_stock(event_id, ends_at_ms=1 if event.is_over else FAR_MS)
        elif what == "close":
            tier.is_closed = not tier.is_closed
            self.till.set_stock(event_id, **{f"{tier_no}.closes_at_ms": int(tier.is_closed)})
        else:
            tier.price = 250 - tier.price
            self.till.set_stock(event_id, **{f"{tier_no}.price_minor": tier.price})

    @rule(which=WHICH, closes_at=st.sampled_from([FAR_MS, FAR_MS, FAR_MS - 1, FAR_MS + 1, 0]))
    def close_or_reopen(self, which: int, closes_at: int) -> None:
        """Close the sale if it is open, or move its end."""
        event_id = list(self.events)[which]
        if closes_at:
            self._run("reopen", Reopen(event_id, closes_at), (closes_at,))
        else:
            self._run("close", OfEvent(event_id), ())

    @rule(which=WHICH, verb=st.sampled_from(["block", "unblock"]), seats=SEATS)
    def shift(self, which: int, verb: str, seats: tuple[str, ...]) -> None:
        """Block or unblock seats."""
        event_id = list(self.events)[which]
        expected = self.events[event_id].run("shift", verb, seats)
        assert expected == status_of(self.till.shift(verb, event_id, seats))
        self._adopt(event_id)

    @rule(which=WHICH, is_behind=st.booleans())
    def sweep(self, which: int, is_behind: bool) -> None:
        """Let the sweeper come by, one that saw the clock being set back or not."""
        event_id = list(self.events)[which]
        expected = self.events[event_id].run("sweep", SWEEP_MAX, is_behind)
        ahead_ms = AHEAD_MS if is_behind else 0
        status, expired, forgotten = self.till.expire(event_id, SWEEP_MAX, ahead_ms)
        assert (b"SWEPT", expected, 0) == (status, expired, forgotten)
        self._adopt(event_id)

    @rule()
    def new_epoch(self) -> None:
        """Let the coordinator open the next epoch over the same state."""
        self.till.open()

    @invariant()
    def redis_is_as_the_model(self) -> None:
        """I1 to I3, I6, I9 to I12: all that Redis keeps of an event is the model's."""
        for event_id, event in self.events.items():
            names = keys.event(self.till.shard, event_id)
            self._check_places(event, names)
            persons = {user: int(count) for user, count in self._read(names.persons).items()}
            assert {u: event.taken(u) for u in PEOPLE} == {u: persons.get(u, 0) for u in PEOPLE}
            of_tier_1 = {u: persons.get(f"{u}/1", 0) for u in PEOPLE}
            assert {u: event.taken(u, [1]) for u in PEOPLE} == of_tier_1
            most = self.most[event_id]
            assert max(persons.values(), default=0) <= most["event"]
            assert max(of_tier_1.values()) <= most["tier 1"]
            used = {code: int(self._read(names.promos)[f"{code}.used"]) for code in event.promos}
            assert {code: event.used(code) for code in event.promos} == used
            assert all(used[code] <= most[code] for code in event.promos)
            rows = self._read(names.bookings).items()
            bookings = {key: row.removeprefix("=2 ").split() for key, row in rows}
            assert {
                key: (one.status, 1 + len(one.cuts), one.user, tuple(one.lines.items()), one.seats)
                for key, one in event.bookings.items()
            } == {
                key: (row[0], int(row[1]), row[5], *_live(row[7])) for key, row in bookings.items()
            }
            holds = {k: parse_hold(row.encode()) for k, row in self._read(names.holds).items()}
            assert {k: hold.status for k, hold in event.holds.items()} == {
                k: hold.status for k, hold in holds.items()
            }
            deadlines: Any = self.redis.zrange(names.deadlines, 0, -1)
            assert {key for key, hold in event.holds.items() if hold.status == "held"} == {
                key.decode() for key in deadlines if key != MARK
            }
            entries = {
                k: parse_entry(row.encode())
                for k, row in self._read(names.entries).items()
                if k.startswith("wl_")
            }
            assert {k: e.status for k, e in event.entries.items()} == {
                k: e.status for k, e in entries.items()
            }
            members: Any = self.redis.zrange(names.waitlist, 0, -1)
            assert [key for n in (1, 2, 5) for key in event.waiting(n)] == [
                member.decode()[17:] for member in members if member != MARK
            ]
            tickets = {
                k: parse_ticket(row.encode()) for k, row in self._read(names.tickets).items()
            }
            assert {
                ticket_id(*key): (one.status, one.version, one.holder, one.by, list(one.scans))
                for key, one in event.tickets.items()
            } == {k: (*row[:3], row.by, _scans(row.scans)) for k, row in tickets.items()}

    def teardown(self) -> None:
        """I7 to I9: the journal alone, over all epochs, folds to the model."""
        if not hasattr(self, "till"):
            return
        folds = {event_id: Fold() for event_id in self.events}
        for record in self.till.records():
            folds[record.event_id].follow(record)
        for event_id, event in self.events.items():
            folds[event_id].check(event)

    def _check_places(self, event: model.Event, names: keys.EventKeys) -> None:
        stock = self._read(names.stock)
        for n, tier in event.tiers.items():
            counters = tuple(
                int(stock.get(f"{n}.{name}", 0))
                for name in ("capacity", "available", "held", "sold", "waiting")
            )
            assert min(counters) >= 0
            waiting = len(event.waiting(n))
            expected = (tier.capacity, event.available(n), event.held(n), event.sold(n), waiting)
            assert expected == counters
        capacity, mates = event.pool
        assert sum(event.held(n) + event.sold(n) for n in mates) <= capacity, "oversold"
        assert int(stock.get("2.blocked", 0)) == len(event.blocked)
        letters = dict.fromkeys(event.blocked, "b") | dict.fromkeys(event.free(), "f")
        live = ((event.holds, "held", "h"), (event.bookings, "confirmed", "s"))
        for kept, status, letter in live:
            for owner in kept.values():
                if owner.status == status:
                    assert letters.keys().isdisjoint(owner.seats)
                    letters |= dict.fromkeys(owner.seats, letter)
        expected_map = "/".join("".join(letters[seat] for seat in row) for row in ROWS)
        assert expected_map == self._read(names.seats)["1.status"]

    def _read(self, name: str) -> dict[str, str]:
        rows: Any = self.redis.hgetall(name)
        return {key.decode(): value.decode() for key, value in rows.items() if key != MARK}

    def _booking(self, which: int, index: int) -> tuple[str, str, model.Owner | None]:
        event_id = list(self.events)[which]
        bookings = list(self.events[event_id].bookings.items())
        return (event_id, *(bookings[-1 - index % len(bookings)] if bookings else ("", None)))

    def _run(self, verb: str, command: Any, words: tuple[Any, ...]) -> None:
        """Run a command here and there, and remember it."""
        event, script = self.events[command.event_id], verb.partition(" ")[0]
        expected = event.run(script, *words)
        [reply] = self.till.run(script, command)
        assert expected == status_of(reply)
        if expected is Status.HELD and verb == "hold overdue":
            event.holds[words[0]].overdue_at = int(reply[5])
            self.till.wait_past(int(reply[5]))
        self.most[command.event_id] |= event.limits()
        self._adopt(command.event_id)
        self.sent.append((verb, command, words))

    def _adopt(self, event_id: str) -> None:
        """Let the model take the seats that a script chose."""
        event, names = self.events[event_id], keys.event(self.till.shard, event_id)
        for kept, name in ((event.holds, names.holds), (event.bookings, names.bookings)):
            for key, owner in kept.items():
                if model.SEATED in owner.first and not owner.first_seats:
                    row: Any = self.redis.hget(name, key)
                    items = parse_items(row.decode().split(" ")[7])
                    event.adopt(owner, tuple(seat for item in items for seat in item.seat_ids))


def _scans(text: str) -> list[tuple[str, str]]:
    """Read which scans a ticket remembers, and what they were."""
    return [(scan.scan_id, scan.what) for scan in parse_scans(text)]


def _live(items: str) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Read what a booking has now: its lines and its seats."""
    found = parse_items(items.partition("/")[0])
    lines = tuple((item.tier_no, item.quantity) for item in found)
    return lines, tuple(seat for item in found for seat in item.seat_ids)


@pytest.fixture
def server(valkey: ValkeyServer) -> Iterator[Redis]:
    """Connect without asyncio."""
    with Redis(unix_socket_path=str(valkey.socket_path)) as client:
        yield client


@pytest.mark.timeout(3_600)
def test_sale_is_as_the_model(server: Redis, pytestconfig: pytest.Config) -> None:
    """R1: no history of requests, repetitions, sweeps and epochs leaves the model's path."""
    examples, steps = LARGE if pytestconfig.getoption("--large") else SMALL
    sale = type("Sale", (Sale,), {"redis": server})
    run_state_machine_as_test(
        sale,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
