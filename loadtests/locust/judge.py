"""
`python -m loadtests.locust.judge FOLDER`: what buyers were told, against what PostgreSQL has.

Waits until PostgreSQL has every record, reads the histories that Locust's processes left in the
folder, lets the checkers of `loadtests/chaos` compare, asks the reconciler about each event, and
writes the verdict beside them. All users must have left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import uvloop

from evently.settings import Settings
from loadtests.backstage import Backstage
from loadtests.chaos import history
from loadtests.chaos.history import Call
from loadtests.locust.plan import HISTORIES, USERS_PREFIX, VERDICT_FILE, Plan, read_plan, write
from loadtests.verdict import Verdict


async def judge(folder: Path, plan: Plan, settings: Settings) -> Verdict:
    """
    Compare, once the journal is drained.

    Raises:
        TimeoutError: PostgreSQL did not catch up.
        RuntimeError: the reconciler could not check.
    """
    calls = read_calls(folder)
    event_ids = [stage.event_id for stage in plan.stages.values()]
    async with Backstage(settings) as backstage:
        verdict = await backstage.judge(calls, event_ids)
    signed = [path.read_text().split() for path in _signed(folder)]
    users = sum(int(came) for came, _ in signed)
    unfinished = sum(int(left) for _, left in signed)
    texts, asked = verdict.texts, plan.order.users
    if users < asked:
        texts = [*texts, f"only {users} of {asked} users came before the run was over"]
    if unfinished:
        texts = [*texts, f"{unfinished} users had not done what they came for when the run ended"]
    return msgspec.structs.replace(
        verdict, texts=texts, users=users, users_asked=asked, unfinished=unfinished
    )


def _signed(folder: Path) -> list[Path]:
    return list(folder.glob(f"{USERS_PREFIX}*"))


def read_calls(folder: Path) -> list[Call]:
    """Return what all users of all processes did."""
    return [
        call
        for path in sorted(folder.glob(HISTORIES))
        for call in history.calls(history.read(path))
    ]


def main() -> None:
    """Judge the run in a folder."""
    folder = Path(sys.argv[1])
    verdict = uvloop.run(judge(folder, read_plan(folder), Settings.load_or_exit("judge")))
    write(folder, VERDICT_FILE, verdict)


if __name__ == "__main__":
    main()
