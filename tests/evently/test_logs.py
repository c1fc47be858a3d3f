"""
Log lines, read from a process whose stdout is a pipe.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from evently import logs
logs.configure("info", "api")
structlog.get_logger().debug("not written", action="quiet")
structlog.get_logger().info("it works", action="tried", count=1)
logging.getLogger("library").warning("careful: %s", "thing")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("it failed", action="failed")
    logging.getLogger("library").exception("it failed too")
"""


def test_lines_are_json() -> None:
    """Our lines and a library's are JSON objects with service, level, action and time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert "" == done.stderr
    assert ["tried", "library", "failed", "library"] == [line["action"] for line in lines]
    assert ["info", "warning", "error", "error"] == [line["level"] for line in lines]
    assert {"api"} == {line["service"] for line in lines}
    assert ["it works", "careful: thing"] == [line["event"] for line in lines[:2]]
    assert [True, True] == ["ZeroDivisionError" in line["exception"] for line in lines[2:]]
    assert all("timestamp" in line for line in lines)


QUOTING = """
import structlog, logging
from evently import logs
logs.configure("info", "api")
error = RuntimeError("DETAIL:  Failing row contains (usr_1, ann@example.org, Ann, $argon2id$x).")
structlog.get_logger().error("it failed", action="failed", error=repr(error), exc_info=error)
logging.getLogger("library").error("bad: %s", error, exc_info=error)
"""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_s28_lines_quote_nobody(is_terminal: bool) -> None:
    """S28: what an error quotes of a person is in no line, nor in its trace, nor a library's."""
    program = "import sys; sys.stdout.isatty = lambda: True\n" * is_terminal + QUOTING
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("Failing row contains <left out>") >= 4
    for text in ("ann@example.org", "Ann,", "argon2"):
        assert text not in done.stdout
