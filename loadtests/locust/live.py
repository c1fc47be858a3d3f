"""
The run that this process of Locust takes part in: plan, people, history, doors.

One process has one run at a time; the web interface may start another after it. Users get their
numbers here, so that the same seed gives the same people in the same order to the same workers.
"""

from __future__ import annotations

import os
from pathlib import Path

from gevent.event import Event

from loadtests.chaos.history import Recorder
from loadtests.locust.plan import USERS_PREFIX, Plan, number_of, read_people, read_plan
from loadtests.person import Person


class Gate:
    """
    Something that thousands wait for at once, each with a time of its own.

    Not one Event for all: while gevent wakes its waiters, who comes to wait anew may be left
    sleeping, though it is set and their time is over. Here each has an Event that nobody else has.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: set[Event] = set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it opens, *timeout_s* at most; tell whether it is open."""
        if not self.is_open:
            opened = Event()
            self._waiting.add(opened)
            try:
                opened.wait(timeout_s)
            finally:
                self._waiting.discard(opened)
        return self.is_open

    def open(self) -> None:
        """Let everybody through, now and later."""
        self.is_open = True
        for opened in list(self._waiting):
            opened.set()


class Live:
    """One run, as one process sees it."""

    def __init__(self, folder: Path, *, worker: int) -> None:
        """
        Args:
            folder: Where the plan lies, and where the history goes.

            worker: Number of this process among those that bring users.
        """
        self.plan: Plan = read_plan(folder)
        self.recorder = Recorder(folder / f"history-{os.getpid()}.jsonl")
        #: Opens when every user has come.
        self.doors = Gate()
        #: Opens when the run is to end; whoever waits for something leaves.
        self.over = Gate()
        self._folder = folder
        self._people = read_people(folder)
        self._worker = worker
        self._count = 0
        #: Users who have something to finish, and have not.
        self.unfinished = 0

    def next_user(self) -> tuple[int, Person]:
        """Return number and account of the user that comes next."""
        number = number_of(self._count, worker=self._worker, workers=self.plan.order.workers)
        self._count += 1
        return number, self._people[number % len(self._people)]

    def sign(self) -> None:
        """Leave word of how many came and did not finish; a process that dies does not."""
        path = self._folder / f"{USERS_PREFIX}{os.getpid()}"
        path.write_text(f"{self._count} {self.unfinished}")

    def end(self) -> None:
        """Let everybody go."""
        self.over.open()
        self.doors.open()


_live: list[Live] = []


def begin(folder: Path, *, worker: int) -> None:
    """Begin the run whose plan lies in *folder*."""
    forget()
    _live.append(Live(folder, worker=worker))


def forget() -> None:
    """Be in no run any more: whatever comes next is not prepared yet."""
    while _live:
        _live.pop().recorder.close()


def current() -> Live | None:
    """Return the run of this process, if there is one."""
    return _live[0] if _live else None
