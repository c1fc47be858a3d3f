"""
What a run of Locust is about: its scenarios, what is made ahead, and the files in its folder.

Pure: neither Locust nor a server is needed here, so that those who prepare and judge a run, the
workers of Locust and the tests can all read it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from loadtests import stadium
from loadtests.person import Person
from loadtests.verdict import Verdict

#: Files in the folder of a run.
ORDER_FILE, PLAN_FILE, PEOPLE_FILE, VERDICT_FILE = (
    "order.json",
    "plan.json",
    "people",
    "verdict.json",
)
HISTORIES = "history-*.jsonl"
#: Each process that brought users says at its end how many.
USERS_PREFIX = "users-"
#: A hall has rows of the same length, in forty sections of ten.
HALL_STEP = stadium.SECTIONS * stadium.ROWS
HALL_MIN, HALL_MAX = 10 * HALL_STEP, 150 * HALL_STEP


class Scenario(NamedTuple):
    """One way to load the system; the class of that name in `scenarios.py` plays it."""

    user_class: str
    #: For the help and the report.
    about: str
    #: Capacity where none is asked for.
    places_per_user: float
    #: How long it runs at most, in seconds.
    run_time_s: int
    #: Whether it is over when its users have done what they came for, and not before.
    is_finite: bool = False
    is_seated: bool = False


SCENARIOS = {
    "rush": Scenario(
        "OnSaleRush", "all wait for the doors, then all book at the same moment", 1.0, 600, True
    ),
    "mix": Scenario(
        "SteadyMix", "events, availability, own bookings; now and then a booking", 10.0, 60
    ),
    "holds": Scenario(
        "HoldAndAbandon", "carts: some confirm, some give back, some just leave", 1.5, 60
    ),
    "retries": Scenario(
        "RetryStorm",
        "every order five times at once and again later, one key each",
        10.0,
        600,
        True,
    ),
    "waitlist": Scenario(
        "WaitlistChurn", "too few places: book, cancel, wait, accept, decline, leave", 0.5, 60
    ),
    "stadium": Scenario(
        "StadiumBestAvailable", "seats side by side until the hall is full", 5.0, 600, True, True
    ),
    "polling": Scenario(
        "PollingCrowd", "sold out at once; the crowd goes on asking what is left", 0.1, 60
    ),
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks to have made ahead."""

    base_url: str
    seed: int
    users: int
    #: Locust processes that bring users.
    workers: int
    #: Names of the scenarios that take part.
    scenarios: list[str]
    #: Places of each event; 0: as many as suit the number of users.
    capacity: int = 0


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The event that one scenario plays on."""

    event_id: str
    #: Number 1 comes first.
    tier_ids: list[str]
    capacity: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was made ahead; the accounts stand in a file of their own."""

    order: Order
    stages: dict[str, Stage]


def capacity_of(scenario: Scenario, *, users: int, asked: int = 0) -> int:
    """Return the places of a scenario's event: *asked*, or what suits *users*."""
    places = asked or max(10, round(scenario.places_per_user * users))
    if not scenario.is_seated:
        return places
    return min(max(HALL_MIN, -(-places // HALL_STEP) * HALL_STEP), HALL_MAX)


def number_of(count: int, *, worker: int, workers: int) -> int:
    """Return the number among all users of a worker's user *count*, both from 0."""
    return count * workers + worker


def is_loopback(url: str) -> bool:
    """Tell whether *url* leads to this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def scenario_of(user_class: str) -> str:
    """Return the name of the scenario that a class plays."""
    return next(name for name, one in SCENARIOS.items() if one.user_class == user_class)


def scenarios_of(user_classes: Iterable[str]) -> list[str]:
    """Return the names of the scenarios that these classes play, in the order of `SCENARIOS`."""
    return sorted(map(scenario_of, user_classes), key=list(SCENARIOS).index)


def write(folder: Path, name: str, value: msgspec.Struct) -> None:
    """Write one of the folder's files."""
    (folder / name).write_bytes(msgspec.json.encode(value))


def read_order(folder: Path) -> Order:
    """Return what is to be made ahead."""
    return msgspec.json.decode((folder / ORDER_FILE).read_bytes(), type=Order)


def read_plan(folder: Path) -> Plan:
    """Return what was made ahead."""
    return msgspec.json.decode((folder / PLAN_FILE).read_bytes(), type=Plan)


def read_verdict(folder: Path) -> Verdict:
    """Return the verdict on the run."""
    return msgspec.json.decode((folder / VERDICT_FILE).read_bytes(), type=Verdict)


def read_people(folder: Path) -> list[Person]:
    """Return the pool of accounts, in the seed's order."""
    lines = (folder / PEOPLE_FILE).read_text().splitlines()
    return [Person(*line.split(" ", 1)) for line in lines]
