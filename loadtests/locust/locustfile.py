"""
The locustfile: `locust -f loadtests/locust/locustfile.py --host http://127.0.0.1:8080 OnSaleRush`.

Before a run, events, accounts and tokens are made; after it the run is judged, and the verdict is
logged, put into the HTML report, shown at /verdict of the web interface, and decides the exit code.
Works headless and with the web interface, in one process and with `--processes`.
"""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from gevent.lock import RLock
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.locust import live, plan, report
from loadtests.locust.scenarios import (
    HoldAndAbandon,
    OnSaleRush,
    PollingCrowd,
    RetryStorm,
    StadiumBestAvailable,
    SteadyMix,
    WaitlistChurn,
)
from loadtests.verdict import Verdict

__all__ = [
    "HoldAndAbandon",
    "OnSaleRush",
    "PollingCrowd",
    "RetryStorm",
    "StadiumBestAvailable",
    "SteadyMix",
    "WaitlistChurn",
]

PREPARE_TIMEOUT_S = 300.0
JUDGE_TIMEOUT_S = 300.0
#: Beyond the time that users have to finish.
WORKERS_TIMEOUT_S = 60.0
POLL_S = 0.5
log = logging.getLogger("evently.loadtest")

# Thousands of users that start at the same moment keep a worker busy for longer than the three
# seconds after which Locust takes it for dead.
locust.runners.HEARTBEAT_LIVENESS = 60


