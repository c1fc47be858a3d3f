"""
`evently doctor`: whether the servers, as they are configured now, keep what is booked.

Asks Redis and PostgreSQL, lets the config guards judge, tries each role's rights, compares the
clocks, looks at shards and disk, and sends out the canary. Reads only; what is wrong is told with
its reason and its remedy. Guarantees nothing by itself: the guards on every connection do.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console

from api.files import raise_file_limit
from engine import acl, guard, porter
from engine.durability import Durability
from engine.guard import Facts
from engine.printable import printable, table
from engine.redis_client import connect
from evently import canary, upkeep
from evently.embedded import ServerError
from evently.embedded.binaries import find_valkey
from evently.settings import Settings
from reconciler.recover.frozen import remedy
from store import damage, drift, ends, reigns, standby
from store import guard as database_guard
from store.pool import UNANSWERED

#: Difference between the clocks from which on people are told wrong times, in ms.
CLOCK_DIFFERENCE_MS_MAX = 1_000
#: How long a loss is told of once the event is whole again.
DAMAGE_TOLD = dt.timedelta(days=1)
#: How long a shard may go without a look of the continuous check, in seconds.
WATCHED_S_MAX = 600
#: Share of the disk that must be free: both logs are rewritten beside the old ones.
DISK_FREE_SHARE_MIN = 0.1
#: Files that a process of the API should be able to have open: each connection is one.
FILES_MIN = 4_096

Grade = Literal["good", "advice", "bad"]
_COLOURS: dict[Grade, str] = {"good": "green", "advice": "yellow", "bad": "red"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One thing that was looked at."""

    subject: str
    what: str
    value: str
    grade: Grade = "good"
    must_be: str = ""
    why: str = ""
    fix: str = ""


