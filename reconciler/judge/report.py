"""
The result of a check for people (a table) and for machines (one JSON document).

The keys of the document are an interface: they stay, more may come.
"""

from __future__ import annotations

from typing import Any

import orjson
from rich.console import Console

from engine.printable import printable, table
from reconciler.event.violation import Violation
from reconciler.judge.check import Result

#: Rows that people are shown; the document has all.
ROWS_MAX = 50


def document(result: Result) -> bytes:
    """Return the result as JSON."""
    return orjson.dumps(
        {
            "verdict": result.verdict,
            "exit_code": result.exit_code,
            "checked": {
                "events": result.events,
                "bookings": result.bookings,
                "records": result.records,
                "shards": [
                    {
                        "shard": shard.shard,
                        "epoch": shard.epoch,
                        "watermark_seq": shard.watermark_seq,
                        "checkpoint_seq": shard.checkpoint_seq,
                    }
                    for shard in result.shards
                ],
            },
            "violations": [as_document(violation) for violation in result.violations],
            "errors": result.errors,
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


HEADINGS = ("invariant", "event", "tier", "booking", "expected", "found", "what")


def show(result: Result, console: Console, complaints: Console) -> None:
    """
    Print the result for people.

    Args:
        complaints: Takes what could not be checked.
    """
    if result.violations:
        rows = [
            (
                f"{violation.invariant} {violation.code}",
                violation.event_id or f"shard {violation.shard}",
                violation.tier_id or violation.tier_no,
                violation.booking_id,
                violation.expected,
                violation.found,
                violation.message,
            )
            for violation in result.violations[:ROWS_MAX]
        ]
        width = console.width if console.is_terminal else None
        for text in table(HEADINGS, rows, width=width):
            _print(console, text)
        if len(result.violations) > ROWS_MAX:
            _print(console, f"and {len(result.violations) - ROWS_MAX} more: see --json")
    for error in result.errors:
        _print(complaints, f"not checked: {printable(error)}")
    _print(console, f"{result.verdict}: {summary(result)}")


def line_json(violation: Violation) -> str:
    """Return a violation as one line of JSON, with the keys that `check --json` has."""
    return orjson.dumps(as_document(violation)).decode()


def summary(result: Result) -> str:
    """Return one line on what was checked."""
    reached = ", ".join(
        f"seq {shard.watermark_seq}" + (f" (shard {shard.shard})" if len(result.shards) > 1 else "")
        for shard in result.shards
    )
    lag = sum(shard.lag for shard in result.shards)
    return (
        f"{result.events} events, {result.bookings} bookings, {result.records} records checked"
        f" up to {reached or 'nothing'}; lag {lag}"
    )


def as_document(violation: Violation) -> dict[str, Any]:
    """Return a violation with the keys of the document."""
    return {
        "invariant": violation.invariant,
        "code": violation.code,
        "shard": violation.shard,
        "event_id": violation.event_id,
        "tier_no": violation.tier_no,
        "tier_id": violation.tier_id,
        "booking_id": violation.booking_id,
        "seq": violation.seq,
        "expected": violation.expected,
        "found": violation.found,
        "message": violation.message,
    }


def _print(console: Console, text: str) -> None:
    """Print without breaking a line: what is longer than the terminal's, the terminal wraps."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
