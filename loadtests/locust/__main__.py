"""
`make loadtest`: Locust scenarios against an Evently of its own, headless or with the web UI.

Starts `evently up` in a temporary folder unless a host is named, runs `locust` with
`locustfile.py`, and ends with its verdict: exit code 0 only if there was no error and every promise
was kept. The report goes to `loadtests/results/`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import uvloop

from api.files import raise_file_limit
from evently.embedded import process
from evently.ports import free_port
from loadtests.bench.contract import RESULTS_PATH
from loadtests.locust.plan import SCENARIOS, Scenario, is_loopback
from loadtests.server import LOOPBACK, open_folder, running

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
USERS_MAX = 15_000
#: Files that a process needs besides its connections.
SPARE_FILES = 500
#: Time in which the users come, where no rate is asked for, in seconds.
RAMP_S = 20
#: Time that users have to finish what they do when the run ends, in seconds.
STOP_TIMEOUT_S = 30
#: Beyond the run itself: to prepare, to stop, to judge.
GRACE_S = 1_200.0
#: Short lives, so that a run sees what is abandoned come back.
SETTINGS: dict[str, Any] = {
    "environment": "test",
    "access_token_ttl_s": "86400",
    "hold_ttl_ms": "5000",
    # All of them come from one address.
    "holds_per_address_max": "0",
}


def main() -> None:
    """Read the arguments, run, end with Locust's exit code."""
    parser = argparse.ArgumentParser(prog="loadtest", description=__doc__)
    parser.add_argument("--scenario", default="rush", help=f"one or more of {','.join(SCENARIOS)}")
    parser.add_argument("--users", type=int, default=1_000, help="how many (1000)")
    parser.add_argument("--rate", type=float, help=f"users that come in a second (in {RAMP_S} s)")
    parser.add_argument("--run-time", type=int, help="seconds until it ends (the scenario's own)")
    parser.add_argument("--capacity", type=int, default=0, help="places (as suits the users)")
    parser.add_argument("--seed", type=int, default=1, help="repeats users and choices (1)")
    parser.add_argument("--processes", type=int, default=1, help="of Locust (1)")
    parser.add_argument("--host", default="", help="an Evently that runs (one of our own)")
    parser.add_argument("--anywhere", action="store_true", help="even if it is not on this machine")
    parser.add_argument("--ui", action="store_true", help="the web UI instead of a headless run")
    parser.add_argument("--web-port", type=int, default=8089, help="where the web UI is (8089)")
    options = parser.parse_args()
    if unknown := set(options.scenario.split(",")) - SCENARIOS.keys():
        parser.error(f"there is no {min(unknown)}; there are {', '.join(SCENARIOS)}")
    if not 1 <= options.users <= USERS_MAX:
        parser.error(f"--users must be 1..{USERS_MAX}")
    if options.host and not is_loopback(options.host) and not options.anywhere:
        parser.error(f"{options.host} is not this machine; --anywhere if it is meant")
    if raise_file_limit() < options.users + SPARE_FILES:
        parser.error(f"a process may not open {options.users + SPARE_FILES} files: see ulimit -Hn")
    sys.exit(uvloop.run(run(options)))


async def run(options: argparse.Namespace) -> int:
    """Run Locust; return its exit code."""
    async with _running(options.host) as (base_url, environ):
        child = process.spawn(command(options, base_url), death_signal=signal.SIGTERM, env=environ)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, child.send_signal, signal.SIGINT)
        limit_s = None if options.ui else _run_time_s(options) + GRACE_S
        try:
            return await asyncio.to_thread(child.wait, limit_s)
        except subprocess.TimeoutExpired:
            print("loadtest: Locust did not end in time", file=sys.stderr)
            return 1
        finally:
            await asyncio.to_thread(
                process.stop, child, with_signal=signal.SIGTERM, timeout_s=STOP_TIMEOUT_S
            )


def command(options: argparse.Namespace, base_url: str) -> list[str]:
    """Return Locust's command line."""
    rate = options.rate or max(10.0, options.users / RAMP_S)
    words = (
        f"-m locust --host {base_url} --users {options.users} "
        f"--spawn-rate {rate:g} --stop-timeout {STOP_TIMEOUT_S} --seed {options.seed} "
        f"--capacity {options.capacity}"
    )
    files = ["-f", str(LOCUSTFILE)]  # Whose folder may have a space in its name.
    if options.anywhere:
        words += " --anywhere"
    if options.processes > 1:
        words += (
            f" --processes {options.processes} --master-bind-host {LOOPBACK} "
            "--master-bind-port {port} --master-port {port}".format(port=free_port())
        )
    if options.ui:
        words += f" --web-host {LOOPBACK} --web-port {options.web_port} --class-picker"
        return [sys.executable, *words.split(), *files]
    report = RESULTS_PATH / f"loadtest-{options.scenario}-{options.users}.html"
    words += f" --headless --only-summary --run-time {_run_time_s(options)}s"
    classes = (one.user_class for one in _scenarios(options))
    return [sys.executable, *words.split(), *files, "--html", str(report), *classes]


def _run_time_s(options: argparse.Namespace) -> int:
    return options.run_time or max(one.run_time_s for one in _scenarios(options))


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    return [SCENARIOS[name] for name in options.scenario.split(",")]


@contextlib.asynccontextmanager
async def _running(host: str) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
    """Yield where Evently is and the environment that leads there; start one if none is named."""
    if host:
        yield host.rstrip("/"), os.environ
        return
    print("starting an Evently ...", file=sys.stderr)
    with open_folder() as folder:
        async with running(folder, **SETTINGS) as server:
            yield server.base_url, server.environ


if __name__ == "__main__":
    main()
