"""`make demo MAIL=1`: a sale is told, and what was mailed opens the door."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from loadtests.letters import Mailed

TOLD = Mailed(bookings=3, confirmations=3)


def test_what_does_not_hold() -> None:
    """A booking without its letter, a letter without a booking, and a wrong gate are seen."""
    assert TOLD.holds
    assert Mailed().holds, "without mail there is nothing to tell"
    assert "" == Mailed().words()
    for wrong in (
        TOLD._replace(confirmations=2),
        TOLD._replace(strangers=1),
        TOLD._replace(first="not_found"),
        TOLD._replace(second="in"),
        TOLD._replace(first="no_code", second="no_code"),
    ):
        assert not wrong.holds


@pytest.mark.slow
@pytest.mark.processes
def test_f44_a_sale_is_told() -> None:
    """F44: each booking of a sell-out has its confirmation, and a mailed ticket lets in once."""
    words = ("--mail", "--buyers", "200", "--capacity", "40", "--seed", "1")
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.demo", *words],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    line = done.stdout.strip().splitlines()[-1]
    found = re.search(r"bookings=(\d+) confirmations=(\d+) gate=in,already_checked_in", line)
    assert found is not None, line
    assert found[1] == found[2] != "0"
