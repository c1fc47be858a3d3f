"""
What becomes of the results: a table in the terminal, a JSON document, one HTML page with plots.

A run of all measures is `latest.json` and `latest.html`, which may be committed; a run of some,
or a quick one, is `partial.*` and is not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from loadtests.bench.compare import Change
from loadtests.bench.contract import (
    PEAK,
    RESULTS_PATH,
    TARGETS,
    Figure,
    Result,
    figures,
    results_in,
)
from loadtests.bench.plot import Points, line_chart

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left }
tr { border-bottom: 1px solid #ddd } td.n { text-align: right; font-variant-numeric: tabular-nums }
.met { color: #006b3c } .missed { color: #a40000 } pre { overflow-x: auto; font-size: 12px }
svg { max-width: 100%; height: auto; margin: .5rem } svg text { font: 12px system-ui; fill: #333 }
svg .title { font-weight: 600; font-size: 14px } svg .end { text-anchor: end }
svg .middle { text-anchor: middle } svg .grid { stroke: #e4e4e4 } svg .axis { stroke: #666;
fill: none }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evently: benchmark</title>
<meta name="viewport" content="width=device-width"><style>{css}</style></head><body>
<h1>Evently: benchmark</h1>
<p>Commit {commit} on {machine}. Ratios are taken within one run; see loadtests/README.md.</p>
{table}
<h2>Plots</h2>
{plots}
<h2>Growth</h2>
{growth}
<h2>Details</h2>
{details}
</body></html>
"""


def write(document: dict[str, Any], *, is_whole: bool, folder: Path = RESULTS_PATH) -> Path:
    """Write JSON and HTML; return the path of the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("latest.json" if is_whole else "partial.json")
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    path.with_suffix(".html").write_text(page(document), encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any]:
    """Read a document."""
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


def show(results: dict[str, Result], changes: Sequence[Change], console: Console) -> None:
    """Print the table."""
    table = Table("", "measure", "value", "target", "verdict", "runs")
    if changes:
        table.add_column("change")
    by_label = {change.label: change for change in changes}
    for one in figures(results):
        row = _cells(one, " ")
        if changes:
            change = by_label[one.label]
            row.append(f"{change.word} {change.change:+.1%} (noise {change.noise:.1%})")
        table.add_row(*row)
    console.print(table)


def _cells(one: Figure, separator: str) -> list[str]:
    """Return label, title, value, target, verdict and runs of one line of a table."""
    sign = "≥" if one.sense == "min" else "≤"
    goal = "" if one.target is None else f"{sign} {one.target:g} {one.unit}".strip()
    runs = separator.join(_with_unit(run, one.unit) for run in one.runs)
    return [one.label, one.title, _with_unit(one.value, one.unit), goal, one.verdict, runs]


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{digits} {unit}".strip()


def page(document: dict[str, Any]) -> str:
    """Return the HTML page of a document."""
    results = results_in(document)
    machine = document["machine"]
    growth = document.get("growth")
    return _PAGE.format(
        css=_STYLE,
        commit=escape(document["commit"]),
        machine=escape(
            f"{machine['cores']} × {machine['cpu']}, {machine['memory_mib'] // 1024} GiB, "
            f"Linux {machine['kernel']}, Python {machine['python']}, "
            f"load {machine['load_before']} before the first run"
        ),
        table=_table(results),
        plots="\n".join(_plots(results)),
        growth=_growth(growth) if growth else "<p>Made by <code>bench growth</code>.</p>",
        details="\n".join(
            f"<details><summary>{name}: {escape(TARGETS[name].title)}</summary><pre>"
            f"{escape(json.dumps(result.detail, indent=1))}</pre></details>"
            for name, result in results.items()
        ),
    )


def _table(results: dict[str, Result]) -> str:
    rows = []
    for one in figures(results):
        label, title, value, goal, verdict, runs = map(escape, _cells(one, ", "))
        rows.append(
            f'<tr><td>{label}<td>{title}<td class="n">{value}<td class="n">{goal}'
            f'<td class="{verdict if verdict == "met" else "missed"}">{verdict}<td>{runs}</tr>'
        )
    head = "<tr><th><th>measure<th>value<th>target<th>verdict<th>runs</tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _plots(results: dict[str, Result]) -> list[str]:
    detail = {name: result.detail for name, result in results.items()}
    plots = []
    if curve := detail.get("P1", {}).get("curve"):
        plots.append(
            line_chart(
                "Throughput against concurrency",
                "connections",
                "answers a second",
                {
                    name: [(row["connections"], row[name]) for row in curve]
                    for name in ("bare", "booking")
                },
                log_x=True,
            )
        )
    if rows := detail.get("P7", {}).get("rows"):
        plots.append(
            line_chart(
                f"Latency with {detail['P7']['connections']} connections, open loop",
                "share of saturation",
                "ms",
                _latency(rows),
            )
        )
    if peak := detail.get("P2", {}).get("points", {}).get(PEAK):
        plots.append(
            line_chart(
                "Records that PostgreSQL does not have yet",
                "seconds",
                "records",
                {f"run {n}": one["persisted"]["lag"] for n, one in enumerate(peak["sides"], 1)},
            )
        )
    return plots or ["<p>None: the measures that have plots were not made.</p>"]


def _latency(rows: list[dict[str, Any]]) -> dict[str, Points]:
    """Return percentiles by fraction; where a fraction has several runs, the median of them."""
    found: dict[str, Points] = {}
    for name in ("p50", "p99", "p999"):
        by_fraction: dict[float, list[float]] = {}
        for row in rows:
            by_fraction.setdefault(row["fraction"], []).append(row["latency_ms"][name])
        found[name] = [(at, sorted(ms)[len(ms) // 2]) for at, ms in by_fraction.items()]
    return found


def _growth(growth: dict[str, Any]) -> str:
    parts = [f"<p>Commit {escape(growth['commit'])}.</p>"]
    for chart in growth["charts"]:
        series: dict[str, Points] = {
            name: [(row["at"], row[name]) for row in chart["rows"]]
            for name in chart["rows"][0]
            if name != "at"
        }
        parts.append(line_chart(chart["title"], chart["x"], chart["y"], series, log_x=True))
        parts.append(f"<p>Slope of the total: {escape(chart['slope'])}</p>")
    return "\n".join(parts)
