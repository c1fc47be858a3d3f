"""
The Locust scenarios: their pure parts, and short runs of all of them against real servers.

Locust runs in processes of its own, as it is used: importing it would replace the sockets and
threads of this one.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.ids import booking_id, new_id
from loadtests.chaos.checkers import Booking, Ledger
from loadtests.chaos.history import Outcome, Recorder, Verb, attempt, calls, read
from loadtests.locust import plan, report
from loadtests.locust.__main__ import LOCUSTFILE, SETTINGS
from loadtests.locust.judge import judge
from loadtests.locust.plan import SCENARIOS
from loadtests.locust.prepare import prepare
from loadtests.server import Server, open_folder
from loadtests.verdict import Verdict, compare

RUN_TIMEOUT_S = 150
KEPT = re.compile(r"^LOADTEST .* errors=0 oversold=0 lost=0 duplicates=0 drift=0$", re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a whole Evently with the settings of a load test."""
    with open_folder() as path:
        server = Server(path / "data", **SETTINGS)
        asyncio.run(server.start())
        try:
            yield server
        finally:
            asyncio.run(server.stop())


def run(server: Server | None, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module against the server."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        env=server.environ if server else None,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )


@pytest.mark.processes
@pytest.mark.timeout(RUN_TIMEOUT_S)
@pytest.mark.slow
def test_the_locustfile_alone(server: Server, tmp_path: Path) -> None:
    """Locust itself plays the scenarios that have no end; its report begins with the verdict."""
    path = tmp_path / "report.html"
    classes = [one.user_class for one in SCENARIOS.values() if not one.is_finite]

    words = (
        f"locust -f {LOCUSTFILE} --host {server.base_url} --headless --only-summary --users 24 "
        f"--spawn-rate 24 --run-time 5s --stop-timeout 20 --capacity 10 --html {path}"
    )
    done = run(server, *words.split(), *classes)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert KEPT.search(done.stdout), done.stdout
    assert "users=24 " in done.stdout
    document = path.read_text()
    assert "Verdict: HOLDS" in document
    for name in ("hold", "book", "availability"):
        assert f'"name": "{name}' in document, name


@pytest.mark.processes
@pytest.mark.timeout(RUN_TIMEOUT_S)
@pytest.mark.slow
def test_several_processes_to_the_end(server: Server) -> None:
    """Scenarios with an end reach it in two processes of Locust, which are judged together."""
    words = (
        f"loadtests.locust --host {server.base_url} --processes 2 "
        "--scenario rush,retries,stadium --users 20 --run-time 120"
    )
    done = run(server, *words.split())

    assert 0 == done.returncode, done.stdout + done.stderr
    assert KEPT.search(done.stdout), done.stdout
    assert "scenario=rush,retries,stadium users=20 " in done.stdout
    another = r"book, another order \[idempotency_key_reused\]"
    for name in ("book", "book, again", another, "book best available"):
        assert re.search(rf"POST +{name} +\d+ ", done.stderr), done.stderr


@pytest.mark.processes
@pytest.mark.timeout(RUN_TIMEOUT_S)
async def test_judge_sees_what_was_lost(server: Server, tmp_path: Path) -> None:
    """An acknowledgement that PostgreSQL knows nothing of is lost; users who stayed away count."""
    order = plan.Order(
        base_url=server.base_url, seed=7, users=3, workers=1, scenarios=["rush", "stadium"]
    )
    made = await prepare(tmp_path, order, server.settings)
    stage = made.stages["rush"]
    history = Recorder(tmp_path / "history-1.jsonl")
    own_id = record(history, stage.event_id, places=1, outcome="ok")
    (tmp_path / f"{plan.USERS_PREFIX}1").write_text("2 1")

    verdict = await judge(tmp_path, plan.read_plan(tmp_path), server.settings)

    assert 4_000 == made.stages["stadium"].capacity
    assert 3 == len(set(plan.read_people(tmp_path)))
    assert (1, 0, 0, 0) == (verdict.lost, verdict.oversold, verdict.duplicates, verdict.drift)
    assert own_id in verdict.texts[0]
    assert (2, 3, 1) == (verdict.users, verdict.users_asked, verdict.unfinished)
    assert not verdict.holds


def record(
    history: Recorder,
    event_id: str,
    *,
    places: int,
    outcome: Outcome | None,
    verb: Verb = "book",
    key: str = "k",
    seq: int = 1,
    seats: Sequence[str] = (),
) -> str:
    """Write down an attempt and, unless the writer died, its end; return its booking."""
    own_id = booking_id(event_id=event_id, user_id="usr_1", idempotency_key=key)
    invoked = history.invoke(attempt(verb, own_id, event_id, 1, places))
    if outcome is not None:
        told: dict[str, Any] = {"told_id": own_id, "told_seq": seq} if outcome == "ok" else {}
        history.end(invoked, outcome, seats=tuple(seats), **told)
    return own_id


class Case:
    """A history in a file, and the ledger that it is held against."""

    def __init__(self, folder: Path) -> None:
        self.event_id = new_id("evt")
        self.path = folder / "history-1.jsonl"
        self.history = Recorder(self.path)
        self.bookings: dict[str, Booking] = {}
        self.seats: list[tuple[str, str, str]] = []

    def told(self, outcome: Outcome | None, *, written: bool, places: int = 1, **more: Any) -> str:
        """Let a buyer order; *written*: PostgreSQL has it."""
        own_id = record(self.history, self.event_id, places=places, outcome=outcome, **more)
        if written:
            self.bookings[own_id] = Booking(is_live=True, tiers=((1, places),))
        return own_id

    def verdict(self) -> Verdict:
        """Compare."""
        ledger = Ledger(
            bookings=self.bookings,
            event_of=dict.fromkeys(self.bookings, self.event_id),
            seats=self.seats,
            capacities={(self.event_id, 1): 2},
        )
        return compare(calls(read(self.path)), ledger)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Return an event of two places that nobody has booked yet."""
    return Case(tmp_path)


def test_verdict_on_a_good_run(case: Case) -> None:
    """Bookings told and written, refusals, and what nobody was told of whose outcome is unknown."""
    case.told("ok", written=True, key="a")
    case.told("fail", written=False, key="b")
    case.told("info", written=False, key="c")
    case.told("ok", written=True, key="c")
    case.told(None, written=False, key="d")

    verdict = case.verdict()

    assert verdict.holds
    assert (2, 2, 1) == (verdict.acknowledged, verdict.sold, verdict.unknown)


def test_verdict_on_a_lost_booking(case: Case) -> None:
    """What was acknowledged and is not written is lost."""
    case.told("ok", written=False)
    assert (1, False) == (case.verdict().lost, case.verdict().holds)


def test_verdict_on_a_phantom(case: Case) -> None:
    """What is written although it was refused counts as a duplicate."""
    case.told("fail", written=True)
    assert (1, False) == (case.verdict().duplicates, case.verdict().holds)


def test_verdict_on_two_answers_to_one_key(case: Case) -> None:
    """Two acknowledgements of one key at different places of the journal are a duplicate."""
    case.told("ok", written=True, seq=1)
    case.told("ok", written=True, seq=2)
    assert (1, False) == (case.verdict().duplicates, case.verdict().holds)


def test_verdict_on_too_many_places(case: Case) -> None:
    """More places than there are, told and written, are seen in both."""
    case.told("ok", written=True, places=2, key="a")
    case.told("ok", written=True, places=1, key="b")
    assert (2, False) == (case.verdict().oversold, case.verdict().holds)


def test_verdict_on_a_seat_told_to_two(case: Case) -> None:
    """A best-available seat that two answers name is oversold, whatever PostgreSQL says."""
    first = case.told("ok", written=True, key="a", seats=["1-1"])
    case.told("ok", written=True, key="b", seats=["1-1"])
    case.seats = [(case.event_id, "1-1", first)]
    assert (1, False) == (case.verdict().oversold, case.verdict().holds)


@pytest.mark.parametrize(
    ("change", "errors", "expected"),
    [
        ({}, 0, True),
        ({}, 1, False),
        ({"lost": 1}, 0, False),
        ({"drift": 1}, 0, False),
        ({"users": 9}, 0, False),
        ({"unfinished": 1}, 0, False),
        ({"failure": "PostgreSQL is gone"}, 0, False),
    ],
)
def test_figures_hold(change: dict[str, Any], errors: int, expected: bool) -> None:
    """A run holds if nothing is broken, nothing failed, and all who were asked for came."""
    verdict = Verdict(**({"users": 10, "users_asked": 10} | change))
    figures = report.Figures(["rush"], requests=20, refused=3, errors=errors, verdict=verdict)
    assert expected == figures.holds


def test_line_of_a_run() -> None:
    """Failures, exceptions and expected refusals are added up into the last line."""
    entries = {
        ("book", "POST"): SimpleNamespace(name="book", num_requests=10),
        ("book [sold_out]", "POST"): SimpleNamespace(name="book [sold_out]", num_requests=4),
    }
    total = SimpleNamespace(num_requests=14, num_failures=2)
    stats = SimpleNamespace(entries=entries, total=total)

    figures = report.figures(
        stats, Verdict(users=5, users_asked=5), scenarios=["rush"], exceptions=1
    )

    assert figures.line() == (
        "LOADTEST scenario=rush users=5 requests=14 refused=4 errors=3 "
        "oversold=0 lost=0 duplicates=0 drift=0"
    )


def test_report_is_shown_first(tmp_path: Path) -> None:
    """The section stands before all else in the report, and nothing in it is taken for markup."""
    verdict = Verdict(lost=1, texts=["I4: <b>gone</b>"])
    figures = report.Figures(["rush"], requests=1, refused=0, errors=0, verdict=verdict)

    section = report.section(figures, seed=1, host="http://<x>", folder=tmp_path)
    document = report.insert('<html><body>\n<div id="root"></div></body></html>', section)

    assert document.startswith('<html><body><section id="verdict"')
    assert "Verdict: FAILED" in document
    assert "&lt;b&gt;gone" in document
    assert "http://&lt;x&gt;" in document
    assert document.endswith('</section>\n<div id="root"></div></body></html>')


@pytest.mark.parametrize(
    ("name", "users", "asked", "expected"),
    [
        ("rush", 10_000, 0, 10_000),
        ("rush", 10_000, 500, 500),
        ("polling", 20, 0, 10),
        ("stadium", 20, 0, 4_000),
        ("stadium", 2_000, 0, 10_000),
        ("stadium", 2_000, 10_001, 10_400),
        ("stadium", 50_000, 0, 60_000),
    ],
)
def test_capacity(name: str, users: int, asked: int, expected: int) -> None:
    """An event has the places asked for, or suits its users; a hall has whole rows."""
    assert expected == plan.capacity_of(SCENARIOS[name], users=users, asked=asked)


def test_every_user_is_somebody_else() -> None:
    """Workers number their users so that no two are the same and none is left out."""
    numbers = [
        plan.number_of(count, worker=worker, workers=3)
        for worker in range(3)
        for count in range(10)
    ]
    assert list(range(30)) == sorted(numbers)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.org", False),
        ("http://example.org", False),
        ("", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    """Only addresses of this very machine count as such."""
    assert expected == plan.is_loopback(url)


def test_foreign_hosts_are_refused() -> None:
    """Neither `make loadtest` nor the locustfile loads another machine unless told to."""
    foreign = "--host http://192.0.2.1"
    done = run(None, *f"loadtests.locust {foreign}".split())
    assert 2 == done.returncode
    assert "not this machine" in done.stderr

    done = run(None, *f"locust -f {LOCUSTFILE} --headless -t 30s {foreign} OnSaleRush".split())
    assert 1 == done.returncode
    assert "not this machine" in done.stderr
    assert "not judged" in done.stdout


_MANY = """
import os, socket
from loadtests.locust.buyer import _is_alive
from loadtests.locust import locustfile, plan
names = {one.user_class for one in plan.SCENARIOS.values()}
assert names == set(locustfile.__all__) == {name for name in names if hasattr(locustfile, name)}
low = socket.socketpair()
files = [os.dup(0) for _ in range(1_100)]
for ours, other in (low, socket.socketpair()):
    assert _is_alive(None, ours), ours.fileno()
    other.close()
    assert not _is_alive(None, ours), ours.fileno()
    ours.close()
    assert not _is_alive(None, ours)
assert not _is_alive(None, None)
"""


_GATE = """
import gevent
from loadtests.locust.live import Gate
gate = Gate()
assert not gate.wait(0.001)
late = [gevent.spawn(gate.wait, 0.01) for _ in range(1_000)]
gevent.joinall(late, raise_error=True)
assert not any(one.value for one in late)
early = [gevent.spawn(gate.wait, 60) for _ in range(5_000)]
gevent.sleep(0)
gate.open()
gevent.joinall(early, timeout=30, raise_error=True)
assert all(one.value for one in early) and gate.wait(60)
"""


@pytest.mark.parametrize("code", [_MANY, _GATE])
def test_many_users_in_one_process(code: str) -> None:
    """Connections are seen to stand beyond what `select` knows; a gate lets everybody in."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