class Run:
    """A run, as the process sees it that leads it: made ahead, watched, judged once."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="evently-loadtest-"))
        self.verdict: Verdict | None = None
        self._lock = RLock()

    def prepare(self) -> str:
        """Make what the users need; return what went wrong, empty if nothing."""
        options, runner = self.environment.parsed_options, self.environment.runner
        assert options is not None
        assert runner is not None
        base_url = (self.environment.host or "").rstrip("/")
        if not plan.is_loopback(base_url) and not options.anywhere:
            return f"{base_url} is not this machine; --anywhere if it is meant"
        order = plan.Order(
            base_url=base_url,
            seed=options.seed,
            users=runner.target_user_count,
            workers=max(1, getattr(runner, "worker_count", 1)),
            scenarios=plan.scenarios_of(one.__name__ for one in self.environment.user_classes),
            capacity=options.capacity,
        )
        plan.write(self.folder, plan.ORDER_FILE, order)
        options.run_folder = str(self.folder)  # Locust hands it to the workers.
        return self._call("prepare", PREPARE_TIMEOUT_S)

    def judge(self) -> Verdict:
        """Judge the run, if that has not been done; all users have left."""
        with self._lock:
            if self.verdict is None:
                log.info("draining the journal and asking the reconciler ...")
                failure = self._call("judge", JUDGE_TIMEOUT_S)
                self.verdict = (
                    Verdict(failure=failure) if failure else plan.read_verdict(self.folder)
                )
                log.info(self.line())
                for text in [*self.verdict.texts, self.verdict.failure]:
                    if text:
                        log.error(text)
            return self.verdict

    def requests(self) -> int:
        """Return how many requests there have been."""
        count: int = self.environment.stats.total.num_requests
        return count

    def figures(self) -> report.Figures:
        """Return what is reported of the run."""
        assert self.verdict is not None
        runner = self.environment.runner
        assert runner is not None
        return report.figures(
            self.environment.stats,
            self.verdict,
            scenarios=plan.scenarios_of(one.__name__ for one in self.environment.user_classes),
            exceptions=sum(row["count"] for row in runner.exceptions.values()),
        )

    def line(self) -> str:
        """Return the one line that a run ends with."""
        return self.figures().line()

    def section(self) -> str:
        """Return the part of the report that tells the verdict."""
        options = self.environment.parsed_options
        assert options is not None
        return report.section(
            self.figures(), seed=options.seed, host=str(self.environment.host), folder=self.folder
        )

    def clean(self) -> None:
        """Remove the run's files, unless they are evidence."""
        holds = self.verdict is not None and self.figures().holds
        if not holds and any(self.folder.glob(plan.HISTORIES)):
            log.warning("what users were told is in %s", self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, module: str, timeout_s: float) -> str:
        """Run one of our modules on the run's folder; return its last words if it failed."""
        command = [sys.executable, "-m", f"loadtests.locust.{module}", str(self.folder)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{module} took longer than {timeout_s:g} s"
        return f"{module}: {done.stderr[-2000:]}" if done.returncode else ""


_runs: list[Run] = []
#: How long a headless run lasts, if that is limited.
_run_times_s: list[float] = []


def _listen(hook: Any, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)


def add_arguments(parser: Any) -> None:
    """Know what is ours on the command line and in the form of the web interface."""
    parser.add_argument("--seed", type=int, default=1, help="repeats users' order and choices (1)")
    parser.add_argument(
        "--capacity", type=int, default=0, help="places per event (0: as suits the users)"
    )
    parser.add_argument(
        "--anywhere", action="store_true", help="load another machine than this", default=False
    )
    parser.add_argument("--run-folder", default="", include_in_web_ui=False, help="set by itself")


def begin(environment: Environment, **_: object) -> None:
    """Prepare where the run is led; read the plan where users are."""
    runner, options = environment.runner, environment.parsed_options
    assert runner is not None
    assert options is not None
    live.forget()
    if not isinstance(runner, WorkerRunner):
        for old in _runs:
            old.clean()
        run = Run(environment)
        _runs[:] = [run]
        if failure := run.prepare():
            log.error(failure)
            run.verdict = Verdict(failure=failure)
            gevent.spawn(_stop, environment)
            return
        gevent.spawn(_watch, environment, run)
    if not isinstance(runner, MasterRunner):
        index = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        live.begin(Path(options.run_folder), worker=index)


def open_doors(**_: object) -> None:
    """All users have come."""
    if (now := live.current()) is not None:
        now.doors.open()


def close_doors(**_: object) -> None:
    """The run is to end: whoever waits for something leaves."""
    if (now := live.current()) is not None:
        now.end()


def end(environment: Environment, **_: object) -> None:
    """All users have left: judge."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner) and (now := live.current()) is not None:
        now.sign()
    if isinstance(runner, WorkerRunner):
        # Before the master hears that we have stopped, and closes its books.
        runner._send_stats()  # noqa: SLF001
    elif _runs:
        _runs[0].judge()


def decide(environment: Environment, **_: object) -> None:
    """Let verdict and errors decide the exit code."""
    runner = environment.runner
    if _runs and runner is not None and not isinstance(runner, WorkerRunner):
        runner.quit()  # After a Ctrl-C users may still be at it.
        _runs[0].judge()
        figures = _runs[0].figures()
        environment.process_exit_code = 0 if figures.holds else 1


def publish(**_: object) -> None:
    """Put the verdict into the report, which Locust has just written, and print the line."""
    if not _runs:
        return
    run = _runs[0]
    options = run.environment.parsed_options
    path = Path(options.html_file) if options is not None and options.html_file else None
    if path is not None and path.exists():
        path.write_text(report.insert(path.read_text(), run.section()))
    print(run.line(), flush=True)
    run.clean()


def initialize(environment: Environment, runner: Any, web_ui: Any, **_: object) -> None:
    """Stop in good order, and show the verdict in the web interface."""
    if isinstance(runner, MasterRunner):
        _quit_in_order(runner)
    options = environment.parsed_options
    if web_ui is None and options is not None and options.run_time:
        # Locust would count from before the run is prepared: `_watch` counts from after it.
        _run_times_s[:] = [options.run_time]
        options.run_time = None
    if web_ui is None:
        return

    @web_ui.app.route("/verdict")  # type: ignore[untyped-decorator]
    def verdict() -> str:
        return report.page(_runs[0].section() if _runs and _runs[0].verdict else "")

    @web_ui.app.after_request  # type: ignore[untyped-decorator]
    def with_verdict(response: Any) -> Any:
        from flask import request  # noqa: PLC0415  Only where there is a web interface.

        if request.path.endswith("/stats/report") and _runs and _runs[0].verdict:
            response.set_data(report.insert(response.get_data(as_text=True), _runs[0].section()))
        return response


def _quit_in_order(runner: MasterRunner) -> None:
    """
    Let a master end when its workers have ended, and the run is judged.

    Locust's own `quit` waits half a second for them, whatever their users are doing; and its `stop`
    before it would forget them: they would outlive their master by a minute.
    """
    quit_now = runner.quit
    calls = itertools.count()

    def quit_in_order() -> None:
        if next(calls):
            return  # The last worker's farewell calls it too, and so does Locust's shutdown.
        runner._users_dispatcher = None  # noqa: SLF001  Or it gives the users to who is left.
        runner.send_message("quit")
        deadline_s = time.monotonic() + runner.environment.stop_timeout + WORKERS_TIMEOUT_S
        while runner.clients and time.monotonic() < deadline_s:
            gevent.sleep(POLL_S)
        runner.stop(send_stop_to_client=False)
        if _runs:
            _runs[0].judge()  # Or wait for whoever is at it.
        quit_now()

    runner.quit = quit_in_order  # type: ignore[method-assign]


def _watch(environment: Environment, run: Run) -> None:
    """End the run when all users have come and gone, or when its time is over."""
    runner = environment.runner
    assert runner is not None
    deadline_s = time.monotonic() + _run_times_s[0] if _run_times_s else math.inf
    while run.verdict is None:
        gevent.sleep(POLL_S)
        # A master counts none either while its workers have not told it of any.
        have_come = runner.state == locust.runners.STATE_RUNNING and run.requests()
        have_left = have_come and not runner.user_count
        if have_left or time.monotonic() > deadline_s:
            log.info("all users have left" if have_left else "the run's time is over")
            _stop(environment)
            return


def _stop(environment: Environment) -> None:
    """Stop the run; end Locust too where nobody looks at it."""
    runner, options = environment.runner, environment.parsed_options
    assert runner is not None
    assert options is not None
    if options.headless:
        runner.quit()
    else:
        runner.stop()


_listen(events.init_command_line_parser, add_arguments)
_listen(events.init, initialize)
_listen(events.test_start, begin)
_listen(events.spawning_complete, open_doors)
_listen(events.test_stopping, close_doors)
_listen(events.test_stop, end)
_listen(events.quitting, decide)
_listen(events.quit, publish)