@dataclass(kw_only=True)
class Report:
    """All that was found."""

    rows: list[Row] = field(default_factory=list)
    #: What could not be asked.
    errors: list[str] = field(default_factory=list)
    #: By server: what it said, and the lines of its ACL, for the canary.
    servers: dict[str, tuple[Facts, dict[str, str], list[str]]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: all that matters is as it must be; 1: something is not; 2: could not be asked."""
        if self.errors:
            return 2
        return 1 if any(row.grade == "bad" for row in self.rows) else 0

    def add(self, subject: str, findings: Iterable[guard.Finding | database_guard.Finding]) -> None:
        """Take in what a guard has found."""
        self.rows += [
            Row(
                subject=subject,
                what=finding.setting,
                value=finding.value,
                grade="bad" if finding.refuses else "advice",
                must_be=finding.must_be,
                why=finding.why,
                fix=finding.fix,
            )
            for finding in findings
        ]


async def examine(settings: Settings) -> Report:
    """Ask all servers; what does not answer becomes an error of the report."""
    report = Report()
    database: asyncpg.Connection | None = None
    try:
        # Not by `store.pool`, whose guard would refuse the very patient.
        database = await asyncpg.connect(
            settings.database_url, timeout=settings.database_timeout_ms / 1000
        )
        await _examine_database(report, database, settings)
        await _look_at_damage(report, database)
        await _look_at_checkpoints(report, database)
        await _look_at_drift(report, database)
        report.rows += await upkeep.rows(database, _row)
    except UNANSWERED as error:
        report.errors.append(f"PostgreSQL: {error!r}")
    if settings.database_read_url:
        await _examine_standby(report, database, settings)
    for name, url in settings.redis_servers_as(acl.COORDINATOR).items():
        subject = f"Redis {name}"
        client = connect(url, timeout_ms=settings.redis_timeout_ms)
        try:
            await _examine_redis(report, subject, client, settings.durability)
            if database is not None:
                await _compare_clocks(report, subject, client, database)
        except (OSError, RedisError) as error:
            report.errors.append(f"{subject}: {error}")
        finally:
            await client.aclose()
    if database is not None:
        await database.close(timeout=settings.database_timeout_ms / 1000)
    _look_at_disk(report, settings)
    _look_at_files(report)
    return report


async def _examine_redis(report: Report, subject: str, client: Redis, level: Durability) -> None:
    facts = await porter.examine_server(client, users=True)
    report.rows.append(Row(subject=subject, what="version", value=guard.version_text(facts)))
    findings = guard.judge(facts, level)
    report.add(subject, findings)
    if not any(finding.refuses for finding in findings):
        report.rows.append(Row(subject=subject, what="settings", value=f"keep level {level}"))
    drift = await acl.drift(client)
    report.add(subject, drift)
    if not drift:
        report.rows.append(Row(subject=subject, what="users", value="may do what they need"))
    config: Any = await client.config_get(*canary.SETTINGS)
    users: Any = await client.execute_command("ACL LIST")  # type: ignore[no-untyped-call]
    lines = [line.decode() if isinstance(line, bytes) else line for line in users]
    report.servers[subject] = (facts, config, lines)


async def _examine_database(
    report: Report, database: asyncpg.Connection, settings: Settings
) -> None:
    subject = "PostgreSQL"
    version = database.get_server_version()
    report.rows.append(
        Row(subject=subject, what="version", value=f"{version.major}.{version.minor}")
    )
    findings = database_guard.judge(await database_guard.read_settings(database))
    report.add(subject, findings)
    if not findings:
        report.rows.append(Row(subject=subject, what="settings", value="keep what is committed"))
    shards = await reigns.shards(database)
    report.rows.append(
        _row(
            subject,
            "shards",
            str(len(shards)),
            unless=bool(shards),
            grade="bad",
            must_be="at least one",
            why="no coordinator has run yet",
            fix="python -m reconciler recover; docs/OPERATIONS.md",
        )
    )
    for one in shards:
        row = await reigns.read(database, one.shard)
        home = one.home or "an unnamed server"
        is_known = one.home in settings.redis_servers or not one.home
        report.rows.append(
            _row(
                f"shard {one.shard}",
                "state",
                "never opened" if row is None else f"{row.state}, epoch {row.epoch}, on {home}",
                unless=row is not None and row.state == "open" and is_known,
                grade="bad",
                must_be="open" if is_known else "on a server of EVENTLY_REDIS_URL",
                why="" if row is None else row.reason,
                fix=_remedy_of(one.shard, row),
            )
        )


async def _examine_standby(
    report: Report, primary: asyncpg.Connection | None, settings: Settings
) -> None:
    """Tell whether the standby is one of our primary's, and how far it is behind."""
    timeout_s = settings.database_timeout_ms / 1000
    try:
        follower = await asyncpg.connect(settings.database_read_url, timeout=timeout_s)
        try:
            place = await standby.place_of(follower, "standby_place")
        finally:
            await follower.close(timeout=timeout_s)
        ours = None if primary is None else await standby.place_of(primary, "primary_place")
    except UNANSWERED as error:
        report.errors.append(f"standby: {error!r}")
        return
    is_ours = place.lsn >= 0 and (ours is None or ours.cluster == place.cluster)
    behind = "" if ours is None else f", {max(0, ours.lsn - place.lsn)} bytes behind"
    report.rows.append(
        _row(
            "PostgreSQL to read from",
            "follows",
            f"the primary{behind}" if is_ours else "nobody, or another primary",
            unless=is_ours,
            grade="bad",
            must_be="a standby of EVENTLY_DATABASE_URL",
            why="what it has may be another history; nothing is read from it",
            fix="point EVENTLY_DATABASE_READ_URL at a streaming standby, or leave it empty",
        )
    )


def _remedy_of(shard: int, row: reigns.ReignRow | None) -> str:
    if row is not None and row.state == "frozen":
        return remedy(shard, row.reason)
    return "python -m reconciler recover; docs/OPERATIONS.md"


async def _look_at_damage(report: Report, database: asyncpg.Connection) -> None:
    """Tell of events that have lost keys: something deletes them, and will again."""
    for loss in await damage.lately(database, DAMAGE_TOLD):
        is_over = loss.rebuilt_at is not None
        report.rows.append(
            Row(
                subject=f"shard {loss.shard}",
                what=loss.event_id,
                value=f"lost {loss.lost} at {loss.noticed_at:%Y-%m-%d %H:%M} UTC"
                + (f", whole since {loss.rebuilt_at:%H:%M}" if is_over else ", shut"),
                grade="advice" if is_over else "bad",
                must_be="whole",
                why="something deletes keys: an eviction policy, or a hand",
                fix="find out what; `reconciler mend` rebuilds an event; docs/OPERATIONS.md",
            )
        )


async def _look_at_checkpoints(report: Report, database: asyncpg.Connection) -> None:
    """Tell of checkpoints that are not where the journal's own rows end: no program of ours."""
    for one in await reigns.shards(database):
        for epoch, there in (await ends.of_shard(database, one.shard, since=None)).items():
            if there.agree:
                continue
            report.rows.append(
                Row(
                    subject=f"shard {one.shard}",
                    what=f"checkpoint of epoch {epoch}",
                    value=f"{there.last_seq}, and the journal ends at {there.end_seq}",
                    grade="bad",
                    must_be="where the journal ends",
                    why="somebody changed shard_checkpoint, or deleted rows of journal",
                    fix="the coordinator sets it where rows prove it; `reconciler check`",
                )
            )


async def _look_at_drift(report: Report, database: asyncpg.Connection) -> None:
    """Tell what the continuous check knows to be wrong, and whether there is one."""
    for known in await drift.lately(database, DAMAGE_TOLD):
        is_over = known.gone_at is not None
        report.rows.append(
            Row(
                subject=f"shard {known.shard}",
                what=f"{known.invariant} {known.code}",
                value=f"{known.booking_id or known.event_id or ''} {known.message}".strip(),
                grade="advice" if is_over else "bad",
                must_be="no drift",
                why=f"seen at {known.seen_at:%Y-%m-%d %H:%M} UTC"
                + (f", gone since {known.gone_at:%H:%M}" if known.gone_at else ""),
                fix="`reconciler repair` says what can be done; docs/OPERATIONS.md, Drift",
            )
        )
    watched = {one.shard: one for one in await drift.watched(database)}
    for one in await reigns.shards(database):
        looked_s = watched[one.shard].looked_s if one.shard in watched else None
        report.rows.append(
            _row(
                f"shard {one.shard}",
                "continuous check",
                "never" if looked_s is None else f"{looked_s:.0f} s ago",
                unless=looked_s is not None and looked_s < WATCHED_S_MAX,
                grade="advice",
                must_be=f"within {WATCHED_S_MAX} s",
                why="drift is not noticed before somebody asks",
                fix="EVENTLY_RECONCILER_WATCH_S above 0, or `python -m reconciler watch`",
            )
        )


async def _compare_clocks(
    report: Report, subject: str, client: Redis, database: asyncpg.Connection
) -> None:
    """Put PostgreSQL's time between two of Redis's: what is outside is a difference for sure."""
    before_ms = _ms(await client.time())
    at_ms = await database_guard.read_clock_ms(database)
    after_ms = _ms(await client.time())
    difference_ms = max(0, before_ms - at_ms, at_ms - after_ms)
    report.rows.append(
        _row(
            subject,
            "clock",
            f"{difference_ms} ms from PostgreSQL's",
            unless=difference_ms <= CLOCK_DIFFERENCE_MS_MAX,
            grade="advice",
            must_be=f"at most {CLOCK_DIFFERENCE_MS_MAX} ms",
            why="holds end by Redis's clock, reports by the other",
            fix="run a time daemon on both machines",
        )
    )


def _row(subject: str, what: str, value: str, *, unless: bool, grade: Grade, **advice: str) -> Row:
    """Return what was looked at; with *grade* and *advice* unless it is as it must be."""
    if unless:
        return Row(subject=subject, what=what, value=value)
    return Row(subject=subject, what=what, value=value, grade=grade, **advice)


def _ms(time: tuple[int, int]) -> int:
    seconds, micros = time
    return seconds * 1000 + micros // 1000


def _look_at_disk(report: Report, settings: Settings) -> None:
    if not settings.data_path.exists():
        return  # The servers are elsewhere, and neither tells of its disk.
    usage = shutil.disk_usage(settings.data_path)
    share = usage.free / usage.total
    report.rows.append(
        _row(
            "disk",
            str(settings.data_path),
            f"{share:.0%} free",
            unless=share >= DISK_FREE_SHARE_MIN,
            grade="advice",
            must_be=f"at least {DISK_FREE_SHARE_MIN:.0%} free",
            why="a Redis that cannot write its log ends (F18)",
            fix="make room, or move EVENTLY_DATA_DIR",
        )
    )


def _look_at_files(report: Report) -> None:
    """Tell what a process of the API that was started as this one may have open."""
    files_max = raise_file_limit()
    report.rows.append(
        _row(
            "this machine",
            "open files",
            f"{files_max} for each process",
            unless=files_max >= FILES_MIN,
            grade="advice",
            must_be=f"at least {FILES_MIN}",
            why="each connection is a file; above that callers wait until another one leaves",
            fix="raise the hard limit: `ulimit -Hn`, LimitNOFILE, or `ulimits` of the container",
        )
    )


def add_canary(report: Report) -> None:
    """
    Try for each Redis whether its configuration brings back what a script wrote (F7).

    Starts servers, so it must be called from the main thread, outside a running loop.
    """
    for subject, (facts, config, users) in report.servers.items():
        try:
            song = canary.sing(config, users)
        except (ServerError, RedisError, OSError) as error:
            report.errors.append(f"canary of {subject}: {error}")
            continue
        report.rows.append(
            _row(
                subject,
                "canary",
                f"{song}, on {find_valkey().name} for {guard.version_text(facts)}",
                unless=song is canary.Song.KEPT,
                grade="bad",
                must_be=str(canary.Song.KEPT),
                why="a restart does not bring back what scripts wrote (F7)",
                fix="compare settings and users with deploy/ and `evently acl`",
            )
        )


def show(report: Report, *, as_json: bool) -> None:
    """Print the report, worst first within each subject's order of asking."""
    if as_json:
        document = {
            "exit_code": report.exit_code,
            "rows": [asdict(row) for row in report.rows],
            "errors": report.errors,
        }
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        return
    console, complaints = Console(), Console(stderr=True)
    cells = [
        (row.subject, row.what, row.value, row.must_be, row.why, row.fix) for row in report.rows
    ]
    headings, *lines = table(
        ("subject", "what", "found", "must be", "why", "remedy"),
        cells,
        width=console.width if console.is_terminal else None,
    )
    _print(console, headings, "")
    for row, line in zip(report.rows, lines, strict=True):
        _print(console, line, _COLOURS[row.grade])
    for error in report.errors:
        _print(complaints, f"could not ask {printable(error)}", "red")


def _print(console: Console, text: str, style: str) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
