"""
The verdict in words: one line for the terminal, one section for Locust's HTML report.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.bench.contract import commit, this_machine
from loadtests.locust.plan import SCENARIOS
from loadtests.verdict import Verdict

#: A refusal that was expected has its code behind the name of the request: see `buyer.py`.
REFUSED_MARK = "]"
_STYLE = (
    "font-family:sans-serif;margin:1em;padding:1em;border:2px solid {colour};"
    "background:#fff;color:#222;border-radius:6px"
)


class Figures(NamedTuple):
    """What a run came to."""

    scenarios: list[str]
    #: Answers, and requests without one.
    requests: int
    #: Refusals that the scenario expects.
    refused: int
    #: Locust's failures, and exceptions of users.
    errors: int
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """Tell whether nothing went wrong."""
        verdict = self.verdict
        is_whole = verdict.users >= verdict.users_asked and not verdict.unfinished
        return verdict.holds and is_whole and not self.errors

    def line(self) -> str:
        """Return the one line that a run ends with."""
        verdict = self.verdict
        if verdict.failure:
            return f"LOADTEST scenario={','.join(self.scenarios)} FAILED, not judged"
        return (
            f"LOADTEST scenario={','.join(self.scenarios)} users={verdict.users} "
            f"requests={self.requests} refused={self.refused} errors={self.errors} "
            f"{verdict.words()}"
        )


def figures(stats: Any, verdict: Verdict, *, scenarios: list[str], exceptions: int) -> Figures:
    """Add up Locust's statistics."""
    entries: Iterable[Any] = stats.entries.values()
    return Figures(
        scenarios=scenarios,
        requests=stats.total.num_requests,
        refused=sum(one.num_requests for one in entries if one.name.endswith(REFUSED_MARK)),
        errors=stats.total.num_failures + exceptions,
        verdict=verdict,
    )


def section(figures: Figures, *, seed: int, host: str, folder: Path) -> str:
    """Return the section of the report that tells the verdict."""
    verdict, machine = figures.verdict, this_machine()
    rows = {
        "errors": figures.errors,
        "oversold": verdict.oversold,
        "lost": verdict.lost,
        "duplicates": verdict.duplicates,
        "drift": verdict.drift,
        "users": f"{verdict.users} of {verdict.users_asked}",
        "requests": figures.requests,
        "refusals, as expected": figures.refused,
        "bookings acknowledged": verdict.acknowledged,
        "places sold in the end": verdict.sold,
        "requests without a known outcome": verdict.unknown,
        "seed": seed,
        "host": host,
        "machine": f"{machine.cores} x {machine.cpu}, {machine.memory_mib} MiB, server and load",
        "commit": commit(),
    }
    rows |= {f"scenario {name}": SCENARIOS[name].about for name in figures.scenarios}
    if not figures.holds:
        rows["history kept in"] = str(folder)
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td><b>{html.escape(str(value))}</b></td></tr>"
        for name, value in rows.items()
    )
    texts = [*verdict.texts, *([verdict.failure] if verdict.failure else [])]
    found = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    word, colour = ("HOLDS", "#2e7d32") if figures.holds else ("FAILED", "#c62828")
    return (
        f'<section id="verdict" style="{_STYLE.format(colour=colour)}">'
        f'<h2 style="color:{colour}">Verdict: {word}</h2>'
        f"<p><code>{html.escape(figures.line())}</code></p>"
        f"<table>{cells}</table><ul>{found}</ul></section>"
    )


def insert(document: str, section: str) -> str:
    """Put the section before all else in an HTML document."""
    head, body, rest = document.partition("<body>")
    return f"{head}{body}{section}{rest}" if body else section + document


def page(section: str) -> str:
    """Return a page of the verdict alone."""
    return (
        "<!doctype html><meta charset=utf-8><title>Verdict</title><body>"
        f"{section or 'No run has been judged yet.'}</body>"
    )
