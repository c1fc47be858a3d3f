"""`python -m tests.api.fuzz`: the large size of `test_schemathesis`, with its verdict in a line."""

from __future__ import annotations

import argparse
import sys

import pytest


class _Listener:
    """Hears from pytest what the large size has found."""

    verdict: object = "FUZZ did not end"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the verdict that the test has noted."""
        self.verdict = dict(report.user_properties).get("fuzz", self.verdict)


def main() -> int:
    """Run the large size, print its verdict; return the exit code."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", default="0", help="of what is drawn")
    parser.add_argument("--few", action="store_true", help="as few requests as `make proofs` sends")
    given = parser.parse_args()
    listener = _Listener()
    words = [
        "-q",
        "--capture=no",
        "-m",
        "slow",
        "tests/api/test_schemathesis.py",
        f"--hypothesis-seed={given.seed}",
    ]
    code = pytest.main(words + ([] if given.few else ["--large"]), plugins=[listener])
    print(listener.verdict)  # noqa: T201
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
