"""
The scenarios: one class each, named in `plan.py`.

Every choice is drawn from the user's own generator, which the seed and the user's number make.
"""

from __future__ import annotations

from gevent.pool import Group
from locust import task

from engine.ids import booking_of_hold, booking_of_offer
from loadtests.locust.buyer import NO_SALE, Answer, Buyer

#: Requests that a storm sends at once under one key, and how many such orders a user places.
COPIES = 5
STORMS = 3
#: Orders of one buyer of seats.
STADIUM_ORDERS_MAX = 4
#: Looks at one's place on a waitlist before one loses patience.
LOOKS_MAX = 8
#: A hold or an offer may run out, or change, between two requests of its owner.
GONE = frozenset({"hold_expired", "hold_released", "hold_confirmed"})


class OnSaleRush(Buyer):
    """Comes early, waits for the doors, books at the same moment as all others."""

    @task
    def rush(self) -> None:
        """Look what there is, wait, buy, leave."""
        self.look()
        self.wait_for_doors()
        self.shop()
        self.leave()


class StadiumBestAvailable(Buyer):
    """Takes the best seats side by side, fewer if there are no more together, some orders long."""

    @task
    def visit(self) -> None:
        """Buy seats."""
        for _ in range(STADIUM_ORDERS_MAX):
            if not self.shop("book best available").is_ok:
                break
            self.pause(0.2, 1.0)
        self.leave()


class SteadyMix(Buyer):
    """Reads nine times out of ten; books now and then, looks at it, and may give it back."""

    @task
    def visit(self) -> None:
        """Do one thing."""
        action = self.choices.choices(
            ("list", "event", "availability", "bookings", "book"), (20, 25, 35, 10, 10)
        )[0]
        match action:
            case "list":
                self.ask("events", "GET", "/v1/events?limit=20")
            case "event":
                self.ask("event", "GET", self.event_path)
            case "availability":
                self.look()
            case "bookings":
                self.ask("own bookings", "GET", "/v1/bookings?limit=10")
            case "book":
                self._book()

    def _book(self) -> None:
        tier_no, places = self.choices.randint(1, len(self.stage.tier_ids)), 1
        answer = self.book("book", tier_no, places)
        if not answer.is_ok:
            return
        own_id = answer.body["id"]
        self.ask("own booking", "GET", f"/v1/bookings/{own_id}")
        if self.choices.random() < 0.5:
            self.pause(0.5, 1.5)
            self.cancel(own_id, tier_no, places)


class HoldAndAbandon(Buyer):
    """Fills carts; two of five are confirmed, one is given back, two are just left."""

    @task
    def visit(self) -> None:
        """Hold places, and do with them what one likes."""
        tier_no = self.choices.randint(1, len(self.stage.tier_ids))
        places = self.choices.choice((1, 2, 3, 4))
        order = {"items": [{"tier_id": self.stage.tier_ids[tier_no - 1], "quantity": places}]}
        held = self.ask(
            "hold",
            "POST",
            f"{self.event_path}/holds",
            body=order,
            key=self.new_key(),
            expected=NO_SALE,
        )
        if not held.is_ok:
            return
        path = f"/v1/holds/{held.body['id']}"
        self.pause(0.2, 2.0)
        what = self.choices.random()
        if what < 0.4:
            own_id = booking_of_hold(held.body["id"])
            line = self.line("confirm", own_id, tier_no, places)
            done = self.ask("confirm", "POST", f"{path}/confirm", expected=GONE, line=line)
            if done.is_ok and self.choices.random() < 0.7:  # Or soon nobody could hold anything.
                self.pause(0.2, 2.0)
                self.cancel(own_id, tier_no, places)
        elif what < 0.6:
            self.ask("release", "DELETE", path, expected=GONE)


class RetryStorm(Buyer):
    """Sends each order five times at once, and again later: one key, one booking, one answer."""

    concurrency = COPIES

    @task
    def storm(self) -> None:
        """Place some orders, all of them too often."""
        for _ in range(STORMS):
            tier_no, places = self.choices.randint(1, len(self.stage.tier_ids)), 1
            key = self.new_key()
            group = Group()
            try:
                copies = [
                    group.spawn(self.book, "book, at once", tier_no, places, key=key)
                    for _ in range(COPIES)
                ]
                group.join()
            finally:
                group.kill(block=False)
            self.pause(0.2, 1.0)
            answers = [copy.value for copy in copies if copy.value is not None]
            answers.append(self.book("book, again", tier_no, places, key=key))
            self._compare(answers)
            if any(answer.is_ok for answer in answers):
                self.book(
                    "book, another order",
                    tier_no,
                    places + 1,
                    key=key,
                    verb="misuse",
                    expected={"idempotency_key_reused"},
                )
        self.leave()

    def _compare(self, answers: list[Answer]) -> None:
        """Complain if two answers to one key differ."""
        told = {(answer.body["id"], answer.body["seq"]) for answer in answers if answer.is_ok}
        if len(told) > 1:
            raise AssertionError(f"one key was answered with {sorted(told)}")


class WaitlistChurn(Buyer):
    """Wants what is sold out: waits for what others give back, and gives back what it has."""

    @task
    def visit(self) -> None:
        """Book or wait; in the end give the places back, so that others get them."""
        tier_no = self.choices.randint(1, len(self.stage.tier_ids))
        places = self.choices.choice((1, 1, 2))
        answer = self.book("book", tier_no, places)
        booked: str = answer.body.get("id", "")
        own_id = booked if answer.is_ok else self._wait_for_offer(tier_no, places)
        if own_id:
            self.pause(0.5, 3.0)
            self.cancel(own_id, tier_no, places)

    def _wait_for_offer(self, tier_no: int, places: int) -> str:
        """Return the booking that one's place on the list became; empty if none."""
        joined = self.ask(
            "join",
            "POST",
            f"{self.event_path}/waitlist",
            body={"tier_id": self.stage.tier_ids[tier_no - 1], "quantity": places},
            key=self.new_key(),
            expected={
                "places_available",
                "already_waiting",
                "waitlist_full",
                "limit_reached",
                "party_too_large",
            },
        )
        if not joined.is_ok:
            return ""
        path = f"/v1/waitlist/{joined.body['id']}"
        for _ in range(LOOKS_MAX):
            self.pause(0.5, 1.5)
            entry = self.ask("own entry", "GET", path).body
            if entry.get("status") == "offered":
                return self._answer_offer(entry["offer"]["id"], tier_no, places)
            if entry.get("status") != "waiting":
                return ""
        self.ask("leave", "DELETE", path, expected=GONE)
        return ""

    def _answer_offer(self, offer_id: str, tier_no: int, places: int) -> str:
        """Accept, decline, or let it run out."""
        what = self.choices.random()
        if what < 0.7:
            own_id = booking_of_offer(offer_id)
            line = self.line("confirm", own_id, tier_no, places)
            done = self.ask(
                "accept", "POST", f"/v1/offers/{offer_id}/accept", expected=GONE, line=line
            )
            return own_id if done.is_ok else ""
        if what < 0.85:
            self.ask("decline", "POST", f"/v1/offers/{offer_id}/decline", expected=GONE)
        return ""


class PollingCrowd(Buyer):
    """Comes too late: the event is sold out at once; goes on asking, and trying."""

    def on_start(self) -> None:
        """Buy if one is among the first."""
        super().on_start()
        self.shop()

    @task
    def visit(self) -> None:
        """Ask what is left; once in a while try to buy."""
        if self.choices.random() < 0.9:
            self.look()
        else:
            tier_no = self.choices.randint(1, len(self.stage.tier_ids))
            self.book("book", tier_no, self.choices.choice((1, 2)))
